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
    axes: Float[Tensor, "*blocks d d"] | None = None
    """Of all coordinates, or of each block of them."""

    def into(self, x: Float[Tensor, "rows d"]) -> Float[Tensor, "rows d"]:
        """Activations as the dictionary in training sees them."""
        return x * self.scale if self.axes is None else turned(x, self.axes.to(x) * self.scale)


def turned(x: Float[Tensor, "*rows d"], axes: Float[Tensor, "*blocks d d"]) -> Float[Tensor, "*rows d"]:
    """`x A`; of blocks of coordinates, each by its own axes."""
    if axes.ndim == 2:
        return x @ axes
    cut = x.reshape(-1, len(axes), 1, axes.shape[1])
    return (cut @ axes).reshape(x.shape)


def frame_of(x: Float[Tensor, "rows d"], norm: float, basis: Basis, blocks: int = 1) -> Frame:
    """The frame in which rows like these have a root mean squared norm, and, if wanted, uncorrelated coordinates.

    Adam sizes its steps for each coordinate. In the principal axes, where coordinates have variances of their own, that
    makes up for the activations' anisotropy; in the given basis every coordinate mixes strong and weak directions.
    A direction's sign is the one with which its coordinate leans to the positive side. Blocks of coordinates that
    features see by themselves stay apart: each has axes of its own.

    Raises:
        InputError: there are no rows, all are zero, or some are not finite.
    """
    scale = norm / rms_norm(x)
    if basis == "given":
        return Frame(scale)
    scaled = x * scale
    axes = [_principal_axes(own) for own in scaled.chunk(blocks, dim=1)]
    # Contiguous, as a checkpoint gives it back: products depend on it by a last bit.
    return Frame(scale, axes[0] if blocks == 1 else torch.stack(axes))


def _principal_axes(x: Float[Tensor, "rows d"]) -> Float[Tensor, "d d"]:
    centred = (x - x.mean(0)).double()
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)
    skewness = (centred @ axes).pow(3).sum(0)
    signed = (axes * torch.where(skewness < 0, -1.0, 1.0)).to(x.dtype)
    return signed.contiguous()


@torch.no_grad()
def fold_(dictionary: Dictionary, read: Frame, written: Frame) -> None:
    """Makes a dictionary that was trained in these frames take and give raw activations, in place."""
    dictionary.fold_scale_(read.scale, written.scale)
    if read.axes is not None:
        for weight in (dictionary.W_enc, dictionary.b_in, dictionary.W_skip):
            if weight is not None:
                turned_weight = _turned(weight if weight.ndim == 1 else weight.mT, read.axes.to(weight).mT)
                weight.copy_(turned_weight if weight.ndim == 1 else turned_weight.mT)
    if written.axes is not None:
        for weight in (dictionary.W_dec, dictionary.b_dec, dictionary.W_skip):
            if weight is not None:
                weight.copy_(_turned(weight, written.axes.to(weight).mT))


def _turned(weight: Tensor, axes: Float[Tensor, "*blocks d d"]) -> Tensor:
    """A weight or bias whose last dimension is one of coordinates; a stack of blocks has a block of them in each."""
    return weight @ axes if weight.ndim == axes.ndim == 3 else turned(weight, axes)
