"""Where features fire: some that follow each other are read from the disk at once."""

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from monosema.interpretation.text import Text

if TYPE_CHECKING:
    from monosema.features import FeatureStore

BLOCK = 32
"""Features whose activations are in memory at once."""


class Firing(NamedTuple):
    """Where a feature fires, in the order of the text, and how strongly."""

    tokens: np.ndarray
    values: np.ndarray


class Activity:
    """The activations of a store's features.

    Args:
        store: the features.
        text: of the store.
    """

    def __init__(self, store: "FeatureStore", text: Text):
        self.store, self.text = store, text
        self._block = lru_cache(maxsize=2)(self._read)

    def of(self, feature: int) -> Firing:
        """On which tokens it fires, and how strongly."""
        return self._block(feature // BLOCK)[feature % BLOCK]

    def in_both_halves(self, feature: int, least: int) -> bool:
        """Whether it fires at least so often in either half of the text."""
        heldout = self.text.heldout[self.of(feature).tokens]
        return min(int(heldout.sum()), int((~heldout).sum())) >= least

    def _read(self, block: int) -> list[Firing]:
        first, last = block * BLOCK, min((block + 1) * BLOCK, len(self.store))
        table = self.store.activations_between(first, last)
        feature, context, position, value = (
            table.column(name).to_numpy() for name in ("feature", "context", "position", "value")
        )
        tokens = context.astype(np.int64) * self.text.length + position
        ends = np.searchsorted(feature, np.arange(first, last + 1))
        return [Firing(tokens[a:b], value[a:b]) for a, b in pairwise(ends.tolist())]
