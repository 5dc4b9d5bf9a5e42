"""A shard: rows of activations at several hook points, with the tokens that they are of, in one safetensors file."""

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.activations.store.index import Index, Shard, StoredDtype
from monosema.activations.store.place import Place, checksum
from monosema.activations.tensor_files import load_tensors
from monosema.errors import InputError
from monosema.files import save_tensors

TOKENS, CONTEXTS, POSITIONS = "token_ids", "contexts", "positions"
"""Of each row: its token, the number of its context in the store, and its position there; all int32."""
SCALE = "/scale"
"""What is added to a hook point's name for the scales of int8."""
LARGEST = 127


def stored(rows: Mapping[str, Float[Tensor, "rows d"]], dtype: StoredDtype) -> dict[str, Tensor]:
    """Activations as they are stored: of int8, each row is divided by its largest size and multiplied by 127."""
    found = {}
    for point, x in rows.items():
        if dtype != "int8":
            found[point] = x.to(getattr(torch, dtype))
            continue
        scale = x.float().abs().amax(1) / LARGEST
        found[point] = (x.float() / scale.clamp_min(torch.finfo(torch.float32).tiny)[:, None]).round().to(torch.int8)
        found[point + SCALE] = scale
    return found


def restored(tensors: Mapping[str, Tensor], point: str, rows: Int[Tensor, " n"] | slice) -> Float[Tensor, "n d"]:
    """Some rows of a hook point, in float32."""
    x = tensors[point][rows].float()
    return x if point + SCALE not in tensors else x * tensors[point + SCALE][rows, None]


def write_shard(place: Place, name: str, tensors: Mapping[str, Tensor]) -> tuple[int, str]:
    """Writes a shard's file; returns its size in bytes and its checksum."""
    found: list[tuple[int, str]] = []

    def write(path: Path) -> None:
        save_tensors(path, tensors)
        found.append((path.stat().st_size, checksum(path)))

    place.write(name, write)
    return found[0]


def problem_of(place: Place, shard: Shard) -> str | None:
    """What is wrong with a shard's file, if anything is."""
    size = place.size(shard.name)
    if size is None:
        return "is missing"
    if size != shard.bytes:
        return f"has {size} bytes of {shard.bytes}"
    with place.as_local(shard.name) as path:
        return None if checksum(path) == shard.sha256 else "has other bytes than were written"


def open_shard(path: Path, index: Index, shard: Shard) -> dict[str, Tensor]:
    """The tensors of a shard, mapped into memory: what is not used is not read.

    Raises:
        InputError: the file cannot be read, or contradicts the index.
    """
    tensors = load_tensors(path)
    for point, d in index.points.items():
        shape = list(tensors[point].shape) if point in tensors else None
        if shape != [shard.rows, d]:
            raise InputError(
                f"{shard.name} has {shape or 'nothing'} at {point!r}", expected=f"{[shard.rows, d]}, as the index says"
            )
    return tensors
