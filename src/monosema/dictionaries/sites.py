"""A decoder that writes several hook points, as a crosscoder's does: a feature has a direction in each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from monosema.dictionaries.maps import Dense, maps
from monosema.kernels.rows import ROWS

if TYPE_CHECKING:
    from typing_extensions import Self


@maps.register("sites")
@dataclass(frozen=True)
class Sites(Dense):
    """A dense map whose outputs are those of several hook points, side by side.

    The norm of a feature is the sum of its directions' norms, Σ_s ‖d^s‖, as in the penalty of Lindsey et al. 2024
    (Sparse Crosscoders): where a recipe weighs codes by norms, or keeps these at one, a feature that is written to one
    hook point costs as much as one that is shared among all.
    """

    sizes: tuple[int, ...] = ()
    """Sizes of the activations at the hook points."""

    @classmethod
    def of(cls, blocks: int, sizes: Sequence[int]) -> "Self":
        """The map onto hook points of these sizes."""
        return cls(tuple(sizes))

    def site_norms(self, weight: Float[Tensor, "rows d"]) -> Float[Tensor, "rows sites"]:
        """The norm of each feature's direction in each hook point."""
        return torch.stack([part.norm(dim=1) for part in weight.split(self.sizes, 1)], 1)

    def row_norms(self, weight: Float[Tensor, "rows d"]) -> Float[Tensor, " rows"]:
        """The sum of each row's norms in all hook points."""
        return self.site_norms(weight).sum(1)

    @torch.no_grad()
    def normalise_(self, weight: Float[Tensor, "rows d"]) -> None:
        """Makes each norm √S of S hook points, in place: a feature that is shared evenly has Euclidean norm one."""
        for rows in weight.split(ROWS):
            norms = self.row_norms(rows).clamp_min(torch.finfo(weight.dtype).tiny)
            rows.mul_((len(self.sizes) ** 0.5 / norms)[:, None])

    @torch.no_grad()
    def project_(self, grad: Float[Tensor, "rows d"], weight: Float[Tensor, "rows d"]) -> None:
        """Removes from a gradient its part along that of each row's norm, n = (d^s / ‖d^s‖)_s: g − (g·n) n / ‖n‖²."""
        for g, w in zip(grad.split(ROWS), weight.split(ROWS), strict=True):
            normal = self._normal(w)
            along = (g * normal).sum(1) / normal.square().sum(1).clamp_min(torch.finfo(w.dtype).tiny)
            g.addcmul_(along[:, None], normal, value=-1)

    def unit(
        self, vectors: Float[Tensor, "some d"], features: Int[Tensor, " some"], width: int
    ) -> Float[Tensor, "some d"]:
        """The vectors, divided by their norms."""
        return vectors / self.row_norms(vectors).clamp_min(torch.finfo(vectors.dtype).tiny)[:, None]

    def _normal(self, rows: Float[Tensor, "rows d"]) -> Float[Tensor, "rows d"]:
        parts = rows.split(self.sizes, 1)
        return torch.cat([F.normalize(part) for part in parts], 1)
