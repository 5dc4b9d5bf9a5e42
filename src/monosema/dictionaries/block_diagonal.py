"""A map of blocks: every group of features sees one part of the activations, such as one attention head's output."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.dictionaries.maps import maps
from monosema.kernels import (
    RaggedCodes,
    SparseCodes,
    block_decode,
    block_decode_parts,
    block_prefix_decode,
)

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
    def of(cls, blocks: int) -> "Self":
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

    def apply_prefixes(
        self, codes: SparseCodes, weight: Tensor, ends: Sequence[int]
    ) -> Float[Tensor, "batch prefixes columns"]:
        """For each end: the product of codes without the entries from there on."""
        return block_prefix_decode(codes, weight, ends)

    def apply_some(
        self, codes: Float[Tensor, "batch some"] | SparseCodes, weight: Tensor, features: Int[Tensor, " some"]
    ) -> Float[Tensor, "batch columns"]:
        """`codes @ block_diag(*weight)[features]`."""
        codes = codes.to_dense() if isinstance(codes, SparseCodes) else codes
        own = weight.shape[1]
        mine = [features // own == block for block in range(self.n)]
        rows = self.directions(weight)
        return torch.cat([codes[:, of_block] @ rows[features[of_block]] for of_block in mine], dim=1)

    def some(
        self, x: Float[Tensor, "batch rows"], weight: Tensor, bias: Tensor, features: Int[Tensor, " some"]
    ) -> Float[Tensor, "batch some"]:
        """`(x @ block_diag(*weight) + bias)[:, features]`, from those columns alone."""
        block, columns = features // weight.shape[2], self.detectors(weight)
        places = [(block == number).nonzero().squeeze(1) for number in range(self.n)]
        found = [own @ columns[features[at]].mT for own, at in zip(self.parts(x), places, strict=True)]
        return torch.cat(found, dim=1)[:, torch.cat(places).argsort()] + bias[features]

    def row_norms(self, weight: Tensor) -> Float[Tensor, " rows"]:
        """Norm of each row of the blocks."""
        return weight.norm(dim=2).flatten()

    def directions(self, weight: Tensor) -> Float[Tensor, "rows d"]:
        """The blocks below each other: each input's row, without the zeros."""
        return weight.flatten(0, 1)

    def detectors(self, weight: Tensor) -> Float[Tensor, "columns d"]:
        """The transposed blocks below each other: each output's column, without the zeros."""
        return weight.mT.flatten(0, 1)

    def parts(self, y: Float[Tensor, "batch columns"]) -> Sequence[Float[Tensor, "batch d"]]:
        """What each block sees."""
        return y.chunk(self.n, dim=1)
