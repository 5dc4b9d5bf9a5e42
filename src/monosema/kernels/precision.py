"""In which precision a kernel multiplies."""

import torch
from torch import Tensor


def product_dtype(weight: Tensor) -> torch.dtype:
    """What autocast asks for where it is on; else the weight's own."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
