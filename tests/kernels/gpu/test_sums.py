"""Weighted sums of a table's rows, against the dense product in float64."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.gpu.setup import DEVICE, few, gpu
from tests.kernels.strategies import Entries, assert_product_close, entries

dtypes = st.sampled_from([torch.float32, torch.bfloat16, torch.float64])


@few
@given(entries(), st.integers(1, 40), dtypes, st.sampled_from([0, 2**20]))
def test_weighted_sums_are_the_product_with_a_table(case: Entries, d: int, dtype: torch.dtype, held: int):
    offsets, columns, values, dense = (tensor.to(DEVICE) for tensor in case)
    table = torch.randn(dense.shape[1], d, device=DEVICE).to(dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monosema.kernels.gpu.sums.HELD", held)
        found = gpu.weighted_sums(offsets, columns, values, table)
    assert found.dtype == dtype
    assert_product_close(found, dense, table)


@few
@given(entries(), st.integers(1, 20), dtypes)
def test_they_are_written_into_another_tensor_whatever_its_layout_and_precision(
    case: Entries, d: int, dtype: torch.dtype
):
    offsets, columns, values, dense = (tensor.to(DEVICE) for tensor in case)
    table = torch.randn(dense.shape[1], d, device=DEVICE).to(dtype)
    wide = torch.full((d, len(dense)), torch.nan, dtype=torch.float64, device=DEVICE)
    gpu.weighted_sums(offsets, columns, values, table, wide.T)
    assert_product_close(wide.T.float(), dense, table)


@pytest.mark.parametrize("before", [0, 1, 3, 4])
@pytest.mark.parametrize("long", [1, 4, 7, 8, 41])
def test_a_row_may_be_much_longer_than_others_wherever_it_begins(before: int, long: int):
    table = torch.randn(50, 3, device=DEVICE)
    counts = torch.tensor([before, 0, long, 0, 2])
    columns = torch.cat([torch.randperm(50)[:count] for count in counts.tolist()]).to(DEVICE)
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)]).to(DEVICE)
    values = torch.randn(len(columns), device=DEVICE)
    rows = torch.arange(5).repeat_interleave(counts).to(DEVICE)
    dense = torch.zeros(5, 50, device=DEVICE).index_put_((rows, columns), values)
    assert_product_close(gpu.weighted_sums(offsets, columns, values, table), dense, table)


def test_sums_in_bfloat16_are_rounded_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("monosema.kernels.gpu.sums.CHUNK", 256)
    monkeypatch.setattr("monosema.kernels.gpu.sums.ENTRIES", 16)
    table = torch.full((1, 2), 1e-3, dtype=torch.bfloat16, device=DEVICE)
    columns, ones = torch.zeros(4096, dtype=torch.long, device=DEVICE), torch.ones(4096, device=DEVICE)
    found = gpu.weighted_sums(torch.tensor([0, 4096], device=DEVICE), columns, ones, table)
    torch.testing.assert_close(found.float(), 4096 * table.float(), rtol=2**-8, atol=0)


def test_an_entry_of_zero_reads_nothing_of_the_table():
    table = torch.tensor([[1.0, 2.0], [torch.nan, torch.inf]], device=DEVICE)
    offsets, columns = torch.tensor([0, 2, 3], device=DEVICE), torch.tensor([0, 1, 1], device=DEVICE)
    found = gpu.weighted_sums(offsets, columns, torch.tensor([3.0, 0.0, -0.0], device=DEVICE), table)
    assert found.tolist() == [[3.0, 6.0], [0.0, 0.0]]


def test_of_no_rows_and_of_no_columns_nothing_is_made():
    none, values = torch.zeros(0, dtype=torch.long, device=DEVICE), torch.zeros(0, device=DEVICE)
    table = torch.randn(4, 3, device=DEVICE)
    assert gpu.weighted_sums(torch.tensor([0], device=DEVICE), none, values, table).shape == (0, 3)
    assert gpu.weighted_sums(torch.tensor([0, 0], device=DEVICE), none, values, table[:, :0]).shape == (1, 0)
