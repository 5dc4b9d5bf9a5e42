"""The largest pre-activations, per row and over a whole batch."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.kernels.codes import SparseCodes
from monosema.kernels.search import largest, largest_of_rows


def topk(pre: Float[Tensor, "batch width"], k: int) -> SparseCodes:
    """The `k` largest of `relu(pre)` in each row, in any order; ties break either way.

    Dense equivalent: `relu(pre) * mask` where `mask` marks each row's `k` largest entries.
    """
    indices = largest_of_rows(pre.detach(), k)
    return SparseCodes(indices, _Gather.apply(pre, indices).relu(), pre.shape[1])


def abs_topk(pre: Float[Tensor, "batch width"], k: int) -> SparseCodes:
    """The `k` entries of each row that are largest in absolute value, with their signs; ties break either way.

    Dense equivalent: `pre * mask` where `mask` marks the `k` largest entries of each row of `pre.abs()`.
    """
    indices = largest_of_rows(pre.detach().abs(), k)
    return SparseCodes(indices, _Gather.apply(pre, indices), pre.shape[1])


def group_max(pre: Float[Tensor, "batch width"], groups: int) -> SparseCodes:
    """The largest of `relu(pre)` in each of so many groups of neighbours; ties break either way.

    Dense equivalent: `relu(pre) * mask` where `mask` marks the largest entry of each row of
    `pre.unflatten(1, (groups, -1))`.
    """
    size = pre.shape[1] // groups
    inside = pre.detach().unflatten(1, (groups, size)).argmax(2)
    indices = inside + size * torch.arange(groups, device=pre.device)
    return SparseCodes(indices, _Gather.apply(pre, indices).relu(), pre.shape[1])


def batch_topk(pre: Float[Tensor, "batch width"], k: int) -> Float[Tensor, "batch width"]:
    """The `k * batch` largest of `relu(pre)` over the whole batch, everything else zero; ties break either way.

    Dense equivalent: `relu(pre) * mask` where `mask` marks the `k * batch` largest entries of the flattened matrix.
    """
    flat = pre.flatten()
    kept = largest(flat.detach(), k * len(pre))
    return torch.zeros_like(flat).scatter(0, kept, flat[kept]).view_as(pre)


class _Gather(torch.autograd.Function):
    """`pre.gather(1, indices)` for distinct indices, whose gradient is put, not added, in its places."""

    @staticmethod
    def forward(ctx, pre: Tensor, indices: Tensor) -> Tensor:
        ctx.save_for_backward(indices)
        ctx.shape = pre.shape
        return pre.gather(1, indices)

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        (grad,) = grad_outputs
        (indices,) = ctx.saved_tensors
        return put_rows(grad, indices, ctx.shape[1]), None


def put_rows(
    values: Float[Tensor, "batch k"], indices: Int[Tensor, "batch k"], width: int
) -> Float[Tensor, "batch width"]:
    """Zeros with `values` at distinct `indices` of each row; several times as fast as `scatter` in bfloat16."""
    first = torch.arange(len(values), device=values.device)[:, None] * width
    return values.new_zeros(len(values), width).put_(indices + first, values)
