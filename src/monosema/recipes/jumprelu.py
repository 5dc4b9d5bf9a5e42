"""JumpReLU (Rajamanoharan et al. 2024, Jumping ahead, arXiv 2407.14435)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from monosema.dictionaries import ActivationFunction, Dictionary, JumpReLU
from monosema.recipes.constraints import normalise_decoder_, project_gradient_
from monosema.recipes.recipe import Loss, Moment, Recipe, recipes, require, squared_error
from monosema.recipes.schedules import ramp


@recipes.register("jumprelu")
@dataclass(frozen=True)
class JumpReLURecipe(Recipe):
    """f = π · 1[π > θ], π = x W_enc + b_enc; L = R + λ s(t) Σ_j H(π_j − θ_j), or R + λ s(t) (L0 / target − 1)².

    Steps have no gradient; the thresholds learn by a straight-through estimator of width `bandwidth`. With a
    `target_l0` the second form is used and training settles near it; without one, λ sets the trade.
    """

    name: ClassVar[str] = "jumprelu"
    subtracts_input_bias: ClassVar[bool] = False

    lr: float = 1e-3
    """Peak learning rate of Adam."""
    betas: tuple[float, float] = (0.0, 0.999)
    """Adam's decay rates; the paper has no momentum."""
    l0: float = 1.0
    """Sparsity coefficient λ."""
    target_l0: float | None = 32.0
    """Mean number of active features to settle at; null for the plain L0 penalty."""
    sparsity_warmup: float = 0.1
    """Fraction of the run over which λ rises linearly from zero."""
    threshold: float = 0.001
    """Where the thresholds start, for activations of unit mean squared norm."""
    bandwidth: float = 0.001
    """Width ε of the straight-through estimator, in the same units."""

    def __post_init__(self):
        super().__post_init__()
        require(self, "l0", self.l0 >= 0, "a coefficient of at least 0")
        require(self, "target_l0", self.target_l0 is None or self.target_l0 > 0, "a number of features above 0")
        require(self, "sparsity_warmup", 0 <= self.sparsity_warmup <= 1, "a fraction of the run, from 0 to 1")
        require(self, "threshold", self.threshold >= 0, "a threshold of at least 0")
        require(self, "bandwidth", self.bandwidth > 0, "a width above 0")

    def activation(self, width: int) -> ActivationFunction:
        """JumpReLU."""
        return JumpReLU(width, self.threshold, self.bandwidth)

    def loss(
        self,
        dictionary: Dictionary,
        x: Float[Tensor, "batch d_in"],
        y: Float[Tensor, "batch d_out"],
        moment: Moment,
        dead: Bool[Tensor, " width"],
    ) -> Loss:
        """R plus the penalty on the L0, whose gradient reaches the thresholds alone."""
        pre = dictionary.preactivations(x)
        assert isinstance(dictionary.activation, JumpReLU)
        codes = dictionary.activation(pre)
        reconstruction = dictionary.decode(codes, x)
        error = squared_error(y, reconstruction)
        l0 = dictionary.activation.active(pre).sum(1).mean()
        penalty = l0 if self.target_l0 is None else (l0 / self.target_l0 - 1).square()
        scale = ramp(moment.fraction, self.sparsity_warmup)
        return Loss(error + self.l0 * scale * penalty, {"error": error, "penalty": penalty}, codes, reconstruction)

    def before_step_(self, dictionary: Dictionary) -> None:
        """Keeps the decoder's gradient tangent to the unit sphere."""
        project_gradient_(dictionary)

    @torch.no_grad()
    def after_step_(self, dictionary: Dictionary, loss: Loss) -> None:
        """Unit decoder rows; thresholds no lower than zero, below which inactive features would pass."""
        normalise_decoder_(dictionary)
        assert isinstance(dictionary.activation, JumpReLU)
        dictionary.activation.threshold.clamp_(min=0)
