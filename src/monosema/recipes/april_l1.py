"""The L1 protocol of Anthropic's April 2024 update ("Circuits Updates: how we train SAEs")."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from monosema.dictionaries import ActivationFunction, Dictionary, ReLU, initialise_
from monosema.recipes.exchange import Forward, Moment, Term
from monosema.recipes.learning_rate import Fit
from monosema.recipes.penalised import Penalised
from monosema.recipes.recipe import recipes, require, squared_error
from monosema.recipes.sums import l1


@recipes.register("april_l1")
@dataclass(frozen=True)
class AprilL1Recipe(Penalised):
    """L = R + λ s(t) Σ_j f_j ‖d_j‖, f = relu(x W_enc + b_enc); the decoder's norms are free.

    Because each activation is weighed by its decoder row's norm, shrinking the codes and growing the decoder gains
    nothing, and no constraint is needed. Activations are scaled to a norm of √d, for which the update gives λ = 5.
    """

    name: ClassVar[str] = "april_l1"
    rows_apart: ClassVar[bool] = True
    fit: ClassVar[Fit] = Fit(4.5e-3)
    step_cost: ClassVar[float] = 1.2
    step_cost_on_gpu: ClassVar[float] = 1.2
    subtracts_input_bias: ClassVar[bool] = False
    norm: ClassVar[Literal["one", "sqrt_d"]] = "sqrt_d"
    unit_norm: ClassVar[bool] = False
    usual_sparsity: ClassVar[float] = 0.5
    paper_sparsity: ClassVar[float | None] = 5.0
    # Norms drift through the whole run, so the controller is stiffer near its goal, and from afar as calm as any other.
    gain: ClassVar[float] = 180.0
    damping: ClassVar[float] = 1.0
    largest_error: ClassVar[float] = 1 / 9

    lr_decay: float = 0.2
    """Fraction of the run, at its end, over which the learning rate falls linearly to zero."""
    sparsity_warmup: float = 0.05
    """Fraction of the run over which the sparsity term rises linearly from zero."""
    decoder_norm: float = 0.1
    """Norm of the decoder's rows at the start."""

    def __post_init__(self):
        super().__post_init__()
        require(self, "decoder_norm", self.decoder_norm > 0, "a norm above 0")

    def activation(self, width: int) -> ActivationFunction:
        """ReLU."""
        return ReLU(width)

    def initialise_(self, dictionary: Dictionary, generator: torch.Generator) -> None:
        """Random directions of norm `decoder_norm` in each hook point; the encoder is the decoder's transpose."""
        sites = max(len(dictionary.spec.sizes_out), 1)
        initialise_(dictionary, generator, self.decoder_norm * sites**0.5, self.encoder_scale)

    def terms(self, batch: Forward, moment: Moment) -> dict[str, Term]:
        """R + λ s Σ_j f_j ‖d_j‖."""
        return {
            "error": Term(1.0, squared_error(batch, batch.reconstruction)),
            "l1": Term(self.coefficient(moment), l1(batch, batch.codes, batch.dictionary.decoder_norms())),
        }
