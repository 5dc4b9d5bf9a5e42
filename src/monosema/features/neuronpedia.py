"""Features as SAEDashboard's runner for Neuronpedia writes them (github.com/jbloomAus/SAEDashboard, release 0.8.0)."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from monosema.features.store import Activations, Feature, FeatureStore, Place

BATCH, SKIPPED, EXPLANATIONS = "batch-{}.json", "skipped_indexes.json", "explanations.jsonl"
WINDOW = (64, 63)
"""Tokens of an example before and after its own, as far as the context goes: 128 in all, as many as SAEDashboard reads
at once unless it is told otherwise."""
DIGITS = 3
"""Decimal places of all values."""
_EXAMPLES = 4096  # whose texts are in memory at once


def feature_entries(store: "FeatureStore", features: Sequence[int]) -> list[dict[str, Any]]:
    """The entries of some features, which rise."""
    rows = {row.index: row for row in store.features(features[0], features[-1] + 1)}
    kept = max((len(row.examples) for row in rows.values()), default=0)
    step = max(_EXAMPLES // max(kept, 1), 1)
    entries = []
    for part in (features[i : i + step] for i in range(0, len(features), step)):
        places = iter(store.places([pick["token"] for i in part for pick in rows[i].examples], *WINDOW))
        for row in (rows[i] for i in part):
            own = [next(places) for _ in row.examples]
            entries.append(_entry(store, row, _examples(store, row, store.activations(row), own)))
    return entries


def explanation_entries(store: "FeatureStore", features: Sequence[int], layer: str) -> Iterator[dict[str, Any]]:
    """What has been said of some features in words, under the names of Neuronpedia's exports of explanations.

    Args:
        store: the features.
        features: which.
        layer: what Neuronpedia calls a dictionary of a model.
    """
    for feature in features:
        for description in store.descriptions(feature):
            yield {
                "modelId": store.index.model,
                "layer": layer,
                "index": str(feature),
                "description": description.text,
                "explanationModelName": description.method,
            }


def _entry(store: "FeatureStore", row: "Feature", examples: list[dict[str, Any]]) -> dict[str, Any]:
    edges = np.linspace(row.low, row.high, len(row.histogram) + 1)
    top, bottom = row.promotes or [], row.suppresses or []
    unknown = (
        "neuron_alignment_indices",
        "neuron_alignment_values",
        "neuron_alignment_l1",
        "correlated_neurons_indices",
        "correlated_neurons_l1",
        "correlated_neurons_pearson",
        "correlated_features_l1",  # which is the cosine of activations
        "logits_hist_data_bar_heights",
        "logits_hist_data_bar_values",
        "decoder_weights_dist",
        "vector",
    )
    return {
        "feature_index": row.index,
        **{name: [] for name in unknown},
        "correlated_features_indices": [pair["feature"] for pair in row.together],
        "correlated_features_pearson": _rounded([pair["figure"] for pair in row.together]),  # of whether they fire
        "neg_str": [token["text"] for token in bottom],
        "neg_values": _rounded([token["value"] for token in bottom]),
        "pos_str": [token["text"] for token in top],
        "pos_values": _rounded([token["value"] for token in top]),
        "frac_nonzero": row.density,
        "freq_hist_data_bar_values": _rounded((edges[:-1] + edges[1:]) / 2),
        "freq_hist_data_bar_heights": row.histogram,
        "n_prompts_total": store.index.contexts,
        "n_tokens_in_prompt": store.index.context,
        "dataset": store.index.text or "",
        "activations": examples,
    }


def _examples(
    store: "FeatureStore", row: "Feature", activations: "Activations", places: "Sequence[Place]"
) -> list[dict[str, Any]]:
    """Of the strongest the bin is from −1 to the largest activation, and contains −1; of others, their interval."""
    edges = np.linspace(row.high, row.low, store.index.intervals + 1).round(DIGITS).tolist()
    found = []
    for pick, place in zip(row.examples, places, strict=True):
        group, first = pick["group"], place.context * store.index.context + place.start
        low, high, share = (edges[group], edges[group - 1], row.shares[group - 1]) if group else (-1, edges[0], -1)
        found.append(
            {
                "bin_min": low,
                "bin_max": high,
                "bin_contains": share,
                "tokens": place.texts,
                "values": _rounded(activations.on(first, len(place.ids))),
                "qualifying_token_index": pick["token"] - first,
            }
        )
    return found


def _rounded(values: Any) -> list[float]:
    return np.round(np.asarray(values, dtype=np.float64), DIGITS).tolist()
