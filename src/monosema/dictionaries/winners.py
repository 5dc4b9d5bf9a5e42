"""The largest entries of a batch whose rows and features lie on several ranks."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monosema.kernels import RaggedCodes
from monosema.kernels.encode import enough_entries
from monosema.ranks import Group

HALF = 2**16


def largest_of_all(above: Callable[[Tensor], RaggedCodes], wanted: int, guess: float, ranks: Group) -> RaggedCodes:
    """The `wanted` largest of everybody's entries above zero, of each process its own; ties break either way.

    Args:
        above: this process's entries above a bound.
        wanted: how many entries to keep in all.
        guess: about the smallest entry that will be kept.
        ranks: everybody.
    """

    def look(bound: float) -> tuple[RaggedCodes, int]:
        codes = above(torch.tensor(bound))
        return codes, ranks.total(len(codes.values))

    codes, count = enough_entries(look, wanted, guess)
    return codes if count <= wanted else codes.only(among_largest(codes.values.detach(), wanted, ranks))


def among_largest(values: Float[Tensor, " own"], wanted: int, ranks: Group) -> Bool[Tensor, " own"]:
    """Which of these positive numbers are among the `wanted` largest of everybody's; there are as many at least.

    Positive floats are in the order of their bits. Two histograms, of the upper halves and of the lower halves of those
    whose upper half is the smallest kept, find the smallest that is kept; of its equals the first ranks keep theirs.
    """
    bits = values.float().view(torch.int32).long()
    upper, missing = _smallest_kept(bits // HALF, wanted, ranks)
    inside = bits[bits // HALF == upper] % HALF
    lower, missing = _smallest_kept(inside, missing, ranks)
    smallest = upper * HALF + lower
    equal = (bits == smallest).nonzero()[:, 0]
    counts = ranks.gather(torch.tensor([len(equal)]))
    own = max(missing - int(counts[: ranks.rank].sum()), 0)
    kept = bits > smallest
    kept[equal[:own]] = True
    return kept


def _smallest_kept(numbers: Int[Tensor, " own"], wanted: int, ranks: Group) -> tuple[int, int]:
    """The smallest of everybody's `wanted` largest whole numbers below 2^16, and how many times it is kept."""
    counts = torch.bincount(numbers, minlength=HALF)
    ranks.sum_([counts])
    from_above = counts.flip(0).cumsum(0)
    place = int((from_above < wanted).sum())
    return HALF - 1 - place, wanted - int(from_above[place] - counts[HALF - 1 - place])
