"""How much of the activations a reconstruction holds."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from monosema.errors import InputError
from monosema.evaluation.sums import Sums, ratio, wide


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """How near reconstructions x̂ come to activations x (of a transcoder: predictions to targets)."""

    mse: float
    """Σ‖x − x̂‖² / N: squared distance per token, summed over dimensions."""
    fve: float
    """Fraction of variance explained, 1 − Σ‖x − x̂‖² / Σ‖x − x̄‖². Predicting the mean x̄ scores 0."""
    fve_legacy: float
    """Mean over tokens of 1 − ‖x − x̂‖² / ‖x − x̄‖², which some papers report. A token at x̄ itself is left out."""
    cosine: float
    """Mean cos(x, x̂); 0 where x̂ or x is zero."""
    l2_ratio: float | None
    """Mean ‖x̂‖ / ‖x‖ over tokens with x ≠ 0."""
    reconstruction_bias: float | None
    """γ = Σ‖x̂‖² / Σ x·x̂, which minimises Σ‖x̂/γ − x‖²; below 1 is shrinkage (arXiv 2404.16014, eq. 10 corrected)."""


@dataclass(frozen=True)
class ReconstructionSums(Sums):
    """What `Reconstruction` is made of, over some tokens."""

    tokens: int = 0
    error: float = 0.0
    variance: float = 0.0
    relative_error: float = 0.0
    off_mean_tokens: int = 0
    cosine: float = 0.0
    l2_ratio: float = 0.0
    nonzero_tokens: int = 0
    squared_prediction: float = 0.0
    product: float = 0.0

    def metrics(self) -> Reconstruction:
        """The metrics of all tokens added up.

        Raises:
            InputError: there are no tokens, or their activations do not vary, so that no variance can be explained.
        """
        if self.variance == 0:
            raise InputError(
                f"{self.tokens} tokens whose activations are all the same" if self.tokens else "no tokens",
                expected="held-out tokens whose activations vary",
                hint="give more text",
            )
        return Reconstruction(
            mse=self.error / self.tokens,
            fve=1 - self.error / self.variance,
            fve_legacy=1 - self.relative_error / self.off_mean_tokens,
            cosine=self.cosine / self.tokens,
            l2_ratio=ratio(self.l2_ratio, self.nonzero_tokens),
            reconstruction_bias=ratio(self.squared_prediction, self.product),
        )


def reconstruction_sums(
    target: Float[Tensor, "batch d"], prediction: Float[Tensor, "batch d"], mean: Float[Tensor, "d"]
) -> ReconstructionSums:
    """The sums of one batch, in float64.

    Args:
        target: activations.
        prediction: their reconstructions.
        mean: the mean of all held-out activations, not of the batch: variance is measured from it, which keeps its
            precision when the mean is large.
    """
    target, prediction = wide(target), wide(prediction)
    error = (target - prediction).square().sum(1)
    variance = (target - mean.to(target)).square().sum(1)
    off_mean = variance > 0
    squared_target, squared_prediction = target.square().sum(1), prediction.square().sum(1)
    product = (target * prediction).sum(1)
    norms = (squared_target * squared_prediction).sqrt()
    nonzero = squared_target > 0
    return ReconstructionSums(
        tokens=len(target),
        error=error.sum().item(),
        variance=variance.sum().item(),
        relative_error=(error[off_mean] / variance[off_mean]).sum().item(),
        off_mean_tokens=int(off_mean.sum()),
        cosine=(product[norms > 0] / norms[norms > 0]).sum().item(),
        l2_ratio=(squared_prediction[nonzero] / squared_target[nonzero]).sqrt().sum().item(),
        nonzero_tokens=int(nonzero.sum()),
        squared_prediction=squared_prediction.sum().item(),
        product=product.sum().item(),
    )
