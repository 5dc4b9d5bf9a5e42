"""Where the large entries of a matrix are, without sorting it.

On a CPU, numbers above zero are compared as the integers that have the same bits: these are in the same order, and
several times as fast, above all in bfloat16. NumPy partitions, and finds what is true, because PyTorch is slow at it.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monosema.kernels.backend import triton_kernels

GROUP = 16
"""Entries whose maximum stands for them in the search for a bound."""
SLACK = 4
"""Rows with more than this many times `k` candidates are searched by PyTorch: many entries are equal."""
FEW = 1 / 12
"""Share of groups with large entries up to which looking into these groups is faster than looking everywhere."""


def largest_of_rows(pre: Float[Tensor, "batch width"], k: int) -> Int[Tensor, "batch k"]:
    """Indices of the `k` largest entries of each row, in any order; ties break either way.

    The k-th largest of any part of the entries is at most the k-th largest of all. The maxima of groups are such a
    part: what lies below their k-th largest is out, which leaves hardly more than k entries a row.
    """
    if kernels := triton_kernels(pre):
        return kernels.largest_of_rows(pre, k)
    batch, width = pre.shape
    groups = width // GROUP
    if pre.device.type != "cpu" or k > groups or batch == 0:
        return pre.topk(k, dim=1, sorted=False).indices
    numbers = ordered(pre)
    maxima = _maxima(numbers)
    bound = torch.from_numpy(np.partition(maxima.numpy(), groups - k, axis=1)[:, groups - k, None]).clamp(min=1)
    places = _at_least(bound, numbers, maxima)
    counts = (places // width).bincount(minlength=batch)
    odd = (counts < k) | (counts > SLACK * k)  # few are above zero, or many are equal
    if odd.any():
        indices = counts.new_empty(batch, k)
        indices[odd] = pre[odd].topk(k, dim=1, sorted=False).indices
        indices[~odd] = largest_of_rows(pre[~odd], k)
        return indices
    padded = _rectangle(places % width, counts)
    values = pre.gather(1, padded.clamp(min=0)).masked_fill_(padded < 0, -torch.inf)
    return padded.gather(1, values.topk(k, dim=1, sorted=False).indices)


def largest(flat: Float[Tensor, " all"], n: int) -> Int[Tensor, " kept"]:
    """Indices of the `n` largest entries that are above zero (or all these, if there are fewer), in any order."""
    if flat.device.type != "cpu" or n >= len(flat) // GROUP:
        left = where_true(flat > 0)
    else:
        numbers = ordered(flat)[None]
        maxima, place = _maxima(numbers), len(flat) // GROUP - n
        bound = torch.from_numpy(np.partition(maxima.numpy(), place, axis=1)[:, place, None]).clamp(min=1)
        left = _at_least(bound, numbers, maxima)
    return left if len(left) <= n else left[flat[left].topk(n, sorted=False).indices]


def entries_above_zero(
    pre: Float[Tensor, "batch width"],
) -> tuple[Int[Tensor, " batch"], Int[Tensor, " found"], Float[Tensor, " found"]]:
    """How many entries of each row are above zero; their columns and values, row after row, in any order within one."""
    if kernels := triton_kernels(pre):
        return kernels.above_zero(pre)
    batch, width = pre.shape
    places = above_zero(pre)
    return (places // width).bincount(minlength=batch), places % width, pre.flatten()[places]


def above_zero(pre: Float[Tensor, "batch width"]) -> Int[Tensor, " found"]:
    """Places in the flattened matrix of the entries above zero; row after row, those of a row in any order."""
    if pre.device.type != "cpu" or pre.shape[1] < GROUP:
        return where_true(pre > 0)
    numbers = ordered(pre)
    return _at_least(torch.ones(len(pre), 1, dtype=numbers.dtype), numbers, _maxima(numbers))


def where_true(mask: Bool[Tensor, "*any"]) -> Int[Tensor, " true"]:
    """Places of the true entries in the flattened mask; on a CPU NumPy finds them several times as fast."""
    if mask.device.type != "cpu":
        return mask.flatten().nonzero().squeeze(1)
    return torch.from_numpy(np.flatnonzero(mask.numpy()))


def ordered(numbers: Float[Tensor, "*any"]) -> Int[Tensor, "*any"]:
    """Their bits, as integers: above zero in the order of the numbers, at most zero where the numbers are."""
    return numbers.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[numbers.element_size()])


def _maxima(numbers: Int[Tensor, "batch width"]) -> Int[Tensor, "batch groups"]:
    """Of groups of entries that lie far apart: each step is one of whole rows of numbers, and vectorised."""
    batch, groups = len(numbers), numbers.shape[1] // GROUP
    return numbers[:, : groups * GROUP].reshape(batch, GROUP, groups).amax(1)


def _at_least(
    bound: Int[Tensor, "batch 1"], numbers: Int[Tensor, "batch width"], maxima: Int[Tensor, "batch groups"]
) -> Int[Tensor, " found"]:
    """Places of the entries that reach their row's bound; only a group whose maximum does has such members."""
    (batch, width), groups = numbers.shape, maxima.shape[1]
    found = where_true(maxima >= bound)
    if len(found) > FEW * maxima.numel():
        return where_true(numbers >= bound)
    rows = found // groups
    members = (rows * width + found % groups)[:, None] + groups * torch.arange(GROUP)
    places = members[numbers.flatten()[members] >= bound[rows]]
    if groups * GROUP == width:
        return places
    rest = torch.arange(groups * GROUP, width) + width * torch.arange(batch)[:, None]
    return torch.cat([places, rest[numbers[:, groups * GROUP :] >= bound]]).sort().values


def _rectangle(entries: Int[Tensor, " all"], counts: Int[Tensor, " rows"]) -> Int[Tensor, "rows longest"]:
    """Rows of various lengths, given end to end, filled up with −1."""
    padded = entries.new_full((len(counts), int(counts.max())), -1)
    places = torch.arange(len(entries)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    rows = torch.arange(len(counts)).repeat_interleave(counts)
    padded[rows, places] = entries
    return padded
