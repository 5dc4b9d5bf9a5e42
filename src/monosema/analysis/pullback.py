"""A feature's pre-activation as a linear function of an earlier activation, by gradients through the model itself."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.analysis.frozen import FrozenScales
from monosema.errors import InputError
from monosema.models import read_from

if TYPE_CHECKING:
    from monosema.models import LoadedModel

Via = Literal["feature", "mlp", "norm", "part", "output", "head", "dictionary"]
_TOLERANCE = 1e-3  # relative difference that rounding may make; more in 16 bits


@dataclass(frozen=True)
class Direction:
    """A feature's pre-activation at a token as `vector · x + constant`, with x the activation at one hook point.

    However far it is pulled back, `value` stays the pre-activation. The constant is what does not go through `vector`:
    biases, what is left when an MLP is linearised, and, after a choice of one part or head, all others.
    """

    point: str
    """Short name of the hook point at which x is."""
    position: int
    """Position of x in the context."""
    vector: Float[Tensor, " d"]
    """In float32 or better, on the CPU."""
    linear: float
    """vector · x."""
    constant: float
    via: Via
    """How it came from the one before: a feature's own weights, the Jacobian of an MLP, a norm with its scale held
    fixed (or its Jacobian), one part of the residual stream, an output projection, a head, or a dictionary."""

    @property
    def value(self) -> float:
        """The pre-activation."""
        return self.linear + self.constant


@torch.enable_grad()
def pulled_back(
    model: "LoadedModel",
    ids: Int[Tensor, " position"],
    direction: Direction,
    start: str,
    via: Via,
    *,
    frozen: bool = False,
) -> Direction:
    """A direction at an earlier hook point and the same position, by autograd through the model's own modules.

    With `frozen`, scales of norms are held fixed, and it is checked that what lies between then is linear but for
    biases: the activations at `start` are zero in a second row of the batch, and what they yield is the biases' part.

    Raises:
        InputError: it is not linear.
    """
    with FrozenScales() if frozen else nullcontext():
        twice = ids.expand(1 + frozen, -1)
        leaf, found = read_from(model, twice, start, [direction.point], with_zeros)
        ends = found[direction.point][:, direction.position]
        given = ends.to(wide(ends)) @ direction.vector.to(ends.device, wide(ends))
        (gradient,) = torch.autograd.grad(given[0], leaf)
    vector, x = gradient[0, direction.position], leaf[0, direction.position].detach()
    if frozen:
        check_linear(model, given.detach(), vector, x, (start, direction.point))
    return made(direction, start, direction.position, vector, x, via)


def made(origin: Direction, point: str, position: int, vector: Tensor, x: Tensor, via: Via) -> Direction:
    """A direction of the same value as the one before, with its own linear part."""
    linear = dot(vector, x)
    return Direction(point, position, vector.to(wide(vector)).cpu(), linear, origin.value - linear, via)


def check_linear(
    model: "LoadedModel",
    given: Float[Tensor, " two"],
    vector: Float[Tensor, " d"],
    x: Float[Tensor, " d"],
    between: tuple[str, str],
) -> None:
    """Refuses what, the first of `given`, is not vector · x and the part of biases, the second of `given`."""
    own, biases = given.cpu().double().tolist()
    size = (vector.norm() * x.norm()).item()  # of what is added up in vector · x, which may be small itself
    if abs(own - biases - dot(vector, x)) > tolerance(model) * (abs(own) + abs(biases) + size):
        raise InputError(
            f"{model.name}, whose norm between {' and '.join(between)} does not become linear, its scale held fixed",
            expected="a norm that divides by a root (sqrt, rsqrt), or layer_norm or rms_norm of PyTorch",
            hint="the exact gradient needs none of that (--exact-norm, frozen=False)",
        )


def with_zeros(own: Float[Tensor, "batch position d"]) -> Float[Tensor, "batch position d"]:
    """Activations with zeros in all rows but the first."""
    return torch.cat([own[:1], torch.zeros_like(own[1:])])


def tolerance(model: "LoadedModel") -> float:
    """Relative difference that a model's rounding may make."""
    return max(_TOLERANCE, 8 * torch.finfo(model.dtype).eps)


def dot(one: Tensor, other: Tensor) -> float:
    """Their product, in float64."""
    return (one.cpu().double() @ other.cpu().double()).item()


def wide(x: Tensor) -> torch.dtype:
    """float32, or what is better."""
    return torch.promote_types(x.dtype, torch.float32)
