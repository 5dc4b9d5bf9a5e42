"""What it means in tests that two things are the same."""

import math
from typing import Any

import torch
from torch import Tensor, nn


def same(a: Any, b: Any) -> bool:
    """Bit for bit, through containers in their order; modules by their tensors; NaN is NaN, and −0 is not 0."""
    if isinstance(a, nn.Module) and isinstance(b, nn.Module):
        return same(a.state_dict(), b.state_dict())
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and not math.isnan(a):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    return a == b or a != a
