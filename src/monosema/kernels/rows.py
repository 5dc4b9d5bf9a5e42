"""What is done to the rows of a matrix: norms kept at one, in passes over a few rows at a time; turns."""

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.kernels.backend import triton_kernels

ROWS = 1024
"""Rows that are worked on at a time: so many stay in the processor's cache from one pass to the next."""


@torch.no_grad()
def normalise_rows_(weight: Float[Tensor, "*blocks rows d"]) -> None:
    """`weight /= weight.norm(dim=-1, keepdim=True)`, in place."""
    if (kernels := triton_kernels(weight)) and weight.is_contiguous():
        kernels.normalise_rows_(weight)
        return
    for rows in weight.split(ROWS, -2):
        rows.div_(rows.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny))


@torch.no_grad()
def project_rows_(grad: Float[Tensor, "*blocks rows d"], weight: Float[Tensor, "*blocks rows d"]) -> None:
    """`grad -= (grad * weight).sum(-1, keepdim=True) * weight`, in place: the part along rows of norm one."""
    if (kernels := triton_kernels(weight)) and grad.is_contiguous() and weight.is_contiguous():
        kernels.project_rows_(grad, weight)
        return
    for g, w in zip(grad.split(ROWS, -2), weight.split(ROWS, -2), strict=True):
        g.addcmul_((g * w).sum(-1, keepdim=True), w, value=-1)


def turned(x: Float[Tensor, "*rows d"], axes: Float[Tensor, "*blocks d d"]) -> Float[Tensor, "*rows d"]:
    """`x A`; of blocks of coordinates, each by its own axes."""
    if axes.ndim == 2:
        return x @ axes
    cut = x.reshape(-1, len(axes), axes.shape[1]).transpose(0, 1)
    return torch.bmm(cut, axes).transpose(0, 1).reshape(x.shape)
