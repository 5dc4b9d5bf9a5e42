# Kernels are typed by Triton, when they are compiled.
# pyright: reportArgumentType=false
"""Some entries of the product of two matrices."""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from monosema.kernels.gpu.rows import row_of, sum_dtype

ENTRIES, FEATURES = 16, 128
"""Of S, and of the columns of both factors, that a program multiplies at a time."""
SLICE = 512
"""Columns of both factors that a program goes over: of 16,384 rows in bfloat16 these are 16 MiB."""


def products_at(
    offsets: Int[Tensor, " rows+1"],
    columns: Int[Tensor, " entries"],
    left: Float[Tensor, "rows d"],
    right: Float[Tensor, "width d"],
) -> Float[Tensor, " entries"]:
    """The entries of `left @ right.T` where a sparse S has entries, in the precision of `left`.

    Dense equivalent: `(left @ right.T)[rows, columns]`, where `rows` is the row of each entry. Sums are float32
    (float64 in float64), rounded once.

    Each program takes ENTRIES entries, whichever rows they are of, so that rows may be of any length. Programs go over
    all entries before the next SLICE columns, so that these stay in the L2 cache; the sums of the slices are added up.

    Limit: bytes. Both factors pass once through memory, and `2 · entries · d` numbers through the caches, those of
    `left` mostly through the L1 cache, as neighbouring entries share a row.
    """
    (rows, d), entries = left.shape, len(columns)
    slices = triton.cdiv(d, SLICE)
    sums = torch.empty(slices, entries, dtype=sum_dtype(left.dtype), device=left.device)
    features = min(max(triton.next_power_of_2(d), 16), FEATURES)
    with torch.cuda.device_of(left):
        _multiply[(triton.cdiv(entries, ENTRIES), slices)](
            offsets, columns, left.contiguous(), right.contiguous(), sums, rows, entries, d,
            rows.bit_length(), SLICE, ENTRIES, features,
        )  # fmt: skip
    return (sums[0] if slices == 1 else sums.sum(0)).to(left.dtype)


@triton.jit(do_not_specialize=["rows", "entries"])
def _multiply(
    offsets, columns, left, right, sums, rows, entries, d,
    STEPS: tl.constexpr, SLICE: tl.constexpr, ENTRIES: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    entry = tl.program_id(0).to(tl.int64) * ENTRIES + tl.arange(0, ENTRIES)
    there = entry < entries
    row = row_of(offsets, entry, rows, STEPS)
    column = tl.load(columns + entry, there, 0).to(tl.int64)
    part = tl.program_id(1).to(tl.int64)
    total = tl.zeros((ENTRIES, FEATURES), sums.dtype.element_ty)
    for start in range(0, SLICE, FEATURES):
        feature = part * SLICE + start + tl.arange(0, FEATURES)
        wanted = there[:, None] & (feature < d)[None, :]
        a = tl.load(left + row[:, None] * d + feature[None, :], wanted, 0.0)
        b = tl.load(right + column[:, None] * d + feature[None, :], wanted, 0.0)
        total += a.to(total.dtype) * b.to(total.dtype)
    tl.store(sums + part * entries + entry, tl.sum(total, 1), there)
