"""The largest pre-activations, per row and over a whole batch."""

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.kernels.codes import SparseCodes


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
    positive = pre.relu().flatten()
    kept = positive.detach().topk(min(k * len(pre), positive.numel()), sorted=False).indices
    return torch.zeros_like(positive).scatter(0, kept, positive[kept]).view_as(pre)
