"""AuxK: dead features learn to explain what the living leave over (Gao et al. 2024, arXiv 2406.04093, appendix A.2)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.kernels import SparseCodes


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
    values, places = pre.topk(min(k, len(dead)), dim=1, sorted=False)
    own = F.pad(values.detach(), (0, k - values.shape[1]), value=-torch.inf)  # others may have more
    kept = ranks.features.among_largest(own, k)[:, : values.shape[1]]
    codes = SparseCodes(dead[places], values.relu() * kept, dictionary.spec.width)
    error = error.detach().float()
    explained = dictionary.decode_features(codes)
    mean = ranks.rows.sum(error.sum(0)) / (len(error) * ranks.rows.size)
    variation, size = ranks.rows.sum(torch.stack([(error - mean).square().sum(), error.square().sum()]))
    # Of an error that does not vary, rounding leaves a little; dividing by it would drown every other gradient.
    varies = variation > torch.finfo(error.dtype).eps * size
    left = ranks.rows.sum((error - explained.float()).square().sum())
    return left * torch.where(varies, 1 / variation, 0.0)
