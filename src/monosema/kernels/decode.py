"""The product of sparse codes with a decoder matrix."""

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.kernels.codes import RaggedCodes, SparseCodes
from monosema.kernels.entries import products_at, weighted_sums, weighted_sums_, without_zeros
from monosema.kernels.precision import product_dtype
from monosema.kernels.spare import gradient_like


def sparse_decode(codes: SparseCodes | RaggedCodes, weight: Float[Tensor, "width d"]) -> Float[Tensor, "batch d"]:
    """Sums the decoder rows of the active features, each times its value; touches `k` rows a token, not `width`.

    Dense equivalent, in values and gradients: `codes.to_dense() @ weight`. Under autocast the weight's gradient is
    summed from factors in the lower precision, as that of the dense product is.
    """
    entries = codes.ragged() if isinstance(codes, SparseCodes) else codes
    return _Decode.apply(entries.offsets, entries.columns, entries.values, weight)


class _Decode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, offsets: Tensor, columns: Tensor, values: Tensor, weight: Tensor) -> Tensor:
        active = without_zeros(offsets, columns, values)
        ctx.save_for_backward(offsets, columns, weight, *active)
        ctx.dtype, ctx.values_dtype = product_dtype(weight), values.dtype
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
            weighted_sums_(grad_weight, starts, active, values, grad.to(ctx.dtype))
        return None, None, grad_values, grad_weight
