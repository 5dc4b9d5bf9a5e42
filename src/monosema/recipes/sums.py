"""Sums over codes, whether they are dense or sparse."""

from jaxtyping import Float
from torch import Tensor

from monosema.kernels import RaggedCodes, SparseCodes, column_sums
from monosema.recipes.exchange import Forward

Codes = Float[Tensor, "batch width"] | SparseCodes | RaggedCodes


def l1(batch: Forward, codes: Codes, weights: Float[Tensor, " width"] | None = None) -> Float[Tensor, ""]:
    """Mean over the batch of Σ_j w_j f_j for codes f ≥ 0, with weights of one by default; in float32."""
    if isinstance(codes, Tensor):
        sums = column_sums(codes)  # no matrix product with the weights, because autocast would round it
        return batch.mean_of_features(sums.sum() if weights is None else (sums * weights).sum())
    entries = codes.ragged() if isinstance(codes, SparseCodes) else codes
    values = entries.values.float() if weights is None else scaled(entries, weights)
    return batch.mean_of_features(values.sum())


def scaled(codes: Codes, weights: Float[Tensor, " width"]) -> Float[Tensor, "*entries"]:
    """w_j f_j in float32: of sparse codes the stored entries alone."""
    if isinstance(codes, Tensor):
        return codes.float() * weights
    entries = codes.ragged() if isinstance(codes, SparseCodes) else codes
    return entries.values.float() * weights[entries.columns]
