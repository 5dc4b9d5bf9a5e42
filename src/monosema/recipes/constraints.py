"""What the optimiser must respect: unit decoder rows, and encoders aligned with their decoders.

Each constraint comes in two halves: `project_…_` makes the gradients those of the constrained problem before a step,
and `normalise_…_` or `align_` puts the weights back on the constraint after it.
"""

import torch

from monosema.dictionaries import Dictionary

ROWS = 1024
"""Rows that are worked on at a time: so many stay in the processor's cache from one pass to the next."""


@torch.no_grad()
def project_gradient_(dictionary: Dictionary) -> None:
    """Removes from the decoder's gradient its part along each row, which renormalising would undo (Bricken 2023)."""
    weight, grad = dictionary.W_dec, dictionary.W_dec.grad
    assert grad is not None
    for g, w in zip(grad.split(ROWS, -2), weight.split(ROWS, -2), strict=True):
        g.addcmul_((g * w).sum(-1, keepdim=True), w, value=-1)


@torch.no_grad()
def normalise_decoder_(dictionary: Dictionary) -> None:
    """Divides each decoder row by its norm."""
    weight = dictionary.W_dec
    for rows in weight.split(ROWS, -2):
        rows.div_(rows.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny))


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
