"""A dense product some rows at a time, for those who keep few of its entries; and what was kept, a piece at a time."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.kernels.backend import on_gpu

BUFFER = 2**22
"""Entries of the product that are held at a time: few enough to stay near the processor."""
ROWS = 512
"""Fewest rows of a part: with fewer, a product of bfloat16 takes up to twice as long."""
GPU_BUFFER = 2**28
"""The same on a GPU: 512 MiB in bfloat16. No cache holds enough rows for a product at full speed; memory is fast."""
GPU_ROWS = 1024
"""Fewest rows of a part there."""
DENSE = 2**24
"""Dense codes that a training step holds at a time where its rows need not be together: 32 MiB in bfloat16."""
GPU_DENSE = 2**26
"""The same on a GPU: 128 MiB, of which a step holds some twenty."""
PIECE = 2**16
"""Numbers of a piece of a long vector: several such stay in a core's L2 cache from one pass to the next."""


@torch.no_grad()
def product_in_parts(
    x: Float[Tensor, "batch d"], weight: Float[Tensor, "d width"], bias: Float[Tensor, " width"] | None = None
) -> Iterator[Float[Tensor, "rows width"]]:
    """`x @ weight + bias`, in their precision, in one buffer: each part is overwritten by the next."""
    width = weight.shape[1]
    rows = rows_at_a_time(x, width)
    buffer = x.new_empty(rows, width)
    for part in x.split(rows):
        out = buffer[: len(part)]
        yield torch.mm(part, weight, out=out) if bias is None else torch.addmm(bias, part, weight, out=out)


def rows_at_a_time(x: Float[Tensor, "batch d"], width: int) -> int:
    """How many rows of a product with so many columns are made at a time."""
    fitting = max(GPU_BUFFER // width, GPU_ROWS) if on_gpu(x) else max(BUFFER // width, ROWS)
    return max(min(fitting, len(x)), 1)


def dense_rows_at_a_time(width: int, gpu: bool) -> int:
    """Rows whose dense codes a training step holds at a time, where its rows need not be together."""
    return max((GPU_DENSE if gpu else DENSE) // width, 1)


def pieces(vector: Tensor) -> Iterator[slice]:
    """Where the pieces of a long vector lie, which is passed over several times; for a GPU it is one."""
    size = max(len(vector), 1) if on_gpu(vector) else PIECE
    return (slice(start, start + size) for start in range(0, len(vector), size))
