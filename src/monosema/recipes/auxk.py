"""AuxK: dead features learn to explain what the living leave over (Gao et al. 2024, arXiv 2406.04093, appendix A.2)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.kernels import topk


def auxk_loss(
    dictionary: Dictionary,
    pre: Float[Tensor, "batch dead"],
    error: Float[Tensor, "batch d_out"],
    dead: Int[Tensor, " dead"],
    k_aux: int,
) -> Float[Tensor, ""]:
    """‖e − ê‖² / ‖e − ē‖², with ê decoded, without bias, from the `k_aux` largest pre-activations of the dead features.

    Zero where no feature is dead, or where the error does not vary. The error is a constant: it is not pulled
    towards what the dead can explain.
    """
    ranks = dictionary.ranks
    k = min(k_aux, ranks.features.total(len(dead)))
    if k == 0:
        return error.new_zeros(())
    codes, error = topk(pre, min(k, len(dead))), error.detach().float()
    if ranks.features.size > 1:
        own = F.pad(codes.values.detach(), (0, k - codes.values.shape[1]), value=-torch.inf)  # others may have more
        kept = ranks.features.among_largest(own, k)[:, : codes.values.shape[1]]
        codes = codes._replace(values=codes.values * kept)
    explained = ranks.features.sum(dictionary.decoder.apply_some(codes, dictionary.W_dec, dead))
    mean = ranks.rows.sum(error.sum(0)) / (len(error) * ranks.rows.size)
    variation, size = ranks.rows.sum(torch.stack([(error - mean).square().sum(), error.square().sum()]))
    # Of an error that does not vary, rounding leaves a little; dividing by it would drown every other gradient.
    varies = variation > torch.finfo(error.dtype).eps * size
    left = ranks.rows.sum(F.mse_loss(explained.float(), error, reduction="sum"))
    return left * torch.where(varies, 1 / variation, 0.0)
