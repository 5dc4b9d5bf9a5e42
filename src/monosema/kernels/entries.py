"""Three products that visit only the stored entries of a sparse matrix: decoding and every gradient are made of them.

A sparse matrix S `[rows, width]` is given by the `offsets` and `columns` of its entries, as in `RaggedCodes`.
"""

import warnings
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from monosema.kernels.backend import triton_kernels
from monosema.kernels.parts import product_in_parts
from monosema.kernels.search import ordered, where_not_zero

MOST = 3 / 4
"""Share of entries that are not zero from which on it is not worth sorting out those that are."""
WAIT = 2**22
"""Entries from which on it pays to wait for a GPU, to know which of them are zero."""
MANY = {torch.bfloat16: 1 / 100, torch.float16: 1 / 4, torch.float32: 1 / 20, torch.float64: 1 / 20}
"""Share of all products from which on it is faster to make them all and take some.

Measured on a CPU. For a GPU an estimate: the time of 2 d FLOPs of a large product in that of reading 4 d bytes from the
L2 cache, which in bfloat16 is 1/250 at 700 TFLOP/s and 5.5 TB/s, and 1/125 at 250 TFLOP/s and 4 TB/s.
"""
ROWS = 4096
"""Rows of a weight's gradient that are made at a time."""
CACHE = 2**21
"""Bytes of a table that stay in a core's L2 cache while its rows are read in any order. Of a larger one, half as many
are copied there at a time: so many columns, though not fewer than `COLUMNS`."""
COLUMNS = 64
READS = 4
"""How often each row must be read, on average, for that to pay."""


def weighted_sums(
    offsets: Int[Tensor, " rows+1"],
    columns: Int[Tensor, " entries"],
    values: Float[Tensor, " entries"],
    table: Float[Tensor, "width d"],
) -> Float[Tensor, "rows d"]:
    """`S @ table`, where `values` are the entries of S. Sums are float32 also where `table` is bfloat16."""
    if kernels := triton_kernels(table):
        return kernels.weighted_sums(offsets, columns, values, table)
    if len(columns) == 0:
        return table.new_zeros(len(offsets) - 1, table.shape[1])
    weights = values.to(table.dtype)
    if (size := _columns_at_once(table, len(columns))) == table.shape[1]:
        return _sums(offsets, columns, weights, table)
    sums = table.new_empty(len(offsets) - 1, table.shape[1])
    for part, out in zip(table.split(size, 1), sums.split(size, 1), strict=True):
        out.copy_(_sums(offsets, columns, weights, part.contiguous()))
    return sums


def _sums(offsets: Tensor, columns: Tensor, weights: Tensor, table: Tensor) -> Tensor:
    return F.embedding_bag(columns, table, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True)


