"""Sparse codes, against the dense ones that they stand for."""

import torch
from hypothesis import given
from torch import Tensor

from monosema.kernels import SparseCodes, nonzero, to_sparse
from tests.kernels.strategies import Entries, entries, normal_like, preactivations, quick


@quick
@given(preactivations())
def test_dense_to_sparse_to_dense_changes_nothing(codes: Tensor):
    sparse = to_sparse(codes)
    assert torch.equal(sparse.to_dense(), codes)
    assert sparse.width == codes.shape[1]


@quick
@given(preactivations())
def test_to_sparse_stores_as_many_entries_a_row_as_the_fullest_row_needs_at_distinct_places(codes: Tensor):
    indices = to_sparse(codes).indices
    assert indices.shape == (len(codes), max(int((codes != 0).sum(1).max()), 1))
    assert all(len(set(row)) == len(row) for row in indices.tolist())


@quick
@given(preactivations())
def test_gradients_pass_through_to_sparse_and_to_dense_wherever_a_code_is_not_zero(codes: Tensor):
    codes.requires_grad_()
    upstream = normal_like(codes, *codes.shape)
    (to_sparse(codes).to_dense() * upstream).sum().backward()
    assert codes.grad is not None
    active = codes != 0
    assert torch.equal(codes.grad[active], upstream[active])


@quick
@given(preactivations())
def test_fired_counts_the_rows_in_which_a_feature_is_not_zero(codes: Tensor):
    assert torch.equal(to_sparse(codes).fired(), (codes != 0).sum(0))


def test_an_entry_stored_as_zero_has_not_fired():
    codes = SparseCodes(torch.tensor([[0, 2], [2, 1]]), torch.tensor([[0.0, 3.0], [1.0, -0.0]]), width=4)
    assert codes.fired().tolist() == [0, 0, 2, 0]


def test_an_empty_batch_is_sparse_too():
    sparse = to_sparse(torch.zeros(0, 5))
    assert sparse.to_dense().shape == (0, 5)
    assert sparse.fired().tolist() == [0] * 5


@quick
@given(entries())
def test_nonzero_entries_are_those_of_the_dense_matrix(given: Entries):
    offsets, columns, values, dense = given
    codes = nonzero(dense.requires_grad_())
    assert codes.offsets.tolist() == offsets.tolist()
    assert codes.columns.tolist() == columns.tolist()
    assert codes.values.tolist() == values.tolist()
    assert codes.width == dense.shape[1]
    assert not codes.values.requires_grad
    assert torch.equal(codes.to_dense(), dense)
