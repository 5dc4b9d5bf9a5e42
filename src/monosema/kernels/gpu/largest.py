# Kernels are typed by Triton, when they are compiled.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false
"""The largest entries of each row of a wide matrix."""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from monosema.kernels.gpu.bits import INFINITY, bits_of, ordered

SLACK = 4
"""Rows with more than this many times `k` candidates are searched as a whole: many entries are equal."""
GROUPS = 1024, 8192
"""Fewest and most groups of a row; more than 2 k leave few candidates."""
TILE = 1024, 4096
"""Fewest and most candidates that are held at a time."""


def largest_of_rows(pre: Float[Tensor, "batch width"], k: int) -> Int[Tensor, "batch k"]:
    """Indices of the `k` largest entries of each row, in any order; ties break either way.

    Dense equivalent: `pre.topk(k).indices`; like there, what is not a number is larger than infinity.

    The k-th largest of the maxima of groups is at most the k-th largest of all. So the first kernel reads a row to find
    these maxima, which fit in registers, bisects for the bound, and reads the row again to list what reaches it, hardly
    more than k entries. The second bisects among those for the k-th largest. Radix selection without the maxima would
    count every entry into a histogram, two to four times, which takes far more instructions than a maximum.

    Limit: bytes. The matrix is read twice, from the L2 cache if it fits.
    """
    batch, width = pre.shape
    if k > width:
        raise ValueError(f"the {k} largest of {width} entries")
    bits, number = bits_of(pre), (8 * pre.element_size(), INFINITY[pre.dtype])
    listed = min(SLACK * k, width)
    found = torch.empty(batch, listed, dtype=torch.int32, device=pre.device)
    counts = torch.empty(batch, dtype=torch.int32, device=pre.device)
    indices = torch.empty(batch, k, dtype=torch.int64, device=pre.device)
    wanted = triton.next_power_of_2(2 * k)
    groups = min(max(wanted, GROUPS[0]), GROUPS[1], triton.next_power_of_2(width))
    tile = min(max(wanted, TILE[0]), TILE[1])
    with torch.cuda.device_of(pre):
        _list[(batch,)](bits, found, counts, width, k, listed, *number, groups, num_warps=_warps(groups))
        _choose[(batch,)](bits, found, counts, indices, width, k, listed, *number, tile, num_warps=_warps(tile))
    return indices


def _warps(size: int) -> int:
    """Eight entries a thread."""
    return min(max(size // 256, 1), 16)


@triton.jit
def _list(
    bits, found, counts, width, k, listed, BITS: tl.constexpr, INFINITY: tl.constexpr, GROUPS: tl.constexpr
):  # fmt: skip
    """The candidates of each row, as far as there is room, and how many there are."""
    row = tl.program_id(0).to(tl.int64)
    bits += row * width
    lane = tl.arange(0, GROUPS)
    maxima = ordered(bits, lane, lane < width, BITS, INFINITY)
    for start in range(GROUPS, width, GROUPS):
        maxima = tl.maximum(maxima, ordered(bits, start + lane, start + lane < width, BITS, INFINITY))
    zero = tl.full((), 0, maxima.dtype)
    step = zero + (1 << (BITS - 2))
    bound = tl.where(tl.sum((maxima >= 0).to(tl.int32), 0) >= k, zero, -step - step)
    for _ in range(15):  # sign and 15 bits: a lower bound need not be exact
        reached = tl.sum((maxima >= bound + step).to(tl.int32), 0)
        bound = tl.where(reached >= k, bound + step, bound)
        step = step >> 1
    count = 0
    for start in range(0, width, GROUPS):
        place = start + lane
        there = place < width
        there = there & (ordered(bits, place, there, BITS, INFINITY) >= bound)
        slot = count + tl.cumsum(there.to(tl.int32), 0) - 1
        tl.store(found + row * listed + slot, place, there & (slot < listed))
        count += tl.sum(there.to(tl.int32), 0)
    tl.store(counts + row, count)


@triton.jit
def _choose(
    bits, found, counts, indices, width, k, listed, BITS: tl.constexpr, INFINITY: tl.constexpr, TILE: tl.constexpr
):  # fmt: skip
    """The places of the entries beyond the k-th largest candidate, and of as many equal to it as are missing."""
    row = tl.program_id(0).to(tl.int64)
    bits += row * width
    found += row * listed
    indices += row * k
    counted = tl.load(counts + row)
    candidates = tl.where(counted <= listed, counted, width)
    known = tl.where(counted <= listed, counted, 0)
    lane = tl.arange(0, TILE)
    place, first = _candidates(bits, found, lane, candidates, known, BITS, INFINITY)
    zero = tl.full((), 0, first.dtype)
    step = zero + (1 << (BITS - 2))
    least, beyond, trial = -step - step, 0, zero
    for _ in range(BITS):
        reached = tl.sum((first >= trial).to(tl.int32), 0)
        for start in range(TILE, candidates, TILE):
            place, number = _candidates(bits, found, start + lane, candidates, known, BITS, INFINITY)
            reached += tl.sum((number >= trial).to(tl.int32), 0)
        least = tl.where(reached >= k, trial, least)
        beyond = tl.where(reached >= k, beyond, reached)  # the last trial that fails is least + 1
        trial = least + step
        step = step >> 1
    done, equal = 0, 0
    for start in range(0, candidates, TILE):
        place, number = _candidates(bits, found, start + lane, candidates, known, BITS, INFINITY)
        level = (number == least).to(tl.int32)
        chosen = (number > least) | ((level > 0) & (equal + tl.cumsum(level, 0) <= k - beyond))
        slot = done + tl.cumsum(chosen.to(tl.int32), 0) - 1
        tl.store(indices + slot, place, chosen)
        done += tl.sum(chosen.to(tl.int32), 0)
        equal += tl.sum(level, 0)


@triton.jit
def _candidates(bits, found, slot, candidates, known, BITS: tl.constexpr, INFINITY: tl.constexpr):
    """Places and numbers of some candidates: those that were listed, or every entry of the row if none is known."""
    there = slot < candidates
    place = tl.where(slot < known, tl.load(found + slot, slot < known, 0), slot)
    return place, ordered(bits, place, there, BITS, INFINITY)
