"""What the optimiser must respect: unit decoder rows, and encoders aligned with their decoders.

Each constraint comes in two halves: `project_…_` makes the gradients those of the constrained problem before a step,
and `normalise_…_` or `align_` puts the weights back on the constraint after it.
"""

import torch

from monosema.dictionaries import Dictionary


def project_gradient_(dictionary: Dictionary) -> None:
    """Removes from the decoder's gradient what renormalising would undo: its part along each row (Bricken 2023)."""
    assert dictionary.W_dec.grad is not None
    dictionary.decoder.project_(dictionary.W_dec.grad, dictionary.W_dec)


def normalise_decoder_(dictionary: Dictionary) -> None:
    """Divides each decoder row by its norm."""
    dictionary.decoder.normalise_(dictionary.W_dec)


@torch.no_grad()
def align_(dictionary: Dictionary) -> None:
    """Moves each encoder column e along its decoder row d until e · d = 1: e + (1 − e · d) d / ‖d‖²."""
    encoder, decoder = dictionary.W_enc.mT, dictionary.W_dec
    missing = (1 - (encoder * decoder).sum(-1)) / _squared_norms(decoder)
    encoder.addcmul_(missing[..., None], decoder)


@torch.no_grad()
def project_aligned_gradient_(dictionary: Dictionary) -> None:
    """The gradients of aligned training, arXiv 2605.18629, from those of the plain weights, where e · d = 1 holds.

    The encoder in use is e' = e + (1 − e · d) d / ‖d‖², a function of both parameters. By the chain rule e gets the
    part of ∂L/∂e' that is orthogonal to d, and d gets, beside its own gradient, −(∂L/∂e' · d / ‖d‖²) e.
    """
    encoder, decoder = dictionary.W_enc.mT, dictionary.W_dec
    assert dictionary.W_enc.grad is not None
    assert decoder.grad is not None
    grad = dictionary.W_enc.grad.mT
    along = ((grad * decoder).sum(-1) / _squared_norms(decoder))[..., None]
    decoder.grad.addcmul_(along, encoder, value=-1)
    grad.addcmul_(along, decoder, value=-1)


def _squared_norms(weight: torch.Tensor) -> torch.Tensor:
    return weight.square().sum(-1).clamp_min(torch.finfo(weight.dtype).tiny)
