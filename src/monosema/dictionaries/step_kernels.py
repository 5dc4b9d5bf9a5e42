"""Straight-through estimators of steps: kernels that stand in for a step's derivative, and functions that use them.

A step 1[π > θ] has no gradient in θ. Smoothed by a kernel K of bandwidth ε it has one, −(1/ε) K((π − θ)/ε)
(Rajamanoharan et al. 2024, arXiv 2407.14435, equations 11 and 12). Each kernel here integrates to one.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.registry import Registry

StepKernel = Callable[[Tensor], Tensor]
step_kernels: Registry[StepKernel] = Registry("step kernel")


@step_kernels.register("rectangle")
def rectangle(u: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """1 on (−½, ½): the paper's."""
    return (u.abs() < 0.5).to(u.dtype)


@step_kernels.register("triangle")
def triangle(u: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """1 − |u| on (−1, 1)."""
    return (1 - u.abs()).clamp(min=0)


@step_kernels.register("gaussian")
def gaussian(u: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """The standard normal density."""
    return (-0.5 * u.square()).exp() / math.sqrt(2 * math.pi)


@step_kernels.register("epanechnikov")
def epanechnikov(u: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """¾ (1 − u²) on (−1, 1)."""
    return 0.75 * (1 - u.square()).clamp(min=0)


def jump(
    pre: Float[Tensor, "*batch width"],
    threshold: Float[Tensor, " width"],
    bandwidth: Float[Tensor, "*width_or_one"],
    kernel: StepKernel,
) -> Float[Tensor, "*batch width"]:
    """π · 1[π > θ], with ∂/∂π = 1[π > θ] and ∂/∂θ = −(θ/ε) K((π − θ)/ε)."""
    return _Jump.apply(pre, threshold, bandwidth, kernel)


def step(
    pre: Float[Tensor, "*batch width"],
    threshold: Float[Tensor, " width"],
    bandwidth: Float[Tensor, "*width_or_one"],
    kernel: StepKernel,
) -> Float[Tensor, "*batch width"]:
    """1[π > θ], with ∂/∂θ = −(1/ε) K((π − θ)/ε) and nothing in π."""
    return _Step.apply(pre, threshold, bandwidth, kernel)


def _summed(weight: Tensor, grad: Tensor) -> Tensor:
    """Over every row of a batch of any shape."""
    return (weight * grad).flatten(0, -2).sum(0) if grad.ndim > 1 else weight * grad


class _Jump(torch.autograd.Function):
    @staticmethod
    def forward(ctx, pre: Tensor, threshold: Tensor, bandwidth: Tensor, kernel: StepKernel) -> Tensor:
        ctx.save_for_backward(pre, threshold, bandwidth)
        ctx.kernel = kernel
        return pre * (pre > threshold)

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        (grad,) = grad_outputs
        pre, threshold, bandwidth = ctx.saved_tensors
        near = ctx.kernel((pre - threshold) / bandwidth)
        return grad * (pre > threshold), -(threshold / bandwidth) * _summed(near, grad), None, None


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx, pre: Tensor, threshold: Tensor, bandwidth: Tensor, kernel: StepKernel) -> Tensor:
        ctx.save_for_backward(pre, threshold, bandwidth)
        ctx.kernel = kernel
        return (pre > threshold).to(threshold.dtype)

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        (grad,) = grad_outputs
        pre, threshold, bandwidth = ctx.saved_tensors
        near = ctx.kernel((pre - threshold) / bandwidth)
        return None, -_summed(near, grad) / bandwidth, None, None
