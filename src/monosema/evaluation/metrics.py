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

    l0_per_block: tuple[float, ...] | None = None
    """Mean number of active features per token in each block of features; None where there is one block."""


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

    def evaluation(
        self, left_out_tokens: int = 0, includes_special_tokens: bool | None = None, blocks: int = 1
    ) -> Evaluation:
        """The metrics of all tokens added up, of a dictionary with so many blocks of features."""
        density = self.sparsity.density()
        metrics = Metrics(
            **vars(self.reconstruction.metrics()),
            **vars(self.sparsity.metrics()),
            **vars(self.cross_entropy.metrics()),
            tokens=self.reconstruction.tokens,
            left_out_tokens=left_out_tokens,
            includes_special_tokens=includes_special_tokens,
            l0_per_block=tuple(density.view(blocks, -1).sum(1).tolist()) if blocks > 1 else None,
        )
        return Evaluation(metrics, density)
