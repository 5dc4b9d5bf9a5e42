"""What a run found, in the form that the terminal, the report and `metrics.json` show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

from monosema.analysis import Example
from monosema.evaluation import CrossEntropy, Metrics
from monosema.runs.config import RunConfig


@dataclass(frozen=True)
class RunResult:
    """A finished run. Shown, it says what was measured: the rest would fill pages."""

    config: RunConfig = field(repr=False)
    """With every choice made."""
    metrics: Mapping[str, Metrics]
    """Of each dictionary, on held-out data."""
    density: Mapping[str, Float[Tensor, " width"]] = field(repr=False)
    """Of each dictionary: the share of held-out tokens on which each feature is active."""
    examples: Mapping[str, Mapping[int, Sequence[Example]]] = field(repr=False)
    """Of each dictionary: the strongest examples in context of some features; empty without a model."""
    log: Sequence[Mapping[str, Any]] = field(repr=False)
    """The lines of `metrics.jsonl`."""
    seconds: Mapping[str, float]
    """What the run's parts took."""
    facts: Mapping[str, Any]
    """Other figures: tokens read, passes over the text, tokens per second, peak memory."""
    shares: Mapping[str, Float[Tensor, "width sites"]] = field(default_factory=dict, repr=False)
    """Of each dictionary that writes several hook points: how much of each feature is in which."""
    together: CrossEntropy | None = None
    """The model's loss with all dictionaries in it at once, where that was asked for."""
