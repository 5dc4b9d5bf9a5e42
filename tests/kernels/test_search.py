"""Where the large entries are, on matrices that take each of the paths: many and few of them, equal ones, none."""

import pytest
import torch
from torch import Tensor

from monosema.kernels import search

DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


def matrix(kind: str, width: int, dtype: torch.dtype) -> Tensor:
    pre = torch.randn(9, width, generator=torch.Generator().manual_seed(0))
    if kind == "few positive":
        pre = pre - 2.5
    elif kind == "one row without":
        pre[4] = -pre[4].abs()
    elif kind == "ties":
        pre = pre.round()
    elif kind == "nothing":
        pre = torch.zeros_like(pre)
    elif kind == "not a number":
        pre[2] = torch.nan
    return pre.to(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_numbers_above_zero_keep_their_order_as_integers_and_no_other_is_above_zero(dtype: torch.dtype):
    tiny = torch.finfo(dtype).tiny
    numbers = torch.tensor([-torch.inf, -3.0, -tiny, -0.0, 0.0, tiny, 0.5, 0.75, 3.0, torch.inf], dtype=dtype)
    integers = search.ordered(numbers)
    assert (integers[:5] <= 0).all()
    assert (integers[5:].diff() > 0).all()
    assert integers[5] > 0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [320, 331])
@pytest.mark.parametrize("kind", ["normal", "few positive", "one row without", "ties", "nothing", "not a number"])
def test_the_largest_of_each_row_are_as_large_as_pytorchs(kind: str, width: int, dtype: torch.dtype):
    pre = matrix(kind, width, dtype)
    for k in (1, 7, 20, 21):
        found = search.largest_of_rows(pre, k)
        assert all(len(set(row)) == k for row in found.tolist())
        values = pre.gather(1, found).relu().sort(1).values
        assert torch.equal(values.nan_to_num(), pre.topk(k).values.relu().sort(1).values.nan_to_num())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("width", [2**16, 2**16 + 3])
def test_the_largest_of_long_rows_are_found_through_all_levels(width: int, dtype: torch.dtype):
    pre = matrix("normal", width, dtype)
    for k in (1, 300):
        found = search.largest_of_rows(pre, k)
        assert torch.equal(pre.gather(1, found).sort(1, descending=True).values, pre.topk(k).values)
        assert all(len(set(row)) == k for row in found.tolist())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [10, 320, 331])
@pytest.mark.parametrize("kind", ["normal", "few positive", "one row without", "ties", "nothing"])
def test_the_entries_above_zero_are_found_row_after_row(
    kind: str, width: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
):
    pre = matrix(kind, width, dtype)
    places = search.above_zero(pre)
    assert torch.equal(places.sort().values, (pre > 0).flatten().nonzero().squeeze(1))
    assert ((places // width).diff() >= 0).all()
    for long in (0, 10**9):  # a call for each row, or for none
        monkeypatch.setattr(search, "LONG", long)
        counts, columns, values = search.entries_above_zero(pre)
        rows = torch.arange(len(pre)).repeat_interleave(counts)
        assert torch.equal(counts, (pre > 0).sum(1))
        assert torch.equal(rows * width + columns, places)
        assert torch.equal(values, pre[rows, columns])


@pytest.mark.parametrize("kind", ["normal", "few positive", "ties", "nothing"])
@pytest.mark.parametrize("n", [1, 60, 180, 3000])
def test_the_largest_of_all_are_as_large_as_pytorchs_and_above_zero(kind: str, n: int):
    flat = matrix(kind, 331, torch.float32).flatten()
    kept = flat[search.largest(flat, n)].sort(descending=True).values
    wanted = flat.sort(descending=True).values[:n]
    assert torch.equal(kept, wanted[wanted > 0])
