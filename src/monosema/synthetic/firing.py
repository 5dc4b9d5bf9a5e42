"""Which features fire on which rows, drawn in time that grows with how many do, not with how many there are."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.synthetic.config import Correlation

REACH = 3.0
"""Standard deviations of aᵢ · z beyond which a feature becomes no likelier to fire."""
MOST_SHARED = math.sqrt(0.99)
"""Largest ‖aᵢ‖."""
MOST_LIKELY = 0.999
"""Largest pᵢ(z), but for features that fire more often than this at any rate."""
_MARKS = 8192  # whose products are in memory at once


class Firings(NamedTuple):
    """Pairs of a row and a feature, in no particular order."""

    rows: Int[Tensor, "firings"]
    features: Int[Tensor, "firings"]


class Independent:
    """Features that fire with given probabilities, independently.

    A Poisson number of marks, −log(1 − p) in the mean, falls on each pair of row and feature; where at least one does,
    which has probability p, the feature fires. All the marks of a feature are drawn at once.
    """

    def __init__(self, probabilities: Float[Tensor, "features"], device: torch.device):
        rates = torch.where(probabilities < 1, -torch.log1p(-probabilities), 0.0)
        self._rates = rates.to(device, torch.float32)
        self._certain = (probabilities >= 1).nonzero().squeeze(1).to(device)

    def draw(self, rows: int, generator: torch.Generator) -> Firings:
        """Firings on `rows` rows."""
        return _fire(_marks(self._rates, rows, generator), self._certain, rows, len(self._rates))


class Copula:
    """Features that fire with given probabilities, and together more often, or less, than by chance.

    Given z, feature i fires with probability pᵢ(z) = Φ((aᵢ · z − tᵢ) / √(1 − ‖aᵢ‖²)), but no more than it reaches at 3
    standard deviations of aᵢ · z, nor than 0.999. So marks can be drawn as if every feature were always as likely as
    that, and thinned: one is kept with log(1 − pᵢ(z)) over its largest value. The thresholds tᵢ make the mean of the
    limited pᵢ(z) exactly the probability that was asked for.
    """

    def __init__(
        self,
        probabilities: Float[Tensor, "features"],
        correlation: Correlation,
        generator: torch.Generator,
        device: torch.device,
    ):
        size = (len(probabilities), correlation.rank)
        loadings = correlation.scale * torch.randn(size, generator=generator, dtype=torch.float64)
        # What the features share must leave each some chance of its own.
        loadings *= (MOST_SHARED / loadings.norm(dim=1, keepdim=True)).clamp_max(1)
        norms = loadings.norm(dim=1)
        own = (1 - norms.square()).sqrt()
        most = torch.special.ndtri(torch.maximum(torch.tensor(MOST_LIKELY), (1 + probabilities) / 2))
        thresholds = _thresholds(probabilities, norms / own, most)
        rates = _rate(torch.minimum(REACH * norms / own - thresholds, most))
        self.loadings: Float[Tensor, "features rank"] = loadings
        """The aᵢ, on the CPU."""
        self._slopes, self._thresholds, self._rates = (
            x.to(device, torch.float32)
            for x in (loadings / own.unsqueeze(1), thresholds, torch.where(probabilities < 1, rates, 0.0))
        )
        self._certain = (probabilities >= 1).nonzero().squeeze(1).to(device)

    def draw(self, rows: int, generator: torch.Generator) -> Firings:
        """Firings on `rows` rows, each with its own z."""
        z = torch.randn(rows, self._slopes.shape[1], generator=generator, device=self._slopes.device)
        marks = _marks(self._rates, rows, generator)
        parts = zip(marks.rows.split(_MARKS), marks.features.split(_MARKS), strict=True)
        shared = torch.cat([(z[row] * self._slopes[feature]).sum(1) for row, feature in parts])
        rates = _rate(shared - self._thresholds[marks.features])
        luck = torch.rand(len(rates), generator=generator, device=rates.device)
        kept = luck * self._rates[marks.features] < rates
        left = Firings(marks.rows[kept], marks.features[kept])
        return _fire(left, self._certain, rows, len(self._rates))


def _marks(rates: Float[Tensor, "features"], rows: int, generator: torch.Generator) -> Firings:
    """A Poisson number of marks on each pair of row and feature."""
    counts = torch.poisson(rates * rows, generator=generator).long()
    features = torch.repeat_interleave(torch.arange(len(rates), device=rates.device), counts)
    return Firings(torch.randint(rows, (len(features),), generator=generator, device=rates.device), features)


def _fire(marks: Firings, certain: Int[Tensor, "certain"], rows: int, features: int) -> Firings:
    """Each marked pair once, and the features that fire on every row."""
    pairs = torch.unique(marks.rows * features + marks.features)
    everywhere = torch.cartesian_prod(torch.arange(rows, device=certain.device), certain)
    return Firings(torch.cat([pairs // features, everywhere[:, 0]]), torch.cat([pairs % features, everywhere[:, 1]]))


def _rate(at: Float[Tensor, "any"]) -> Float[Tensor, "any"]:
    """The mean number of marks, −log(1 − Φ(at)), that hits with probability Φ(at)."""
    return -torch.special.log_ndtr(-at)


def _thresholds(
    probabilities: Float[Tensor, "features"], slopes: Float[Tensor, "features"], most: Float[Tensor, "features"]
) -> Float[Tensor, "features"]:
    """t so that the mean of Φ(min(slope · min(x, 3) − t, most)) over normal x is the probability; by bisection."""
    grid = torch.linspace(-8, 8, 321, dtype=torch.float64)
    weights = torch.softmax(-grid.square() / 2, dim=0)
    low, high = torch.full_like(probabilities, -200.0), torch.full_like(probabilities, 200.0)
    for _ in range(52):
        middle = (low + high) / 2
        mean = torch.zeros_like(middle)
        for place, weight in zip(grid.clamp_max(REACH).tolist(), weights.tolist(), strict=True):
            mean += weight * torch.special.ndtr(torch.minimum(place * slopes - middle, most))
        too_often = mean > probabilities
        low, high = torch.where(too_often, middle, low), torch.where(too_often, high, middle)
    return (low + high) / 2
