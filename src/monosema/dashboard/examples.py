"""The examples of a feature as the page shows them: tokens, values, and what removing the feature would change."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from monosema.features import Activations, Feature, FeatureStore, Place

if TYPE_CHECKING:
    from monosema.dashboard.contract import Example, Group

WINDOW = (20, 10)
"""Tokens shown before and after the one that an example is of, as far as its context goes."""
STRONGEST, EACH = 10, 3
"""Examples shown: the strongest, and those of each interval."""


def example_groups(store: FeatureStore, feature: Feature, activations: Activations) -> "list[Group]":
    """The strongest examples, and some from each interval of activation, strongest first."""
    picks: dict[int, list[dict[str, Any]]] = {}
    for pick in feature.examples:
        picks.setdefault(pick["group"], []).append(pick)
    shown = [_strongest_first(picks[number][: EACH if number else STRONGEST]) for number in sorted(picks)]
    made = iter(examples_at(store, activations, [pick["token"] for group in shown for pick in group]))
    found: list[Group] = []
    edges = np.linspace(feature.high, feature.low, store.index.intervals + 1).tolist()
    for number, group in zip(sorted(picks), shown, strict=True):
        examples = [next(made) for _ in group]
        if number:
            high, low, share = edges[number - 1], edges[number], feature.shares[number - 1]
            title = f"Interval {number} of {store.index.intervals}"
            note = "Drawn at random from this interval of activations, each from another context."
        else:
            high, low, share, title = None, None, None, "Strongest"
            note = "The contexts in which the feature is strongest, around its strongest token there."
        found.append({"title": title, "note": note, "low": low, "high": high, "share": share, "examples": examples})
    return found


def _strongest_first(picks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(picks, key=lambda pick: -pick["value"])


def examples_at(store: FeatureStore, activations: Activations, tokens: "Sequence[int]") -> "list[Example]":
    """The text around each token, with the feature's values; nothing of what removing it would change."""
    places = store.places(tokens, *WINDOW)
    return [
        _example(place, activations, token, store.index.context) for place, token in zip(places, tokens, strict=True)
    ]


def _example(place: Place, activations: Activations, token: int, length: int) -> "Example":
    first = place.context * length + place.start
    values = activations.on(first, len(place.ids))
    return {
        "document": place.document,
        "context": place.context,
        "position": token - place.context * length,
        "start": place.start,
        "tokens": place.texts,
        "values": [round(float(value), 4) for value in values],
        "strongest": token - first,
        "next": [None] * len(place.ids),
        "after": None,
        "total": None,
        "direct": None,
        "sources": None,
        "source_rest": None,
    }


def contexts_of(store: FeatureStore, examples: "Sequence[Example]") -> np.ndarray:
    """The token ids of the examples' contexts, up to the token behind where the longest of them ends."""
    end = max(example["start"] + len(example["tokens"]) for example in examples)
    return store.contexts_ids([example["context"] for example in examples])[:, : end + 1]
