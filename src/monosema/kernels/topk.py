"""The largest pre-activations, per row and over a whole batch."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from monosema.kernels.codes import SparseCodes


def topk(pre: Float[Tensor, "batch width"], k: int) -> SparseCodes:
    """The `k` largest of `relu(pre)` in each row.

    Dense equivalent: `relu(pre) * mask` where `mask` marks each row's `k` largest entries.
    """
    values, indices = pre.topk(k, dim=1, sorted=False)
    return SparseCodes(indices, values.relu(), pre.shape[1])


def batch_topk(pre: Float[Tensor, "batch width"], k: int) -> SparseCodes:
    """The `k * batch` largest of `relu(pre)` over the whole batch; ties break either way.

    Dense equivalent: `relu(pre) * mask` where `mask` marks the `k * batch` largest entries of the flattened matrix.
    Exact, without sorting all of it: the winners are among each row's `m` largest unless a row has all its `m` among
    the winners, and then `m` was too small.
    """
    batch, width = pre.shape
    m = min(4 * k, width)
    while True:
        values, indices = pre.topk(m, dim=1)
        values = values.relu()
        kept = _largest(values.detach(), k * batch)
        if m == width or not kept[:, -1].any():
            break
        m = min(4 * m, width)
    longest = max(int(kept.sum(1).max()), 1) if batch else 0
    return SparseCodes(indices[:, :longest], (values * kept)[:, :longest], width)


def _largest(values: Float[Tensor, "batch m"], n: int) -> Bool[Tensor, "batch m"]:
    """Marks the `n` largest positive entries of the whole matrix."""
    flat = values.flatten()
    best = flat.topk(min(n, len(flat)), sorted=False).indices
    return torch.zeros_like(flat, dtype=torch.bool).index_fill_(0, best, True).view_as(values) & (values > 0)
