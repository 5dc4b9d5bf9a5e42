"""Sparse decodes of many prefixes of the same codes, and how far they are from what they should be."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.kernels.backend import on_gpu
from monosema.kernels.codes import SparseCodes
from monosema.kernels.spare import gradient_like

PREFIXES = 2**17
"""Numbers of all prefixes of some rows that are made at a time: several such tensors stay in a core's L2 cache."""
GPU_PREFIXES = 2**26
"""The same on a GPU: 256 MiB."""


def prefix_decode(
    codes: SparseCodes, weight: Float[Tensor, "width d"], ends: Sequence[int]
) -> Float[Tensor, "batch prefixes d"]:
    """Decodes the first `ends[0]` stored entries of each row, the first `ends[1]`, and so on, by cumulative sums.

    Dense equivalent, in values and gradients, for each end: `part.to_dense() @ weight` with
    `part = SparseCodes(indices[:, :end], values[:, :end], width)`. Takes memory for `batch · k · d` numbers.

    Args:
        codes: in the order in which the prefixes take them.
        weight: the decoder.
        ends: rising numbers of entries, each from 1 to `k`.
    """
    return _PrefixDecode.apply(codes.indices, codes.values, weight, tuple(ends))


class _PrefixDecode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, indices: Tensor, values: Tensor, weight: Tensor, ends: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(indices, values, weight)
        ctx.ends = ends
        return _prefixes(indices, values, weight, ends)[1]

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        indices, values, weight = ctx.saved_tensors
        grad_values, grad_weight = torch.zeros_like(values), gradient_like(weight).zero_()
        rows = _rows(indices, weight, ctx.ends)
        _pass_on_(grad_outputs[0], rows, indices, values, ctx.ends, grad_values, grad_weight)
        return None, grad_values, grad_weight, None


def prefix_errors(
    codes: SparseCodes, weight: Float[Tensor, "width d"], target: Float[Tensor, "batch d"], ends: Sequence[int]
) -> Float[Tensor, " prefixes"]:
    """The squared distance of each prefix from a target, summed over the batch; `prefix_decode` says what prefixes are.

    Dense equivalent, in values and gradients, with `prefixes = prefix_decode(codes, weight, ends)`:
    `(target[:, None] - prefixes).square().sum((0, 2))`.
    All prefixes of some rows are made at a time, and again for the gradients, so that nothing as large as
    `batch · prefixes · d` is held.
    """
    return _PrefixErrors.apply(codes.indices, codes.values, weight, target, tuple(ends))


class _PrefixErrors(torch.autograd.Function):
    @staticmethod
    def forward(ctx, indices: Tensor, values: Tensor, weight: Tensor, target: Tensor, ends: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(indices, values, weight, target)
        ctx.ends = ends
        sums = weight.new_zeros(len(ends))
        for piece in _some_rows(target, ends):
            _, prefixes = _prefixes(indices[piece], values[piece], weight, ends)
            sums += prefixes.sub_(target[piece, None]).square_().sum((0, 2))
        return sums

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        indices, values, weight, target = ctx.saved_tensors
        factors = 2 * grad_outputs[0][:, None]
        grad_values, grad_target = torch.zeros_like(values), torch.empty_like(target)
        grad_weight = gradient_like(weight).zero_()
        for piece in _some_rows(target, ctx.ends):
            rows, prefixes = _prefixes(indices[piece], values[piece], weight, ctx.ends)
            grad = prefixes.sub_(target[piece, None]).mul_(factors)
            grad_target[piece] = -grad.sum(1)
            _pass_on_(grad, rows, indices[piece], values[piece], ctx.ends, grad_values[piece], grad_weight)
        return None, grad_values, grad_weight, grad_target, None


def _some_rows(target: Float[Tensor, "batch d"], ends: tuple[int, ...]) -> Iterator[slice]:
    numbers = GPU_PREFIXES if on_gpu(target) else PREFIXES
    size = max(numbers // max(ends[-1] * target.shape[1], 1), 1)
    return (slice(start, start + size) for start in range(0, len(target), size))


def _rows(indices: Tensor, weight: Tensor, ends: tuple[int, ...]) -> Float[Tensor, "rows used d"]:
    """The weight's rows of the entries that are in a prefix."""
    return weight.index_select(0, indices[:, : ends[-1]].flatten()).view(len(indices), ends[-1], -1)


def _prefixes(
    indices: Tensor, values: Tensor, weight: Tensor, ends: tuple[int, ...]
) -> tuple[Float[Tensor, "rows used d"], Float[Tensor, "rows prefixes d"]]:
    """The weight's rows of the entries, and their sums up to each end."""
    rows, used = _rows(indices, weight, ends), ends[-1]
    prefixes = (rows * values[:, :used, None].to(weight.dtype)).cumsum_(1)
    return rows, prefixes if len(ends) == used else prefixes[:, [end - 1 for end in ends]]


def _pass_on_(
    grad: Float[Tensor, "rows prefixes d"],
    rows: Float[Tensor, "rows used d"],
    indices: Tensor,
    values: Tensor,
    ends: tuple[int, ...],
    grad_values: Tensor,
    grad_weight: Tensor,
) -> None:
    """From the gradient of prefixes writes that of the values, and adds to that of the weight; overwrites `rows`."""
    used = ends[-1]
    # An entry is in every prefix that ends behind it, so its gradient is the sum over those.
    behind = grad.cumsum(1).neg_().add_(grad).add_(grad.sum(1, keepdim=True))
    if len(ends) < used:
        first = torch.searchsorted(torch.tensor(ends), torch.arange(used), right=True)
        behind = behind[:, first.to(grad.device)]
    grad_values[:, :used] = torch.mul(rows, behind, out=rows).sum(-1)
    behind *= values[:, :used, None].to(grad.dtype)
    grad_weight.index_add_(0, indices[:, :used].flatten(), behind.flatten(0, 1))
