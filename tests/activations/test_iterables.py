"""Pieces of activations as they come: each row once, mixed, in an order that can be gone on with."""

from itertools import islice

import pytest
import torch

from monosema.activations import IterableSource, Source
from monosema.errors import InputError

SIZES = [10, 3, 17, 8, 12, 1, 16, 5]
ROWS = sum(SIZES)


def pieces():
    return [{"a": rows[:, None].expand(-1, 2), "b": -rows[:, None]} for rows in torch.arange(ROWS).float().split(SIZES)]


def drawn(source: IterableSource, batches: int | None = None) -> list[int]:
    found = []
    for batch in islice(source, batches):
        assert torch.equal(batch["a"][:, :1], -batch["b"])
        found += batch["a"][:, 0].int().tolist()
    return found


def test_each_row_comes_once_and_not_in_its_order():
    source = IterableSource(pieces, batch_size=4, buffer_rows=40)
    assert isinstance(source, Source)
    assert source.widths == {"a": 2, "b": 1}
    rows = drawn(source)
    assert len(rows) == ROWS // 4 * 4
    assert len(set(rows)) == len(rows)
    assert rows != sorted(rows)


def test_repeated_it_has_no_end():
    source = IterableSource(pieces, batch_size=4, buffer_rows=40, repeat=True)
    rows = drawn(source, 5 * ROWS // 4)
    assert {rows.count(i) for i in range(ROWS)} <= {4, 5, 6}
    assert source.passes >= 4


@pytest.mark.parametrize("repeat", [False, True])
def test_it_goes_on_at_every_point_as_if_it_had_not_stopped(repeat: bool):
    def source():
        return IterableSource(pieces, batch_size=4, buffer_rows=40, repeat=repeat)

    uninterrupted = source()
    whole = drawn(uninterrupted, 17)
    for batches in range(17):
        first = source()
        for _ in range(batches):
            next(first)
        first.sample(3)
        again = source()
        again.load_state_dict(first.state_dict())
        assert drawn(again, 17 - batches) == whole[4 * batches :]
        assert again.passes == uninterrupted.passes


def test_tensors_without_a_name_and_of_more_dimensions_are_rows():
    source = IterableSource(lambda: (torch.ones(2, 3, 5) for _ in range(4)), batch_size=6, buffer_rows=24)
    assert [batch["activations"].shape for batch in source] == [(6, 5)] * 4


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "no activations"),
        ([torch.ones(2, 3), torch.ones(2, 4)], "piece 1 has"),
        ([{"a": torch.ones(2, 3), "b": torch.ones(3, 3)}], "piece 0 has"),
        ([torch.full((2, 3), torch.nan)], "piece 0 holds NaN"),
        ([torch.ones(30, 3)], "a piece of 30 rows"),
    ],
)
def test_what_is_no_stream_of_activations_is_refused(given: list[torch.Tensor], said: str):
    with pytest.raises(InputError, match=said):
        next(IterableSource(lambda: given, batch_size=2, buffer_rows=40))
    with pytest.raises(InputError, match="room for two"):
        IterableSource(pieces, batch_size=30, buffer_rows=40)
