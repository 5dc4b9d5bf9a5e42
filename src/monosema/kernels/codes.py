"""Sparse codes: what a dictionary's encoder yields, as indices and values."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monosema.kernels.entries import ByColumn, only, rows_of, tells_zeros_apart
from monosema.kernels.search import where_not_zero, where_true


class RaggedCodes(NamedTuple):
    """Codes `[batch, width]` of which each row stores as many entries as it needs; all others are zero.

    The entries of row i are those from `offsets[i]` up to `offsets[i + 1]`, at distinct columns.
    """

    offsets: Int[Tensor, " batch+1"]
    columns: Int[Tensor, " entries"]
    values: Float[Tensor, " entries"]
    width: int
    by_column: ByColumn | None = None
    """What those who have the same entries share, where anybody does."""

    def rows(self) -> Int[Tensor, " entries"]:
        """The row of each entry."""
        return rows_of(self.offsets, len(self.columns))

    def only(self, kept: Bool[Tensor, " entries"]) -> "RaggedCodes":
        """Without the other entries; gradients reach `values`."""
        return RaggedCodes(*only(where_true(kept), self.offsets, self.columns, self.values), self.width)

    def to_dense(self) -> Float[Tensor, "batch width"]:
        """The same codes with their zeros; gradients reach `values`."""
        zeros = self.values.new_zeros((len(self.offsets) - 1) * self.width)
        return zeros.scatter(0, self.rows() * self.width + self.columns, self.values).view(-1, self.width)

    def fired(self) -> Int[Tensor, " width"]:
        """How many rows each feature is active in. An entry that is stored but zero is not active."""
        if tells_zeros_apart(self.values):
            return self.columns.index_select(0, where_not_zero(self.values.detach())).bincount(minlength=self.width)
        return self.columns.new_zeros(self.width).index_add_(0, self.columns, (self.values != 0).to(self.columns.dtype))


class SparseCodes(NamedTuple):
    """Codes `[batch, width]` of which each row stores `k` entries; all others are zero.

    A row with fewer than `k` active features is filled up with distinct other indices at value 0.
    """

    indices: Int[Tensor, "batch k"]
    values: Float[Tensor, "batch k"]
    width: int
    by_column: ByColumn | None = None
    """What those who have the same entries share, where anybody does."""

    def ragged(self) -> RaggedCodes:
        """The same entries, row after row."""
        batch, k = self.indices.shape
        offsets = k * torch.arange(batch + 1, device=self.indices.device)
        return RaggedCodes(offsets, self.indices.flatten(), self.values.flatten(), self.width, self.by_column)

    def to_dense(self) -> Float[Tensor, "batch width"]:
        """The same codes with their zeros; gradients reach `values`."""
        return self.values.new_zeros(len(self.values), self.width).scatter(1, self.indices, self.values)

    def fired(self) -> Int[Tensor, " width"]:
        """How many rows each feature is active in. An entry that is stored but zero is not active."""
        return self.ragged().fired()


def to_sparse(codes: Float[Tensor, "batch width"]) -> SparseCodes:
    """Dense codes as indices and values, with as many entries a row as the fullest row needs (at least one)."""
    k = max(int((codes != 0).sum(1).max()), 1) if len(codes) else 1
    indices = codes.detach().abs().topk(k, dim=1, sorted=False).indices
    return SparseCodes(indices, codes.gather(1, indices), codes.shape[1])


def nonzero(codes: Float[Tensor, "batch width"]) -> RaggedCodes:
    """The entries of dense codes that are not zero, row after row; no gradients reach them."""
    codes = codes.detach()
    places, width = where_not_zero(codes.flatten()), codes.shape[1]
    offsets = torch.searchsorted(places, width * torch.arange(len(codes) + 1, device=codes.device))
    return RaggedCodes(offsets, places % width, codes.flatten().index_select(0, places), width)
