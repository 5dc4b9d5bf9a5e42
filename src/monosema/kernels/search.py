"""Where the large entries of a matrix are, without sorting it.

On a CPU, numbers above zero are compared as the integers that have the same bits: these are in the same order, and
several times as fast, above all in bfloat16. NumPy compares, partitions, and finds what is true, because PyTorch is
slow at it.
"""

from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monosema.kernels.backend import triton_kernels

GROUP = 16
"""Entries whose maximum stands for them in the search for a bound."""
FAN = 4
"""Entries whose maximum stands for them in the search for the largest of each row, from level to level."""
LONG = 64
"""Entries of a row, on average, from which on each row is worth some calls of its own."""
ENOUGH = 8
"""A level with fewer than this many times `k` entries in a row is searched as a whole."""
GPU_NARROW = 2048
"""Rows of a GPU with fewer entries go to PyTorch. Among them are those of dead features, whose number changes all the
time: a kernel of ours is compiled for each power of two that it passes."""


def largest_of_rows(pre: Float[Tensor, "batch width"], k: int) -> Int[Tensor, "batch k"]:
    """Indices of the `k` largest entries of each row, in any order; ties break either way.

    The `k` largest entries lie in the `k` groups with the largest maxima. So do these groups themselves, if groups of
    groups are formed: a search looks at few entries of each level, the same number in each row.
    """
    if pre.shape[1] >= GPU_NARROW and (kernels := triton_kernels(pre)):
        return kernels.largest_of_rows(pre, k)
    if pre.device.type != "cpu" or pre.element_size() > 4 or not 0 < k <= pre.shape[1]:
        return pre.topk(k, dim=1, sorted=False).indices
    levels = [ordered(pre)]
    while levels[-1].shape[1] >= FAN * ENOUGH * k:
        levels.append(_maxima(levels[-1], FAN))
    top = levels.pop()
    groups = top.shape[1]
    chosen = _best(top, torch.arange(groups, dtype=torch.int32).expand(top.shape), groups, k)
    for level in reversed(levels):
        places = _members(chosen, level.shape[1], groups)
        groups = level.shape[1]
        chosen = _best(_at(level, places), places, groups, k)
    indices = chosen.long()
    # Integers do not tell which of what is below zero is larger.
    short = (pre.gather(1, indices[:, :1]) <= 0).squeeze(1)
    if short.any():
        indices[short] = pre[short].topk(k, dim=1, sorted=False).indices
    return indices


def largest(flat: Float[Tensor, " all"], n: int) -> Int[Tensor, " kept"]:
    """Indices of the `n` largest entries that are above zero (or all these, if there are fewer), in any order."""
    if flat.device.type != "cpu" or n >= len(flat) // GROUP:
        left = where_true(flat > 0)
    else:
        numbers, place = ordered(flat), len(flat) // GROUP - n
        # The n-th largest of any part of the entries, such as the maxima of groups, is at most the n-th largest of all.
        bound = np.partition(_maxima(numbers[None], GROUP).numpy(), place, axis=1)[0, place]
        left = _above(numbers, max(int(bound), 1) - 1)
    return left if len(left) <= n else left[flat[left].topk(n, sorted=False).indices]


def entries_above_zero(
    pre: Float[Tensor, "batch width"],
) -> tuple[Int[Tensor, " batch"], Int[Tensor, " found"], Float[Tensor, " found"]]:
    """How many entries of each row are above zero; their columns and values, row after row, in any order within one."""
    if kernels := triton_kernels(pre):
        return kernels.above_zero(pre)
    places, first = above_zero(pre), pre.shape[1] * torch.arange(len(pre) + 1, device=pre.device)
    offsets = torch.searchsorted(places, first)
    if pre.device.type == "cpu" and len(places) >= LONG * len(pre):
        return offsets.diff(), *_row_by_row(pre, places, offsets)
    columns = places - first[:-1].repeat_interleave(offsets.diff(), output_size=len(places))
    return offsets.diff(), columns, pre.flatten().index_select(0, places)


