"""How a dictionary's weights act: the shape of an encoder or decoder matrix, and the products with it.

A map holds no tensors; the dictionary does, under the field's own names (`W_enc`, `W_dec`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from monosema.kernels import (
    RaggedCodes,
    SparseCodes,
    decode_parts,
    is_dense,
    prefix_errors,
    sparse_decode,
)
from monosema.kernels.rows import normalise_rows_, project_rows_, turned
from monosema.registry import Registry

if TYPE_CHECKING:
    from typing_extensions import Self


class Map(Protocol):
    """A linear map between activations and features, with the weight it needs."""

    @classmethod
    def of(cls, blocks: int, sizes: Sequence[int]) -> "Self":
        """The map of a dictionary with so many blocks, on a side with hook points of these sizes."""
        ...

    def shape(self, rows: int, columns: int) -> tuple[int, ...]:
        """Shape of the weight that maps `rows` inputs to `columns` outputs."""
        ...

    def apply(
        self, x: Float[Tensor, "*batch rows"], weight: Tensor, bias: Float[Tensor, " columns"] | None = None
    ) -> Float[Tensor, "*batch columns"]:
        """The product with dense rows, plus the bias."""
        ...

    def apply_sparse(self, codes: SparseCodes | RaggedCodes, weight: Tensor) -> Float[Tensor, "batch columns"]:
        """The product with sparse codes."""
        ...

    def apply_parts(self, codes: RaggedCodes, weight: Tensor, ends: Sequence[int]) -> tuple[Tensor, ...]:
        """The product with the features before `ends[0]` alone, with those from there up to `ends[1]`, and so on."""
        ...

    def some(self, x: Float[Tensor, "batch rows"], weight: Tensor, bias: Tensor, features: Tensor) -> Tensor:
        """The columns of `apply(x, weight, bias)` that belong to some features."""
        ...

    def prefix_errors(
        self, codes: SparseCodes, weight: Tensor, target: Float[Tensor, "batch columns"], ends: Sequence[int]
    ) -> Float[Tensor, " prefixes"]:
        """The squared distance from a target, summed over the batch, of the product with the first `ends[0]` stored
        entries of each row, with the first `ends[1]`, and so on."""
        ...

    def apply_some(
        self, codes: Float[Tensor, "batch some"] | SparseCodes, weight: Tensor, features: Tensor
    ) -> Float[Tensor, "batch columns"]:
        """The product with the codes of some features, column i of the codes those of `features[i]`."""
        ...

    def row_norms(self, weight: Tensor) -> Float[Tensor, " rows"]:
        """The norm of each input's row: of a decoder, of each feature's direction."""
        ...

    def site_norms(self, weight: Tensor) -> Float[Tensor, "rows sites"]:
        """The norm of each row in each hook point of the output."""
        ...

    def normalise_(self, weight: Tensor) -> None:
        """Divides each row by its norm, in place."""
        ...

    def scale_columns_(self, weight: Tensor, factors: Float[Tensor, " columns"]) -> None:
        """Multiplies each column by a factor, in place."""
        ...

    def turn_(self, weight: Tensor, axes: Float[Tensor, "*blocks d d"]) -> None:
        """Multiplies a weight, whose columns are coordinates, by a matrix or by one for each block of coordinates."""
        ...

    def project_(self, grad: Tensor, weight: Tensor) -> None:
        """Removes from a gradient, in place, what would change the norms of a weight's rows, which are one."""
        ...

    def unit(
        self, vectors: Float[Tensor, "some d"], features: Int[Tensor, " some"], width: int
    ) -> Float[Tensor, "some d"]:
        """Vectors as directions of some of `width` features: zero where these do not reach, and of norm one."""
        ...

    def set_rows_(self, weight: Tensor, features: Int[Tensor, " some"], rows: Shaped[Tensor, "some d"]) -> None:
        """Gives some features of a decoder new rows, in place."""
        ...

    def set_columns_(self, weight: Tensor, features: Int[Tensor, " some"], columns: Shaped[Tensor, "some d"]) -> None:
        """Gives some features of an encoder new columns, in place."""
        ...

    def parts(self, y: Float[Tensor, "batch columns"]) -> Sequence[Float[Tensor, "batch d"]]:
        """The output (or input) as groups of features know it, equally many features in each."""
        ...


