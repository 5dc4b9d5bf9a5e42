"""Sums over tokens that add up, so that no metric depends on how the tokens were cut into batches."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from typing_extensions import Self


@dataclass(frozen=True)
class Sums:
    """Base of dataclasses of sums: the sums of two batches, added, are those of both together."""

    def __add__(self, other: Self) -> Self:
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return type(self)(*(a + b for a, b in pairs))


def wide(x: Tensor) -> Tensor:
    """`x` in float64; in float32 on Apple's GPUs, which have nothing wider."""
    return x.to(torch.float32 if x.device.type == "mps" else torch.float64)


def ratio(numerator: float, denominator: float) -> float | None:
    """`numerator / denominator`, or None where it is undefined."""
    return numerator / denominator if denominator != 0 else None
