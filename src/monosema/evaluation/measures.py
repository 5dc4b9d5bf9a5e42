"""Metrics that are registered by name, each a ratio of two sums over tokens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from monosema.evaluation.sums import ratio
from monosema.registry import Registry


class Measured(NamedTuple):
    """One batch of held-out tokens, and what a dictionary makes of it."""

    codes: Float[Tensor, "batch width"]
    """They lie where the dictionary does, and all else where the activations do."""
    target: Float[Tensor, "batch d"]
    """Activations (of a transcoder: what it predicts)."""
    prediction: Float[Tensor, "batch d"]
    """Their reconstructions."""
    mean: Float[Tensor, " d"]
    """The mean of all held-out activations, not of the batch, in float64."""


@dataclass(frozen=True)
class Measure:
    """A metric that is Σ a / Σ b over tokens, so that it does not depend on how these were cut into batches."""

    label: str
    """What the report calls it."""
    meaning: str
    """Its definition, for the report."""
    sums: Callable[[Measured], tuple[float, float]]
    """Σ a and Σ b of one batch."""


measures: Registry[Measure] = Registry("metric")
"""What `Metrics.more` holds, by name. Import what registers a metric before anything is measured."""


@dataclass(frozen=True)
class MeasureSums:
    """The two sums of every registered metric, over some tokens."""

    sums: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __add__(self, other: "MeasureSums") -> "MeasureSums":
        return MeasureSums(
            {name: (a + other.sums[name][0], b + other.sums[name][1]) for name, (a, b) in self.sums.items()}
        )

    def metrics(self) -> dict[str, float | None] | None:
        """The metric of all tokens added up, by name, None where Σ b is zero; None where nothing is registered."""
        return {name: ratio(a, b) for name, (a, b) in self.sums.items()} or None


def measure_sums(batch: Measured) -> MeasureSums:
    """The sums of one batch."""
    return MeasureSums({name: measure.sums(batch) for name, measure in measures.items()})