maps: Registry[type[Map]] = Registry("map")


@maps.register("dense")
@dataclass(frozen=True)
class Dense:
    """Every input is connected to every output: one matrix `[rows, columns]`."""

    @classmethod
    def of(cls, blocks: int, sizes: Sequence[int]) -> "Self":
        """The map."""
        return cls()

    def shape(self, rows: int, columns: int) -> tuple[int, ...]:
        """`(rows, columns)`."""
        return (rows, columns)

    def apply(
        self, x: Float[Tensor, "*batch rows"], weight: Tensor, bias: Float[Tensor, " columns"] | None = None
    ) -> Float[Tensor, "*batch columns"]:
        """`x @ weight + bias`."""
        return F.linear(x, weight.mT, bias)

    def apply_sparse(self, codes: SparseCodes | RaggedCodes, weight: Tensor) -> Float[Tensor, "batch columns"]:
        """`codes.to_dense() @ weight`, over the active rows alone."""
        return sparse_decode(codes, weight)

    def apply_parts(self, codes: RaggedCodes, weight: Tensor, ends: Sequence[int]) -> tuple[Tensor, ...]:
        """For each part from `start` to `end`: `codes.to_dense()[:, start:end] @ weight[start:end]`."""
        return decode_parts(codes, weight, ends)

    def some(self, x: Float[Tensor, "batch rows"], weight: Tensor, bias: Tensor, features: Tensor) -> Tensor:
        """`(x @ weight + bias)[:, features]`, from those columns alone."""
        return F.linear(x, weight.mT.index_select(0, features), bias.index_select(0, features))

    def prefix_errors(
        self, codes: SparseCodes, weight: Tensor, target: Float[Tensor, "batch columns"], ends: Sequence[int]
    ) -> Float[Tensor, " prefixes"]:
        """For each end: the squared distance from the target without the entries from there on."""
        return prefix_errors(codes, weight, target, ends)

    def apply_some(
        self, codes: Float[Tensor, "batch some"] | SparseCodes, weight: Tensor, features: Tensor
    ) -> Float[Tensor, "batch columns"]:
        """`codes @ weight[features]`, of sparse codes as a dense product where they are dense enough."""
        rows = weight.index_select(0, features)
        if isinstance(codes, SparseCodes):
            if not is_dense(codes, rows):
                return sparse_decode(codes, rows)
            codes = codes.to_dense()
        return codes @ rows

    def row_norms(self, weight: Tensor) -> Float[Tensor, " rows"]:
        """Norm of each row of the matrix."""
        return weight.norm(dim=1)

    def site_norms(self, weight: Tensor) -> Float[Tensor, "rows 1"]:
        """The norm of each row, which is that in the only hook point."""
        return self.row_norms(weight)[:, None]

    def normalise_(self, weight: Tensor) -> None:
        """Divides each row by its norm, in place."""
        normalise_rows_(weight)

    def scale_columns_(self, weight: Tensor, factors: Float[Tensor, " columns"]) -> None:
        """`weight *= factors`."""
        weight.mul_(factors)

    def turn_(self, weight: Tensor, axes: Float[Tensor, "*blocks d d"]) -> None:
        """`weight = weight @ axes`, in place."""
        weight.copy_(turned(weight, axes))

    def project_(self, grad: Tensor, weight: Tensor) -> None:
        """Removes from a gradient, in place, its part along each row."""
        project_rows_(grad, weight)

    def unit(
        self, vectors: Float[Tensor, "some d"], features: Int[Tensor, " some"], width: int
    ) -> Float[Tensor, "some d"]:
        """The vectors, divided by their norms."""
        return F.normalize(vectors)

    def set_rows_(self, weight: Tensor, features: Int[Tensor, " some"], rows: Shaped[Tensor, "some d"]) -> None:
        """`weight[features] = rows`."""
        weight[features] = rows

    def set_columns_(self, weight: Tensor, features: Int[Tensor, " some"], columns: Shaped[Tensor, "some d"]) -> None:
        """`weight[:, features] = columns.mT`."""
        weight.mT[features] = columns

    def parts(self, y: Float[Tensor, "batch columns"]) -> Sequence[Float[Tensor, "batch columns"]]:
        """All of it."""
        return (y,)
