"""Some entries of a product, against all of it in float64."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.gpu.setup import DEVICE, few, gpu
from tests.kernels.strategies import Entries, entries


@few
@given(entries(), st.integers(1, 70), st.sampled_from([torch.float32, torch.bfloat16, torch.float64]))
def test_products_at_the_entries_are_those_of_the_dense_product(case: Entries, d: int, dtype: torch.dtype):
    offsets, columns, _, dense = (tensor.to(DEVICE) for tensor in case)
    left = torch.randn(len(dense), d, device=DEVICE).to(dtype)
    right = torch.randn(dense.shape[1], d, device=DEVICE).to(dtype)
    found = gpu.products_at(offsets, columns, left, right)
    assert found.dtype == dtype
    rows = torch.arange(len(dense), device=DEVICE).repeat_interleave(offsets.diff())
    exact = (left.double() @ right.double().T)[rows, columns]
    size = (left.double().abs() @ right.double().abs().T)[rows, columns]
    assert ((found.double() - exact).abs() <= (d + 2) * torch.finfo(dtype).eps * size).all()


def test_sums_in_bfloat16_are_rounded_once():
    left = torch.full((1, 4096), 1e-3, dtype=torch.bfloat16, device=DEVICE)
    offsets, columns = torch.tensor([0, 1], device=DEVICE), torch.tensor([0], device=DEVICE)
    found = gpu.products_at(offsets, columns, left, torch.ones_like(left))
    torch.testing.assert_close(found.float(), 4096 * left[0, :1].float(), rtol=2**-8, atol=0)


def test_factors_may_be_expanded_and_of_two_precisions():
    left = torch.tensor(2.0, device=DEVICE).expand(2, 3)
    right = torch.arange(15.0, device=DEVICE).view(3, 5).T.bfloat16()
    offsets, columns = torch.tensor([0, 1, 3], device=DEVICE), torch.tensor([4, 0, 1], device=DEVICE)
    assert gpu.products_at(offsets, columns, left, right).tolist() == [54.0, 30.0, 36.0]
