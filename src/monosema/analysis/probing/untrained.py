"""A dictionary that has learned nothing, as a control."""

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.dictionaries import Dictionary, Spec, TopK, initialise_
from monosema.errors import InputError

_ENTRIES = 2**24  # pre-activations that are in memory at once


@torch.no_grad()
def untrained_like(dictionary: Dictionary, x: Float[Tensor, "n d_in"], *, seed: int = 0) -> Dictionary:
    """A dictionary with random encoder directions that reads what another one does, as wide and as sparse.

    Activations are centred for it, and the k largest pre-activations of each are its codes, where k is the mean number
    of features with which the other one answers to `x`, rounded. So the two differ in their directions, not in how well
    biases and thresholds fit the activations. What it writes means nothing.

    Args:
        dictionary: that is compared, in evaluation mode.
        x: activations by which both are set up.
        seed: of the directions.

    Raises:
        InputError: there are no activations.
    """
    if not len(x):
        raise InputError("no activations", expected="some, to know how sparse a dictionary is")
    spec, like = dictionary.spec, dictionary.W_enc
    parts = x.split(max(_ENTRIES // spec.width, 1))
    active = sum(len(dictionary.active_entries(part.to(like)).values) for part in parts)
    k = min(max(round(active / len(x)), 1), spec.width)
    reading = Spec(
        d_in=spec.d_in,
        d_out=1,
        width=spec.width,
        reads=spec.reads,
        writes=("nothing",),
        wiring="transcoder",
        encoder=spec.encoder,
        blocks=spec.blocks_in,
        sizes_in=spec.sizes_in,
        normalisation=spec.normalisation,
    )
    made = Dictionary(reading, TopK(spec.width, k))
    initialise_(made, torch.Generator().manual_seed(seed))
    made = made.to(like.device, like.dtype).eval()
    total = sum(made.preactivations(part.to(like)).double().sum(0) for part in parts)
    made.b_enc.copy_(-torch.as_tensor(total) / len(x))
    return made
