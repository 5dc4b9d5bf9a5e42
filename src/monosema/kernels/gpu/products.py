# Kernels are typed by Triton, when they are compiled.
# pyright: reportArgumentType=false, reportCallIssue=false
"""Some entries of the product of two matrices."""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from monosema.kernels.gpu.rows import sum_dtype

ENTRIES = 4
"""Of a row of S, that a program multiplies at a time."""
FEATURES = 256
"""Columns of both factors that a program multiplies: of 65,536 rows in float32 these are 64 MiB, about an L2 cache."""
WARPS = 1
"""With more, there are fewer programs at a time, and all that they do is to wait for memory."""


def products_at(
    offsets: Int[Tensor, " rows+1"],
    columns: Int[Tensor, " entries"],
    left: Float[Tensor, "rows d"],
    right: Float[Tensor, "width d"],
) -> Float[Tensor, " entries"]:
    """The entries of `left @ right.T` where a sparse S has entries, in the precision of `left`.

    Dense equivalent: `(left @ right.T)[rows, columns]`, where `rows` is the row of each entry. Sums are float32
    (float64 in float64), rounded once.

    Each program holds FEATURES columns of a row of `left` and goes over the row's entries. Programs go over all rows
    before the next columns, so that these stay in the L2 cache; the sums over each FEATURES columns are added up.

    Limit: bytes. Both factors pass once through memory, and `entries · d` numbers of `right` through the L2 cache.
    """
    (rows, d), entries = left.shape, len(columns)
    features = min(max(triton.next_power_of_2(d), 16), FEATURES)
    parts = triton.cdiv(d, features)
    sums = torch.empty(parts, entries, dtype=sum_dtype(left.dtype), device=left.device)
    with torch.cuda.device_of(left):
        _multiply[(rows, parts)](
            offsets, columns, left.contiguous(), right.contiguous(), sums, entries, d,
            ENTRIES, features, num_warps=WARPS,
        )  # fmt: skip
    return (sums[0] if parts == 1 else sums.sum(0)).to(left.dtype)


@triton.jit(do_not_specialize=["entries"])
def _multiply(
    offsets, columns, left, right, sums, entries, d, ENTRIES: tl.constexpr, FEATURES: tl.constexpr
):  # fmt: skip
    row, part = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    feature = part * FEATURES + tl.arange(0, FEATURES)
    a = tl.load(left + row * d + feature, feature < d, 0.0).to(sums.dtype.element_ty)
    first, last = tl.load(offsets + row), tl.load(offsets + row + 1)
    for start in range(first, last, ENTRIES):
        entry = start + tl.arange(0, ENTRIES)
        column = tl.load(columns + entry, entry < last, 0).to(tl.int64)
        wanted = (entry < last)[:, None] & (feature < d)[None, :]
        b = tl.load(right + column[:, None] * d + feature[None, :], wanted, 0.0)
        tl.store(sums + part * entries + entry, tl.sum(a[None, :] * b.to(a.dtype), 1), entry < last)
