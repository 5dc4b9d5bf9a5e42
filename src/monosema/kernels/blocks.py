"""Products with block-diagonal matrices, of which the blocks alone are stored, `[n, rows, columns]`.

A block is a dense problem of its own: row i of a batch is n rows, one for each block, and block b acts on the b-th. So
an entry of feature j in row i of the codes is one in row i · n + b, where b is the feature's block. Cut so, sparse
products are those with one matrix that holds the blocks below each other.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from monosema.kernels.codes import RaggedCodes, SparseCodes
from monosema.kernels.decode import sparse_decode
from monosema.kernels.parts import rows_at_a_time


def cut_rows(codes: RaggedCodes, n: int) -> tuple[RaggedCodes, Int[Tensor, " entries"]]:
    """The entries of `n` blocks of features as `batch · n` rows; and which entry each of them was before."""
    batch, own = len(codes.offsets) - 1, codes.width // n
    row = codes.rows() * n + codes.columns // own
    order = row.argsort(stable=True)
    offsets = F.pad(row.bincount(minlength=batch * n).cumsum(0), (1, 0))
    return RaggedCodes(offsets, codes.columns[order], codes.values[order], codes.width), order


@torch.no_grad()
def blocks_in_parts(
    x: Float[Tensor, "batch n*d"], weight: Float[Tensor, "n d own"], bias: Float[Tensor, " n*own"]
) -> Iterator[Float[Tensor, "rows n*own"]]:
    """`x @ block_diag(*weight) + bias`, some rows at a time in one buffer; each part is overwritten by the next."""
    n, d, own = weight.shape
    rows = rows_at_a_time(x, n * own)
    buffer = x.new_empty(rows, n * own)
    for part in x.split(rows):
        out = buffer[: len(part)]
        blocks = zip(part.split(d, 1), weight, bias.split(own), out.split(own, 1), strict=True)
        for own_x, own_weight, own_bias, own_out in blocks:
            torch.addmm(own_bias, own_x, own_weight, out=own_out)
        yield out


def block_decode(codes: SparseCodes | RaggedCodes, weight: Float[Tensor, "n own d"]) -> Float[Tensor, "batch n*d"]:
    """Sums the decoder rows of the active features, each in its block's part of the output.

    Dense equivalent, in values and gradients: `codes.to_dense() @ block_diag(*weight)`.
    """
    entries = codes.ragged() if isinstance(codes, SparseCodes) else codes
    cut, _ = cut_rows(entries, len(weight))
    return sparse_decode(cut, weight.flatten(0, 1)).reshape(len(entries.offsets) - 1, -1)


def block_decode_parts(
    codes: RaggedCodes, weight: Float[Tensor, "n own d"], ends: Sequence[int]
) -> tuple[Float[Tensor, "batch n*d"], ...]:
    """Decodes the first features of every block alone, up to the share of `ends[0]` of all, then up to `ends[1]`, …

    Dense equivalent, in values and gradients, for each part from `start` to `end`, with the place
    `p = n · (j mod own)` of a feature j: `(codes.to_dense() * (start <= p) * (p < end)) @ block_diag(*weight)`.
    """
    n, own, _ = weight.shape
    place = n * (codes.columns % own)
    starts = (0, *ends[:-1])
    return tuple(
        block_decode(codes.only((place >= start) & (place < end)), weight)
        for start, end in zip(starts, ends, strict=True)
    )


def block_prefix_decode(
    codes: SparseCodes, weight: Float[Tensor, "n own d"], ends: Sequence[int]
) -> Float[Tensor, "batch prefixes n*d"]:
    """Decodes the first `ends[0]` stored entries of each row, the first `ends[1]`, and so on.

    Dense equivalent, in values and gradients, for each end: `part.to_dense() @ block_diag(*weight)` with
    `part = SparseCodes(indices[:, :end], values[:, :end], width)`.
    """
    n, own, _ = weight.shape
    indices, values = codes.indices[:, : ends[-1]], codes.values[:, : ends[-1]]
    rows = weight.flatten(0, 1)[indices] * values[..., None].to(weight.dtype)
    inside = F.one_hot(indices // own, n).to(rows.dtype)
    placed = (inside[..., None] * rows[:, :, None]).flatten(2)
    return placed.cumsum(1)[:, [end - 1 for end in ends]]
