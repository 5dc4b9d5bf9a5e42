"""Matching pursuit: what is left of a vector gives its codes one after the other, and none is fitted again."""

import torch
from jaxtyping import Float
from torch import Tensor


def matching_pursuit(
    x: Float[Tensor, "batch d"],
    directions: Float[Tensor, "width d"],
    *,
    rounds: int,
    residual: float = 0.0,
    stop_at_repeat: bool = True,
) -> Float[Tensor, "batch width"]:
    """Codes that are found by taking away from x, again and again, the direction that has most in common with the rest.

    A round takes the direction with the largest product with what is left, adds that product to its code if it is
    positive, and takes product times direction away. The codes are those of SAELens' `matching_pursuit`, which trains
    dictionaries with it (Costa et al. 2025, From Flat to Hierarchical). Gradients reach x and the directions through
    the codes, not through the choice. `pursue` differs: it fits the codes of all that is chosen again.

    Args:
        x: what is to be explained.
        directions: its rows; the codes shrink what is left as long as they are no longer than √2.
        rounds: most directions taken for a row.
        residual: a row is done when the norm of what is left is below this; 0 for never, in units of x.
        stop_at_repeat: a row is done, too, when a round adds no new direction.
    """
    codes = x.new_zeros(len(x), len(directions))
    rows, left = torch.arange(len(x), device=x.device), x
    for _ in range(rounds):
        if not len(rows):
            break
        with torch.no_grad():
            chosen = (left @ directions.mT).argmax(1)
            repeated = codes[rows, chosen] != 0
        taken = directions[chosen]
        values = (left * taken).sum(1).relu()
        codes.index_put_((rows, chosen), values, accumulate=True)
        left = left - values.unsqueeze(1) * taken
        done = values == 0  # nothing changes, and so nothing ever will
        if stop_at_repeat:
            done = done | repeated
        if residual > 0:
            done = done | (left.norm(dim=1) < residual)
        rows, left = rows[~done], left[~done]
    return codes
