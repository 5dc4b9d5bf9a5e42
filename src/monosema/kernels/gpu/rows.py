"""What the kernels over the entries of a sparse matrix share."""

import torch
import triton
import triton.language as tl


@triton.jit
def row_of(offsets, entry, rows, STEPS: tl.constexpr):
    """The row of each entry, by bisection: the last of `rows < 2**STEPS` rows that begins at the entry or before."""
    low = entry * 0
    high = low + rows
    for _ in range(STEPS):
        middle = (low + high) // 2
        begins = tl.load(offsets + middle) <= entry
        low = tl.where(begins, middle, low)
        high = tl.where(begins, high, middle)
    return low


def sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """In which precision products are summed: float32, and float64 where the factors are."""
    return torch.float64 if dtype == torch.float64 else torch.float32
