"""Rows of norm one, and gradients without their part along these, against PyTorch in float64."""

import pytest
import torch

from tests.kernels.gpu.setup import DEVICE, gpu

shapes = pytest.mark.parametrize("shape", [(3, 5), (7, 16), (2, 37), (2, 3, 20), (1, 1), (0, 4)], ids=str)


@shapes
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_rows_have_norm_one(shape: tuple[int, ...], dtype: torch.dtype):
    weight = torch.randn(shape, dtype=dtype, device=DEVICE)
    expected = (weight.double() / weight.double().norm(dim=-1, keepdim=True)).to(dtype)
    gpu.normalise_rows_(weight)
    torch.testing.assert_close(weight, expected)


def test_a_row_of_zeros_stays_one():
    weight = torch.zeros(2, 20, device=DEVICE)
    gpu.normalise_rows_(weight)
    assert weight.eq(0).all()


@shapes
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_gradient_loses_its_part_along_each_row(shape: tuple[int, ...], dtype: torch.dtype):
    grad, weight = (torch.randn(shape, dtype=dtype, device=DEVICE) for _ in range(2))
    along = (grad.double() * weight.double()).sum(-1, keepdim=True)
    expected = (grad.double() - along * weight.double()).to(dtype)
    gpu.project_rows_(grad, weight)
    torch.testing.assert_close(grad, expected)
