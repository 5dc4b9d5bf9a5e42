# Kernels are typed by Triton, when they are compiled.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
"""The largest entries of each row of a wide matrix."""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from monosema.kernels.gpu.bits import INFINITY, bits_of, ordered

GROUP = 16
"""Neighbours whose maximum stands for them; fewer where a row has less than `SPREAD` groups for each that is wanted."""
SPREAD = 4
GROUPS = 8192
"""Groups of a row that one program holds; where there are more, they are of more entries."""
SLACK = 4
"""Rows where more than this many times `k` groups reach the bound are searched as a whole: many entries are equal."""
BLOCK = 4096
"""Entries that one program reads to find maxima, thirty-two a thread."""
TILE = 1024, 8192
"""Fewest and most candidates that are held at a time."""


def largest_of_rows(pre: Float[Tensor, "batch width"], k: int) -> Int[Tensor, "batch k"]:
    """Indices of the `k` largest entries of each row, in any order; ties break either way.

    Dense equivalent: `pre.topk(k).indices`; like there, what is not a number is larger than infinity.

    The `k` largest lie in groups whose maxima are at least the k-th largest of all maxima. So the first kernel reads
    the matrix and keeps the maxima of groups; the second bisects for that bound and lists the groups that reach it,
    hardly more than k; the third reads those and bisects among their entries.

    Limit: bytes. The matrix is read once, and `k` groups of each row once more.
    """
    batch, width = pre.shape
    if k > width:
        raise ValueError(f"the {k} largest of {width} entries")
    bits, number = bits_of(pre), (8 * pre.element_size(), INFINITY[pre.dtype])
    size = _group_size(width, k)
    groups = triton.cdiv(width, size)
    listed = min(SLACK * k, groups)
    kind = torch.int64 if pre.element_size() == 8 else torch.int32
    maxima = torch.empty(batch, groups, dtype=kind, device=pre.device)
    found = torch.empty(batch, listed, dtype=torch.int32, device=pre.device)
    counts = torch.empty(batch, dtype=torch.int32, device=pre.device)
    bounds = torch.empty(batch, dtype=kind, device=pre.device)
    indices = torch.empty(batch, k, dtype=torch.int64, device=pre.device)
    block = max(min(BLOCK, triton.next_power_of_2(width)) // size, 1)
    held = triton.next_power_of_2(groups)
    tile = min(max(triton.next_power_of_2(k * size * 5 // 4), TILE[0]), TILE[1])
    with torch.cuda.device_of(pre):
        _maxima[(batch, triton.cdiv(groups, block))](
            bits, maxima, width, groups, *number, size, block, num_warps=_warps(block * size, 32)
        )
        _list[(batch,)](maxima, found, counts, bounds, groups, k, listed, number[0], held, num_warps=_warps(held, 8))
        _choose[(batch,)](
            bits, found, counts, bounds, indices, width, k, listed, *number, size, tile, num_warps=_warps(tile, 16)
        )  # fmt: skip
    return indices


def _group_size(width: int, k: int) -> int:
    """A power of two."""
    fitting = max(width // (SPREAD * k), 1)
    return max(min(GROUP, 1 << (fitting.bit_length() - 1)), triton.next_power_of_2(triton.cdiv(width, GROUPS)))


def _warps(size: int, each: int) -> int:
    """So many that each thread has that many entries."""
    return min(max(size // (32 * each), 1), 16)


@triton.jit
def _maxima(
    bits, maxima, width, groups, BITS: tl.constexpr, INFINITY: tl.constexpr, SIZE: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """The largest entry of each group."""
    row = tl.program_id(0).to(tl.int64)
    group = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    place = group[:, None] * SIZE + tl.arange(0, SIZE)[None, :]
    number = ordered(bits + row * width, place, place < width, BITS, INFINITY)
    tl.store(maxima + row * groups + group, tl.max(number, 1), group < groups)


@triton.jit(do_not_specialize=["k", "listed"])
def _list(
    maxima, found, counts, bounds, groups, k, listed, BITS: tl.constexpr, HELD: tl.constexpr
):  # fmt: skip
    """The groups of each row that reach a bound, as far as there is room, how many there are, and the bound.

    It is the largest that k maxima reach, to its sign and first 16 bits: a lower one need not be exact. With fewer
    groups than k it is below everything.
    """
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, HELD)
    least: tl.constexpr = -(1 << (BITS - 1))
    number = tl.load(maxima + row * groups + lane, lane < groups, least)
    zero = tl.full((), 0, number.dtype)
    step = zero + (1 << (BITS - 2))
    bound = tl.where(tl.sum((number >= 0).to(tl.int32), 0) >= k, zero, -step - step)
    for _ in range(16 if BITS > 16 else 15):
        reached = tl.sum((number >= bound + step).to(tl.int32), 0)
        bound = tl.where(reached >= k, bound + step, bound)
        step = step >> 1
    there = (lane < groups) & (number >= bound)
    slot = tl.cumsum(there.to(tl.int32), 0) - 1
    tl.store(found + row * listed + slot, lane, there & (slot < listed))
    tl.store(counts + row, tl.sum(there.to(tl.int32), 0))
    tl.store(bounds + row, bound)


@triton.jit(do_not_specialize=["k", "listed"])
def _choose(
    bits, found, counts, bounds, indices, width, k, listed,
    BITS: tl.constexpr, INFINITY: tl.constexpr, SIZE: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """The places of the entries beyond the k-th largest candidate, and of as many equal to it as are missing."""
    row = tl.program_id(0).to(tl.int64)
    bits += row * width
    found += row * listed
    indices += row * k
    counted = tl.load(counts + row)
    known = tl.where(counted <= listed, counted * SIZE, 0)
    candidates = tl.where(counted <= listed, known, width)
    lane = tl.arange(0, TILE)
    place, first = _candidates(bits, found, lane, candidates, known, width, BITS, INFINITY, SIZE)
    high = tl.max(first, 0)
    for start in range(TILE, candidates, TILE):
        place, number = _candidates(bits, found, start + lane, candidates, known, width, BITS, INFINITY, SIZE)
        high = tl.maximum(high, tl.max(number, 0))
    least, beyond = tl.load(bounds + row), 0  # the k-th largest is from `least` to `high`; `beyond` are above `high`
    while least < high:
        middle = (least >> 1) + (high >> 1) + ((least | high) & 1)  # half of the sum, rounded up, which may not fit
        reached = tl.sum((first >= middle).to(tl.int32), 0)
        for start in range(TILE, candidates, TILE):
            place, number = _candidates(bits, found, start + lane, candidates, known, width, BITS, INFINITY, SIZE)
            reached += tl.sum((number >= middle).to(tl.int32), 0)
        least = tl.where(reached >= k, middle, least)
        high = tl.where(reached >= k, high, middle - 1)
        beyond = tl.where(reached >= k, beyond, reached)
    done, equal = 0, 0
    for start in range(0, candidates, TILE):
        place, number = _candidates(bits, found, start + lane, candidates, known, width, BITS, INFINITY, SIZE)
        level = (number == least).to(tl.int32)
        chosen = (number > least) | ((level > 0) & (equal + tl.cumsum(level, 0) <= k - beyond))
        slot = done + tl.cumsum(chosen.to(tl.int32), 0) - 1
        tl.store(indices + slot, place, chosen)
        done += tl.sum(chosen.to(tl.int32), 0)
        equal += tl.sum(level, 0)


@triton.jit
def _candidates(
    bits, found, slot, candidates, known, width, BITS: tl.constexpr, INFINITY: tl.constexpr, SIZE: tl.constexpr
):  # fmt: skip
    """Places and numbers of some candidates: those of groups that were listed, or the whole row if too many were."""
    group = tl.load(found + slot // SIZE, slot < known, 0)
    place = tl.where(slot < known, group * SIZE + slot % SIZE, slot)
    return place, ordered(bits, place, (slot < candidates) & (place < width), BITS, INFINITY)
