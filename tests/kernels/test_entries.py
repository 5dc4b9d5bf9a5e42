"""Products over the entries of a sparse matrix, against the dense ones."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monosema.kernels import entries as kernel
from monosema.kernels import parts
from monosema.kernels.entries import products_at, transposed, weighted_sums, weighted_sums_
from tests.kernels.strategies import Entries, assert_product_close, entries, quick


@quick
@given(entries(), st.integers(1, 5), st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_weighted_sums_are_the_product_with_a_table(case: Entries, d: int, dtype: torch.dtype):
    offsets, columns, values, dense = case
    table = torch.randn(dense.shape[1], d).to(dtype)
    assert_product_close(weighted_sums(offsets, columns, values, table), dense.to(dtype), table)


@quick
@given(entries(), st.integers(1, 5), st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_a_weights_gradient_is_the_transposed_product_whatever_it_is_written_into(
    case: Entries, d: int, dtype: torch.dtype
):
    offsets, columns, values, dense = case
    table = torch.randn(len(dense), d).to(dtype)
    wide = torch.full((d, dense.shape[1]), torch.nan, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "ROWS", 2)
        weighted_sums_(wide.T, offsets, columns, values, table)
    assert_product_close(wide.T.to(dtype), dense.T.to(dtype), table)


@quick
@given(entries(), st.integers(1, 5), st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_it_makes_no_difference_whether_all_products_are_made_or_those_that_are_wanted(
    case: Entries, d: int, dtype: torch.dtype
):
    offsets, columns, _, dense = case
    left, right = torch.randn(len(dense), d).to(dtype), torch.randn(dense.shape[1], d).to(dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "BUFFER", 2 * dense.shape[1])
        patch.setattr(parts, "ROWS", 1)
        found = []
        for share in (2.0, 0.0):
            patch.setattr(kernel, "MANY", dict.fromkeys(kernel.MANY, share))
            found.append(products_at(offsets, columns, left, right))
    few, all_ = found
    assert few.dtype == all_.dtype == dtype
    torch.testing.assert_close(few, all_)


@quick
@given(entries(), st.integers(1, 5), st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_products_at_the_entries_are_those_of_the_dense_product(case: Entries, d: int, dtype: torch.dtype):
    offsets, columns, _, dense = case
    left, right = torch.randn(len(dense), d).to(dtype), torch.randn(dense.shape[1], d).to(dtype)
    rows = torch.arange(len(dense)).repeat_interleave(offsets.diff())
    found = products_at(offsets, columns, left, right)
    assert found.dtype == dtype
    exact = (left.double() @ right.double().T)[rows, columns]
    size = (left.double().abs() @ right.double().abs().T)[rows, columns]
    assert ((found.double() - exact).abs() <= (d + 2) * torch.finfo(dtype).eps * size).all()


@quick
@given(entries())
def test_transposed_holds_the_same_entries_column_after_column(case: Entries):
    offsets, columns, values, dense = case
    found = transposed(offsets, columns, dense.shape[1])
    table = torch.eye(len(dense))
    assert torch.equal(weighted_sums(found.offsets, found.rows, values[found.order], table), dense.T)


@quick
@given(entries(), st.integers(1, 40), st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_it_makes_no_difference_how_many_columns_of_a_table_are_read_at_once(case: Entries, d: int, dtype: torch.dtype):
    offsets, columns, values, dense = case
    left, right = torch.randn(len(dense), d).to(dtype), torch.randn(dense.shape[1], d).to(dtype)
    sums, products = weighted_sums(offsets, columns, values, right), products_at(offsets, columns, left, right)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"CACHE": 1, "COLUMNS": 3, "READS": 0}.items():
            patch.setattr(kernel, name, value)
        assert torch.equal(weighted_sums(offsets, columns, values, right), sums)
        torch.testing.assert_close(products_at(offsets, columns, left, right), products)


@pytest.mark.parametrize("spread", [1e-3, 1e3])
def test_sums_in_bfloat16_are_rounded_once(spread: float):
    """Summing thousands of small numbers one by one in bfloat16 would stop growing at 256 times their size."""
    table = torch.full((1, 2), spread, dtype=torch.bfloat16)
    columns = torch.zeros(4096, dtype=torch.long)
    found = weighted_sums(torch.tensor([0, 4096]), columns, torch.ones(4096), table)
    torch.testing.assert_close(found.float(), 4096 * table.float(), rtol=2**-8, atol=0)