def _row_by_row(
    pre: Float[Tensor, "batch width"], places: Int[Tensor, " found"], offsets: Int[Tensor, " batch+1"]
) -> tuple[Int[Tensor, " found"], Float[Tensor, " found"]]:
    """Columns, which overwrite the places, and values: a row stays in the L1 cache while NumPy takes its entries."""
    values = pre.new_empty(len(places))
    columns, rows, found = places.numpy(), ordered(pre).numpy(), ordered(values).numpy()
    for number, (row, (start, end)) in enumerate(zip(rows, pairwise(offsets.tolist()), strict=True)):
        own = columns[start:end]
        own -= number * len(row)
        found[start:end] = row[own]
    return places, values


def above_zero(pre: Float[Tensor, "batch width"]) -> Int[Tensor, " found"]:
    """Places in the flattened matrix of the entries above zero; they rise."""
    return _above(ordered(pre), 0) if pre.device.type == "cpu" else where_true(pre > 0)


def where_true(mask: Bool[Tensor, "*any"]) -> Int[Tensor, " true"]:
    """Places of the true entries in the flattened mask; on a CPU NumPy finds them several times as fast."""
    if mask.device.type != "cpu":
        return mask.flatten().nonzero().squeeze(1)
    return torch.from_numpy(np.flatnonzero(mask.numpy()))


def where_not_zero(numbers: Float[Tensor, " all"]) -> Int[Tensor, " others"]:
    """Places of the entries that are not zero; on a CPU NumPy compares, and of 16 bits all but the sign."""
    if numbers.device.type != "cpu":
        return where_true(numbers != 0)
    if numbers.element_size() == 2:
        return torch.from_numpy(np.flatnonzero(ordered(numbers).numpy() << 1 != 0))  # of truth values it is fast
    return torch.from_numpy(np.flatnonzero(numbers.numpy() != 0))


def ordered(numbers: Float[Tensor, "*any"]) -> Int[Tensor, "*any"]:
    """Their bits, as integers: above zero in the order of the numbers, at most zero where the numbers are."""
    return numbers.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[numbers.element_size()])


def _maxima(numbers: Int[Tensor, "batch width"], size: int) -> Int[Tensor, "batch groups"]:
    """Of groups of entries that lie far apart: each step is one of whole rows of numbers, and vectorised."""
    groups = numbers.shape[1] // size
    return numbers[:, : groups * size].unflatten(1, (size, groups)).amax(1)


def _members(chosen: Int[Tensor, "batch k"], width: int, groups: int) -> Int[Tensor, "batch candidates"]:
    """The entries of the chosen groups, and the last ones of a row, which are in no group."""
    inside = (chosen[:, None] + groups * torch.arange(FAN, dtype=torch.int32)[:, None]).flatten(1)
    rest = torch.arange(groups * FAN, width, dtype=torch.int32)
    return torch.cat([inside, rest.expand(len(chosen), -1)], dim=1) if len(rest) else inside


def _at(numbers: Int[Tensor, "batch width"], places: Int[Tensor, "batch some"]) -> Int[Tensor, "batch some"]:
    """`numbers.gather(1, places)`, which is slower, and wants long integers."""
    first = numbers.shape[1] * torch.arange(len(numbers), dtype=torch.int32 if numbers.numel() < 2**31 else torch.long)
    return numbers.flatten().index_select(0, (places + first[:, None]).flatten()).view(places.shape)


def _best(
    numbers: Int[Tensor, "batch some"], places: Int[Tensor, "batch some"], width: int, k: int
) -> Int[Tensor, "batch k"]:
    """Those of the places, all below `width`, that have the `k` largest numbers; the smallest of these comes first.

    Number and place are one integer, the number above the place, so that a partition of these brings the places along.
    """
    narrow = numbers.element_size() == 2 and width <= 2**16
    size = 16 if narrow else 32
    keys = torch.add(places if narrow else places.long(), numbers, alpha=2**size)
    keys.numpy().partition(keys.shape[1] - k, axis=1)
    return keys[:, keys.shape[1] - k :].bitwise_and(2**size - 1).int()


def _above(numbers: Int[Tensor, "*any"], bound: int) -> Int[Tensor, " found"]:
    """Places in the flattened tensor of the numbers above a bound; NumPy compares several times as fast as PyTorch."""
    return torch.from_numpy(np.flatnonzero(numbers.numpy() > bound))
