"""Activation functions: from pre-activations to sparse codes. Each owns its parameters."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from monosema.dictionaries.preactivations import Preactivations
from monosema.errors import InputError
from monosema.kernels import RaggedCodes, SparseCodes, batch_topk, nonzero, to_sparse, topk
from monosema.registry import Registry


class ActivationFunction(nn.Module, ABC):
    """Maps pre-activations `[*batch, width]` to codes of the same shape; saved as `name`, `options()` and tensors."""

    name: ClassVar[str]
    owns_biases: ClassVar[bool] = False
    """Whether it adds biases of its own; the dictionary's `b_enc` then stays zero."""
    by_feature: ClassVar[bool] = True
    """Whether at inference a feature's code depends on its own pre-activation alone."""
    signed: ClassVar[bool] = False
    """Whether codes may be negative."""
    searches: ClassVar[bool] = False
    """Whether codes are found by a search that needs the activations: `dense` has them, and `forward` refuses."""

    @abstractmethod
    def forward(self, pre: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Dense codes."""

    def dense(self, pre: Preactivations) -> Float[Tensor, "*batch width"]:
        """The codes of `forward`, of which a dictionary's `encode` consists."""
        return self(pre.dense)

    def sparse(self, pre: Preactivations) -> SparseCodes:
        """The codes of `dense` as indices and values."""
        return to_sparse(self.dense(pre))

    def active_entries(self, pre: Preactivations) -> RaggedCodes:
        """The codes of `dense` as those that are not zero; made for reading, not for training: without gradients."""
        return nonzero(self.dense(pre))

    def gate(
        self, pre: Float[Tensor, "*batch some"], features: Int[Tensor, " some"] | None = None
    ) -> Float[Tensor, "*batch some"]:
        """What decides by its size whether a feature is active: the pre-activations, unless there are biases here.

        Args:
            pre: of all features, or of some.
            features: which; all by default.
        """
        return pre

    def options(self) -> dict[str, Any]:
        """The constructor's arguments other than the width, as JSON values."""
        return {}

    def rescale_(self, factor: float) -> None:
        """Multiplies in place what is measured in units of pre-activations, so that f(c·pre) = c·f(pre) holds after."""

    def reset_(self, features: Bool[Tensor, " width"]) -> None:
        """Puts the parameters of some features back to where they started."""


class Bounded(ActivationFunction):
    """An activation function of which is known, before any pre-activation is, what one must exceed to matter."""

    few: ClassVar[float] = 1 / 12
    """Share of the pre-activations above the bound up to which it is faster to store them than to compute them all."""
    few_on_gpu: ClassVar[float] = 1 / 50
    """The same on a GPU, whose dense products are faster in relation."""

    @abstractmethod
    def bound(self) -> Float[Tensor, "*width_or_one"]:
        """What a pre-activation must exceed to matter: below, its code is zero and has no gradient."""

    @abstractmethod
    def at(self, entries: RaggedCodes) -> RaggedCodes:
        """The codes, from the pre-activations above the bound."""

    def active_entries(self, pre: Preactivations) -> RaggedCodes:
        """Those of `at` that are not zero."""
        return _without_zeros(self.at(pre.above(self.bound())))


activation_functions: Registry[type[ActivationFunction]] = Registry("activation function")


@activation_functions.register("relu")
class ReLU(Bounded):
    """`max(pre, 0)`."""

    name = "relu"

    def __init__(self, width: int):
        super().__init__()

    def forward(self, pre: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """`max(pre, 0)`."""
        return pre.relu()

    def bound(self) -> Float[Tensor, ""]:
        """Zero."""
        return torch.zeros(())

    def at(self, entries: RaggedCodes) -> RaggedCodes:
        """The entries as they are."""
        return entries


class OfK(ActivationFunction):
    """An activation function with `k` active features a row, exactly or on average.

    Raises:
        InputError: `k` is not a whole number from 1 to the width.
    """

    def __init__(self, width: int, k: int):
        super().__init__()
        if not (isinstance(k, int) and 1 <= k <= width):
            raise InputError(f"k = {k} with width {width}", expected=f"a whole number from 1 to the width, {width}")
        self.k = k

    def options(self) -> dict[str, Any]:
        """`k`."""
        return {"k": self.k}


@activation_functions.register("topk")
class TopK(OfK):
    """The `k` largest positive pre-activations of each row (Gao et al. 2024, arXiv 2406.04093)."""

    name = "topk"
    by_feature = False

    def forward(self, pre: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """The `k` largest of `relu(pre)`, the rest zero."""
        return topk(rows(pre), self.k).to_dense().view_as(pre)

    def sparse(self, pre: Preactivations) -> SparseCodes:
        """Exactly `k` entries a row; where fewer than `k` are positive, some are zero."""
        return pre.largest(self.k)

    def active_entries(self, pre: Preactivations) -> RaggedCodes:
        """Those of `sparse` that are not zero."""
        return _without_zeros(self.sparse(pre).ragged())


@activation_functions.register("batch_topk")
class BatchTopK(OfK):
    """The `k · batch` largest pre-activations of a training batch; at inference those above a learned threshold.

    Bussmann et al. 2024, arXiv 2412.06410. In training mode the batch competes; in evaluation mode each row stands
    alone: `pre · 1[pre > threshold]`, whatever else is in the batch. The threshold is set from data by the recipe;
    until then evaluation is refused, because without it the codes would be dense.
    """

    name = "batch_topk"
    threshold: Tensor

    def __init__(self, width: int, k: int):
        super().__init__(width, k)
        self.register_buffer("threshold", torch.tensor(-1.0))  # negative: not yet set

    def forward(self, pre: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Training: the batch's `k · batch` largest. Evaluation: all above the threshold."""
        if self.training:
            return batch_topk(rows(pre), self.k).view_as(pre)
        return pre * (pre > self._learned())

    def active_entries(self, pre: Preactivations) -> RaggedCodes:
        """Training: those of `forward`. Evaluation: the pre-activations above the threshold."""
        return super().active_entries(pre) if self.training else pre.above(self._learned())

    def rescale_(self, factor: float) -> None:
        """Scales the threshold."""
        self.threshold.mul_(factor)

    def _learned(self) -> Float[Tensor, ""]:
        if self.threshold < 0:
            raise RuntimeError("BatchTopK's inference threshold was never set: train it, or assign `threshold`")
        return self.threshold


def _without_zeros(codes: RaggedCodes) -> RaggedCodes:
    return codes.only(codes.values != 0)


def rows(x: Float[Tensor, "*batch width"]) -> Float[Tensor, "rows width"]:
    """All leading dimensions joined into one; a lone vector becomes a batch of one."""
    return x.reshape(-1, x.shape[-1])
