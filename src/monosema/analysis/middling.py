"""Which features to look at first."""

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.errors import InputError


def middling_features(density: Float[Tensor, "width"], n: int = 5, seed: int = 0) -> list[int]:
    """`n` features of middling density, in ascending order: a fair sample of what a dictionary has learned.

    They are drawn at random from the middle fifth of the live features by density (or as much more as it takes to have
    `n`). Where fewer than `n` are alive, all of these are given.

    Args:
        density: fraction of tokens on which each feature fires.
        n: how many.
        seed: of the draw.

    Raises:
        InputError: `n` is below 1, or no feature is alive.
    """
    live = density.nonzero().flatten()
    if n < 1 or not len(live):
        raise InputError(f"{n} features out of {len(live)} live ones", expected="at least one of each")
    ranked = live[density[live].sort(stable=True).indices]
    size = min(max(len(ranked) // 5, n), len(ranked))
    first = (len(ranked) - size) // 2
    middle = ranked[first : first + size].cpu()
    chosen = torch.randperm(size, generator=torch.Generator().manual_seed(seed))[:n]
    return sorted(middle[chosen].tolist())
