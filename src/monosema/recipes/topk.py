"""TopK (Gao et al. 2024, Scaling and evaluating sparse autoencoders, arXiv 2406.04093)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from monosema.dictionaries import ActivationFunction, Dictionary, Preactivations, Spec, TopK
from monosema.kernels import SparseCodes
from monosema.recipes.exchange import Forward, Moment, Term
from monosema.recipes.learning_rate import Fit
from monosema.recipes.recipe import Recipe, recipes, require, squared_error
from monosema.recipes.schedules import ramp

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class TopKFamily(Recipe):
    """What the recipes with a fixed number of active features share.

    L = R + α · AuxK, with R = mean ‖y − x̂‖² and decoder rows of unit norm.
    """

    fit: ClassVar[Fit] = Fit(7e-3)

    encoder_lr: float = 0.3
    """Learning rate of the encoder's matrix, relative to that of all else."""
    encoder_scale: float = 0.3
    """Size of the encoder at the start, where it is the decoder's transpose times this."""
    lr_warmup: float = 0.1
    """Fraction of the run over which the learning rate rises linearly from zero; again after each resampling."""
    aux: float = 1 / 32
    """Weight α of AuxK, which revives dead features by the residual that they could explain; 0 leaves it out."""
    k: int = 32
    """Active features per token."""
    k_start: int | None = None
    """Active features per token at the start, from which the number falls linearly to k; by default k."""
    k_anneal: float = 0.5
    """Fraction of the run over which the number of active features falls from k_start to k."""

    def __post_init__(self):
        super().__post_init__()
        require(self, "k", self.k >= 1, "at least one active feature")
        require(self, "k_start", self.k_start is None or self.k_start >= self.k, "at least as many as k")
        require(self, "k_anneal", 0 < self.k_anneal <= 1, "a fraction of the run, above 0")

    def fitted(self, spec: Spec, steps: int, batch_size: int) -> "Self":
        """The recipe with its learning rate; refuses to begin with more active features than there are."""
        require(self, "k_start", (self.k_start or 0) <= spec.width, f"at most the width, {spec.width}")
        return super().fitted(spec, steps, batch_size)

    def k_at(self, moment: Moment) -> int:
        """Active features per token at a moment."""
        start = self.k_start or self.k
        return start - int((start - self.k) * ramp(moment.fraction, self.k_anneal))

    def terms(self, batch: Forward, moment: Moment) -> dict[str, Term]:
        """R."""
        return {"error": Term(1.0, squared_error(batch, batch.reconstruction))}


@recipes.register("topk")
@dataclass(frozen=True)
class TopKRecipe(TopKFamily):
    """f = TopK(relu((x − b) W_enc + b_enc)), the k largest of each row; L = R + α · AuxK (+ μ R(4k)).

    Multi-TopK adds the error R(4k) of the reconstruction from the 4k largest, with μ = 1/8 in the paper: a dictionary
    that was trained so degrades less when it is used with another k.
    """

    name: ClassVar[str] = "topk"

    multi_topk: float = 0.0
    """Weight μ of the reconstruction from the 4k largest; the paper's Multi-TopK has 1/8; 0 leaves it out."""

    def __post_init__(self):
        super().__post_init__()
        require(self, "multi_topk", self.multi_topk >= 0, "a weight of at least 0")

    def activation(self, width: int) -> ActivationFunction:
        """TopK."""
        return TopK(width, self.k)

    def select(self, dictionary: Dictionary, pre: Preactivations, moment: Moment) -> SparseCodes:
        """The largest of each row, as many as the moment says."""
        return pre.largest(self.k_at(moment))

    def terms(self, batch: Forward, moment: Moment) -> dict[str, Term]:
        """R, and R(4k) where Multi-TopK is wanted."""
        terms = super().terms(batch, moment)
        if self.multi_topk:
            width = batch.dictionary.spec.width * batch.dictionary.ranks.features.size
            more = batch.pre.largest(min(4 * self.k_at(moment), width))
            error = squared_error(batch, batch.dictionary.decode(more, batch.x))
            terms["error_4k"] = Term(self.multi_topk, error)
        return terms
