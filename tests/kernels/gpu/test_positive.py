"""The entries above zero, against PyTorch's comparison."""

import torch
from hypothesis import given
from torch import Tensor

from tests.kernels.gpu.setup import DEVICE, few, gpu
from tests.kernels.strategies import preactivations


def check(pre: Tensor) -> None:
    counts, columns, values = (found.cpu() for found in gpu.above_zero(pre.to(DEVICE)))
    assert torch.equal(counts, (pre > 0).sum(1))
    assert torch.equal(columns, (pre > 0).nonzero()[:, 1])
    assert torch.equal(values, pre[pre > 0])


@few
@given(preactivations(dtypes=(torch.float32, torch.bfloat16, torch.float64), widest=70))
def test_the_entries_above_zero_are_found_in_their_order(pre: Tensor):
    check(pre)


def test_the_smallest_number_is_above_zero_and_what_is_none_is_not():
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        tiny = torch.finfo(dtype).tiny
        check(torch.tensor([[-tiny, -0.0, 0.0, tiny, torch.nan], [torch.inf, -torch.inf, 1, -1, -torch.nan]]).to(dtype))


def test_a_batch_without_rows_has_nothing_above_zero():
    counts, columns, values = gpu.above_zero(torch.zeros(0, 5, device=DEVICE))
    assert counts.shape == columns.shape == values.shape == (0,)
