"""The largest entries of the encoder's product `x W + b`, without ever holding all of it.

The product is made a few rows at a time, in one buffer that stays in the processor's cache; what is not chosen is gone.
A training step then costs one dense product, and all else touches the chosen entries alone. Where the weight is a
stack of blocks, `[n, d / n, width / n]`, it stands for the block-diagonal matrix of them.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from monosema.kernels.backend import on_gpu
from monosema.kernels.blocks import blocks_in_parts, cut_rows
from monosema.kernels.codes import RaggedCodes, SparseCodes
from monosema.kernels.entries import ByColumn, weighted_sums, weighted_sums_, without_zeros
from monosema.kernels.parts import pieces, product_in_parts
from monosema.kernels.precision import product_dtype
from monosema.kernels.search import entries_above_zero, largest_of_rows
from monosema.kernels.spare import gradient_like

MARGIN = 0.95
"""How far below the guess the search begins: batches differ by less, as a rule."""


def encode_topk(
    x: Float[Tensor, "batch d"],
    weight: Float[Tensor, "d width"],
    bias: Float[Tensor, " width"],
    k: int,
    shift: Float[Tensor, " d"] | None = None,
) -> SparseCodes:
    """The `k` largest of `relu((x − shift) W + b)` in each row, in any order; ties break either way.

    Dense equivalent, in values and gradients: `topk((x - shift) @ weight + bias, k)`.
    """
    centred = _centred(x, weight, shift)
    indices, found = [], []
    for pre in _product(centred, weight, bias):
        indices.append(largest_of_rows(pre, k))
        found.append(pre.gather(1, indices[-1]))
    chosen = torch.cat(indices)
    codes = SparseCodes(chosen, torch.cat(found), len(bias), ByColumn())
    values = _with_gradients(codes.ragged(), x, weight, bias, shift, centred)
    return codes._replace(values=values.view(chosen.shape).relu())


def encode_batch_topk(
    x: Float[Tensor, "batch d"],
    weight: Float[Tensor, "d width"],
    bias: Float[Tensor, " width"],
    k: int,
    shift: Float[Tensor, " d"] | None,
    guess: float,
) -> RaggedCodes:
    """The `k * batch` largest of `relu((x − shift) W + b)` over the whole batch; ties break either way.

    Dense equivalent, in values and gradients: `batch_topk((x - shift) @ weight + bias, k)`.

    Args:
        x: rows, one for each token.
        weight: the encoder's matrix.
        bias: what is added to the product, one number for each feature.
        shift: what is taken off each row first.
        k: entries to keep, for each row on average.
        guess: about the smallest entry that will be kept. One that is too high costs a second product, one that is
            too low costs memory; the result is the same.
    """
    centred = _centred(x, weight, shift)
    wanted = k * len(x)

    def look(bound: float) -> tuple[RaggedCodes, int]:
        codes = _above(centred, weight, bias, torch.full((), bound, device=x.device))
        return codes, len(codes.values)

    codes, _ = enough_entries(look, wanted, guess)
    if len(codes.values) > wanted:
        kept = torch.zeros_like(codes.columns, dtype=torch.bool)
        kept[codes.values.topk(wanted, sorted=False).indices] = True
        codes = codes.only(kept)
    return codes._replace(values=_with_gradients(codes, x, weight, bias, shift, centred))


def enough_entries(
    look: Callable[[float], tuple[RaggedCodes, int]], wanted: int, guess: float
) -> tuple[RaggedCodes, int]:
    """Looks below a guess, and farther down, until `wanted` entries are found, or all that are above zero.

    Args:
        look: the entries above a bound, and how many there are in all, of which these may be a part.
        wanted: how many are enough.
        guess: about the smallest of those that are wanted.
    """
    bound = max(MARGIN * guess, 0.0)
    codes, count = look(bound)
    while count < wanted and bound > 0:
        bound = bound / 2 if bound > 0.1 * guess else 0.0
        codes, count = look(bound)
    return codes, count


def encode_above(
    x: Float[Tensor, "batch d"],
    weight: Float[Tensor, "d width"],
    bias: Float[Tensor, " width"],
    bound: Float[Tensor, "*width_or_one"],
    shift: Float[Tensor, " d"] | None = None,
) -> RaggedCodes:
    """The entries of `(x − shift) W + b` that are larger than `bound`, one for all or one for each feature.

    Dense equivalent, in values and gradients: `pre * (pre > bound)` with `pre = (x - shift) @ weight + bias`.
    """
    centred = _centred(x, weight, shift)
    codes = _above(centred, weight, bias, bound)
    return codes._replace(values=_with_gradients(codes, x, weight, bias, shift, centred))


@torch.no_grad()
def _above(centred: Tensor, weight: Tensor, bias: Tensor, bound: Tensor) -> RaggedCodes:
    """The bound is taken off with the bias, for nothing, so that one compares with zero."""
    found = [entries_above_zero(beyond) for beyond in _product(centred, weight, bias - bound)]
    counts, columns, values = (torch.cat(parts) for parts in zip(*found, strict=True))
    for piece in pieces(values):
        values[piece] = values[piece] + (bound.index_select(0, columns[piece]) if bound.ndim else bound)
    return RaggedCodes(F.pad(counts.cumsum(0), (1, 0)), columns, values, len(bias), ByColumn())


@torch.no_grad()
def _centred(x: Tensor, weight: Tensor, shift: Tensor | None) -> Float[Tensor, "batch d"]:
    """What is multiplied, in the precision of products here."""
    return (x if shift is None else x - shift).to(product_dtype(weight))


@torch.no_grad()
def _product(centred: Tensor, weight: Tensor, bias: Tensor) -> Iterator[Float[Tensor, "rows width"]]:
    """In the precision of products here.

    Where a CPU copies the weight anyway, the bias becomes one more row of it, which a column of ones multiplies: to add
    it for itself takes two more passes over the product. A GPU adds it as it writes the product.
    """
    if weight.ndim == 3:
        return blocks_in_parts(centred, weight.to(centred.dtype), bias.to(centred.dtype))
    if centred.dtype == weight.dtype or on_gpu(weight):
        return product_in_parts(centred, weight.to(centred.dtype), bias.to(centred.dtype))
    (d, width), kind = weight.shape, centred.dtype
    lowered = torch.empty(width, d + 1, dtype=kind, device=weight.device)
    lowered[:, :d], lowered[:, d] = weight.mT, bias
    return product_in_parts(torch.cat([centred, centred.new_ones(len(centred), 1)], dim=1), lowered.mT)


def _with_gradients(
    codes: RaggedCodes, x: Tensor, weight: Tensor, bias: Tensor, shift: Tensor | None, centred: Tensor
) -> Float[Tensor, " entries"]:
    """The values of entries of `(x − shift) W + b`, joined to what they were made from."""
    if weight.ndim == 3:
        return _with_gradients_of_blocks(codes, x if shift is None else x - shift, weight, bias, centred)
    return _Entries.apply(codes.offsets, codes.columns, codes.values, x, weight, bias, shift, centred, codes.by_column)


def _with_gradients_of_blocks(
    codes: RaggedCodes, x: Tensor, weight: Float[Tensor, "n d own"], bias: Tensor, centred: Tensor
) -> Float[Tensor, " entries"]:
    """The same of a block-diagonal W: entries of the product of n times as many rows with its blocks side by side."""
    n, d, _ = weight.shape
    cut, order = cut_rows(codes, n)
    side_by_side = weight.mT.flatten(0, 1).mT
    rows, centred = x.reshape(-1, d), centred.reshape(-1, d)
    values = _Entries.apply(cut.offsets, cut.columns, cut.values, rows, side_by_side, bias, None, centred, None)
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=order.device)
    return values[back]


class _Entries(torch.autograd.Function):
    """Entries of `(x − shift) W + b` whose values are known already."""

    @staticmethod
    def forward(ctx, offsets, columns, values, x, weight, bias, shift, centred, by_column):
        ctx.save_for_backward(offsets, columns, weight, centred)
        ctx.dtype, ctx.by_column = x.dtype, by_column
        return values.view_as(values)

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        offsets, columns, weight, centred = ctx.saved_tensors
        offsets, columns, grad = without_zeros(offsets, columns, *grad_outputs)
        _, _, _, x_needs, weight_needs, bias_needs, shift_needs, *_ = ctx.needs_input_grad
        grad_x = grad_weight = grad_bias = grad_shift = None
        if x_needs:
            grad_x = weighted_sums(offsets, columns, grad, weight.mT.to(centred.dtype)).to(ctx.dtype)
        if weight_needs:
            grad_weight = gradient_like(weight)
            weighted_sums_(grad_weight.mT, offsets, columns, grad, centred, ctx.by_column)
        if bias_needs or shift_needs:
            grad_bias = weight.new_zeros(weight.shape[1]).index_add_(0, columns, grad.to(weight.dtype))
        if shift_needs:
            grad_shift = -(weight @ grad_bias)  # the shift acts on all rows alike, as the bias does
        return None, None, None, grad_x, grad_weight, grad_bias if bias_needs else None, grad_shift, None, None
