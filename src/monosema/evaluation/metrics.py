"""All that is measured of one dictionary."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor

from monosema.dictionaries import Spec
from monosema.evaluation.cross_entropy import CrossEntropy, CrossEntropySums
from monosema.evaluation.measures import MeasureSums
from monosema.evaluation.reconstruction import Reconstruction, ReconstructionSums
from monosema.evaluation.sparsity import Sparsity, SparsitySums
from monosema.evaluation.sums import Sums

_PARTS = ("l0_per_block", "sites", "more")


@dataclass(frozen=True, kw_only=True)
class Metrics(Reconstruction, Sparsity, CrossEntropy):
    """The metrics of a dictionary on held-out tokens."""

    tokens: int
    """N: tokens whose activations were measured and replaced."""
    left_out_tokens: int
    """Special tokens, whose activations were neither measured nor replaced."""
    includes_special_tokens: bool | None
    """Whether special tokens are among the N; None where the activations came without tokens."""

    l0_per_block: tuple[float, ...] | None = None
    """Mean number of active features per token in each block of features; None where there is one block."""
    sites: tuple["SiteMetrics", ...] | None = None
    """Of each hook point by itself, where a dictionary writes several; None where it writes one. The other metrics are
    those of all that it writes, side by side: a hook point with large activations outweighs others there."""
    more: Mapping[str, float | None] | None = None
    """What is registered in `measures`, by name; None where nothing is."""

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Metrics":
        """The metrics that `as_json` gave."""
        parts: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in found.items()}
        if parts.get("sites") is not None:
            parts["sites"] = tuple(SiteMetrics(**one) for one in parts["sites"])
        return cls(**parts)

    def as_json(self) -> dict[str, Any]:
        """The metrics as JSON values, without the parts that the dictionary does not have: blocks, sites, more."""
        return {key: value for key, value in asdict(self).items() if value is not None or key not in _PARTS}


@dataclass(frozen=True, kw_only=True)
class SiteMetrics(Reconstruction, CrossEntropy):
    """The metrics of one of several hook points that a dictionary writes. Cross-entropy is that of the model in which
    the activations at this hook point alone are replaced."""

    site: str
    """The hook point."""


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a dictionary, and how often each feature fires."""

    metrics: Metrics
    density: Float[Tensor, "width"]
    """Fraction of the N tokens on which each feature fires, in float64 on the CPU."""


@dataclass(frozen=True)
class SiteSums(Sums):
    """What `SiteMetrics` are made of, over some tokens."""

    reconstruction: ReconstructionSums
    cross_entropy: CrossEntropySums = field(default_factory=CrossEntropySums)

    def metrics(self, site: str) -> SiteMetrics:
        """The metrics of all tokens added up."""
        return SiteMetrics(site=site, **vars(self.reconstruction.metrics()), **vars(self.cross_entropy.metrics()))


@dataclass(frozen=True)
class MetricSums:
    """What an `Evaluation` is made of, over some tokens."""

    reconstruction: ReconstructionSums
    sparsity: SparsitySums
    cross_entropy: CrossEntropySums = field(default_factory=CrossEntropySums)
    sites: "tuple[SiteSums, ...]" = ()
    more: MeasureSums = field(default_factory=MeasureSums)

    def __add__(self, other: "MetricSums") -> "MetricSums":
        return MetricSums(
            self.reconstruction + other.reconstruction,
            self.sparsity + other.sparsity,
            self.cross_entropy + other.cross_entropy,
            tuple(a + b for a, b in zip(self.sites, other.sites, strict=True)),
            self.more + other.more,
        )

    def evaluation(
        self, spec: Spec, left_out_tokens: int = 0, includes_special_tokens: bool | None = None
    ) -> Evaluation:
        """The metrics of all tokens added up, of a dictionary with this spec."""
        density = self.sparsity.density()
        metrics = Metrics(
            **vars(self.reconstruction.metrics()),
            **vars(self.sparsity.metrics()),
            **vars(self.cross_entropy.metrics()),
            tokens=self.reconstruction.tokens,
            left_out_tokens=left_out_tokens,
            includes_special_tokens=includes_special_tokens,
            l0_per_block=tuple(density.view(spec.blocks, -1).sum(1).tolist()) if spec.blocks > 1 else None,
            sites=tuple(map(SiteSums.metrics, self.sites, spec.writes)) if self.sites else None,
            more=self.more.metrics(),
        )
        return Evaluation(metrics, density)
