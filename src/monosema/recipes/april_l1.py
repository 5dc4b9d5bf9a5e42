"""The L1 protocol of Anthropic's April 2024 update ("Circuits Updates: how we train SAEs")."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from monosema.dictionaries import ActivationFunction, Dictionary, ReLU, initialise_
from monosema.recipes.recipe import Loss, Moment, Recipe, recipes, require, squared_error
from monosema.recipes.schedules import ramp


@recipes.register("april_l1")
@dataclass(frozen=True)
class AprilL1Recipe(Recipe):
    """L = R + λ s(t) Σ_j f_j ‖d_j‖, f = relu(x W_enc + b_enc); the decoder's norms are free.

    Because each activation is weighed by its decoder row's norm, shrinking the codes and growing the decoder gains
    nothing, and no constraint is needed. Activations are scaled to a norm of √d.
    """

    name: ClassVar[str] = "april_l1"
    subtracts_input_bias: ClassVar[bool] = False
    norm: ClassVar[Literal["one", "sqrt_d"]] = "sqrt_d"

    lr: float = 1e-3
    """Peak learning rate of Adam."""
    l1: float = 5.0
    """Sparsity coefficient λ."""
    sparsity_warmup: float = 0.05
    """Fraction of the run over which λ rises linearly from zero."""
    decoder_norm: float = 0.1
    """Norm of the decoder's rows at the start."""

    def __post_init__(self):
        super().__post_init__()
        require(self, "l1", self.l1 >= 0, "a coefficient of at least 0")
        require(self, "sparsity_warmup", 0 <= self.sparsity_warmup <= 1, "a fraction of the run, from 0 to 1")
        require(self, "decoder_norm", self.decoder_norm > 0, "a norm above 0")

    def activation(self, width: int) -> ActivationFunction:
        """ReLU."""
        return ReLU(width)

    def initialise_(self, dictionary: Dictionary, generator: torch.Generator) -> None:
        """Random directions of norm `decoder_norm`; the encoder is the decoder's transpose."""
        initialise_(dictionary, generator, self.decoder_norm)

    def loss(
        self,
        dictionary: Dictionary,
        x: Float[Tensor, "batch d_in"],
        y: Float[Tensor, "batch d_out"],
        moment: Moment,
        dead: Bool[Tensor, " width"],
    ) -> Loss:
        """R + λ s Σ_j f_j ‖d_j‖."""
        codes = dictionary.encode(x)
        reconstruction = dictionary.decode(codes, x)
        error = squared_error(y, reconstruction)
        l1 = (codes.mean(0) * dictionary.decoder_norms()).sum()  # no matrix product: autocast would round it
        scale = ramp(moment.fraction, self.sparsity_warmup)
        return Loss(error + self.l1 * scale * l1, {"error": error, "l1": l1}, codes, reconstruction)
