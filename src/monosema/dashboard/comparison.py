"""The features of one dictionary beside those of another, as the page shows them."""

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from monosema.dashboard.contract import Comparison
from monosema.dictionaries import Dictionary
from monosema.features import FeatureStore
from monosema.features.directions import directions, similar_between
from monosema.features.pairs import firing_of_both

if TYPE_CHECKING:
    from monosema.models import Readable


class Paired(Protocol):
    """A dictionary that is compared, with its store and its model."""

    @property
    def store(self) -> FeatureStore: ...  # noqa: D102
    @property
    def dictionary(self) -> Dictionary: ...  # noqa: D102
    @property
    def model(self) -> "Readable": ...  # noqa: D102


def compared(name: str, one: Paired, other: Paired) -> Comparison:
    """Each live feature of one dictionary beside the one of another whose direction is most like its own."""
    near = similar_between(directions(one.dictionary), directions(other.dictionary))
    cosines, matches = near.figures[:, 0], near.features[:, 0]
    order = np.argsort(-cosines, kind="stable")
    order = order[one.store.column("activations")[order] > 0]
    together, counted = _together(one, other, order, matches[order])
    tokens = other.store.column("strongest_token")
    pairs: list[Any] = [
        {"feature": i, "other": j, "cosine": cosine, "together": None if math.isnan(phi) else round(phi, 4), "token": t}
        for i, j, cosine, phi, t in zip(
            order.tolist(),
            matches[order].tolist(),
            cosines[order].tolist(),
            together.tolist(),
            tokens[matches[order]].tolist(),
            strict=True,
        )
    ]
    return {"name": name, "tokens": counted, "pairs": pairs}


def _together(one: Paired, other: Paired, own: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, int | None]:
    """The correlation of firing of each pair, and on how many tokens; of two models it is not known."""
    if one.store.index.model != other.store.index.model or not len(own):
        return np.full(len(own), np.nan), None
    first, second = firing_of_both(one.store, other.store, (one.dictionary, other.dictionary), (one.model, other.model))
    return first.correlation(second, own, others), first.tokens
