"""JumpReLU: a threshold for each feature, learned through a straight-through estimator."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from monosema.dictionaries.activation_functions import Bounded, activation_functions
from monosema.dictionaries.entry_steps import active_at, jump_at
from monosema.dictionaries.preactivations import Preactivations
from monosema.dictionaries.step_kernels import REACH, jump, step, step_kernels
from monosema.errors import InputError
from monosema.kernels import RaggedCodes, SparseCodes, to_sparse


@activation_functions.register("jumprelu")
class JumpReLU(Bounded):
    """`pre · 1[pre > θ]` with a threshold for each feature (Rajamanoharan et al. 2024, arXiv 2407.14435).

    The thresholds learn through a straight-through estimator: a kernel of width `bandwidth` around each stands in for
    the step's derivative. They stay float32 whatever the codes' precision: steps as small as theirs vanish in bfloat16.

    Args:
        width: number of features.
        threshold: where every θ starts.
        bandwidth: ε of the estimator.
        kernel: K of the estimator: rectangle, triangle, gaussian or epanechnikov.
        per_feature: keep a bandwidth for each feature, to be adapted in training, in place of one for all.

    Raises:
        InputError: a bandwidth or threshold that is out of range, or an unknown kernel.
    """

    name = "jumprelu"
    few = few_on_gpu = 1 / 2  # most of what is above the bound is below the threshold, and costs less
    bandwidth: Tensor

    def __init__(
        self,
        width: int,
        threshold: float = 0.001,
        bandwidth: float = 0.001,
        kernel: str = "rectangle",
        per_feature: bool = False,
    ):
        super().__init__()
        if not (bandwidth > 0 and threshold >= 0):  # so put, it refuses NaN too
            raise InputError(
                f"threshold {threshold}, bandwidth {bandwidth}",
                expected="a threshold of at least 0 and a bandwidth above 0",
            )
        self.kernel, self.per_feature, self.start = kernel, per_feature, float(threshold)
        self._kernel = step_kernels[kernel]
        self.threshold = nn.Parameter(torch.full((width,), float(threshold)))
        self.register_buffer("bandwidth", torch.full((width,) if per_feature else (), float(bandwidth)))

    def forward(self, pre: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """`pre · 1[pre > θ]`; gradients reach `pre` and θ."""
        return jump(pre, self.threshold, self.bandwidth, self._kernel)

    def sparse(self, pre: Preactivations) -> SparseCodes:
        """While gradients are wanted, stores the zeros near their thresholds too: through them thresholds learn."""
        codes = self(pre.dense)
        if not codes.requires_grad:
            return to_sparse(codes)
        near = self._kernel((pre.dense - self.threshold) / self.bandwidth) > 0
        indices = to_sparse((near | (codes != 0)).float()).indices
        return SparseCodes(indices, codes.gather(1, indices), codes.shape[1])

    def bound(self) -> Float[Tensor, " width"]:
        """Where the straight-through estimator begins, a little below each threshold."""
        lowest = self.threshold.detach() - REACH[self.kernel] * self.bandwidth
        return lowest - 2**-7 * lowest.abs()  # whatever it is rounded to

    def at(self, entries: RaggedCodes) -> RaggedCodes:
        """`pre · 1[pre > θ]`; entries below their thresholds are stored as zeros."""
        codes = jump_at(entries.values, entries.columns, self.threshold, self.bandwidth, self._kernel)
        return entries._replace(values=codes)

    def active_at(self, entries: RaggedCodes) -> Float[Tensor, ""]:
        """The sum of `active` at these entries; it is zero at all others, and so is its gradient."""
        return active_at(entries.values, entries.columns, self.threshold, self.bandwidth, self._kernel)

    def active(self, pre: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """`1[pre > θ]`, whose straight-through gradient reaches θ; it sums to the L0."""
        return step(pre, self.threshold, self.bandwidth, self._kernel)

    def options(self) -> dict[str, Any]:
        """`kernel` and `per_feature`; the bandwidth is among the tensors."""
        return {"kernel": self.kernel, "per_feature": self.per_feature}

    def rescale_(self, factor: float) -> None:
        """Scales thresholds and bandwidth."""
        self.threshold.data.mul_(factor)
        self.bandwidth.mul_(factor)

    @torch.no_grad()
    def reset_(self, features: Bool[Tensor, " width"]) -> None:
        """Puts the thresholds of some features back to where they started."""
        self.threshold[features] = self.start
