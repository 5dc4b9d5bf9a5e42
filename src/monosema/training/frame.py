"""The frame of reference in which a dictionary is trained: activations scaled, and turned to their principal axes."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.activations.normalise import rms_norm
from monosema.dictionaries import Dictionary

Basis = Literal["principal", "given"]


@dataclass(frozen=True)
class Frame:
    """x ↦ scale · x A, where the columns of A, if there is one, are orthonormal directions."""

    scale: float
    axes: Float[Tensor, "d d"] | None = None

    def into(self, x: Float[Tensor, "rows d"]) -> Float[Tensor, "rows d"]:
        """Activations as the dictionary in training sees them."""
        return x * self.scale if self.axes is None else x @ (self.axes.to(x) * self.scale)


def frame_of(x: Float[Tensor, "rows d"], norm: float, basis: Basis) -> Frame:
    """The frame in which rows like these have a root mean squared norm, and, if wanted, uncorrelated coordinates.

    Adam sizes its steps for each coordinate. In the principal axes, where coordinates have variances of their own, that
    makes up for the activations' anisotropy; in the given basis every coordinate mixes strong and weak directions.
    A direction's sign is the one with which its coordinate leans to the positive side.

    Raises:
        InputError: there are no rows, all are zero, or some are not finite.
    """
    scale = norm / rms_norm(x)
    if basis == "given":
        return Frame(scale)
    centred = (x * scale - (x * scale).mean(0)).double()
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)
    skewness = (centred @ axes).pow(3).sum(0)
    signed = (axes * torch.where(skewness < 0, -1.0, 1.0)).to(x.dtype)
    return Frame(scale, signed.contiguous())  # as a checkpoint gives it back: products depend on it by a last bit


@torch.no_grad()
def fold_(dictionary: Dictionary, read: Frame, written: Frame) -> None:
    """Makes a dictionary that was trained in these frames take and give raw activations, in place."""
    dictionary.fold_scale_(read.scale, written.scale)
    if read.axes is not None:
        dictionary.W_enc.copy_(read.axes.to(dictionary.W_enc) @ dictionary.W_enc)
        if dictionary.b_in is not None:
            dictionary.b_in.copy_(read.axes.to(dictionary.b_in) @ dictionary.b_in)
        if dictionary.W_skip is not None:
            dictionary.W_skip.copy_(read.axes.to(dictionary.W_skip) @ dictionary.W_skip)
    if written.axes is not None:
        back = written.axes.to(dictionary.W_dec).T
        for weight in (dictionary.W_dec, dictionary.b_dec, dictionary.W_skip):
            if weight is not None:
                weight.copy_(weight @ back)
