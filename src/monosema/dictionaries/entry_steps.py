"""JumpReLU and its step at stored entries: the same as in `step_kernels`, for codes that are not held as a matrix.

Millions of entries of a batch lie near their thresholds. They are worked on a piece at a time, so that all that is
computed on the way from an entry to its feature's sum stays in the processor's cache, and is never stored.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.dictionaries.step_kernels import StepKernel
from monosema.kernels import pieces


def jump_at(
    values: Float[Tensor, " entries"],
    columns: Int[Tensor, " entries"],
    threshold: Float[Tensor, " width"],
    bandwidth: Float[Tensor, "*width_or_one"],
    kernel: StepKernel,
) -> Float[Tensor, " entries"]:
    """π · 1[π > θ] of pre-activations π of the features `columns`; gradients as those of `step_kernels.jump`."""
    return _JumpAt.apply(values, columns, threshold, bandwidth, kernel)


def active_at(
    values: Float[Tensor, " entries"],
    columns: Int[Tensor, " entries"],
    threshold: Float[Tensor, " width"],
    bandwidth: Float[Tensor, "*width_or_one"],
    kernel: StepKernel,
) -> Float[Tensor, ""]:
    """Σ 1[π > θ], how many are active; gradients as those of the sum of `step_kernels.step`."""
    return _ActiveAt.apply(values, columns, threshold, bandwidth, kernel)


def _pieces(
    values: Tensor, columns: Tensor, threshold: Tensor
) -> Iterator[tuple[slice, Int[Tensor, " piece"], Float[Tensor, " piece"]]]:
    """Where a piece lies, its features, and how far it is above their thresholds."""
    for piece in pieces(values):
        features = columns[piece]
        yield piece, features, values[piece].to(threshold.dtype) - threshold.index_select(0, features)


def _on(distance: Tensor, dtype: torch.dtype) -> Float[Tensor, " piece"]:
    """1[π > θ]; as a number at once, which is faster to write and to multiply than a truth value."""
    return torch.gt(distance, 0, out=torch.empty_like(distance, dtype=dtype))


def _near(distance: Tensor, features: Tensor, bandwidth: Tensor, kernel: StepKernel) -> Float[Tensor, " piece"]:
    """K((π − θ)/ε)."""
    return kernel(distance / (bandwidth.index_select(0, features) if bandwidth.ndim else bandwidth))


class _JumpAt(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: Tensor, columns: Tensor, threshold: Tensor, bandwidth: Tensor, kernel: StepKernel):
        ctx.save_for_backward(values, columns, threshold, bandwidth)
        ctx.kernel = kernel
        codes = torch.empty_like(values)
        for piece, _, distance in _pieces(values, columns, threshold):
            torch.mul(values[piece], _on(distance, values.dtype), out=codes[piece])
        return codes

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor) -> Any:
        (grad,) = grad_outputs
        values, columns, threshold, bandwidth = ctx.saved_tensors
        grad_values, sums = torch.empty_like(grad), torch.zeros_like(threshold)
        for piece, features, distance in _pieces(values, columns, threshold):
            torch.mul(grad[piece], _on(distance, grad.dtype), out=grad_values[piece])
            near = _near(distance, features, bandwidth, ctx.kernel)
            sums.scatter_add_(0, features, near * grad[piece].to(near.dtype))
        return grad_values, None, -threshold / bandwidth * sums, None, None


class _ActiveAt(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: Tensor, columns: Tensor, threshold: Tensor, bandwidth: Tensor, kernel: StepKernel):
        # The gradient is the same whatever becomes of the sum, but for a factor: one pass finds both.
        count, sums = torch.zeros((), dtype=torch.long, device=values.device), torch.zeros_like(threshold)
        for _, features, distance in _pieces(values, columns, threshold):
            if ctx.needs_input_grad[2]:
                sums.scatter_add_(0, features, _near(distance, features, bandwidth, kernel))
            count += _on(distance, distance.dtype).sum().long()
        ctx.save_for_backward(sums, bandwidth)
        return count.to(threshold.dtype)

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor) -> Any:
        (grad,) = grad_outputs
        sums, bandwidth = ctx.saved_tensors
        return None, None, -grad / bandwidth * sums, None, None
