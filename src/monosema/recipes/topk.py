"""TopK (Gao et al. 2024, Scaling and evaluating sparse autoencoders, arXiv 2406.04093)."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor

from monosema.dictionaries import ActivationFunction, Dictionary, TopK
from monosema.kernels import SparseCodes
from monosema.recipes.auxk import auxk_loss
from monosema.recipes.constraints import normalise_decoder_, project_gradient_
from monosema.recipes.recipe import Loss, Moment, Recipe, recipes, require, squared_error


@dataclass(frozen=True)
class UnitNormTopK(Recipe):
    """What the recipes with a fixed number of active features share.

    L = R + α · AuxK, with R = mean ‖y − x̂‖² and decoder rows of unit norm.
    """

    lr: float = 5e-3
    """Peak learning rate of Adam."""
    lr_decay: float = 0.6
    """Fraction of the run, at its end, over which the learning rate falls linearly to zero."""
    k: int = 32
    """Active features per token."""
    aux: float = 1 / 32
    """Weight α of the auxiliary loss that revives dead features; 0 leaves it out."""
    aux_k: int | None = None
    """Dead features that the auxiliary loss uses for each token; by default half of d_out."""

    def __post_init__(self):
        super().__post_init__()
        require(self, "k", self.k >= 1, "at least one active feature")
        require(self, "aux", self.aux >= 0, "a weight of at least 0")
        require(self, "aux_k", self.aux_k is None or self.aux_k >= 1, "at least one feature")

    def loss(
        self,
        dictionary: Dictionary,
        x: Float[Tensor, "batch d_in"],
        y: Float[Tensor, "batch d_out"],
        moment: Moment,
        dead: Bool[Tensor, " width"],
    ) -> Loss:
        """R + α · AuxK."""
        pre = dictionary.preactivations(x)
        codes = self.select(dictionary, pre)
        reconstruction = dictionary.decode(codes, x)
        error = squared_error(y, reconstruction)
        terms = {"error": error}
        total = error
        if self.aux:
            aux_k = self.aux_k or max(dictionary.spec.d_out // 2, 1)
            terms["aux"] = auxk_loss(dictionary, pre, y - reconstruction, dead, aux_k)
            total = total + self.aux * terms["aux"]
        return Loss(total, terms, codes, reconstruction)

    def select(
        self, dictionary: Dictionary, pre: Float[Tensor, "batch width"]
    ) -> Float[Tensor, "batch width"] | SparseCodes:
        """The codes of a training batch."""
        return dictionary.activation.sparse(pre)

    def before_step_(self, dictionary: Dictionary) -> None:
        """Keeps the decoder's gradient tangent to the unit sphere."""
        project_gradient_(dictionary)

    def after_step_(self, dictionary: Dictionary, loss: Loss) -> None:
        """Puts the decoder's rows back on the unit sphere."""
        normalise_decoder_(dictionary)


@recipes.register("topk")
@dataclass(frozen=True)
class TopKRecipe(UnitNormTopK):
    """f = TopK(relu((x − b) W_enc + b_enc)), the k largest of each row."""

    name: ClassVar[str] = "topk"

    def activation(self, width: int) -> ActivationFunction:
        """TopK."""
        return TopK(width, self.k)
