"""Straight-through estimators of steps: kernels that stand in for a step's derivative, and functions that use them.

A step 1[π > θ] has no gradient in θ. Smoothed by a kernel K of bandwidth ε it has one, −(1/ε) K((π − θ)/ε)
(Rajamanoharan et al. 2024, arXiv 2407.14435, equations 11 and 12). Each kernel here integrates to one.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.kernels import where_true
from monosema.registry import Registry

StepKernel = Callable[[Tensor], Tensor]
step_kernels: Registry[StepKernel] = Registry("step kernel")
REACH = {"rectangle": 0.5, "triangle": 1.0, "gaussian": 8.0, "epanechnikov": 1.0}
"""Beyond this many bandwidths from its threshold, a step's derivative is zero; the Gaussian's is 1e-14."""


@step_kernels.register("rectangle")
def rectangle(u: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """1 on (−½, ½): the paper's."""
    return torch.lt(u.detach().abs(), 0.5, out=torch.empty_like(u))  # as numbers, at once


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


FARTHEST = max(REACH.values())


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


def _through_steps(grad: Tensor, distance: Tensor, threshold: Tensor, bandwidth: Tensor, kernel: StepKernel) -> Tensor:
    """Σ over the batch of −(1/ε) K((π − θ)/ε) · grad, for each feature; visits only the entries near a threshold."""
    near = where_true(distance.abs() < FARTHEST * bandwidth.max())
    feature = near % len(threshold)
    width = bandwidth.expand_as(threshold)[feature]
    weight = kernel(distance.flatten()[near] / width) / width
    return torch.zeros_like(threshold).index_add_(0, feature, -weight * grad.flatten()[near].to(threshold.dtype))


class _Jump(torch.autograd.Function):
    @staticmethod
    def forward(ctx, pre: Tensor, threshold: Tensor, bandwidth: Tensor, kernel: StepKernel) -> Tensor:
        distance = pre.to(threshold.dtype) - threshold
        on = distance > 0
        ctx.save_for_backward(distance, on, threshold, bandwidth)
        ctx.kernel = kernel
        return pre * on

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        (grad,) = grad_outputs
        distance, on, threshold, bandwidth = ctx.saved_tensors
        return grad * on, threshold * _through_steps(grad, distance, threshold, bandwidth, ctx.kernel), None, None


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx, pre: Tensor, threshold: Tensor, bandwidth: Tensor, kernel: StepKernel) -> Tensor:
        distance = pre.to(threshold.dtype) - threshold
        ctx.save_for_backward(distance, threshold, bandwidth)
        ctx.kernel = kernel
        return (distance > 0).to(threshold.dtype)

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        (grad,) = grad_outputs
        distance, threshold, bandwidth = ctx.saved_tensors
        return None, _through_steps(grad, distance, threshold, bandwidth, ctx.kernel), None, None
