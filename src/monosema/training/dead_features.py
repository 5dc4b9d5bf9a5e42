"""Which features have fallen silent, and for how long."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


class DeadFeatures:
    """Counts, for each feature, the tokens since it was last active."""

    def __init__(self, width: int, device: torch.device | str = "cpu"):
        self.silent: Int[Tensor, " width"] = torch.zeros(width, dtype=torch.long, device=device)

    def update(self, fired: Int[Tensor, " width"], tokens: int) -> None:
        """Takes note of a batch of `tokens` in which each feature was active `fired` times."""
        self.silent += tokens
        self.silent.masked_fill_(fired > 0, 0)

    def mask(self, window: int) -> Bool[Tensor, " width"]:
        """Features that were silent for `window` tokens or more."""
        return self.silent >= window
