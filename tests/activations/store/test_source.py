"""A store's rows come each once, mixed, in an order that can be gone on with."""

import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import torch

from monosema.activations import Source
from monosema.activations.store import Place, StoreSource, read_index
from monosema.errors import InputError
from tests.activations.store.setup import LENGTH, numbered

SHARDS = [64, 48, 64, 16, 64]
ROWS = sum(SHARDS)


def drawn(source: StoreSource, batches: int | None = None) -> torch.Tensor:
    """Which rows came; the second hook point's are the same."""
    found = []
    for batch in islice(source, batches):
        assert torch.equal(batch["a"], -batch["b"])
        found.append(batch["a"][:, 0])
    return torch.cat(found).long()


@pytest.mark.parametrize("batch_size", [1, 7, 64, ROWS])
@pytest.mark.parametrize("window", [1, 100, 10**6])
def test_in_an_epoch_each_row_comes_once(tmp_path: Path, batch_size: int, window: int):
    numbered(tmp_path, SHARDS)
    source = StoreSource(tmp_path, batch_size=batch_size, window_rows=window)
    assert isinstance(source, Source)
    rows = drawn(source, -(-ROWS // batch_size))
    assert torch.equal(rows[:ROWS].sort().values, torch.arange(ROWS))
    assert source.widths == {"a": 4, "b": 4}


def test_epochs_differ_and_end(tmp_path: Path):
    numbered(tmp_path, SHARDS)
    rows = drawn(StoreSource(tmp_path, batch_size=16, epochs=2))
    assert len(rows) == 2 * ROWS
    assert not torch.equal(rows[:ROWS], rows[ROWS:])


def test_it_goes_on_at_every_point_as_if_it_had_not_stopped(tmp_path: Path):
    numbered(tmp_path, SHARDS)
    whole = drawn(StoreSource(tmp_path, batch_size=24, window_rows=100), 30).view(30, 24)
    for batches in range(30):
        first = StoreSource(tmp_path, batch_size=24, window_rows=100)
        for _ in range(batches):
            next(first)
        sample = first.sample(5)["a"][:, 0].long()
        again = StoreSource(tmp_path, batch_size=24, window_rows=100)
        again.load_state_dict(first.state_dict())
        assert torch.equal(drawn(again, 1), whole[batches])
        assert set(sample.tolist()) <= set(range(ROWS))
        assert torch.equal(drawn(first, 1), whole[batches])  # and the sample consumed nothing


def test_a_state_of_another_store_window_or_seed_is_refused(tmp_path: Path):
    numbered(tmp_path / "one", SHARDS)
    numbered(tmp_path / "other", SHARDS[::-1])
    state = StoreSource(tmp_path / "one", batch_size=8).state_dict()
    others = [
        StoreSource(tmp_path / "one", batch_size=8, seed=1),
        StoreSource(tmp_path / "one", batch_size=8, window_rows=7),
        StoreSource(tmp_path / "other", batch_size=8),
    ]
    for other in others:
        with pytest.raises(InputError, match="the state of a source with"):
            other.load_state_dict(state)


def test_readers_share_the_rows_between_them(tmp_path: Path):
    numbered(tmp_path, SHARDS)
    rows = [drawn(StoreSource(tmp_path, batch_size=4, epochs=1, reader=i, readers=3)) for i in range(3)]
    assert torch.equal(torch.cat(rows).sort().values, torch.arange(ROWS))


def test_neighbours_of_a_context_meet_in_a_batch_no_more_often_than_chance(tmp_path: Path):
    shard, batch = 32 * LENGTH, 64
    numbered(tmp_path, [shard] * 8)
    rows = drawn(StoreSource(tmp_path, batch_size=batch, window_rows=4 * shard, epochs=60))
    contexts = (rows // LENGTH).view(-1, batch)
    pairs = sum((contexts == contexts.roll(i, 1)).sum().item() for i in range(1, batch)) / 2
    # Of a window of n rows, 15 others are of a row's context, each in its batch with probability (batch − 1) / (n − 1).
    expected = rows.numel() * (LENGTH - 1) * (batch - 1) / (4 * shard - 1) / 2
    assert abs(pairs - expected) < 4 * expected**0.5  # four standard deviations of a count


def test_an_index_that_contradicts_its_shards_or_itself_is_refused(tmp_path: Path):
    numbered(tmp_path, SHARDS)
    index = tmp_path / "index.json"
    text = index.read_text()
    for old, new, said in (
        ('"a": 4', '"a": 5', r"has \[\d+, 4\] at 'a'"),
        ("monosema-store/1", "monosema-store/2", "format 'monosema-store/2'"),
        ('"rows": 64', '"rows": "many"', "rows is 'many'"),
        ("{", "", "not valid JSON"),
        ('"name": "', '"name": "../', "a file of the store's own folder"),
    ):
        index.write_text(text.replace(old, new, 1))
        with pytest.raises(InputError, match=said):
            next(StoreSource(tmp_path, batch_size=8))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"points": ["c"]}, "hook point 'c'"),
        ({"batch_size": ROWS + 1}, f"from 1 to the {ROWS} rows"),
        ({"reader": 2, "readers": 2}, "reader 2 of 2"),
        ({"readers": 6}, "of 6 for 5 shards"),
    ],
)
def test_what_cannot_be_read_so_is_refused(tmp_path: Path, wrong: dict[str, object], said: str):
    numbered(tmp_path, SHARDS)
    with pytest.raises(InputError, match=said):
        StoreSource(tmp_path, **{"batch_size": 8, **wrong})  # pyright: ignore[reportArgumentType]


def test_no_store_and_an_empty_one_are_named(tmp_path: Path):
    from monosema.activations.store import new_store
    from tests.activations.store.setup import described

    with pytest.raises(InputError, match="no store at"):
        StoreSource(tmp_path)
    new_store(Place(tmp_path), described())
    with pytest.raises(InputError, match="is empty"):
        StoreSource(tmp_path)


LIMITED = """
import resource, sys
from monosema.activations.store import StoreSource
import torch
torch.set_num_threads(1)
source = StoreSource(sys.argv[1], batch_size=512, window_rows=2 * 8192, epochs=1)
next(source)
limit = int(sys.argv[2])
if sys.platform.startswith("linux"):  # no other system enforces such a limit
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + limit, used + limit))
    try:
        torch.empty(4 * limit, dtype=torch.uint8)  # as large as the store
    except RuntimeError:
        print("limited")
print(sum(len(batch["a"]) for batch in source))
"""


@pytest.mark.slow
def test_a_store_may_be_four_times_as_large_as_the_memory(tmp_path: Path):
    rows, d = 8192, 256
    numbered(tmp_path, [rows] * 8, d)
    limit = read_index(Place(tmp_path)).bytes // 4
    done = subprocess.run([sys.executable, "-c", LIMITED, tmp_path, str(limit)], capture_output=True, text=True)
    limited = ["limited"] if sys.platform.startswith("linux") else []
    assert done.stdout.split() == [*limited, str(8 * rows - 512)], done.stderr
