"""Activation functions: from pre-activations to sparse codes. Each owns its parameters."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from monosema.errors import InputError
from monosema.kernels import SparseCodes, batch_topk, to_sparse, topk
from monosema.registry import Registry


class ActivationFunction(nn.Module, ABC):
    """Maps pre-activations `[*batch, width]` to codes of the same shape; saved as `name`, `options()` and tensors."""

    name: ClassVar[str]

    @abstractmethod
    def forward(self, pre: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Dense codes."""

    def sparse(self, pre: Float[Tensor, "batch width"]) -> SparseCodes:
        """The codes of `forward` as indices and values."""
        return to_sparse(self(pre))

    def options(self) -> dict[str, Any]:
        """The constructor's arguments other than the width, as JSON values."""
        return {}

    def rescale_(self, factor: float) -> None:
        """Multiplies in place what is measured in units of pre-activations, so that f(c·pre) = c·f(pre) holds after."""


activation_functions: Registry[type[ActivationFunction]] = Registry("activation function")


@activation_functions.register("relu")
class ReLU(ActivationFunction):
    """`max(pre, 0)`."""

    name = "relu"

    def __init__(self, width: int):
        super().__init__()

    def forward(self, pre: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """`max(pre, 0)`."""
        return pre.relu()


@activation_functions.register("topk")
class TopK(ActivationFunction):
    """The `k` largest positive pre-activations of each row (Gao et al. 2024, arXiv 2406.04093)."""

    name = "topk"

    def __init__(self, width: int, k: int):
        super().__init__()
        self.k = _checked_k(k, width)

    def forward(self, pre: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """The `k` largest of `relu(pre)`, the rest zero."""
        return self.sparse(_rows(pre)).to_dense().view_as(pre)

    def sparse(self, pre: Float[Tensor, "batch width"]) -> SparseCodes:
        """Exactly `k` entries a row; where fewer than `k` are positive, some are zero."""
        return topk(pre, self.k)

    def options(self) -> dict[str, Any]:
        """`k`."""
        return {"k": self.k}


@activation_functions.register("batch_topk")
class BatchTopK(ActivationFunction):
    """The `k · batch` largest pre-activations of a training batch; at inference those above a learned threshold.

    Bussmann et al. 2024, arXiv 2412.06410. In training mode the batch competes; in evaluation mode each row stands
    alone: `pre · 1[pre > threshold]`, whatever else is in the batch. The threshold is set from data by the recipe;
    until then evaluation is refused, because without it the codes would be dense.
    """

    name = "batch_topk"
    threshold: Tensor

    def __init__(self, width: int, k: int):
        super().__init__()
        self.k = _checked_k(k, width)
        self.register_buffer("threshold", torch.tensor(-1.0))  # negative: not yet set

    def forward(self, pre: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Training: the batch's `k · batch` largest. Evaluation: all above the threshold."""
        if self.training:
            return batch_topk(_rows(pre), self.k).view_as(pre)
        if self.threshold < 0:
            raise RuntimeError("BatchTopK's inference threshold was never set: train it, or assign `threshold`")
        return pre * (pre > self.threshold)

    def options(self) -> dict[str, Any]:
        """`k`."""
        return {"k": self.k}

    def rescale_(self, factor: float) -> None:
        """Scales the threshold."""
        self.threshold.mul_(factor)


@activation_functions.register("jumprelu")
class JumpReLU(ActivationFunction):
    """`pre · 1[pre > θ]` with a threshold for each feature (Rajamanoharan et al. 2024, arXiv 2407.14435).

    The threshold learns through a straight-through estimator: a rectangle of width `bandwidth` around it stands in
    for the step's derivative. The thresholds stay float32 whatever the codes' precision: steps as small as theirs
    vanish in bfloat16.
    """

    name = "jumprelu"

    def __init__(self, width: int, threshold: float = 0.001, bandwidth: float = 0.001):
        super().__init__()
        if not (bandwidth > 0 and threshold >= 0):  # so put, it refuses NaN too
            raise InputError(
                f"threshold {threshold}, bandwidth {bandwidth}",
                expected="a threshold of at least 0 and a bandwidth above 0",
            )
        self.threshold = nn.Parameter(torch.full((width,), float(threshold)))
        self.bandwidth = float(bandwidth)

    def forward(self, pre: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """`pre · 1[pre > θ]`; gradients reach `pre` and θ."""
        return _JumpReLU.apply(pre, self.threshold, self.bandwidth)

    def sparse(self, pre: Float[Tensor, "batch width"]) -> SparseCodes:
        """Stores the zeros just under their thresholds too: through them, as in `forward`, thresholds learn."""
        near_or_above = to_sparse((pre > self.threshold - self.bandwidth / 2).float()).indices
        return SparseCodes(near_or_above, self(pre).gather(1, near_or_above), pre.shape[1])

    def active(self, pre: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """`1[pre > θ]`, whose straight-through gradient reaches θ; it sums to the L0."""
        return _Step.apply(pre, self.threshold, self.bandwidth)

    def options(self) -> dict[str, Any]:
        """`bandwidth`."""
        return {"bandwidth": self.bandwidth}

    def rescale_(self, factor: float) -> None:
        """Scales thresholds and bandwidth."""
        self.threshold.data.mul_(factor)
        self.bandwidth *= factor


def _rows(x: Float[Tensor, "*batch width"]) -> Float[Tensor, "rows width"]:
    """All leading dimensions joined into one; a lone vector becomes a batch of one."""
    return x.reshape(-1, x.shape[-1])


def _rectangle(u: Tensor) -> Tensor:
    """Kernel of the straight-through estimator: 1 on (−½, ½), 0 elsewhere."""
    return (u.abs() < 0.5).to(u.dtype)


class _JumpReLU(torch.autograd.Function):
    """∂/∂pre = 1[pre > θ]; ∂/∂θ = −(θ/ε) K((pre − θ)/ε)."""

    @staticmethod
    def forward(ctx, pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth = bandwidth
        return pre * (pre > threshold)

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        (grad,) = grad_outputs
        pre, threshold = ctx.saved_tensors
        kernel = _rectangle((pre - threshold) / ctx.bandwidth)
        grad_threshold = -(threshold / ctx.bandwidth) * _rows(kernel * grad).sum(0)
        return grad * (pre > threshold), grad_threshold, None


class _Step(torch.autograd.Function):
    """∂/∂θ = −(1/ε) K((pre − θ)/ε); nothing reaches pre."""

    @staticmethod
    def forward(ctx, pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth = bandwidth
        return (pre > threshold).to(threshold.dtype)

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        (grad,) = grad_outputs
        pre, threshold = ctx.saved_tensors
        kernel = _rectangle((pre - threshold) / ctx.bandwidth)
        return None, -_rows(kernel * grad).sum(0) / ctx.bandwidth, None


def _checked_k(k: int, width: int) -> int:
    if not (isinstance(k, int) and 1 <= k <= width):
        raise InputError(f"k = {k} with width {width}", expected=f"a whole number from 1 to the width, {width}")
    return k
