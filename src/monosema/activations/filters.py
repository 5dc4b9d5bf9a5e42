"""Which rows of activations are kept: pure functions, one per reason to leave a row out."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monosema.errors import InputError


@dataclass(frozen=True)
class Keep:
    """Which tokens' activations reach the training; what is left out is left out at every hook point."""

    first_position: int = 0
    """Leave out the positions before this one of every context."""
    special_tokens: bool = False
    """Keep the activations of tokens that stand for no text (beginning of text, padding, …), too."""
    max_norm: float | None = 10.0
    """Leave out activations with more than this many times the median norm; None keeps all."""

    def __post_init__(self):
        if self.first_position < 0:
            raise InputError(f"first position {self.first_position}", expected="0 or more")
        if self.max_norm is not None and not self.max_norm > 0:
            raise InputError(f"{self.max_norm} times the median norm", expected="a number above 0, or None")


def from_position(ids: Int[Tensor, "batch position"], first: int) -> Bool[Tensor, "batch position"]:
    """True from position `first` of every context on."""
    return (torch.arange(ids.shape[1], device=ids.device) >= first).expand(ids.shape)


def not_special(ids: Int[Tensor, "batch position"], special: Iterable[int]) -> Bool[Tensor, "batch position"]:
    """True where the token is none of `special`."""
    return ~torch.isin(ids, torch.tensor(sorted(special), dtype=ids.dtype, device=ids.device))


def within_norm(norms: Float[Tensor, "rows"], limit: float) -> Bool[Tensor, "rows"]:
    """True where the norm is at most `limit`."""
    return norms <= limit


def norm_limit(norms: Float[Tensor, "rows"], multiple: float) -> float:
    """The largest norm that is kept: `multiple` times the median of `norms`, or infinity where that is 0."""
    median = norms.median().item()
    return multiple * median if median > 0 else float("inf")
