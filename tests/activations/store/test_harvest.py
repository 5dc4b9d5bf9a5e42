"""What is in a store is what the model makes of the text, however often the writer was stopped."""

from pathlib import Path
from typing import Any

import pytest
import torch

from monosema.activations.store import Place, StoreSource, new_store, old_store, read_index
from monosema.activations.store.index import StoredDtype
from monosema.activations.store.shard import CONTEXTS, POSITIONS, TOKENS, open_shard, restored
from monosema.errors import InputError
from monosema.models import read
from tests.activations.store.setup import LENGTH, POINTS, WANTED, contexts, described, files, harvester


def all_rows(address: str | Path) -> dict[str, torch.Tensor]:
    place = Place(address)
    index = read_index(place)
    found: dict[str, list[torch.Tensor]] = {}
    for shard in index.shards:
        with place.as_local(shard.name) as path:
            tensors = open_shard(path, index, shard)
            for point in index.points:
                found.setdefault(point, []).append(restored(tensors, point, slice(None)))
            for name in (TOKENS, CONTEXTS, POSITIONS):
                found.setdefault(name, []).append(tensors[name].clone())
    return {name: torch.cat(parts) for name, parts in found.items()}


ERRORS: dict[StoredDtype, float] = {"float32": 0.0, "bfloat16": 2**-8, "float16": 2**-11, "int8": 0.5 / 127}
"""The largest of rounding: of int8 relative to the row's largest number, else to the number itself."""


@pytest.mark.parametrize(("dtype", "error"), ERRORS.items())
def test_rows_are_the_model_s_activations_with_the_tokens_that_they_are_of(
    dtype: StoredDtype, error: float, model: Any, documents: list[str], tmp_path: Path
):
    index = harvester(tmp_path, model, documents, described(dtype)).finish()
    assert index.finished
    assert [shard.contexts for shard in index.shards] == [6, 6, 6, 2]
    rows, ids = all_rows(tmp_path), torch.stack(list(contexts(model.tokenizer, documents))[:WANTED])
    assert torch.equal(rows[TOKENS].long(), ids[rows[CONTEXTS].long(), rows[POSITIONS].long()])
    kept = ~torch.isin(ids.flatten(), torch.tensor(sorted(model.special_ids)))
    assert torch.equal(rows[CONTEXTS].long() * LENGTH + rows[POSITIONS], kept.nonzero()[:, 0])
    expected = {point: x.flatten(0, 1)[kept] for point, x in read(model, ids, list(POINTS)).items()}
    for point, x in expected.items():
        largest = x.abs().amax(1, keepdim=True) if dtype == "int8" else x.abs()
        assert ((rows[point] - x).abs() <= error * largest + 1e-6).all()


def test_a_row_of_zeros_stays_one_in_int8():
    from monosema.activations.store.shard import stored

    tensors = stored({"a": torch.zeros(2, 3)}, "int8")
    assert torch.equal(restored(tensors, "a", slice(None)), torch.zeros(2, 3))


@pytest.mark.parametrize("fails_at", range(6))
def test_stopped_at_any_write_and_resumed_the_store_has_the_same_bytes(
    fails_at: int, model: Any, documents: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    harvester(tmp_path / "whole", model, documents).finish()
    writes, write = [], Place.write

    def fail(self: Place, name: str, how: Any) -> None:
        writes.append(name)
        if len(writes) == fails_at + 2:  # the first is the new index
            raise OSError(28, "No space left on device")
        write(self, name, how)

    monkeypatch.setattr(Place, "write", fail)
    with pytest.raises(OSError, match="No space"):
        harvester(tmp_path / "parts", model, documents).finish()
    (tmp_path / "parts" / ".shard-000001.safetensors.123.tmp").write_bytes(b"half")
    harvester(tmp_path / "parts", model, documents, old=True).finish()
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_what_is_missing_or_damaged_is_named_and_made_again_alone(model: Any, documents: list[str], tmp_path: Path):
    harvester(tmp_path, model, documents).finish()
    before = files(tmp_path)
    names = sorted(name for name in before if name.startswith("shard"))
    flipped = bytearray(before[names[1]])
    flipped[-5] ^= 1
    damages = {names[0]: None, names[1]: bytes(flipped), names[2]: before[names[2]][:-9]}
    said = {names[0]: "is missing", names[1]: "other bytes", names[2]: "has .* bytes of"}
    for name, content in damages.items():
        path = tmp_path / name
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(InputError, match=rf"{name} .*{said[name]}.*--repair"):
            list(StoreSource(tmp_path, batch_size=8, epochs=1))
        path.write_bytes(before[name])
    for name, content in damages.items():
        path = tmp_path / name
        path.unlink() if content is None else path.write_bytes(content)
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in names if name not in damages}
    assert harvester(tmp_path, model, documents, old=True).repair() == list(damages)
    assert files(tmp_path) == before
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in times} == times


def test_a_repair_from_another_text_is_refused(model: Any, documents: list[str], tmp_path: Path):
    harvester(tmp_path, model, documents).finish()
    (tmp_path / "shard-000001.safetensors").unlink()
    with pytest.raises(InputError, match="comes out otherwise"):
        harvester(tmp_path, model, documents[5:], old=True).repair()


def test_a_text_that_ends_early_ends_the_store(model: Any, documents: list[str], tmp_path: Path):
    index = harvester(tmp_path, model, documents, described(contexts=10**6)).finish()
    assert index.finished
    assert sum(shard.contexts for shard in index.shards) == len(list(contexts(model.tokenizer, documents)))


def test_an_address_elsewhere_is_as_good_as_a_folder(model: Any, documents: list[str], tmp_path: Path):
    harvester("memory://elsewhere/store", model, documents).finish()
    harvester(tmp_path, model, documents).finish()
    for name, tensor in all_rows("memory://elsewhere/store").items():
        assert torch.equal(tensor, all_rows(tmp_path)[name])
    here, there = (StoreSource(address, batch_size=8) for address in (tmp_path, "memory://elsewhere/store"))
    assert all(torch.equal(next(here)[point], next(there)[point]) for point in POINTS)


def test_a_store_that_was_begun_otherwise_is_not_gone_on_with(tmp_path: Path):
    place = Place(tmp_path)
    new_store(place, described())
    before = files(tmp_path)
    with pytest.raises(InputError, match="already holds something"):
        new_store(place, described())
    changes: dict[str, dict[str, Any]] = {
        "points": {"points": {"resid_post.1": 16}},
        "text = others": {"made_from": {"text": "others"}},
        "dtype = int8": {"dtype": "int8"},
    }
    for key, changed in changes.items():
        with pytest.raises(InputError, match=f"{key}.*for a store that is there"):
            old_store(place, described(**changed))
    assert files(tmp_path) == before
