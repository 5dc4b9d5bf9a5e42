"""The memory of gradients that are done with, for the next ones.

What is as large as a weight is new memory each time otherwise, which the kernel hands out page by page, filled with
zeros: for the gradient of a large weight, that takes longer than to compute it.
"""

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_spare = WeakTensorKeyDictionary()


def gradient_like(weight: Tensor) -> Tensor:
    """An uninitialised tensor with the shape and layout of a weight: its last gradient's memory, if that was kept."""
    kept = _spare.pop(weight, None)
    return torch.empty_like(weight) if kept is None else kept


def keep_gradient_(weight: Tensor) -> None:
    """Takes the gradient off a weight and keeps its memory; nobody else may use that gradient any more."""
    if weight.grad is not None and weight.grad.stride() == weight.stride():
        _spare[weight] = weight.grad
    weight.grad = None
