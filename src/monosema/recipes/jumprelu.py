"""JumpReLU (Rajamanoharan et al. 2024, Jumping ahead, arXiv 2407.14435)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.dictionaries import ActivationFunction, Dictionary, JumpReLU, step_kernels
from monosema.ranks import Ranks
from monosema.recipes.exchange import Forward, Loss, Moment, Pressure, Term
from monosema.recipes.learning_rate import Fit
from monosema.recipes.penalised import USUAL_L0, Penalised
from monosema.recipes.recipe import recipes, require, squared_error

SAMPLE = 2048
"""Rows on which thresholds start."""
TINY = 1e-6
"""The least threshold and bandwidth that auto chooses."""
SLOW = 0.99
"""How much of a feature's running spread is kept at each step."""


@dataclass(frozen=True)
class JumpReLUFamily(Penalised):
    """f = π · 1[π > θ], π = x W_enc + b_enc; thresholds learn by a straight-through estimator."""

    subtracts_input_bias: ClassVar[bool] = False
    rows_apart: ClassVar[bool] = True
    step_cost: ClassVar[float] = 2.5

    threshold: float | Literal["auto"] = "auto"
    """Where the thresholds start, in units of the scaled activations (the paper's is 0.001, with activations of norm
    one; the January 2025 update's 0.1, with a norm of √d); auto lets `start_share` of them be active at first."""
    start_share: float | None = None
    """Share of the features that are active at first, with an automatic threshold. None: a third of those wanted."""
    bandwidth: float | Literal["auto"] = "auto"
    """Width ε of the straight-through estimator, in the same units (the paper's is 0.001, the update's 2); auto is the
    threshold that is given, or the one above which a third of the wanted features are at the start."""
    adaptive_bandwidth: float = 0.0
    """Each feature's bandwidth, in running standard deviations of its pre-activation; 0: `bandwidth` for all."""
    step_kernel: Literal["rectangle", "triangle", "gaussian", "epanechnikov"] = "rectangle"
    """Shape of the estimator."""

    def __post_init__(self):
        super().__post_init__()
        fits = self.threshold == "auto" or self.threshold >= 0
        require(self, "threshold", fits, "a threshold of at least 0, or auto")
        fits = self.start_share is None or 0 < self.start_share <= 1
        require(self, "start_share", fits, "a share of the features, above 0 and up to 1, or None")
        require(self, "bandwidth", self.bandwidth == "auto" or self.bandwidth > 0, "a width above 0, or auto")
        require(self, "adaptive_bandwidth", self.adaptive_bandwidth >= 0, "a number of standard deviations, or 0")
        require(self, "step_kernel", self.step_kernel in step_kernels, f"one of {', '.join(step_kernels)}")

    def activation(self, width: int) -> ActivationFunction:
        """JumpReLU."""
        # What is auto is set by `calibrate_`.
        threshold = TINY if self.threshold == "auto" else self.threshold
        bandwidth = TINY if self.bandwidth == "auto" else self.bandwidth
        return JumpReLU(width, threshold, bandwidth, self.step_kernel, self.adaptive_bandwidth > 0)

    @property
    def by_row(self) -> bool:
        """Not where bandwidths follow the spread, which all pre-activations make."""
        return super().by_row and not self.adaptive_bandwidth

    def stores_entries(self, dictionary: Dictionary, moment: Moment) -> bool:
        """Not where bandwidths follow the spread, which all pre-activations make."""
        return not self.adaptive_bandwidth and super().stores_entries(dictionary, moment)

    @torch.no_grad()
    def calibrate_(self, dictionary: Dictionary, x: Float[Tensor, "rows d_in"]) -> None:
        """Sets what is `auto`, and starts adaptive bandwidths at the spread of these rows' pre-activations."""
        jumprelu = jumprelu_of(dictionary)
        width = jumprelu.start
        if self.threshold == "auto":
            pre = dictionary.preactivations(x[:SAMPLE])
            width = _exceeded_by((self.target_l0 or USUAL_L0) / 3 * len(pre), pre)
            start = width if self.start_share is None else _exceeded_by(self.start_share * pre.numel(), pre)
            jumprelu.threshold.fill_(start)
            jumprelu.start = start
        if self.bandwidth == "auto":
            jumprelu.bandwidth.fill_(max(width, TINY))
        if self.adaptive_bandwidth:
            jumprelu.bandwidth.copy_(self._spread(dictionary.preactivations(x), dictionary.ranks))

    @torch.no_grad()
    def after_step_(self, dictionary: Dictionary, loss: Loss) -> None:
        """Restores constraints, keeps thresholds at zero or above, and lets adaptive bandwidths follow the spread."""
        super().after_step_(dictionary, loss)
        jumprelu = jumprelu_of(dictionary)
        jumprelu.threshold.clamp_(min=0)  # below zero inactive features would pass
        if self.adaptive_bandwidth:
            assert loss.pre is not None
            jumprelu.bandwidth.lerp_(self._spread(loss.pre.dense, dictionary.ranks), 1 - SLOW)

    def _spread(self, pre: Float[Tensor, "rows width"], ranks: Ranks) -> Float[Tensor, " width"]:
        pre, count = pre.detach().float(), len(pre) * ranks.rows.size
        mean = ranks.rows.sum(pre.sum(0)) / count
        deviation = (ranks.rows.sum((pre - mean).square_().sum(0)) / count).sqrt()
        return (self.adaptive_bandwidth * deviation).clamp_min(torch.finfo(pre.dtype).eps)


