"""The product of sparse codes with a decoder matrix."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.kernels.codes import RaggedCodes, SparseCodes
from monosema.kernels.entries import MANY, ByColumn, only, products_at, weighted_sums, weighted_sums_, without_zeros
from monosema.kernels.precision import product_dtype
from monosema.kernels.search import where_true
from monosema.kernels.spare import gradient_like


def sparse_decode(codes: SparseCodes | RaggedCodes, weight: Float[Tensor, "width d"]) -> Float[Tensor, "batch d"]:
    """Sums the decoder rows of the active features, each times its value; touches `k` rows a token, not `width`.

    Dense equivalent, in values and gradients: `codes.to_dense() @ weight`. Under autocast the weight's gradient is
    summed from factors in the lower precision, as that of the dense product is.
    """
    entries = codes.ragged() if isinstance(codes, SparseCodes) else codes
    return _Decode.apply(entries.offsets, entries.columns, entries.values, weight, entries.by_column)


def decode_parts(
    codes: RaggedCodes, weight: Float[Tensor, "width d"], ends: Sequence[int]
) -> tuple[Float[Tensor, "batch d"], ...]:
    """Decodes the features before `ends[0]` alone, those from there up to `ends[1]`, and so on.

    Dense equivalent, in values and gradients, for each part from `start` to `end`:
    `codes.to_dense()[:, start:end] @ weight[start:end]`.
    """
    return _Parts.apply(codes.offsets, codes.columns, codes.values, weight, tuple(ends)) if ends else ()


def is_dense(codes: SparseCodes, weight: Float[Tensor, "width d"]) -> bool:
    """Whether so many entries are stored that the dense product with the weight is faster than the sparse one."""
    return codes.values.shape[1] > MANY[product_dtype(weight)] * codes.width


class _Decode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, offsets: Tensor, columns: Tensor, values: Tensor, weight: Tensor, by_column: ByColumn | None
    ) -> Tensor:
        active = without_zeros(offsets, columns, values)
        ctx.save_for_backward(offsets, columns, weight, *active)
        ctx.dtype, ctx.values_dtype, ctx.by_column = product_dtype(weight), values.dtype, by_column
        return weighted_sums(*active, weight)

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        (grad,) = grad_outputs
        offsets, columns, weight, starts, active, values = ctx.saved_tensors
        grad_values = grad_weight = None
        if ctx.needs_input_grad[2]:
            grad_values = products_at(offsets, columns, grad, weight, ctx.dtype).to(ctx.values_dtype)
        if ctx.needs_input_grad[3]:
            grad_weight = gradient_like(weight)
            weighted_sums_(grad_weight, starts, active, values, grad.to(ctx.dtype), ctx.by_column)
        return None, None, grad_values, grad_weight, None


class _Parts(torch.autograd.Function):
    @staticmethod
    def forward(ctx, offsets: Tensor, columns: Tensor, values: Tensor, weight: Tensor, ends: tuple[int, ...]) -> Any:
        ctx.dtype, ctx.bounds, kept, decoded = product_dtype(weight), list(pairwise((0, *ends))), [], []
        for start, end in ctx.bounds:
            kept.append(where_true((columns >= start) & (columns < end)))
            decoded.append(weighted_sums(*only(kept[-1], offsets, columns, values), weight))
        ctx.save_for_backward(offsets, columns, values, weight, *kept)
        return tuple(decoded)

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        offsets, columns, values, weight, *kept = ctx.saved_tensors
        grad_values, grad_weight = torch.zeros_like(values), gradient_like(weight)
        grad_weight[ctx.bounds[-1][1] :] = 0
        for grad, places, (start, end) in zip(grad_outputs, kept, ctx.bounds, strict=True):
            ends, inside, active = only(places, offsets, columns, values)
            grad_values[places] = products_at(ends, inside, grad, weight, ctx.dtype).to(values.dtype)
            weighted_sums_(grad_weight[start:end], ends, inside - start, active, grad.to(ctx.dtype))
        return None, None, grad_values, grad_weight, None
