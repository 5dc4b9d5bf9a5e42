"""The product of sparse codes with a decoder matrix."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from monosema.kernels.codes import SparseCodes
from monosema.kernels.topk import put_rows


def sparse_decode(codes: SparseCodes, weight: Float[Tensor, "width d"]) -> Float[Tensor, "batch d"]:
    """Sums the decoder rows of the active features, each times its value; touches `k` rows a token, not `width`.

    Dense equivalent, in values and gradients: `codes.to_dense() @ weight`.
    """
    return _SparseDecode.apply(codes.indices, codes.values, weight)


class _SparseDecode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, indices: Tensor, values: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(indices, values, weight)
        # The backward pass multiplies in the precision that the forward pass was asked for.
        kind = weight.device.type
        ctx.dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        return F.embedding_bag(indices, weight, per_sample_weights=values.to(weight.dtype), mode="sum")

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        (grad,) = grad_outputs
        # Two dense products beat embedding_bag's own backward pass, which adds rows one by one, on a CPU.
        indices, values, weight = ctx.saved_tensors
        grad = grad.to(ctx.dtype)
        grad_values = (grad @ weight.to(ctx.dtype).T).gather(1, indices)
        grad_weight = put_rows(values.to(ctx.dtype), indices, len(weight)).T @ grad
        return None, grad_values.to(values.dtype), grad_weight.to(weight.dtype)