def _exceeded_by(count: float, pre: Float[Tensor, "rows width"]) -> float:
    """The threshold that about so many pre-activations exceed."""
    count = min(max(round(count), 1), pre.numel())
    return max(pre.flatten().kthvalue(pre.numel() - count + 1).values.item(), TINY)


def jumprelu_of(dictionary: Dictionary) -> JumpReLU:
    """The activation function of a dictionary that such a recipe made."""
    assert isinstance(dictionary.activation, JumpReLU)
    return dictionary.activation


@recipes.register("jumprelu")
@dataclass(frozen=True)
class JumpReLURecipe(JumpReLUFamily):
    """L = R + λ s(t) Σ_j H(π_j − θ_j), or R + λ s(t) (L0 / target − 1)²; unit decoder rows.

    The first is `penalty: l0`, in which a `target_l0` steers λ. The second is `penalty: target`, which pulls towards
    `target_l0` from both sides with a fixed λ, by default 1. Both are the paper's.
    """

    name: ClassVar[str] = "jumprelu"
    fit: ClassVar[Fit] = Fit(7e-3)
    usual_sparsity: ClassVar[float] = 1e-3
    start_share: float | None = 1 / 4  # all features then learn something before most of them fall silent
    encoder_scale: float = 0.3
    """Size of the encoder at the start, where it is the decoder's transpose times this."""
    lr_warmup: float = 0.1
    """Fraction of the run over which the learning rate rises linearly from zero; again after each resampling."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's decay rates; the paper has no momentum, `(0.0, 0.999)`."""
    penalty: Literal["l0", "target"] = "l0"
    """Form of the sparsity term."""

    @property
    def by_row(self) -> bool:
        """Not with the second form, the square of a mean over the batch."""
        return super().by_row and self.penalty == "l0"

    def _check_one_of_both(self) -> None:
        if self.penalty == "l0":
            super()._check_one_of_both()

    def pressure(self, moment: Moment, l0: float, loss: Loss) -> Pressure | None:
        """The controller's, for the plain form; the other settles by itself."""
        return super().pressure(moment, l0, loss) if self.penalty == "l0" else None

    def terms(self, batch: Forward, moment: Moment) -> dict[str, Term]:
        """R plus the penalty on the L0, whose gradient reaches the thresholds alone."""
        jumprelu, entries = jumprelu_of(batch.dictionary), batch.pre.entries
        active = jumprelu.active(batch.pre.dense).sum() if entries is None else jumprelu.active_at(entries)
        penalty = batch.mean_of_features(active)
        if self.penalty == "target":
            penalty = (penalty / (self.target_l0 or USUAL_L0) - 1).square()
        return {
            "error": Term(1.0, squared_error(batch, batch.reconstruction)),
            "penalty": Term(self.coefficient(moment), penalty),
        }

    def start_pressure(self) -> Pressure:
        """λ at the start: of the second form, 1 unless it is given."""
        if self.penalty == "target" and self.sparsity == "auto":
            return Pressure(1.0)
        return super().start_pressure()
