"""How sparse codes are, and how often each feature fires."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.evaluation.sums import wide

ALIVE_TOKENS = 8192
"""Tokens over which seed tables of the field count live features."""
DENSITY_EDGES = tuple(-8 + i / 4 for i in range(33))
"""Edges of the histogram of log10 density."""
_NEVER = 2**62


@dataclass(frozen=True, kw_only=True)
class Sparsity:
    """How many features fire on a token, and on how many tokens a feature fires."""

    l0: float
    """Mean number of active features (f ≠ 0) per token."""
    l1: float
    """Mean Σ|f| per token."""
    alive: float
    """Fraction of features active on at least one of the N tokens."""
    alive_8192: float | None
    """The same over the first 8,192 tokens; None where there are fewer."""
    denser_than_1_percent: float
    """Fraction of features that fire on more than 1 % of tokens."""
    denser_than_10_percent: float
    """Fraction of features that fire on more than 10 % of tokens."""
    density_histogram: tuple[int, ...]
    """Counts of live features by log10 density, 32 bins from −8 to 0; what is below is in the first bin."""


@dataclass(frozen=True)
class SparsitySums:
    """What `Sparsity` is made of, over some tokens. The sum of two stands for the first's tokens, then the second's."""

    tokens: int
    active: int
    magnitude: float
    fired: Int[Tensor, "width"]
    """Tokens on which each feature fires."""
    first: Int[Tensor, "width"]
    """The first token on which it does."""

    def __add__(self, later: "SparsitySums") -> "SparsitySums":
        return SparsitySums(
            self.tokens + later.tokens,
            self.active + later.active,
            self.magnitude + later.magnitude,
            self.fired + later.fired,
            torch.minimum(self.first, later.first + self.tokens),
        )

    def density(self) -> Float[Tensor, "width"]:
        """The fraction of tokens on which each feature fires, in float64."""
        return self.fired.double() / self.tokens

    def alive(self, tokens: int) -> float:
        """The fraction of features active on at least one of the first `tokens` tokens."""
        return (self.first < tokens).double().mean().item()

    def metrics(self) -> Sparsity:
        """The metrics of all tokens added up, of which there must be some."""
        density = self.density()
        return Sparsity(
            l0=self.active / self.tokens,
            l1=self.magnitude / self.tokens,
            alive=self.alive(self.tokens),
            alive_8192=self.alive(ALIVE_TOKENS) if self.tokens >= ALIVE_TOKENS else None,
            denser_than_1_percent=(density > 0.01).double().mean().item(),
            denser_than_10_percent=(density > 0.1).double().mean().item(),
            density_histogram=_histogram(density[density > 0].log10()),
        )


def sparsity_sums(codes: Float[Tensor, "batch width"]) -> SparsitySums:
    """The sums of one batch; the counts for each feature lie on the CPU."""
    active = codes != 0
    fired = active.sum(0)
    first = torch.where(fired > 0, active.to(torch.uint8).argmax(0), _NEVER) if len(codes) else fired + _NEVER
    magnitude = wide(codes.abs().sum(1, dtype=torch.promote_types(codes.dtype, torch.float32)))
    return SparsitySums(len(codes), int(fired.sum()), magnitude.sum().item(), fired.cpu(), first.cpu())


def _histogram(log_density: Float[Tensor, "live"]) -> tuple[int, ...]:
    edges = torch.tensor(DENSITY_EDGES, dtype=log_density.dtype)
    counts = torch.histogram(log_density.clamp(DENSITY_EDGES[0], DENSITY_EDGES[-1]), edges).hist
    return tuple(int(count) for count in counts)
