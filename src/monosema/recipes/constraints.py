"""Decoder rows of unit norm: the gradient is kept tangent to the sphere, and each step ends on it."""

import torch

from monosema.dictionaries import Dictionary


@torch.no_grad()
def project_gradient_(dictionary: Dictionary) -> None:
    """Removes from the decoder's gradient its part along each row, which renormalising would undo (Bricken 2023)."""
    weight, grad = dictionary.W_dec, dictionary.W_dec.grad
    assert grad is not None
    grad.addcmul_((grad * weight).sum(-1, keepdim=True), weight, value=-1)


@torch.no_grad()
def normalise_decoder_(dictionary: Dictionary) -> None:
    """Divides each decoder row by its norm."""
    weight = dictionary.W_dec
    weight.div_(weight.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny))
