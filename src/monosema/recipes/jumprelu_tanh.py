"""JumpReLU with a tanh penalty and a pre-activation loss (Anthropic's January 2025 update)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.dictionaries import Dictionary, Preactivations, initialise_
from monosema.recipes.exchange import Forward, Moment, Term
from monosema.recipes.jumprelu import JumpReLUFamily, jumprelu_of
from monosema.recipes.learning_rate import Fit
from monosema.recipes.recipe import recipes, require, squared_error
from monosema.recipes.sums import scaled

ACTIVE_AT_START = 10_000
"""Features that are active on a token at the start, at most half of all."""


@recipes.register("jumprelu_tanh")
@dataclass(frozen=True)
class JumpReLUTanhRecipe(JumpReLUFamily):
    """L = R + λ s(t) Σ_j tanh(c ‖d_j‖ f_j) + λ_P Σ_j relu(θ_j − π_j) ‖d_j‖; the decoder's norms are free.

    The last term pulls up every pre-activation that is below its threshold, so that no feature stays dead. Activations
    are scaled to a norm of √d. The update parametrises log θ; θ itself learns as well and does not stall.
    """

    name: ClassVar[str] = "jumprelu_tanh"
    fit: ClassVar[Fit] = Fit(5e-3)
    norm: ClassVar[Literal["one", "sqrt_d"]] = "sqrt_d"
    unit_norm: ClassVar[bool] = False
    usual_sparsity: ClassVar[float] = 1.0
    gain: ClassVar[float] = 20.0  # the penalty levels off: L0 answers late, and a controller in haste overshoots
    damping: ClassVar[float] = 3.0

    lr_decay: float = 0.2
    """Fraction of the run, at its end, over which the learning rate falls linearly to zero."""
    sparsity_warmup: float = 1.0
    """Fraction of the run over which the sparsity term rises linearly from zero."""
    tanh_scale: float = 4.0
    """c: where the penalty of an activation levels off."""
    pre_activation: float = 3e-4
    """λ_P; the update's 3e-6 revives features in billions of tokens."""

    def __post_init__(self):
        super().__post_init__()
        require(self, "tanh_scale", self.tanh_scale > 0, "a scale above 0")
        require(self, "pre_activation", self.pre_activation >= 0, "a coefficient of at least 0")

    def initialise_(self, dictionary: Dictionary, generator: torch.Generator) -> None:
        """Decoder rows of the norm that entries from U(−1/√d, 1/√d) give; W_enc = (d / width) W_decᵀ."""
        initialise_(dictionary, generator, 3**-0.5, self.encoder_scale * dictionary.spec.d_out / dictionary.spec.width)

    @torch.no_grad()
    def calibrate_(self, dictionary: Dictionary, x: Float[Tensor, "rows d_in"]) -> None:
        """Sets `b_enc` so that on these rows each feature is active equally often."""
        super().calibrate_(dictionary, x)
        share = min(ACTIVE_AT_START / dictionary.spec.width, 0.5)
        pre = dictionary.preactivations(x)
        nth = max(round(share * len(pre)), 1)
        bar = pre.kthvalue(len(pre) - nth + 1, dim=0).values
        dictionary.b_enc.add_(jumprelu_of(dictionary).threshold - bar)

    def terms(self, batch: Forward, moment: Moment) -> dict[str, Term]:
        """R, the tanh penalty, and the pre-activation loss."""
        norms = batch.dictionary.decoder_norms()
        bounded = batch.mean_of_features(scaled(batch.codes, self.tanh_scale * norms).tanh().sum())
        below = below_thresholds(jumprelu_of(batch.dictionary).threshold, batch.pre)
        return {
            "error": Term(1.0, squared_error(batch, batch.reconstruction)),
            "tanh": Term(self.coefficient(moment), bounded),
            "pre_activation": Term(self.pre_activation, batch.mean_of_features((below * norms).sum())),
        }


def below_thresholds(threshold: Float[Tensor, " width"], pre: Preactivations) -> Float[Tensor, " width"]:
    """Sum over the batch of relu(θ − π), from the entries above their thresholds where these are known.

    It is θ − π plus relu(π − θ), and of the first the mean over the batch is that of the mean input.
    """
    if pre.entries is None:
        return (threshold - pre.dense.float()).relu().sum(0)
    columns, batch = pre.entries.columns, len(pre.x)
    beyond = (pre.entries.values.float() - threshold.index_select(0, columns)).relu()
    return batch * (threshold - pre.mean().float()) + torch.zeros_like(threshold).index_add(0, columns, beyond)
