"""Sums over the rows of a large matrix, some at a time: PyTorch would first copy all of it into the sum's type."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

ROWS = 256
"""Rows that are copied at a time."""


def column_counts(matrix: Float[Tensor, "rows width"]) -> Int[Tensor, " width"]:
    """How many entries of each column are not zero: `(matrix != 0).sum(0)`."""
    counts = torch.zeros(matrix.shape[1], dtype=torch.long, device=matrix.device)
    for part in matrix.split(ROWS):
        counts += (part != 0).sum(0)
    return counts


def column_sums(matrix: Float[Tensor, "rows width"]) -> Float[Tensor, " width"]:
    """In float32, whatever the matrix is in: `matrix.float().sum(0)`, in values and gradients."""
    return _ColumnSums.apply(matrix)


class _ColumnSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx, matrix: Tensor) -> Tensor:
        ctx.shape, ctx.dtype = matrix.shape, matrix.dtype
        sums = torch.zeros(matrix.shape[1], device=matrix.device)
        for part in matrix.split(ROWS):
            sums += part.float().sum(0)
        return sums

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        (grad,) = grad_outputs
        return grad.to(ctx.dtype).expand(ctx.shape)
