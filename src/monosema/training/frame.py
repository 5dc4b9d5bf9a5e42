"""The frame of reference in which a dictionary is trained: activations scaled, and turned to their principal axes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.activations.normalise import rms_norm
from monosema.dictionaries import Dictionary
from monosema.kernels.rows import turned

Basis = Literal["principal", "given"]
Norm = Literal["one", "sqrt_d"]


@dataclass(frozen=True)
class Frame:
    """x ↦ scale · x A, where the columns of A, if there is one, are orthonormal directions; or, of activations of
    several hook points side by side, that of each with a scale and directions of its own."""

    scales: tuple[float, ...]
    """One for all, or one for each hook point."""
    sizes: tuple[int, ...] = ()
    """Of the activations at each hook point, where these have scales of their own."""
    axes: Float[Tensor, "*blocks d d"] | None = None
    """Of all coordinates, or of each block of them."""

    def into(self, x: Float[Tensor, "rows d"]) -> Float[Tensor, "rows d"]:
        """Activations as the dictionary in training sees them."""
        if len(self.scales) == 1:
            (scale,) = self.scales
            return x * scale if self.axes is None else turned(x, self.axes.to(x) * scale)
        parts = zip(x.split(self.sizes, 1), self.scales, strict=True)
        scaled = torch.cat([part * scale for part, scale in parts], 1)
        return scaled if self.axes is None else turned(scaled, self.axes.to(x))


def frame_of(
    x: Float[Tensor, "rows d"], norm: Norm, basis: Basis, *, sizes: Sequence[int] = (), blocks: int = 1
) -> Frame:
    """The frame in which rows like these have a root mean squared norm, and, if wanted, uncorrelated coordinates.

    Adam sizes its steps for each coordinate. In the principal axes, where coordinates have variances of their own, that
    makes up for the activations' anisotropy; in the given basis every coordinate mixes strong and weak directions.
    A direction's sign is the one with which its coordinate leans to the positive side. Blocks of coordinates that
    features see by themselves stay apart: each has axes of its own.

    Args:
        x: activations.
        norm: what their norm becomes: one, or the root of their size, which is one for each coordinate.
        basis: that of the principal axes, or the one that they come in.
        sizes: of the activations at several hook points, each of which then has this norm, and axes of its own.
        blocks: of coordinates, where there is one hook point.

    Raises:
        InputError: there are no rows, all of a hook point are zero, or some are not finite.
    """
    points = x.split(list(sizes), 1) if sizes else (x,)
    scales = tuple((1.0 if norm == "one" else own.shape[1] ** 0.5) / rms_norm(own) for own in points)
    sizes = tuple(sizes) if len(scales) > 1 else ()
    if basis == "given":
        return Frame(scales, sizes)
    scaled = [own * scale for own, scale in zip(points, scales, strict=True)]
    parts = scaled if len(scaled) > 1 else scaled[0].chunk(blocks, dim=1)
    return Frame(scales, sizes, _side_by_side([_principal_axes(part) for part in parts]))


def _side_by_side(axes: Sequence[Float[Tensor, "_ _"]]) -> Float[Tensor, "*blocks d d"]:
    """Axes of blocks of coordinates as one tensor; a matrix with zeros where the blocks have different sizes."""
    if len(axes) == 1:  # contiguous, as a checkpoint gives it back: products depend on it by a last bit
        return axes[0]
    return torch.stack(list(axes)) if len({own.shape for own in axes}) == 1 else torch.block_diag(*axes)


def _principal_axes(x: Float[Tensor, "rows d"]) -> Float[Tensor, "d d"]:
    centred = (x - x.mean(0)).double()
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)
    skewness = (centred @ axes).pow(3).sum(0)
    signed = (axes * torch.where(skewness < 0, -1.0, 1.0)).to(x.dtype)
    return signed.contiguous()


@torch.no_grad()
def fold_(dictionary: Dictionary, read: Frame, written: Frame) -> None:
    """Makes a dictionary that was trained in these frames take and give raw activations, in place."""
    dictionary.fold_scale_(read.scales, written.scales)
    if read.axes is not None:
        axes = read.axes.mT
        dictionary.encoder.turn_(dictionary.W_enc.mT, axes.to(dictionary.W_enc))
        if dictionary.b_in is not None:
            dictionary.b_in.copy_(turned(dictionary.b_in, axes.to(dictionary.b_in)))
        if dictionary.W_skip is not None:
            dictionary.W_skip.copy_(turned(dictionary.W_skip.mT, axes.to(dictionary.W_skip)).mT)
    if written.axes is not None:
        axes = written.axes.mT
        dictionary.decoder.turn_(dictionary.W_dec, axes.to(dictionary.W_dec))
        for weight in (dictionary.b_dec, dictionary.W_skip):
            if weight is not None:
                weight.copy_(turned(weight, axes.to(weight)))
