# Kernels are typed by Triton, when they are compiled.
# pyright: reportArgumentType=false
"""The entries of a matrix that are above zero."""

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

BLOCK = 2048
"""Entries of a row that one program reads, sixteen a thread."""


def above_zero(
    pre: Float[Tensor, "batch width"],
) -> tuple[Int[Tensor, " batch"], Int[Tensor, " found"], Float[Tensor, " found"]]:
    """How many entries of each row are above zero; their columns and their values, row after row, in rising order.

    Dense equivalent: `(pre > 0).sum(1)`, `(pre > 0).nonzero()[:, 1]` and `pre[pre > 0]`.

    The entries of each block are counted; the sum of the counts so far says where a block writes. Between the two the
    host waits for the device once, for the number of all.

    Limit: bytes. The matrix is read twice, from the L2 cache if it fits; what is found is written once.
    """
    pre = pre.contiguous()
    batch, width = pre.shape
    blocks = triton.cdiv(width, BLOCK)
    block = min(triton.next_power_of_2(width), BLOCK)
    counts = torch.empty(batch, blocks, dtype=torch.int32, device=pre.device)
    with torch.cuda.device_of(pre):
        _count[(batch, blocks)](pre, counts, width, block)
        starts = F.pad(counts.flatten().cumsum(0), (1, 0))
        found = int(starts[-1])
        columns, values = starts.new_empty(found), pre.new_empty(found)
        _write[(batch, blocks)](pre, starts, columns, values, width, block)
    return counts.sum(1), columns, values


@triton.jit
def _count(pre, counts, width, BLOCK: tl.constexpr):
    block = tl.program_id(0).to(tl.int64) * tl.num_programs(1) + tl.program_id(1)
    _, _, above = _block(pre, width, BLOCK)
    tl.store(counts + block, tl.sum(above.to(tl.int32), 0))


@triton.jit
def _write(pre, starts, columns, values, width, BLOCK: tl.constexpr):
    block = tl.program_id(0).to(tl.int64) * tl.num_programs(1) + tl.program_id(1)
    column, value, above = _block(pre, width, BLOCK)
    place = tl.load(starts + block) + tl.cumsum(above.to(tl.int32), 0) - 1
    tl.store(columns + place, column, above)
    tl.store(values + place, value, above)


@triton.jit
def _block(pre, width, BLOCK: tl.constexpr):
    """The columns and values of a program's block, and which of them are above zero."""
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(pre + tl.program_id(0).to(tl.int64) * width + column, column < width, 0.0)
    return column, value, value.to(tl.float64 if value.dtype == tl.float64 else tl.float32) > 0
