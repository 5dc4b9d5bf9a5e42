# Kernels are typed by Triton, when they are compiled.
# pyright: reportArgumentType=false, reportCallIssue=false
"""What keeps the rows of a matrix at norm one, in one pass."""

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

BLOCK = 4096
"""Columns that a program holds; rows that are longer are read twice."""


def normalise_rows_(weight: Float[Tensor, "*blocks rows d"]) -> None:
    """`weight /= weight.norm(dim=-1, keepdim=True)`, in place, where rows lie one after another in memory.

    Limit: bytes. The matrix is read once and written once.
    """
    rows, d, block = _shape(weight)
    with torch.cuda.device_of(weight):
        _normalise[(rows,)](weight, d, torch.finfo(weight.dtype).tiny, block, num_warps=_warps(block))


def project_rows_(grad: Float[Tensor, "*blocks rows d"], weight: Float[Tensor, "*blocks rows d"]) -> None:
    """`grad -= (grad * weight).sum(-1, keepdim=True) * weight`, in place, where rows lie one after another in memory.

    Limit: bytes. Both matrices are read once, and one is written once.
    """
    rows, d, block = _shape(weight)
    with torch.cuda.device_of(weight):
        _project[(rows,)](grad, weight, d, block, num_warps=_warps(block))


def _shape(weight: Tensor) -> tuple[int, int, int]:
    d = weight.shape[-1]
    return weight.numel() // max(d, 1), d, min(max(triton.next_power_of_2(d), 16), BLOCK)


def _warps(block: int) -> int:
    """Sixteen entries a thread."""
    return min(max(block // 512, 1), 8)


@triton.jit
def _normalise(weight, d, tiny, BLOCK: tl.constexpr):
    weight += tl.program_id(0).to(tl.int64) * d
    lane = tl.arange(0, BLOCK)
    numbers = tl.load(weight + lane, lane < d, 0.0)
    total = numbers * numbers
    for start in range(BLOCK, d, BLOCK):
        more = tl.load(weight + start + lane, start + lane < d, 0.0)
        total += more * more
    norm = tl.maximum(tl.sqrt(tl.sum(total, 0)), tiny)
    tl.store(weight + lane, numbers / norm, lane < d)
    for start in range(BLOCK, d, BLOCK):
        more = tl.load(weight + start + lane, start + lane < d, 0.0)
        tl.store(weight + start + lane, more / norm, start + lane < d)


@triton.jit
def _project(grad, weight, d, BLOCK: tl.constexpr):
    first = tl.program_id(0).to(tl.int64) * d
    lane = tl.arange(0, BLOCK)
    g, w = tl.load(grad + first + lane, lane < d, 0.0), tl.load(weight + first + lane, lane < d, 0.0)
    total = g * w
    for start in range(BLOCK, d, BLOCK):
        place, there = first + start + lane, start + lane < d
        total += tl.load(grad + place, there, 0.0) * tl.load(weight + place, there, 0.0)
    along = tl.sum(total, 0)
    tl.store(grad + first + lane, g - along * w, lane < d)
    for start in range(BLOCK, d, BLOCK):
        place, there = first + start + lane, start + lane < d
        more = tl.load(grad + place, there, 0.0) - along * tl.load(weight + place, there, 0.0)
        tl.store(grad + place, more, there)
