"""Which device to compute on, whether bfloat16 pays there, how its figures are read, what becomes of used memory."""

import ctypes
import sys
from collections.abc import Sequence
from functools import cache

import torch
from jaxtyping import Num
from torch import Tensor

from monosema.errors import InputError


def pick_device(name: str) -> torch.device:
    """The device called `name`; "auto" is the first of cuda, mps and cpu that this machine has.

    Raises:
        InputError: `name` is no device, or this machine has none of that kind or number.
    """
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if _count(kind)))
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device {name!r}", expected="auto, cpu, cuda, cuda:N or mps") from None
    if (device.index or 0) >= _count(device.type):
        raise InputError(f"device {name!r} is not on this machine", hint='use "auto" or "cpu"')
    return device


def has_fast_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 matrices in hardware: Ampere or newer, or a CPU with AMX or AVX512_BF16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return False


def read_figures(figures: Sequence[Num[Tensor, ""]]) -> list[float]:
    """Scalars of one device as numbers, in one copy: each copy from a GPU waits until all that was begun is done."""
    exact = torch.float32 if figures[0].device.type == "mps" else torch.float64  # mps has no float64
    return torch.stack([figure.detach().to(exact) for figure in figures]).tolist()


@cache
def keep_freed_memory() -> bool:
    """Has the C library keep what tensors of up to 32 MiB have freed, for the next ones of this process.

    By default glibc gives memory at the end of its heap back, and the kernel hands it out again page by page, filled
    with zeros: a model's forward pass, or a training step, pays for that at every call.

    Returns:
        Whether it does now: only glibc, on Linux, has the setting.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt is None:
        return False
    mmap_threshold, trim_threshold = -3, -1  # from malloc.h; larger blocks go back to the kernel at once, as before
    return all([mallopt(mmap_threshold, 2**25), mallopt(trim_threshold, 2**31 - 1)])


def _count(kind: str) -> int:
    """How many devices of a kind this machine has."""
    counts = {"cpu": lambda: 1, "cuda": torch.cuda.device_count, "mps": lambda: int(torch.backends.mps.is_available())}
    return counts[kind]() if kind in counts else 0
