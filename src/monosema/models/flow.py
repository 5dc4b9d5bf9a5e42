"""Seeing, and changing, the tensor that flows at a hook point."""

from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from monosema.errors import InputError
from monosema.models.hook_points import HookPoint


def attach(module: nn.Module, point: HookPoint, visit: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Calls `visit` with the activation at `point` each time it is computed; a tensor that it returns flows on instead.

    The activation is the first tensor that a module returns, or else the first positional argument or the argument
    `hidden_states` that it is given.

    Raises:
        InputError: in the forward pass, if there is no tensor at `point`.
    """
    place = module.get_submodule(point.path)
    if point.columns is not None:
        visit = partial(_visit_columns, visit, *point.columns)
    if point.heads_apart:
        visit = partial(_visit_heads, visit)
    if point.side == "out":

        def after(_module: nn.Module, _args: Any, output: Any) -> Any:
            tensor, rebuild = _first_tensor(output, point)
            new = visit(tensor)
            return None if new is None else rebuild(new)

        return place.register_forward_hook(after)

    def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args and isinstance(args[0], Tensor):
            new = visit(args[0])
            return None if new is None else ((new, *args[1:]), kwargs)
        if isinstance(kwargs.get("hidden_states"), Tensor):
            new = visit(kwargs["hidden_states"])
            return None if new is None else (args, {**kwargs, "hidden_states": new})
        raise InputError(
            f"hook point '{point}': the module is given no tensor",
            expected="a tensor as its first positional argument or as hidden_states",
        )

    return place.register_forward_pre_hook(before, with_kwargs=True)


def _visit_columns(visit: Callable[[Tensor], Tensor | None], first: int, end: int, whole: Tensor) -> Tensor | None:
    """Shows some entries of an activation; what comes back for them flows on among the others."""
    new = visit(whole[..., first:end])
    return None if new is None else torch.cat([whole[..., :first], new, whole[..., end:]], dim=-1)


def _visit_heads(visit: Callable[[Tensor], Tensor | None], heads: Tensor) -> Tensor | None:
    """Shows the outputs of heads that lie apart, `[batch, position, heads, d_head]`, side by side."""
    if heads.ndim != 4:
        return visit(heads)
    new = visit(heads.flatten(-2))
    return None if new is None else new.reshape(heads.shape)


def _first_tensor(output: Any, point: HookPoint) -> tuple[Tensor, Callable[[Tensor], Any]]:
    """The first tensor in what a module returned, and what the module would return with another in its place."""
    if isinstance(output, Tensor):
        return output, lambda new: new
    if isinstance(output, Mapping):  # Hugging Face's ModelOutput among them
        members = output.items()
    elif isinstance(output, (tuple, list)):
        members = enumerate(output)
    else:
        members = ()
    for key, member in members:
        if isinstance(member, Tensor):
            return member, lambda new: _with_member(output, key, new)  # noqa: B023 - it returns at once
    raise InputError(
        f"hook point '{point}': the module returns a {type(output).__name__} without a tensor",
        expected="a tensor, or a tuple or mapping that holds one",
    )


def _with_member(output: Any, key: Any, new: Tensor) -> Any:
    if isinstance(output, tuple):
        members = (*output[:key], new, *output[key + 1 :])
        return type(output)(*members) if hasattr(output, "_fields") else type(output)(members)
    changed = copy(output)
    changed[key] = new
    return changed
