"""How a dictionary's weights act: the shape of an encoder or decoder matrix, and the products with it.

A map holds no tensors; the dictionary does, under the field's own names (`W_enc`, `W_dec`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from monosema.kernels import (
    RaggedCodes,
    SparseCodes,
    decode_parts,
    encode_above,
    encode_batch_topk,
    encode_topk,
    is_dense,
    sparse_decode,
)
from monosema.registry import Registry


class Map(Protocol):
    """A linear map between activations and features, with the weight it needs."""

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

    def largest(
        self, x: Float[Tensor, "batch rows"], weight: Tensor, bias: Tensor, k: int, shift: Tensor | None
    ) -> SparseCodes:
        """The `k` largest of `relu(apply(x − shift, weight, bias))` in each row."""
        ...

    def above(
        self, x: Float[Tensor, "batch rows"], weight: Tensor, bias: Tensor, bound: Tensor, shift: Tensor | None
    ) -> RaggedCodes:
        """The entries of `apply(x − shift, weight, bias)` above a bound."""
        ...

    def largest_of_batch(
        self, x: Float[Tensor, "batch rows"], weight: Tensor, bias: Tensor, k: int, shift: Tensor | None, guess: float
    ) -> RaggedCodes:
        """The `k * batch` largest of `relu(apply(x − shift, weight, bias))` over the batch."""
        ...

    def some(self, x: Float[Tensor, "batch rows"], weight: Tensor, bias: Tensor, features: Tensor) -> Tensor:
        """The columns of `apply(x, weight, bias)` that belong to some features."""
        ...

    def apply_some(self, codes: SparseCodes, weight: Tensor, features: Tensor) -> Float[Tensor, "batch columns"]:
        """The product with codes of some features alone: index i of the codes is `features[i]`."""
        ...

    def row_norms(self, weight: Tensor) -> Float[Tensor, " rows"]:
        """The Euclidean norm of each input's row: of a decoder, the norm of each feature's direction."""
        ...


maps: Registry[type[Map]] = Registry("map")


@maps.register("dense")
@dataclass(frozen=True)
class Dense:
    """Every input is connected to every output: one matrix `[rows, columns]`."""

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

    def largest(
        self, x: Float[Tensor, "batch rows"], weight: Tensor, bias: Tensor, k: int, shift: Tensor | None
    ) -> SparseCodes:
        """`topk((x - shift) @ weight + bias, k)`, which is never held as a whole."""
        return encode_topk(x, weight, bias, k, shift)

    def above(
        self, x: Float[Tensor, "batch rows"], weight: Tensor, bias: Tensor, bound: Tensor, shift: Tensor | None
    ) -> RaggedCodes:
        """The entries of `(x - shift) @ weight + bias` above a bound."""
        return encode_above(x, weight, bias, bound, shift)

    def largest_of_batch(
        self, x: Float[Tensor, "batch rows"], weight: Tensor, bias: Tensor, k: int, shift: Tensor | None, guess: float
    ) -> RaggedCodes:
        """`batch_topk((x - shift) @ weight + bias, k)`, which is never held as a whole."""
        return encode_batch_topk(x, weight, bias, k, shift, guess)

    def some(self, x: Float[Tensor, "batch rows"], weight: Tensor, bias: Tensor, features: Tensor) -> Tensor:
        """`(x @ weight + bias)[:, features]`, from those columns alone."""
        return F.linear(x, weight.mT.index_select(0, features), bias.index_select(0, features))

    def apply_some(self, codes: SparseCodes, weight: Tensor, features: Tensor) -> Float[Tensor, "batch columns"]:
        """`codes.to_dense() @ weight[features]`, as a dense product where the codes are dense enough."""
        rows = weight.index_select(0, features)
        return codes.to_dense() @ rows if is_dense(codes, rows) else sparse_decode(codes, rows)

    def row_norms(self, weight: Tensor) -> Float[Tensor, " rows"]:
        """Norm of each row of the matrix."""
        return weight.norm(dim=1)
