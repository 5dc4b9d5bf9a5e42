"""Ghost gradients: dead features learn to explain half of the residual (Anthropic's January 2024 update)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from monosema.dictionaries import Dictionary


def ghost_loss(
    dictionary: Dictionary,
    pre: Float[Tensor, "batch dead"],
    error: Float[Tensor, "batch d_out"],
    dead: Int[Tensor, " dead"],
) -> Float[Tensor, ""]:
    """‖e − ê‖², scaled to the size of ‖e‖², ê decoded from exp(π) of the dead features and scaled to ‖e‖ / 2.

    The residual e and both scales are constants; only the dead features learn from it. Zero where no feature is dead.
    """
    ranks = dictionary.ranks
    if ranks.features.total(len(dead)) == 0:
        return error.new_zeros(())
    error, chosen = error.detach().float(), pre.float()
    # ê is scaled per row anyway, so that exp may start from the row's largest and never overflows.
    largest = ranks.features.max(F.pad(chosen.detach(), (0, 1), value=-torch.inf).amax(1, keepdim=True))
    made = dictionary.decoder.apply_some((chosen - largest).exp(), dictionary.W_dec, dead)
    ghost = ranks.features.sum(made).float()
    tiny = torch.finfo(ghost.dtype).tiny
    scale = error.norm(dim=1, keepdim=True) / (2 * ghost.detach().norm(dim=1, keepdim=True)).clamp_min(tiny)
    rows = len(error) * ranks.rows.size
    distance = ranks.rows.sum((error - scale * ghost).square().sum()) / rows
    size = ranks.rows.sum(error.square().sum()) / rows
    return distance * (size / distance.detach().clamp_min(tiny))
