"""A neuron taken out of superposition: which features make it up, and how much of it each explains."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation.rows import twice

_ROWS = 1024  # rows whose dense codes are in memory at once


@dataclass(frozen=True)
class NeuronParts:
    """A neuron's variance, shared out among the features of a dictionary.

    Feature j contributes cⱼ = fⱼ W_dec[j, neuron] to the reconstruction x̂ of the neuron's activation x. With the error
    e = x − x̂, its share is Cov(x + e, cⱼ) / Var(x). The shares, that of a linear skip among them, sum to exactly the
    variance explained, 1 − Var(e) / Var(x) = Cov(x + e, x̂) / Var(x). A share is negative where a feature does harm.
    """

    neuron: int
    rows: int
    mean: float
    """Of the neuron's activation."""
    variance: float
    """Of the neuron's activation."""
    explained: float
    """1 − Var(x − x̂) / Var(x)."""
    offset: float
    """(mean x − mean x̂)² / Var(x): what a wrong mean costs; explained − offset is the neuron's FVE."""
    skip: float
    """Share of the linear skip connection; 0 where there is none."""
    shares: Float[Tensor, "width"]
    """Share of each feature, in float64 on the CPU."""
    weights: Float[Tensor, "width"]
    """W_dec[:, neuron]."""
    density: Float[Tensor, "width"]
    """Fraction of rows on which each feature fires."""
    contributions: Float[Tensor, "width"]
    """Mean of fⱼ W_dec[j, neuron] where the feature fires; 0 where it never does."""

    def top(self, n: int) -> Int[Tensor, "n"]:
        """The features with the largest shares, largest first; only those that fire and reach the neuron."""
        order = self.shares.argsort(descending=True, stable=True)[:n]
        return order[(self.density[order] > 0) & (self.weights[order] != 0)]


@torch.no_grad()
def neuron_parts(
    dictionary: Dictionary,
    rows: Iterable[tuple[Float[Tensor, "batch d_in"], Float[Tensor, "batch d_out"]]] | Float[Tensor, "rows d"],
    neuron: int,
) -> NeuronParts:
    """Which features make up one neuron: one entry of the activations that a dictionary writes.

    Args:
        dictionary: what reconstructs (or, a transcoder, predicts) the activations.
        rows: batches of activations read and activations written, read once; or, for an autoencoder, one tensor.
        neuron: which entry.

    Raises:
        InputError: there is no such neuron, its activation does not vary or is not finite, or there are no rows.
    """
    if not 0 <= neuron < dictionary.spec.d_out:
        raise InputError(f"neuron {neuron}", expected=f"0 to {dictionary.spec.d_out - 1}, as the dictionary writes")
    if isinstance(rows, Tensor):
        rows = twice(dictionary, rows)
    sums = _Sums(dictionary, neuron)
    training = dictionary.training
    dictionary.eval()
    try:
        for x, y in rows:
            for x_part, y_part in zip(x.split(_ROWS), y.split(_ROWS), strict=True):
                sums.add(x_part, y_part)
    finally:
        dictionary.train(training)
    return sums.parts()


class _Sums:
    """Sums over rows, in float64, of what the covariances are made of.

    They are taken about the decoder's bias, which is where the activations of a trained dictionary are centred.
    """

    def __init__(self, dictionary: Dictionary, neuron: int):
        self.dictionary, self.neuron = dictionary, neuron
        self.weights = decoder_column(dictionary, neuron).double()
        width, device = dictionary.spec.width, self.weights.device
        zeros = torch.zeros(3, width, dtype=torch.float64, device=device)
        self.code, self.code_target, self.fired = zeros
        self.rows = 0
        self.x = self.xx = self.e = self.ee = self.skip = self.skip_target = 0.0

    def add(self, x: Float[Tensor, "batch d_in"], y: Float[Tensor, "batch d_out"]) -> None:
        """Adds some rows."""
        x = x.to(self.weights.device)
        codes = self.dictionary.encode(x)
        row, feature = codes.nonzero(as_tuple=True)
        values = codes[row, feature].double()
        neuron = (y[:, self.neuron].to(values) - self.dictionary.b_dec[self.neuron]).double()
        skipped = torch.zeros_like(neuron)
        if self.dictionary.W_skip is not None:
            skipped = x.double() @ self.dictionary.W_skip[:, self.neuron].double()
        error = neuron - skipped.index_add(0, row, values * self.weights[feature])
        target = neuron + error
        self.code.index_add_(0, feature, values)
        self.code_target.index_add_(0, feature, values * target[row])
        self.fired.index_add_(0, feature, torch.ones_like(values))
        self.rows += len(x)
        self.x += neuron.sum().item()
        self.xx += neuron.square().sum().item()
        self.e += error.sum().item()
        self.ee += error.square().sum().item()
        self.skip += skipped.sum().item()
        self.skip_target += (skipped * target).sum().item()

    def parts(self) -> NeuronParts:
        """The covariances over all rows."""
        n = max(self.rows, 1)
        mean, error = self.x / n, self.e / n
        variance = self.xx / n - mean**2
        if not math.isfinite(self.ee) or not variance > 1e-12 * self.xx / n:
            raise InputError(
                f"neuron {self.neuron} on {self.rows} rows, where it does not vary, or is not finite",
                expected="held-out rows on which its activation varies",
            )
        covariance = self.code_target / n - self.code / n * (mean + error)
        skip = self.skip_target / n - self.skip / n * (mean + error)
        return NeuronParts(
            neuron=self.neuron,
            rows=self.rows,
            mean=mean + self.dictionary.b_dec[self.neuron].item(),
            variance=variance,
            explained=1 - (self.ee / n - error**2) / variance,
            offset=error**2 / variance,
            skip=skip / variance,
            shares=(covariance * self.weights / variance).cpu(),
            weights=self.weights.cpu(),
            density=(self.fired / n).cpu(),
            contributions=(self.weights * self.code / self.fired.clamp_min(1)).cpu(),
        )


def decoder_column(dictionary: Dictionary, neuron: int) -> Float[Tensor, "width"]:
    """What each feature adds to one entry of the reconstruction per unit: W_dec[:, neuron], whatever the map."""
    with torch.enable_grad():
        codes = torch.zeros(1, dictionary.spec.width, device=dictionary.W_dec.device, requires_grad=True)
        entry = dictionary.decoder.apply(codes.to(dictionary.W_dec.dtype), dictionary.W_dec.detach())[0, neuron]
        (column,) = torch.autograd.grad(entry, codes)
    return column[0]
