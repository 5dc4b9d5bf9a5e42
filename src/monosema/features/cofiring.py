"""Which features fire together, and which avoid each other, more than chance would have it."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

EXPECTED = 5.0
"""Tokens on which two features must be expected to fire together, were they independent, before they can be said to
avoid each other."""
_FEATURES = 256  # whose counts with all others are in memory at once


class Neighbours(NamedTuple):
    """Of each feature the others that come first by some figure, `[width, n]`; −1 where there are fewer."""

    features: np.ndarray
    figures: np.ndarray


def cofiring(fires: "csr_array", n: int) -> tuple[Neighbours, Neighbours]:
    """The features that fire together with each most, and those that avoid it most, by the correlation of firing.

    Of two features that fire on a and b of N tokens, and on c together, that is φ = (N c − a b) / √(a (N−a) b (N−b)):
    1 if they always fire together, 0 if they are independent, below 0 if they avoid each other.

    Args:
        fires: tokens × width, with a stored one wherever a feature fires.
        n: how many neighbours of each kind.
    """
    tokens, width = fires.shape  # pyright: ignore[reportGeneralTypeIssues]  of an array that exists
    n = min(n, width - 1)
    counts = np.asarray(fires.sum(axis=0)).ravel().astype(np.float64)
    spread = np.sqrt(counts * (tokens - counts)).clip(1e-9)
    by_feature = fires.T.tocsr()
    together = Neighbours(np.full((width, n), -1, np.int32), np.zeros((width, n), np.float32))
    apart = Neighbours(np.full((width, n), -1, np.int32), np.zeros((width, n), np.float32))
    for first in range(0, width, _FEATURES):
        own = np.arange(first, min(first + _FEATURES, width))
        both = (by_feature[own] @ fires).toarray().astype(np.float64)
        chance = counts[own, None] * counts / max(tokens, 1)
        phi = tokens * (both - chance) / (spread[own, None] * spread)
        phi[np.arange(len(own)), own] = 0
        _keep_largest(together, own, np.where(both > 0, phi, 0))
        _keep_largest(apart, own, np.where(chance >= EXPECTED, -phi, 0))
    return together, Neighbours(apart.features, -apart.figures)


def _keep_largest(kept: Neighbours, own: np.ndarray, figures: np.ndarray) -> None:
    """Writes the features with the largest figures above zero, largest first."""
    n = kept.features.shape[1]
    if not n:
        return
    places = np.argpartition(-figures, n - 1, axis=1)[:, :n]
    order = np.argsort(-np.take_along_axis(figures, places, 1), axis=1, kind="stable")
    places = np.take_along_axis(places, order, 1)
    largest = np.take_along_axis(figures, places, 1)
    kept.features[own] = np.where(largest > 0, places, -1)
    kept.figures[own] = np.where(largest > 0, largest, 0)
