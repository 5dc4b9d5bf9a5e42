"""Little stores: some harvested from a random model, some of rows that say where they are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from monosema.activations import Contexts, Keep, MixedContexts
from monosema.activations.store import Harvester, Index, Place, new_store, old_store
from monosema.activations.store.index import Shard, StoredDtype, write_index
from monosema.activations.store.shard import CONTEXTS, POSITIONS, TOKENS, stored, write_shard

LENGTH, CONTEXTS_IN_SHARD, WANTED = 16, 6, 20
POINTS = {"resid_post.0": 16, "mlp_out.1": 16}


def described(dtype: StoredDtype = "float32", **changes: Any) -> Index:
    """Four shards, the last of two contexts; a pass of four contexts does not divide them."""
    frame: dict[str, Any] = {
        "made_from": {"text": "documents"},
        "points": POINTS,
        "dtype": dtype,
        "context": LENGTH,
        "contexts": WANTED,
        "shard_contexts": CONTEXTS_IN_SHARD,
        "context_batch": 4,
        "norm_limits": {},
    }
    return Index(**(frame | changes))


def contexts(tokenizer: Any, documents: Sequence[str]) -> MixedContexts:
    return MixedContexts(Contexts(tokenizer, list(documents), LENGTH), 100 * LENGTH)


def harvester(
    address: str | Path, model: Any, documents: Sequence[str], index: Index | None = None, *, old: bool = False
) -> Harvester:
    place, index = Place(address), described() if index is None else index
    index = old_store(place, index) if old else new_store(place, index)
    return Harvester(model, contexts(model.tokenizer, documents), place, index, Keep())


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def numbered(folder: Path, shard_rows: Sequence[int], d: int = 4) -> Index:
    """A store whose row i holds i and, at a second hook point, −i; sixteen rows make a context."""
    place, shards, first = Place(folder), [], 0
    for number, rows in enumerate(shard_rows):
        values = torch.arange(first, first + rows).float()[:, None].expand(rows, d)
        tensors = stored({"a": values.contiguous(), "b": -values}, "float32")
        labels = torch.arange(first, first + rows, dtype=torch.int32)
        tensors |= {TOKENS: labels, CONTEXTS: labels // LENGTH, POSITIONS: labels % LENGTH}
        name = f"shard-{number:06}.safetensors"
        size, checksum = write_shard(place, name, tensors)
        shards.append(Shard(name, rows, rows // LENGTH, size, checksum, {}))
        first += rows
    index = described(points={"a": d, "b": d}, shards=tuple(shards), finished=True)
    write_index(place, index)
    return index
