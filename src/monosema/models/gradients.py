"""Activations as functions of an earlier one, for gradients from hook point to hook point."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.errors import InputError
from monosema.models.flow import attach
from monosema.models.loaded import LoadedModel
from monosema.models.read import captured


def read_from(
    model: LoadedModel,
    inputs: Tensor,
    start: str,
    points: Sequence[str],
    change: Callable[[Float[Tensor, "batch position d"]], Float[Tensor, "batch position d"]] | None = None,
) -> tuple[Float[Tensor, "batch position d"], dict[str, Float[Tensor, "batch position d"]]]:
    """The activation at `start`, and those at `points` in the same pass as functions of it, for `torch.autograd.grad`.

    Where `start` is the residual stream in the midst of a layer (`resid_mid`), it stands for what the next norm is
    given: what flows on past that norm does not depend on it.

    Args:
        model: what is read.
        inputs: what the model takes, `[batch, position]` token ids for a language model.
        start: name of a hook point, from which gradients are taken.
        points: names of hook points that the model computes after it.
        change: what flows on at `start` in place of the model's own.

    Raises:
        InputError: there is no such point, or the model does not run it, or it comes before `start`.
    """
    leaves: list[Tensor] = []

    def begin(own: Tensor) -> Tensor | None:
        if leaves:  # a module that runs several times is read at its first run
            return None
        leaf = (own if change is None else change(own)).detach().clone().requires_grad_()
        leaves.append(leaf)
        return leaf.clone()  # because the model may go on to add to the tensor in place

    with torch.enable_grad():
        hook = attach(model.module, model.point(start), begin)
        try:
            found = captured(model, inputs, {name: model.point(name) for name in points})
        finally:
            hook.remove()
    if not leaves:
        raise InputError(
            f"{', '.join(points)} as functions of {start}", expected=f"hook points that {model.name} gets to after it"
        )
    return leaves[0], found
