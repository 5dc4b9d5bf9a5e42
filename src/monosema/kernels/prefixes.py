"""Sparse decodes of many prefixes of the same codes."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.kernels.codes import SparseCodes


def prefix_decode(
    codes: SparseCodes, weight: Float[Tensor, "width d"], ends: Sequence[int]
) -> Float[Tensor, "batch prefixes d"]:
    """Decodes the first `ends[0]` stored entries of each row, the first `ends[1]`, and so on, by cumulative sums.

    Dense equivalent, in values and gradients, for each end: `part.to_dense() @ weight` with
    `part = SparseCodes(indices[:, :end], values[:, :end], width)`. Takes memory for `batch · k · d` numbers.

    Args:
        codes: in the order in which the prefixes take them.
        weight: the decoder.
        ends: rising numbers of entries, each from 1 to `k`.
    """
    return _PrefixDecode.apply(codes.indices, codes.values, weight, tuple(ends))


class _PrefixDecode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, indices: Tensor, values: Tensor, weight: Tensor, ends: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(indices, values, weight)
        ctx.ends = ends
        used = ends[-1]
        rows = weight[indices[:, :used]] * values[:, :used, None].to(weight.dtype)
        return rows.cumsum_(1)[:, [end - 1 for end in ends]]

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        indices, values, weight = ctx.saved_tensors
        used = ctx.ends[-1]
        # An entry is in every prefix that ends behind it, so its gradient is the sum over those.
        grad = grad_outputs[0].flip(1).cumsum(1).flip(1)
        prefix_of = torch.searchsorted(torch.tensor(ctx.ends), torch.arange(used), right=True).to(grad.device)
        grad = grad[:, prefix_of]
        grad_values = torch.zeros_like(values)
        grad_values[:, :used] = (grad * weight[indices[:, :used]]).sum(-1)
        added = (grad * values[:, :used, None].to(grad.dtype)).flatten(0, 1)
        grad_weight = torch.zeros_like(weight).index_add_(0, indices[:, :used].flatten(), added)
        return None, grad_values, grad_weight, None
