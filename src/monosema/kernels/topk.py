"""The largest pre-activations, per row and over a whole batch."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monosema.kernels.codes import SparseCodes

GROUP = 16
"""Entries whose maximum stands for them in the search for a bound."""
SLACK = 4
"""Rows with more than this many times `k` candidates are searched by PyTorch: many entries are equal."""


def topk(pre: Float[Tensor, "batch width"], k: int) -> SparseCodes:
    """The `k` largest of `relu(pre)` in each row, in any order; ties break either way.

    Dense equivalent: `relu(pre) * mask` where `mask` marks each row's `k` largest entries.
    """
    indices = largest_of_rows(pre.detach(), k)
    return SparseCodes(indices, _Gather.apply(pre, indices).relu(), pre.shape[1])


def batch_topk(pre: Float[Tensor, "batch width"], k: int) -> Float[Tensor, "batch width"]:
    """The `k * batch` largest of `relu(pre)` over the whole batch, everything else zero; ties break either way.

    Dense equivalent: `relu(pre) * mask` where `mask` marks the `k * batch` largest entries of the flattened matrix.
    """
    flat = pre.flatten()
    kept = _largest(flat.detach(), k * len(pre))
    return torch.zeros_like(flat).scatter(0, kept, flat[kept]).view_as(pre)


def largest_of_rows(pre: Float[Tensor, "batch width"], k: int) -> Int[Tensor, "batch k"]:
    """Indices of the `k` largest entries of each row, without sorting the row.

    The k-th largest of any part of the entries is at most the k-th largest of all. The maxima of groups are such a
    part: what lies below their k-th largest is out, which leaves hardly more than k entries a row.
    """
    batch, width = pre.shape
    groups = width // GROUP
    if pre.device.type != "cpu" or k > groups or batch == 0:
        return pre.topk(k, dim=1, sorted=False).indices
    # Groups of entries that lie far apart, so that the maximum is one of whole rows of numbers, and vectorised.
    maxima = pre[:, : groups * GROUP].reshape(batch, GROUP, groups).amax(1)
    bound = torch.from_numpy(np.partition(_as_numpy(maxima), groups - k, axis=1)[:, groups - k, None]).to(pre.dtype)
    # Only a group whose maximum reaches the bound has members that do; so has what fills no group.
    found = where_true(maxima >= bound)
    members = (found // groups * width + found % groups)[:, None] + groups * torch.arange(GROUP)
    rest = torch.arange(groups * GROUP, width) + width * torch.arange(batch)[:, None]
    members = torch.cat([members.flatten(), rest.flatten()])
    kept = pre.flatten()[members] >= bound.flatten()[members // width]
    candidates = members[kept].sort().values
    counts = (candidates // width).bincount(minlength=batch)
    if counts.min() < k or counts.max() > SLACK * k:  # NaN, or many equal entries
        return pre.topk(k, dim=1, sorted=False).indices
    padded = _rectangle(candidates % width, counts)
    values = pre.gather(1, padded.clamp(min=0)).masked_fill_(padded < 0, -torch.inf)
    return padded.gather(1, values.topk(k, dim=1, sorted=False).indices)


def _rectangle(entries: Int[Tensor, " all"], counts: Int[Tensor, " rows"]) -> Int[Tensor, "rows longest"]:
    """Rows of various lengths, given end to end, filled up with −1."""
    padded = entries.new_full((len(counts), int(counts.max())), -1)
    places = torch.arange(len(entries)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    rows = torch.arange(len(counts)).repeat_interleave(counts)
    padded[rows, places] = entries
    return padded


def _largest(flat: Float[Tensor, " all"], n: int) -> Int[Tensor, " kept"]:
    """Indices of the `n` largest positive entries (or all, if there are fewer), without sorting all of them.

    A bound from the maxima of groups, as above; of the few entries that it leaves, the best are exactly the winners.
    """
    groups = len(flat) // GROUP
    maxima = flat[: groups * GROUP].view(GROUP, groups).amax(0) if groups else flat
    bound = _nth_largest(maxima, n) if 0 < n <= len(maxima) else -torch.inf
    left = where_true((flat >= bound) & (flat > 0))
    return left if len(left) <= n else left[flat[left].topk(n, sorted=False).indices]


def _nth_largest(values: Float[Tensor, " all"], n: int) -> Float[Tensor, ""]:
    if values.device.type != "cpu":
        return values.topk(n, sorted=False).values.amin()
    place = len(values) - n
    return torch.tensor(np.partition(_as_numpy(values), place)[place], dtype=values.dtype)


def where_true(mask: Bool[Tensor, "*any"]) -> Int[Tensor, " true"]:
    """Places of the true entries in the flattened mask; on a CPU NumPy finds them several times as fast."""
    if mask.device.type != "cpu":
        return mask.flatten().nonzero().squeeze(1)
    return torch.from_numpy(np.flatnonzero(mask.numpy()))


def _as_numpy(values: Tensor) -> np.ndarray:
    """Without rounding; NumPy knows no bfloat16."""
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


class _Gather(torch.autograd.Function):
    """`pre.gather(1, indices)` for distinct indices, whose gradient is put, not added, in its places."""

    @staticmethod
    def forward(ctx, pre: Tensor, indices: Tensor) -> Tensor:
        ctx.save_for_backward(indices)
        ctx.shape = pre.shape
        return pre.gather(1, indices)

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        (grad,) = grad_outputs
        (indices,) = ctx.saved_tensors
        return put_rows(grad, indices, ctx.shape[1]), None


def put_rows(
    values: Float[Tensor, "batch k"], indices: Int[Tensor, "batch k"], width: int
) -> Float[Tensor, "batch width"]:
    """Zeros with `values` at distinct `indices` of each row; several times as fast as `scatter` in bfloat16."""
    first = torch.arange(len(values), device=values.device)[:, None] * width
    return values.new_zeros(len(values), width).put_(indices + first, values)
