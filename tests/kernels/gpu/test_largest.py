"""The largest entries of each row, against those that torch.topk finds."""

import pytest
import torch
from hypothesis import given
from torch import Tensor

from tests.kernels.gpu.setup import DEVICE, few, gpu
from tests.kernels.strategies import preactivations_and_k


def check(pre: Tensor, k: int) -> None:
    found = gpu.largest_of_rows(pre.to(DEVICE), k).cpu()
    assert found.shape == (len(pre), k)
    assert all(len(set(row)) == k for row in found.tolist())
    values = pre.gather(1, found).sort(1).values
    torch.testing.assert_close(values, pre.topk(k).values.sort(1).values, rtol=0, atol=0, equal_nan=True)


@pytest.mark.slow
@few
@given(preactivations_and_k(widest=70))
def test_the_largest_of_each_row_are_as_large_as_pytorchs(case: tuple[Tensor, int]):
    check(*case)


@pytest.mark.parametrize(
    ("dtype", "k"),
    [
        *((torch.float32, k) for k in (1, 3, 13, 29, 30)),
        *((dtype, 3) for dtype in (torch.bfloat16, torch.float16, torch.float64)),
    ],
    ids=str,
)
def test_so_they_are_among_infinities_and_what_is_not_a_number(dtype: torch.dtype, k: int):
    pre = torch.randn(4, 30).to(dtype)
    pre[0, ::2] = -torch.inf
    pre[1, 3:6] = torch.inf
    pre[2, 4::9] = torch.nan
    pre[2, 5::9] = -torch.tensor(torch.nan)
    pre[3, ::3], pre[3, 1::3] = 0.0, -0.0
    check(pre, k)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_numbers_that_differ_in_their_last_bit_are_told_apart(dtype: torch.dtype):
    ulp = torch.finfo(dtype).eps
    close = 1 + ulp * torch.randperm(40).to(dtype)
    check(torch.stack([close, -close]), 7)


def test_a_row_with_too_many_candidates_to_list_is_searched_as_a_whole():
    pre = torch.tensor([-1.0] * 8 + [1.0] * 52 + [2.0])
    check(torch.stack([pre, pre.flip(0), pre.roll(20)]), 3)


@pytest.mark.slow
def test_a_wide_row_in_groups_as_large_as_on_a_gpu(monkeypatch: pytest.MonkeyPatch):
    for name, size in {"GROUP": 16, "GROUPS": 8192, "BLOCK": 4096, "TILE": (1024, 8192)}.items():
        monkeypatch.setattr(f"monosema.kernels.gpu.largest.{name}", size)
    check(torch.randn(1, 9000), 32)


def test_more_than_a_row_has_are_refused():
    with pytest.raises(ValueError, match="the 4 largest of 3 entries"):
        gpu.largest_of_rows(torch.zeros(2, 3, device=DEVICE), 4)


def test_of_no_rows_there_are_none():
    assert gpu.largest_of_rows(torch.zeros(0, 3, device=DEVICE), 2).shape == (0, 2)
