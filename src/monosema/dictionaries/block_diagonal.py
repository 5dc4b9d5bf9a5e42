"""A map of blocks: every group of features sees one part of the activations, such as one attention head's output."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from monosema.dictionaries.maps import maps
from monosema.kernels import (
    RaggedCodes,
    SparseCodes,
    block_decode,
    block_decode_parts,
    block_prefix_decode,
)
from monosema.kernels.rows import normalise_rows_, project_rows_

if TYPE_CHECKING:
    from typing_extensions import Self


@maps.register("block_diagonal")
@dataclass(frozen=True)
class BlockDiagonal:
    """`n` blocks along the diagonal, stored as `[n, rows / n, columns / n]`: the zeros beside them are nowhere.

    Output j belongs to block j // (columns / n), and so does input i to block i // (rows / n). All equations below are
    those of the dense map with the matrix `block_diag(*weight)`.
    """

    n: int

    @classmethod
    def of(cls, blocks: int, sizes: Sequence[int]) -> "Self":
        """The map of so many blocks."""
        return cls(blocks)

    def shape(self, rows: int, columns: int) -> tuple[int, ...]:
        """`(n, rows / n, columns / n)`."""
        return (self.n, rows // self.n, columns // self.n)

    def apply(
        self, x: Float[Tensor, "*batch rows"], weight: Tensor, bias: Float[Tensor, " columns"] | None = None
    ) -> Float[Tensor, "*batch columns"]:
        """`x @ block_diag(*weight) + bias`."""
        rows = x.reshape(-1, self.n, weight.shape[1]).transpose(0, 1)
        out = torch.bmm(rows, weight).transpose(0, 1).reshape(*x.shape[:-1], -1)
        return out if bias is None else out + bias.to(out.dtype)

    def apply_sparse(self, codes: SparseCodes | RaggedCodes, weight: Tensor) -> Float[Tensor, "batch columns"]:
        """`codes.to_dense() @ block_diag(*weight)`, over the active rows alone."""
        return block_decode(codes, weight)

    def apply_parts(self, codes: RaggedCodes, weight: Tensor, ends: Sequence[int]) -> tuple[Tensor, ...]:
        """As for the dense map, but a prefix has the first features of every block, which would else have none."""
        return block_decode_parts(codes, weight, ends)

    def prefix_errors(
        self, codes: SparseCodes, weight: Tensor, target: Float[Tensor, "batch columns"], ends: Sequence[int]
    ) -> Float[Tensor, " prefixes"]:
        """For each end: the squared distance from the target without the entries from there on."""
        return (target[:, None] - block_prefix_decode(codes, weight, ends)).square().sum((0, 2))

    def apply_some(
        self, codes: Float[Tensor, "batch some"] | SparseCodes, weight: Tensor, features: Int[Tensor, " some"]
    ) -> Float[Tensor, "batch columns"]:
        """`codes @ block_diag(*weight)[features]`."""
        codes = codes.to_dense() if isinstance(codes, SparseCodes) else codes
        own = weight.shape[1]
        mine = [features // own == block for block in range(self.n)]
        rows = weight.flatten(0, 1)
        return torch.cat([codes[:, of_block] @ rows[features[of_block]] for of_block in mine], dim=1)

    def some(
        self, x: Float[Tensor, "batch rows"], weight: Tensor, bias: Tensor, features: Int[Tensor, " some"]
    ) -> Float[Tensor, "batch some"]:
        """`(x @ block_diag(*weight) + bias)[:, features]`, from those columns alone."""
        block, columns = features // weight.shape[2], weight.mT.flatten(0, 1)
        places = [(block == number).nonzero().squeeze(1) for number in range(self.n)]
        found = [own @ columns[features[at]].mT for own, at in zip(self.parts(x), places, strict=True)]
        return torch.cat(found, dim=1)[:, torch.cat(places).argsort()] + bias[features]

    def row_norms(self, weight: Tensor) -> Float[Tensor, " rows"]:
        """Norm of each row of the blocks."""
        return weight.norm(dim=2).flatten()

    def site_norms(self, weight: Tensor) -> Float[Tensor, "rows 1"]:
        """The norm of each row, which is that in the only hook point."""
        return self.row_norms(weight)[:, None]

    def normalise_(self, weight: Tensor) -> None:
        """Divides each row by its norm, in place."""
        normalise_rows_(weight)

    def scale_columns_(self, weight: Tensor, factors: Float[Tensor, " columns"]) -> None:
        """`block_diag(*weight) *= factors`."""
        weight.mul_(factors.view(self.n, 1, -1))

    def turn_(self, weight: Tensor, axes: Float[Tensor, "n d d"]) -> None:
        """`block_diag(*weight) @ block_diag(*axes)`, in place."""
        weight.copy_(weight @ axes)

    def project_(self, grad: Tensor, weight: Tensor) -> None:
        """Removes from a gradient, in place, its part along each row."""
        project_rows_(grad, weight)

    def unit(
        self, vectors: Float[Tensor, "some d"], features: Int[Tensor, " some"], width: int
    ) -> Float[Tensor, "some d"]:
        """The vectors within their features' blocks, divided by their norms."""
        inside = F.one_hot(self._block(features, width), self.n).to(vectors.dtype)
        return F.normalize((vectors.unflatten(1, (self.n, -1)) * inside[..., None]).flatten(1))

    def set_rows_(self, weight: Tensor, features: Int[Tensor, " some"], rows: Shaped[Tensor, "some d"]) -> None:
        """`block_diag(*weight)[features] = rows`, within their blocks."""
        weight.flatten(0, 1)[features] = self._own(rows, features, self.n * weight.shape[1])

    def set_columns_(self, weight: Tensor, features: Int[Tensor, " some"], columns: Shaped[Tensor, "some d"]) -> None:
        """`block_diag(*weight)[:, features] = columns.mT`, within their blocks."""
        weight.mT.flatten(0, 1)[features] = self._own(columns, features, self.n * weight.shape[2])

    def parts(self, y: Float[Tensor, "batch columns"]) -> Sequence[Float[Tensor, "batch d"]]:
        """What each block sees."""
        return y.chunk(self.n, dim=1)

    def _block(self, features: Int[Tensor, " some"], width: int) -> Int[Tensor, " some"]:
        return features // (width // self.n)

    def _own(
        self, vectors: Shaped[Tensor, "some d"], features: Int[Tensor, " some"], width: int
    ) -> Shaped[Tensor, "some d_of_block"]:
        places = torch.arange(len(features), device=features.device)
        return vectors.unflatten(1, (self.n, -1))[places, self._block(features, width)]
