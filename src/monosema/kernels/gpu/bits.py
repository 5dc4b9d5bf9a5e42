# Kernels are typed by Triton, when they are compiled.
# pyright: reportOperatorIssue=false
"""Numbers as integers in the same order."""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

INFINITY = {torch.bfloat16: 0x7F80, torch.float16: 0x7C00, torch.float32: 0x7F800000, torch.float64: 0x7FF << 52}
"""The bits of infinity; beyond are those of what is not a number."""


def bits_of(numbers: Float[Tensor, "*any"]) -> Int[Tensor, "*any"]:
    """Their bits, as integers of the same size, one after another."""
    return numbers.contiguous().view({2: torch.int16, 4: torch.int32, 8: torch.int64}[numbers.element_size()])


@triton.jit
def ordered(bits, place, there, BITS: tl.constexpr, INFINITY: tl.constexpr):
    """Integers in the order of the numbers at some places; the least integer, which is no number's, where none is."""
    largest: tl.constexpr = (1 << (BITS - 1)) - 1
    number = tl.load(bits + place, there, 0)
    number = number.to(tl.int64 if BITS == 64 else tl.int32)
    magnitude = number & largest
    number = tl.where(number < 0, -1 - magnitude, magnitude)
    return tl.where(there, tl.where(magnitude > INFINITY, largest, number), -1 - largest)
