"""Where features live: how much of each is written to which of several hook points."""

from jaxtyping import Float
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.errors import InputError


def site_shares(dictionary: Dictionary) -> Float[Tensor, "width sites"]:
    """The share of each feature's norms that is in each hook point: Lindsey et al. 2024, relative decoder norms.

    Norms are those in training, where the activations at all hook points have one scale. Of two models, a share near
    one half is a feature of both, near 0 or 1 of one of them alone.

    Args:
        dictionary: writes several hook points; where its metadata do not name the scales of training, its own norms are
            compared.

    Raises:
        InputError: it writes one hook point.
    """
    if len(dictionary.spec.sizes_out) < 2:
        raise InputError(
            f"shares of a dictionary that writes {', '.join(dictionary.spec.writes) or 'one hook point'}",
            expected="one that writes several hook points, such as a crosscoder",
        )
    norms = dictionary.site_norms().detach().double().cpu()
    scales = dictionary.metadata.get("training_scale", {}).get("written")
    if scales:
        norms = norms * norms.new_tensor(scales)
    return norms / norms.sum(1, keepdim=True).clamp_min(1e-300)


def sites_used(shares: Float[Tensor, "width sites"]) -> Float[Tensor, " width"]:
    """How many hook points a feature is written to, effectively: (Σ s)² / Σ s², from 1 to all of them."""
    return shares.sum(1).square() / shares.square().sum(1).clamp_min(1e-300)
