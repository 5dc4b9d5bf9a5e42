"""Features that fire only where their parents do."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from monosema.synthetic.config import Hierarchy


def levels(hierarchy: Hierarchy) -> Iterator[tuple[slice, slice]]:
    """The parents of each level and their children, from the roots down; a parent's children lie side by side."""
    first, count = 0, hierarchy.trees
    for _ in range(hierarchy.depth):
        next_count = count * hierarchy.branching
        yield slice(first, first + count), slice(first + count, first + count + next_count)
        first, count = first + count, next_count


class Trees:
    """Draws which children fire, given the parents that do.

    Exclusive children share out the parent's chance like a roulette wheel; others are drawn one by one. Given its
    parent, a child depends on nothing else: what correlates with a parent correlates with its children, but less.
    """

    def __init__(self, hierarchy: Hierarchy, probabilities: Float[Tensor, "features"], device: torch.device):
        self.hierarchy = hierarchy
        self.levels = list(levels(hierarchy))
        chances = torch.cat(
            [
                probabilities[children].view(-1, hierarchy.branching) / probabilities[parents].unsqueeze(1)
                for parents, children in self.levels
            ]
        )
        upper = chances.cumsum(1) if hierarchy.exclusive else chances
        lower = F.pad(upper, (1, 0))[:, :-1] if hierarchy.exclusive else torch.zeros_like(upper)
        self._upper, self._lower = upper.to(device, torch.float32), lower.to(device, torch.float32)

    def children(
        self, parents: Int[Tensor, "parents"], level: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, "children"], Int[Tensor, "children"]]:
        """The children that fire where parents of one level do: for each, the place of its parent, and its number."""
        above, below = self.levels[level]
        branching = self.hierarchy.branching
        draws = 1 if self.hierarchy.exclusive else branching
        luck = torch.rand(len(parents), draws, generator=generator, device=parents.device)
        fires = (luck >= self._lower[parents]) & (luck < self._upper[parents])
        places, which = fires.nonzero(as_tuple=True)
        return places, below.start + (parents[places] - above.start) * branching + which
