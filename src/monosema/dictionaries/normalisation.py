"""What is done to each activation vector by itself before it is encoded, and undone after decoding."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.registry import Registry

NONE = "none"


@dataclass(frozen=True)
class Normalisation:
    """x ↦ (x − c(x)) / (s(x) + ε), with a centre c and a size s of each vector; undone by y ↦ s(x) y + c(x)."""

    moments: Callable[[Float[Tensor, "*batch d"]], tuple[Float[Tensor, "*batch 1"], Float[Tensor, "*batch 1"]]]
    """c and s."""
    epsilon: float
    least: int = 1
    """The fewest coordinates of which it is defined."""

    def into(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """The normalised activations."""
        centre, size = self.moments(x)
        return (x - centre) / (size + self.epsilon)

    def back(self, y: Float[Tensor, "*batch d"], x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """What is decoded from normalised activations, in the units of the raw ones, `x`."""
        centre, size = self.moments(x)
        return y * size + centre


normalisations: Registry[Normalisation] = Registry("normalisation")


def _layer(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over the coordinates, the latter with d − 1 in the denominator."""
    return x.mean(-1, keepdim=True), x.std(-1, keepdim=True)


def _length(x: Tensor) -> tuple[Tensor, Tensor]:
    """Zero, and the root of the mean square over the coordinates."""
    return torch.zeros_like(x[..., :1]), x.norm(dim=-1, keepdim=True) / x.shape[-1] ** 0.5


normalisations.register(NONE)(Normalisation(lambda x: (torch.zeros_like(x[..., :1]), torch.ones_like(x[..., :1])), 0.0))
normalisations.register("layer_norm")(Normalisation(_layer, 1e-5, least=2))
normalisations.register("length")(Normalisation(_length, torch.finfo(torch.float32).tiny))
