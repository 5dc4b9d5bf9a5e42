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
    if len(dead) == 0:
        return error.new_zeros(())
    codes, error = topk(pre, min(k_aux, len(dead))), error.detach().float()
    explained = dictionary.decoder.apply_some(codes, dictionary.W_dec, dead)
    variation = (error - error.mean(0)).square().sum()
    # Of an error that does not vary, rounding leaves a little; dividing by it would drown every other gradient.
    varies = variation > torch.finfo(error.dtype).eps * error.square().sum()
    return F.mse_loss(explained.float(), error, reduction="sum") * torch.where(varies, 1 / variation, 0.0)
