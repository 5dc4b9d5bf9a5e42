"""Ghost gradients: dead features learn to explain half of the residual (Anthropic's January 2024 update)."""

import torch
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
    if len(dead) == 0:
        return error.new_zeros(())
    error, chosen = error.detach().float(), pre.float()
    # ê is scaled per row anyway, so that exp may start from the row's largest and never overflows.
    codes = (chosen - chosen.detach().amax(1, keepdim=True)).exp()
    ghost = (codes @ dictionary.W_dec[dead]).float()
    tiny = torch.finfo(ghost.dtype).tiny
    scale = error.norm(dim=1, keepdim=True) / (2 * ghost.detach().norm(dim=1, keepdim=True)).clamp_min(tiny)
    distance = (error - scale * ghost).square().sum(1).mean()
    size = error.square().sum(1).mean()
    return distance * (size / distance.detach().clamp_min(tiny))
