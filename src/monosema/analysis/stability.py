"""Which features two dictionaries share: trained from other seeds, at other widths, by other recipes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monosema.analysis.vectors import decoder_rows, encoder_columns
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation.known_truth import cosine_table, match_features

Side = Literal["decoder", "encoder", "both"]
EXACT = 16_384
"""Features of the wider dictionary up to which the best matching is found; its table has as many rows and columns."""
_ROWS = 2048  # features whose cosines with all others are in memory at once


@dataclass(frozen=True)
class Pairs:
    """How like the features of one dictionary are to those of another."""

    cosine: Float[np.ndarray, " features"]
    """Of each feature with its partner, one to one; −1 where it has none."""
    nearest: Float[np.ndarray, " features"]
    """Of each feature with the other dictionary's most similar one, which others may have, too."""
    back: "Pairs | None" = None
    """The same from the other dictionary's side."""


@dataclass(frozen=True)
class Interval:
    """A mean over features, and where 95 % of its bootstrap resamples lie."""

    value: float
    low: float
    high: float


def signatures(dictionary: Dictionary, kept: Bool[Tensor, " width"], side: Side = "decoder") -> Float[Tensor, "n d"]:
    """What features are compared by, of norm one: decoder rows, encoder columns, or both, end to end.

    The cosine of two of the last kind is the mean of the cosines of decoder and encoder, as in Paulo & Belrose 2025
    (arXiv 2501.16615).

    Args:
        dictionary: of the features.
        kept: which of them.
        side: by what.
    """
    features = kept.to(dictionary.W_dec.device).nonzero().squeeze(1)
    parts = [decoder_rows(dictionary, features)] if side != "encoder" else []
    parts += [encoder_columns(dictionary, features)] if side != "decoder" else []
    return torch.cat([F.normalize(part.float(), dim=1) for part in parts], 1).cpu() / len(parts) ** 0.5


def pairs_of(first: Float[Tensor, "n d"], second: Float[Tensor, "m d"], exact: int = EXACT) -> Pairs:
    """Matches features one to one, and finds each one's most similar feature.

    Up to `exact` features the matching is the one with the largest sum of cosines (the Hungarian algorithm). Beyond,
    the table of all cosines would not fit: there, two features are partners if each is the other's most similar one,
    which needs a part of the table at a time.

    Args:
        first, second: directions.
        exact: the largest number of features, on either side, that are matched at best.

    Raises:
        InputError: directions of different sizes, or none.
    """
    ahead, behind = _nearest(first, second), _nearest(second, first)
    one, other = (np.full(len(found.cosine), -1.0) for found in (ahead, behind))
    if max(len(first), len(second)) <= exact:
        matching = match_features(first, second)
        one[matching.true.numpy()] = other[matching.learned.numpy()] = matching.cosine.numpy()
    else:
        mutual = np.flatnonzero(behind.feature[ahead.feature] == np.arange(len(first)))
        one[mutual] = other[ahead.feature[mutual]] = ahead.cosine[mutual]
    return Pairs(one, ahead.cosine, Pairs(other, behind.cosine))


@dataclass(frozen=True)
class _Nearest:
    cosine: Float[np.ndarray, " n"]
    feature: Int[np.ndarray, " n"]


def _nearest(first: Float[Tensor, "n d"], second: Float[Tensor, "m d"]) -> _Nearest:
    parts = [cosine_table(part, second).max(1) for part in first.split(_ROWS)]
    cosine, feature = (torch.cat([part[i] for part in parts]).numpy() for i in (0, 1))
    return _Nearest(cosine.astype(np.float64), feature)


def random_like(
    second: Float[Tensor, "m d"], generator: torch.Generator, *, covariance: bool = False
) -> Float[Tensor, "m d"]:
    """As many random directions: from the sphere, or from a Gaussian with the second moments of the given ones.

    The former says what cosines a space of d dimensions has by chance, the latter also what two dictionaries share
    because both prefer the same subspace.
    """
    noise = torch.randn(second.shape, generator=generator)
    if not covariance:
        return noise
    values, axes = torch.linalg.eigh(second.double().T @ second.double() / len(second))
    root = axes * values.clamp_min(0).sqrt()
    return (noise.double() @ root.T).float()


def bootstrap(values: Float[np.ndarray, " n"], resamples: int = 1000, seed: int = 0) -> Interval:
    """The mean of values, and the 2.5th and 97.5th percentiles of the means of as many values drawn from them again.

    Features are what is drawn. Matching and dictionaries stay, so that the interval does not say how much another seed
    would change.

    Raises:
        InputError: there are no values or no resamples.
    """
    if not len(values) or resamples < 1:
        raise InputError(f"{resamples} resamples of {len(values)} features", expected="at least one of each")
    rng, numbers = np.random.default_rng(seed), np.asarray(values, np.float64)
    means = [numbers[rng.integers(0, len(numbers), len(numbers))].mean() for _ in range(resamples)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(numbers.mean()), float(low), float(high))


def shared_by_all(cosines: Sequence[Float[np.ndarray, " n"]]) -> Float[np.ndarray, " n"]:
    """Of features that were matched with several dictionaries, each one's least cosine with its partners."""
    return np.min(np.stack(list(cosines)), 0)
