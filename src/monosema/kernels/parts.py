"""A dense product some rows at a time, for those who keep few of its entries."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

BUFFER = 2**23
"""Entries of the product that are held at a time: few enough to stay near the processor, enough to be made fast."""


@torch.no_grad()
def product_in_parts(
    x: Float[Tensor, "batch d"], weight: Float[Tensor, "d width"], bias: Float[Tensor, " width"] | None = None
) -> Iterator[Float[Tensor, "rows width"]]:
    """`x @ weight + bias`, in their precision, in one buffer: each part is overwritten by the next."""
    width = weight.shape[1]
    rows = max(min(BUFFER // width, len(x)), 1)
    buffer = x.new_empty(rows, width)
    for part in x.split(rows):
        out = buffer[: len(part)]
        yield torch.mm(part, weight, out=out) if bias is None else torch.addmm(bias, part, weight, out=out)
