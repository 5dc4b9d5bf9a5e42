"""The largest pre-activations, per row and over a whole batch."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.kernels.codes import SparseCodes

GROUP = 32


def topk(pre: Float[Tensor, "batch width"], k: int) -> SparseCodes:
    """The `k` largest of `relu(pre)` in each row.

    Dense equivalent: `relu(pre) * mask` where `mask` marks each row's `k` largest entries.
    """
    values, indices = pre.topk(k, dim=1, sorted=False)
    return SparseCodes(indices, values.relu(), pre.shape[1])


def batch_topk(pre: Float[Tensor, "batch width"], k: int) -> Float[Tensor, "batch width"]:
    """The `k * batch` largest of `relu(pre)` over the whole batch, everything else zero; ties break either way.

    Dense equivalent: `relu(pre) * mask` where `mask` marks the `k * batch` largest entries of the flattened matrix.
    """
    flat = pre.flatten()
    kept = _largest(flat.detach(), k * len(pre))
    return torch.zeros_like(flat).scatter(0, kept, flat[kept]).view_as(pre)


def _largest(flat: Float[Tensor, " all"], n: int) -> Int[Tensor, " kept"]:
    """Indices of the `n` largest positive entries (or all, if there are fewer), without sorting all of them.

    The n-th largest of any part of the entries is at most the n-th largest of all. The maxima of groups are such a
    part: what lies below their n-th largest is out, and of the few that are left the best are exactly the winners.
    """
    maxima = flat[: len(flat) // GROUP * GROUP].view(-1, GROUP).amax(1) if len(flat) >= GROUP else flat
    bound = maxima.topk(n, sorted=False).values.amin() if 0 < n <= len(maxima) else -torch.inf
    left = ((flat >= bound) & (flat > 0)).nonzero().squeeze(1)
    return left if len(left) <= n else left[flat[left].topk(n, sorted=False).indices]
