"""BatchTopK (Bussmann et al. 2024, BatchTopK sparse autoencoders, arXiv 2412.06410)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.dictionaries import ActivationFunction, BatchTopK, Dictionary, Preactivations
from monosema.kernels import RaggedCodes
from monosema.recipes.exchange import Loss, Moment
from monosema.recipes.recipe import recipes, require
from monosema.recipes.topk import TopKFamily

SAMPLE = 1024
"""Rows on which the threshold starts."""


@dataclass(frozen=True)
class BatchTopKFamily(TopKFamily):
    """The k · batch largest pre-activations of a whole batch; each row gets as many as it needs.

    At inference a threshold stands in for the batch: a moving average of the smallest activation that was kept.
    """

    threshold_decay: float = 0.9
    """How much of the threshold's moving average is kept at each step."""

    def __post_init__(self):
        super().__post_init__()
        require(self, "threshold_decay", 0 <= self.threshold_decay < 1, "a number from 0 to just under 1")

    def activation(self, width: int) -> ActivationFunction:
        """BatchTopK."""
        return BatchTopK(width, self.k)

    def select(self, dictionary: Dictionary, pre: Preactivations, moment: Moment) -> RaggedCodes:
        """The largest of the batch, as many as the moment says; the threshold so far says about where they end."""
        return pre.largest_of_batch(self.k_at(moment), _threshold(dictionary).item())

    @torch.no_grad()
    def calibrate_(self, dictionary: Dictionary, x: Float[Tensor, "rows d_in"]) -> None:
        """Starts the threshold at the smallest activation kept on these rows, so that inference is never dense."""
        smallest = _smallest_kept(dictionary.encode(x[:SAMPLE]))
        _threshold(dictionary).copy_(torch.where(smallest.isfinite(), smallest, 0.0))

    @torch.no_grad()
    def after_step_(self, dictionary: Dictionary, loss: Loss) -> None:
        """Restores constraints and moves the threshold; a batch with nothing active leaves it as it is."""
        super().after_step_(dictionary, loss)
        assert isinstance(loss.codes, RaggedCodes)
        threshold, smallest = _threshold(dictionary), dictionary.ranks.all.min(_smallest_kept(loss.codes.values))
        threshold.lerp_(torch.where(smallest.isfinite(), smallest, threshold), 1 - self.threshold_decay)


@recipes.register("batch_topk")
@dataclass(frozen=True)
class BatchTopKRecipe(BatchTopKFamily):
    """f = the k · batch largest of relu((x − b) W_enc + b_enc) over the batch; L = R + α · AuxK; unit decoder rows."""

    name: ClassVar[str] = "batch_topk"
    step_cost_on_gpu: ClassVar[float] = 1.2


def _threshold(dictionary: Dictionary) -> Tensor:
    assert isinstance(dictionary.activation, BatchTopK)
    return dictionary.activation.threshold


def _smallest_kept(codes: Float[Tensor, "*any"]) -> Float[Tensor, ""]:
    """Infinite where nothing is active."""
    active = codes.detach()[codes > 0].float()
    return active.min() if len(active) else active.new_tensor(torch.inf)
