"""A forward pass whose attention patterns and norms' scales are those of another pass: all that is left is linear."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

from monosema.analysis.attention import Scaled
from monosema.analysis.frozen import NORMS, ROOTS, norm_scale, scaled_norm
from monosema.errors import InputError
from monosema.models import LoadedModel

_SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax)


class Factors:
    """What a pass has multiplied by that depends on its input: attention patterns and norms' scales, in order.

    A pattern is what `scaled_dot_product_attention` makes of queries and keys, or a softmax of four-dimensional scores.
    A scale is one over the standard deviation in a layer norm, or what a root gives in a norm that takes it itself.
    With these held, attention and norms are linear in the residual stream, as in the local replacement model of Ameisen
    et al. 2025 (Circuit Tracing).
    """

    def __init__(self) -> None:
        self.found: list[tuple[str, Tensor]] = []

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """While inside, a pass of the model is remembered; it computes what it would."""
        self.found.clear()
        with _Recording(self.found):
            yield

    @contextmanager
    def held(self) -> Iterator[None]:
        """While inside, a pass uses what is remembered; gradients see constants. One row of tokens, or copies of it.

        Raises:
            InputError: in the pass, if it does not come by the same operations in the same order.
        """
        with _Holding(self.found):
            yield


@dataclass(frozen=True, eq=False)
class HeldModel(LoadedModel):
    """A model that runs with the factors of one pass, whatever its activations; its inputs are that pass' tokens."""

    factors: Factors = field(repr=False)

    def run(self, inputs: Tensor) -> Any:
        """As the model's own, with patterns and norms held."""
        with self.factors.held():
            return super().run(inputs)


@torch.no_grad()
def held_at(model: LoadedModel, ids: Sequence[int]) -> HeldModel:
    """The model with the attention patterns and norms' scales that it has on a prompt.

    On that prompt it computes what it did, until something is changed in it. What is changed then flows on linearly,
    but for the MLPs; so effects that do not pass an MLP are exact where they are taken from a gradient.
    """
    factors = Factors()
    with factors.recorded():
        model.run(torch.tensor([list(ids)]))
    return HeldModel(model.module, model.tokenizer, model.name, model.family, factors)


class _Recording(TorchFunctionMode):
    def __init__(self, found: list[tuple[str, Tensor]]):
        super().__init__()
        self.found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if factor := _factor(func, args, kwargs or {}, out):
            self.found.append(factor)
        return out


class _Holding(TorchFunctionMode):
    def __init__(self, found: list[tuple[str, Tensor]]):
        super().__init__()
        self.found, self.next = found, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kind, apply = _with_factor(func, args)
        if kind is None:
            return func(*args, **(kwargs or {}))
        known, factor = self.found[self.next] if self.next < len(self.found) else ("nothing", torch.empty(0))
        if known != kind:
            raise InputError(f"a pass that computes {kind}", expected=f"{known}, as the pass that was remembered")
        self.next += 1
        return apply(factor, *args, **(kwargs or {}))


def _factor(func: Any, args: Any, kwargs: Any, out: Any) -> tuple[str, Tensor] | None:
    """What a function has multiplied by, if it is one of those that are held."""
    kind, _ = _with_factor(func, args)
    if kind == "a norm":
        return kind, norm_scale(func, *args, **kwargs).detach()
    if kind == "attention":
        return kind, Scaled(*args, **kwargs).patterns().detach()
    return None if kind is None else (kind, out.detach().clone())


def _with_factor(func: Any, args: Any) -> tuple[str | None, Callable[..., Tensor]]:
    """What kind of factor a call has, and the same call with the factor given."""
    if func is F.scaled_dot_product_attention and args[0].ndim == 4:
        return "attention", _attention
    if func in _SOFTMAX and args[0].ndim == 4:
        return "a softmax", lambda factor, x, *_, **__: factor.expand_as(x)
    if func in ROOTS:
        return "a root", lambda factor, x, *_, **__: factor.expand_as(x)
    if func in NORMS:
        return "a norm", partial(scaled_norm, func)
    return None, func


def _attention(
    pattern: Float[Tensor, "1 heads position position"], query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any
) -> Tensor:
    own = value.repeat_interleave(pattern.shape[1] // value.shape[1], dim=1)
    return pattern.to(own.dtype) @ own
