"""All that is measured of one dictionary."""

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from monosema.evaluation.cross_entropy import CrossEntropy, CrossEntropySums
from monosema.evaluation.reconstruction import Reconstruction, ReconstructionSums
from monosema.evaluation.sparsity import Sparsity, SparsitySums
from monosema.evaluation.sums import Sums


@dataclass(frozen=True, kw_only=True)
class Metrics(Reconstruction, Sparsity, CrossEntropy):
    """The metrics of a dictionary on held-out tokens; `dataclasses.asdict` gives them as JSON values."""

    tokens: int
    """N: tokens whose activations were measured and replaced."""
    left_out_tokens: int
    """Special tokens, whose activations were neither measured nor replaced."""
    includes_special_tokens: bool | None
    """Whether special tokens are among the N; None where the activations came without tokens."""


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a dictionary, and how often each feature fires."""

    metrics: Metrics
    density: Float[Tensor, "width"]
    """Fraction of the N tokens on which each feature fires, in float64 on the CPU."""


@dataclass(frozen=True)
class MetricSums(Sums):
    """What an `Evaluation` is made of, over some tokens."""

    reconstruction: ReconstructionSums
    sparsity: SparsitySums
    cross_entropy: CrossEntropySums = field(default_factory=CrossEntropySums)

    def evaluation(self, left_out_tokens: int = 0, includes_special_tokens: bool | None = None) -> Evaluation:
        """The metrics of all tokens added up."""
        metrics = Metrics(
            **vars(self.reconstruction.metrics()),
            **vars(self.sparsity.metrics()),
            **vars(self.cross_entropy.metrics()),
            tokens=self.reconstruction.tokens,
            left_out_tokens=left_out_tokens,
            includes_special_tokens=includes_special_tokens,
        )
        return Evaluation(metrics, self.sparsity.density())
