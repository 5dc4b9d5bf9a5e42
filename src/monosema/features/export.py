"""Feature stores in the forms of other tools."""

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monosema.features.delphi import CONFIG, write_split
from monosema.features.neuronpedia import BATCH, EXPLANATIONS, SKIPPED, explanation_entries, feature_entries
from monosema.files import folder_atomically, write_json
from monosema.registry import Registry

if TYPE_CHECKING:
    from monosema.features.store import FeatureStore

EXPORTS: Registry[Callable[["FeatureStore", Path], None]] = Registry("form of a feature store")

SPLITS = 10
"""Files of a delphi cache, at least, as far as there are features."""
SPLIT_ACTIVATIONS = 2**25
"""Activations of a file of a delphi cache, about: memory holds 50 bytes for each."""
BATCH_FEATURES = 128
"""Features of a file for Neuronpedia: as many as SAEDashboard has in one."""


@EXPORTS.register("delphi")
def export_delphi(store: "FeatureStore", folder: Path) -> None:
    """delphi's cache of latents: a folder for the hook point, with files of some latents each, and a configuration.

    It is what delphi's `LatentDataset` reads from its `raw_dir`. Memory holds the ids of all tokens, 8 bytes for each,
    and the activations of one file.

    Raises:
        OSError: it cannot be written, or something is at `folder`.
    """
    index = store.index
    count = min(max(SPLITS, -(-index.activations // SPLIT_ACTIVATIONS)), index.width)
    ends = [index.width * i // count for i in range(count + 1)]
    tokens = np.concatenate([ids.astype(np.int64) for ids in store.ids()]).reshape(index.contexts, index.context)
    with folder_atomically(folder) as temporary:
        module = temporary / " & ".join(index.dictionary["spec"]["reads"]).replace("/", "_")
        module.mkdir()
        for first, last in pairwise(ends):
            write_split(module, store.activations_between(first, last), first, last, tokens)
        write_json(module / CONFIG, _delphi_config(store, count))


def _delphi_config(store: "FeatureStore", splits: int) -> dict[str, Any]:
    """What delphi's `CacheConfig` holds, and the model's name; a text that is no data set is named as it is."""
    text = store.index.text or ""
    repo, name, split = [*text.removeprefix("hf:").split(":"), "", ""][:3] if text.startswith("hf:") else (text, "", "")
    return {
        "dataset_repo": repo,
        "dataset_split": split or "train",
        "dataset_name": name,
        "dataset_column": "text",
        "batch_size": 32,  # delphi's own; nothing that is in the cache depends on it
        "cache_ctx_len": store.index.context,
        "n_tokens": store.index.tokens,
        "n_splits": splits,
        "model_name": store.index.model,
    }


@EXPORTS.register("neuronpedia")
def export_neuronpedia(store: "FeatureStore", folder: Path) -> None:
    """Batches of features as SAEDashboard writes them for Neuronpedia; features that never fire are listed beside them.

    Descriptions of features, where there are some, are a file of their own, in the form of Neuronpedia's exports. What
    the store does not know (aligned and correlated neurons, the histogram of logits) is an empty list.

    Raises:
        OSError: it cannot be written, or something is at `folder`.
    """
    index = store.index
    named = {"model_id": index.model, "layer": _layer(index.dictionary), "sae_set": str(index.dictionary["name"])}
    live = np.flatnonzero(store.column("activations") > 0)
    with folder_atomically(folder) as temporary:
        for number, first in enumerate(range(0, len(live), BATCH_FEATURES)):
            entries = feature_entries(store, live[first : first + BATCH_FEATURES].tolist())
            batch = {**named, "sae_id_suffix": None, "features": entries}
            (temporary / BATCH.format(number)).write_text(json.dumps(batch, allow_nan=False), encoding="utf-8")
        dead = np.setdiff1d(np.arange(index.width), live).tolist()
        skipped = {**named, "layer": str(named["layer"]), "log_sparsity": None, "skipped_indexes": dead}
        write_json(temporary / SKIPPED, skipped)
        said = list(explanation_entries(store, live.tolist(), f"{named['layer']}-{named['sae_set']}"))
        if said:
            lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in said)
            (temporary / EXPLANATIONS).write_text(lines, encoding="utf-8")


def _layer(dictionary: dict[str, Any]) -> int:
    """The layer that is read first, the first number in its hook point's name; 0 where it has none."""
    match = re.search(r"(?<!\w)\d+(?!\w)", next(iter(dictionary["spec"]["reads"]), ""))
    return int(match[0]) if match else 0
