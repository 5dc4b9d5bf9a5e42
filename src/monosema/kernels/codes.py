"""Sparse codes: what a dictionary's encoder yields, as indices and values."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class SparseCodes(NamedTuple):
    """Codes `[batch, width]` of which each row stores `k` entries; all others are zero.

    A row with fewer than `k` active features is filled up with distinct other indices at value 0.
    """

    indices: Int[Tensor, "batch k"]
    values: Float[Tensor, "batch k"]
    width: int

    def to_dense(self) -> Float[Tensor, "batch width"]:
        """The same codes with their zeros; gradients reach `values`."""
        return self.values.new_zeros(len(self.values), self.width).scatter(1, self.indices, self.values)

    def fired(self) -> Int[Tensor, " width"]:
        """How many rows each feature is active in. An entry that is stored but zero is not active."""
        counts = torch.zeros(self.width, dtype=torch.long, device=self.values.device)
        return counts.scatter_add_(0, self.indices.flatten(), (self.values != 0).flatten().long())


def to_sparse(codes: Float[Tensor, "batch width"]) -> SparseCodes:
    """Dense codes as indices and values, with as many entries a row as the fullest row needs (at least one)."""
    k = max(int((codes != 0).sum(1).max()), 1) if len(codes) else 1
    indices = codes.detach().abs().topk(k, dim=1, sorted=False).indices
    return SparseCodes(indices, codes.gather(1, indices), codes.shape[1])