def _columns_at_once(table: Float[Tensor, "width d"], entries: int) -> int:
    """Of a table whose rows are read in any order."""
    width, d = table.shape
    if table.device.type != "cpu" or table.nbytes <= CACHE or entries < READS * width:
        return d
    return min(max(CACHE // 2 // (width * table.element_size()) // 16 * 16, COLUMNS), d)


def weighted_sums_(
    out: Float[Tensor, "width d"],
    offsets: Int[Tensor, " rows+1"],
    columns: Int[Tensor, " entries"],
    values: Float[Tensor, " entries"],
    table: Float[Tensor, "rows d"],
    by_column: "ByColumn | None" = None,
) -> None:
    """Writes `S.T @ table` into `out`: the gradient of a weight, which may be of another precision than `table`.

    Nothing else as large as the weight is needed: a GPU writes each row once it is summed, and on a CPU some rows are
    made at a time. `by_column` may know already how S is transposed, or will.
    """
    flipped = (by_column or ByColumn()).of(offsets, columns, len(out))
    factors, ends = values.index_select(0, flipped.order), flipped.offsets
    if kernels := triton_kernels(table):
        kernels.weighted_sums(ends, flipped.rows, factors, table, out)
        return
    if out.device.type != "cpu":
        out.copy_(weighted_sums(ends, flipped.rows, factors, table))
        return
    for start in range(0, len(out), ROWS):
        part = ends[start : start + ROWS + 1]
        first, last = int(part[0]), int(part[-1])
        rows, weights = flipped.rows[first:last], factors[first:last]
        out[start : start + ROWS] = weighted_sums(part - first, rows, weights, table)


def products_at(
    offsets: Int[Tensor, " rows+1"],
    columns: Int[Tensor, " entries"],
    left: Float[Tensor, "rows d"],
    right: Float[Tensor, "width d"],
    dtype: torch.dtype | None = None,
) -> Float[Tensor, " entries"]:
    """The entries of `left @ right.T` where S has entries.

    Args:
        offsets, columns: of S.
        left, right: the factors.
        dtype: what the factors may be rounded to, by default their own precision: where S has many entries, making
            every product in bfloat16 and taking those is faster than making these alone.
    """
    dtype = dtype or left.dtype
    if left.device.type in ("cpu", "cuda") and len(columns) > MANY[dtype] * len(left) * len(right):
        return _taken(offsets, columns, left.to(dtype), right.to(dtype))
    if kernels := triton_kernels(left):
        return kernels.products_at(offsets, columns, left, right)
    if left.dtype not in (torch.float32, torch.float64):
        return products_at(offsets, columns, left.float(), right.float()).to(left.dtype)
    if len(columns) == 0:
        return left.new_zeros(0)
    _announce_sparse_tensors()
    size = (len(left), len(right))
    sums = torch.sparse_csr_tensor(offsets, columns, left.new_zeros(len(columns)), size, check_invariants=False)
    at_once = _columns_at_once(right, len(columns))
    for a, b in zip(left.split(at_once, 1), right.split(at_once, 1), strict=True):
        torch.sparse.sampled_addmm(sums, a.contiguous(), b.contiguous().mT, out=sums)
    return sums.values()


def _taken(offsets: Tensor, columns: Tensor, left: Tensor, right: Tensor) -> Float[Tensor, " entries"]:
    """Some rows of all products at a time."""
    found, row = left.new_empty(len(columns)), 0
    bounds = offsets.tolist()  # a GPU is waited for once
    for part in product_in_parts(left, right.mT):
        ends = bounds[row : row + len(part) + 1]
        if left.device.type == "cpu":
            _take_rows(part, columns, ends, found)
        else:
            starts = torch.arange(len(part), device=left.device) * len(right)
            counts = offsets[row : row + len(part) + 1].diff()
            inside = slice(ends[0], ends[-1])
            places = columns[inside] + starts.repeat_interleave(counts, output_size=ends[-1] - ends[0])
            torch.index_select(part.flatten(), 0, places, out=found[inside])
        row += len(part)
    return found


def _take_rows(part: Tensor, columns: Tensor, ends: Sequence[int], out: Tensor) -> None:
    """Each row of the part stays in the L1 cache while NumPy takes its entries, as integers of their size."""
    rows, numbers, wanted = ordered(part).numpy(), ordered(out).numpy(), columns.numpy()
    for row, (start, end) in zip(rows, pairwise(ends), strict=True):
        numbers[start:end] = row[wanted[start:end]]


def without_zeros(
    offsets: Int[Tensor, " rows+1"], columns: Int[Tensor, " entries"], values: Float[Tensor, " entries"]
) -> tuple[Int[Tensor, " rows+1"], Int[Tensor, " kept"], Float[Tensor, " kept"]]:
    """The same matrix with fewer stored zeros: with none, if there are many and they are told apart."""
    if not tells_zeros_apart(values):
        return offsets, columns, values
    kept = where_not_zero(values.detach())
    if len(kept) > MOST * len(values):
        return offsets, columns, values
    return only(kept, offsets, columns, values)


def tells_zeros_apart(values: Float[Tensor, " entries"]) -> bool:
    """Whether to find out which entries are zero: of few on a GPU not, as their number has to be waited for."""
    return len(values) >= WAIT or not triton_kernels(values)


def only(
    places: Int[Tensor, " kept"],
    offsets: Int[Tensor, " rows+1"],
    columns: Int[Tensor, " entries"],
    values: Float[Tensor, " entries"],
) -> tuple[Int[Tensor, " rows+1"], Int[Tensor, " kept"], Float[Tensor, " kept"]]:
    """The matrix of the entries at some places, which rise; gradients reach `values`."""
    # Selecting is several times as fast as indexing, and so is its gradient.
    return torch.searchsorted(places, offsets), columns.index_select(0, places), values.index_select(0, places)


class Transposed(NamedTuple):
    """The entries of Sᵀ: those of S, column after column."""

    offsets: Int[Tensor, " width+1"]
    rows: Int[Tensor, " entries"]
    order: Int[Tensor, " entries"]
    """Where in S each entry was."""


class ByColumn:
    """How a sparse matrix is transposed, found out once: encoder and decoder have gradients with the same entries."""

    def __init__(self):
        self._known: tuple[Tensor, Transposed] | None = None

    def of(self, offsets: Int[Tensor, " rows+1"], columns: Int[Tensor, " entries"], width: int) -> Transposed:
        """`transposed`, remembered for as long as these columns are asked for, where they lie in memory."""
        if self._known is None or not _same(self._known[0], columns):
            self._known = columns, transposed(offsets, columns, width)
        return self._known[1]


def _same(a: Tensor, b: Tensor) -> bool:
    return a.data_ptr() == b.data_ptr() and len(a) == len(b)


def transposed(offsets: Int[Tensor, " rows+1"], columns: Int[Tensor, " entries"], width: int) -> Transposed:
    """The entries column after column, and those of a column row after row."""
    if columns.device.type == "cpu":
        return _counted(offsets, columns, width)
    # A GPU sorts by the bits of its keys: half as many take half the time. And bincount would make the host wait.
    ranked, order = columns.int().sort(stable=True)
    starts = torch.arange(width + 1, dtype=ranked.dtype, device=ranked.device)
    rows = torch.searchsorted(offsets[1:], order, right=True)
    return Transposed(torch.searchsorted(ranked, starts), rows, order)


def _counted(offsets: Tensor, columns: Tensor, width: int) -> Transposed:
    """SciPy counts the entries of each column and then puts every entry in its place, which takes no sort."""
    from scipy.sparse import csr_array

    kind = torch.int32 if len(columns) < 2**31 else torch.int64
    order = torch.arange(len(columns), dtype=kind)
    matrix = (order.numpy(), columns.to(kind).numpy(), offsets.to(kind).numpy())
    by_column = csr_array(matrix, shape=(len(offsets) - 1, width)).tocsc()
    return Transposed(*(torch.from_numpy(found) for found in (by_column.indptr, by_column.indices, by_column.data)))


def rows_of(offsets: Int[Tensor, " rows+1"], entries: int) -> Int[Tensor, " entries"]:
    """The row of each entry; the host does not wait for a device, as it is told how many there are."""
    counts = offsets.diff()
    return torch.arange(len(counts), device=counts.device).repeat_interleave(counts, output_size=entries)


@cache
def _announce_sparse_tensors() -> None:
    """PyTorch warns once that sparse tensors are new; nobody who calls us needs to know."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zero = torch.zeros(1, dtype=torch.long)
        torch.sparse_csr_tensor(torch.tensor([0, 1]), zero, torch.zeros(1), (1, 1), check_invariants=False)
