"""Sums over codes, whether they are dense or sparse."""

from jaxtyping import Float
from torch import Tensor

from monosema.kernels import RaggedCodes, SparseCodes

Codes = Float[Tensor, "batch width"] | SparseCodes | RaggedCodes


def l1(codes: Codes, weights: Float[Tensor, " width"] | None = None) -> Float[Tensor, ""]:
    """Mean over the batch of Σ_j w_j f_j for codes f ≥ 0, with weights of one by default; in float32."""
    if isinstance(codes, Tensor):
        means = codes.float().mean(0)  # no matrix product with the weights, because autocast would round it
        return means.sum() if weights is None else (means * weights).sum()
    entries = codes.ragged() if isinstance(codes, SparseCodes) else codes
    values = entries.values.float()
    return (values if weights is None else values * weights[entries.columns]).sum() / (len(entries.offsets) - 1)
