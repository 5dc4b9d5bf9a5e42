# Kernels are typed by Triton, when they are compiled.
# pyright: reportArgumentType=false, reportCallIssue=false
"""Sums of the rows of a table, weighted by the entries of a sparse matrix."""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from monosema.kernels.gpu.rows import row_of, sum_dtype

CHUNK = 64
"""Entries that one program adds where a row has many."""
ENTRIES = 4
"""Rows of the table that a program reads at a time: few features of a batch fire much more often."""
FEATURES = 256
"""Columns of the table that a program reads: of 65,536 rows in float32 these are 64 MiB, about an L2 cache."""
WARPS = 1
"""With more, there are fewer programs at a time, and all that they do is to wait for memory."""
HELD = 2**29
"""Bytes that sums of chunks take at most, unless those of FEATURES columns take more."""


def weighted_sums(
    offsets: Int[Tensor, " rows+1"],
    columns: Int[Tensor, " entries"],
    values: Float[Tensor, " entries"],
    table: Float[Tensor, "width d"],
    out: Float[Tensor, "rows d"] | None = None,
) -> Float[Tensor, "rows d"]:
    """`S @ table` for a sparse S, into `out` if that is given, of whatever precision and layout.

    Dense equivalent: `dense @ table`, where `dense[row, columns[i]] += values[i]` for each entry i of a row. Sums are
    float32 (float64 in float64), rounded once. An entry of zero adds nothing, whatever the table holds.

    Rows may be of any length: where one contains chunks of CHUNK entries (counted from the first entry of all), each is
    added by a program of its own, and the row adds up their sums. Programs go over all rows before the next columns of
    the table, so that these stay in the L2 cache. Where the sums of all chunks would take more than HELD bytes, some
    columns are made at a time.

    Limit: bytes. The table and the result pass once through memory, and `entries · d` numbers through the L2 cache.
    """
    d, chunks, precision = table.shape[1], len(columns) // CHUNK, sum_dtype(table.dtype)
    features = min(max(triton.next_power_of_2(d), 16), FEATURES)
    fitting = HELD // (max(chunks, 1) * precision.itemsize) // features * features
    at_once = min(max(fitting, features), max(d, 1))
    sums = torch.empty(chunks * at_once, dtype=precision, device=table.device)
    out = table.new_empty(len(offsets) - 1, d) if out is None else out
    entries = (offsets, columns, values.contiguous())
    for part, found in zip(table.contiguous().split(at_once, 1), out.split(at_once, 1), strict=True):
        _sum(entries, part, sums, found, features)
    return out


def _sum(
    entries: tuple[Tensor, Tensor, Tensor],
    table: Float[Tensor, "width columns"],
    sums: Float[Tensor, " many"],
    out: Float[Tensor, "rows columns"],
    features: int,
) -> None:
    """Some columns of it; `sums` holds one of each chunk."""
    (rows, d), chunks, stride = out.shape, len(entries[1]) // CHUNK, table.stride(0)
    blocks = triton.cdiv(d, features)
    with torch.cuda.device_of(table):
        if chunks:
            _sum_chunks[(chunks, blocks)](
                *entries, table, sums, rows, d, stride, rows.bit_length(), CHUNK, ENTRIES, features, num_warps=WARPS
            )
        _sum_rows[(rows, blocks)](
            *entries, table, sums, out, d, stride, out.stride(0), out.stride(1), CHUNK, ENTRIES, features,
            num_warps=WARPS,
        )  # fmt: skip


@triton.jit(do_not_specialize=["rows"])
def _sum_chunks(
    offsets, columns, values, table, sums, rows, d, stride,
    STEPS: tl.constexpr, CHUNK: tl.constexpr, ENTRIES: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    """The sum of each chunk that lies within one row."""
    chunk = tl.program_id(0).to(tl.int64)
    first = chunk * CHUNK
    row = row_of(offsets, first, rows, STEPS)
    if tl.load(offsets + row + 1) >= first + CHUNK:
        feature = tl.program_id(1) * FEATURES + tl.arange(0, FEATURES)
        total = tl.zeros((ENTRIES, FEATURES), sums.dtype.element_ty)
        for start in range(0, CHUNK, ENTRIES):
            place = first + start + tl.arange(0, ENTRIES)
            total += _products(place, place >= 0, columns, values, table, d, stride, feature, total.dtype)
        tl.store(sums + chunk * d + feature, tl.sum(total, 0), feature < d)


@triton.jit
def _sum_rows(
    offsets, columns, values, table, sums, out, d, stride, row_stride, column_stride,
    CHUNK: tl.constexpr, ENTRIES: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    """The sum of each row: of its entries before and behind its whole chunks, and of these chunks."""
    row = tl.program_id(0).to(tl.int64)
    feature = tl.program_id(1) * FEATURES + tl.arange(0, FEATURES)
    first, last = tl.load(offsets + row), tl.load(offsets + row + 1)
    whole = (first + CHUNK - 1) // CHUNK
    end = tl.maximum(last // CHUNK, whole)
    gap = (end - whole) * CHUNK
    total = tl.zeros((ENTRIES, FEATURES), sums.dtype.element_ty)
    for start in range(first, last - gap, ENTRIES):
        place = start + tl.arange(0, ENTRIES)
        there = place < last - gap
        place = tl.where(place < whole * CHUNK, place, place + gap)
        total += _products(place, there, columns, values, table, d, stride, feature, total.dtype)
    for start in range(whole, end, ENTRIES):
        chunk = start + tl.arange(0, ENTRIES)
        there = (chunk < end)[:, None] & (feature < d)[None, :]
        total += tl.load(sums + chunk[:, None] * d + feature[None, :], there, 0.0)
    tl.store(out + row * row_stride + feature * column_stride, tl.sum(total, 0), feature < d)


@triton.jit
def _products(place, there, columns, values, table, d, stride, feature, PRECISION: tl.constexpr):
    """Some entries, each times its row of the table; rows of zeros are not read."""
    value = tl.load(values + place, there, 0.0)
    column = tl.load(columns + place, there, 0).to(tl.int64)
    wanted = (value != 0)[:, None] & (feature < d)[None, :]
    rows = tl.load(table + column[:, None] * stride + feature[None, :], wanted, 0.0)
    return value.to(PRECISION)[:, None] * rows.to(PRECISION)
