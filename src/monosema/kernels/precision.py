"""In which precision a kernel multiplies."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def product_dtype(weight: Tensor) -> torch.dtype:
    """What autocast asks for where it is on; else the weight's own."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


@contextmanager
def tensor_float_32(wanted: bool) -> Iterator[None]:
    """Has GPUs multiply float32 matrices in TensorFloat-32, where that is wanted: to 10 bits, eight times as fast."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    if wanted:
        matmul.fp32_precision = "tf32"
    try:
        yield
    finally:
        matmul.fp32_precision = before
