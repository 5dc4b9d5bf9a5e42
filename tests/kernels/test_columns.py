"""Sums over rows, against the float64 expressions."""

import pytest
import torch

from monosema.kernels import column_counts, column_sums


@pytest.mark.parametrize("rows", [0, 1, 256, 600])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sums_and_counts_are_those_of_the_whole_matrix_however_many_parts_it_is_read_in(rows: int, dtype: torch.dtype):
    matrix = torch.randn(rows, 7, generator=torch.Generator().manual_seed(0)).relu().to(dtype).requires_grad_()
    assert torch.equal(column_counts(matrix), (matrix.double() != 0).sum(0))
    sums = column_sums(matrix)
    torch.testing.assert_close(sums.double(), matrix.double().sum(0), rtol=1e-5, atol=1e-4)
    upstream = torch.arange(7.0)
    (sums * upstream).sum().backward()
    assert matrix.grad is not None
    assert torch.equal(matrix.grad, upstream.to(dtype).expand_as(matrix))


def test_a_column_of_many_small_numbers_keeps_them():
    matrix = torch.full((10_000, 1), 1.0, dtype=torch.bfloat16)  # bfloat16 cannot count beyond 256
    assert column_sums(matrix).item() == 10_000
