"""Hook points joined in an expression: sums, `resid_mid.3 + mlp_out.3`, and activations side by side, `a & b`.

A name without either sign stands for itself. `+` binds closer than `&`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.errors import InputError

SUM, JOINED = "+", "&"


@dataclass(frozen=True)
class Expression:
    """Sums of hook points, side by side."""

    sums: tuple[tuple[str, ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The hook points in it, once each."""
        return tuple(dict.fromkeys(name for terms in self.sums for name in terms))

    @property
    def parts(self) -> tuple[str, ...]:
        """The expressions that are one after the other."""
        return tuple(f" {SUM} ".join(terms) for terms in self.sums)

    def of(self, activations: Mapping[str, Float[Tensor, "*batch _"]]) -> Float[Tensor, "*batch d"]:
        """What it stands for, from the activations at its hook points.

        Raises:
            InputError: activations that are added have different sizes, or different numbers of tokens.
        """
        if self.sums == ((self.names[0],),):
            return activations[self.names[0]]
        shapes = {activations[name].shape[:-1] for name in self.names}
        sizes = [{activations[name].shape[-1] for name in terms} for terms in self.sums]
        if len(shapes) > 1 or any(len(of_sum) > 1 for of_sum in sizes):
            given = ", ".join(f"{name} {list(activations[name].shape)}" for name in self.names)
            raise InputError(
                f"activations that cannot be joined: {given}",
                expected=f"as many tokens everywhere, and the same size on both sides of {SUM}",
            )
        # Not sum(): it would begin with a number, and round a 16-bit tensor once more.
        added = [_added([activations[name] for name in terms]) for terms in self.sums]
        return added[0] if len(added) == 1 else torch.cat(added, dim=-1)


@cache
def parsed(text: str) -> Expression:
    """The expression that a text is.

    Raises:
        InputError: a hook point is missing beside a sign.
    """
    if SUM not in text and JOINED not in text:
        return Expression(((text,),))
    sums = tuple(tuple(name.strip() for name in part.split(SUM)) for part in text.split(JOINED))
    if not all(name for terms in sums for name in terms):
        raise InputError(f"hook points {text!r}", expected=f"a name on both sides of every {SUM} and {JOINED}")
    return Expression(sums)


def names_in(points: Sequence[str]) -> list[str]:
    """Every hook point in some expressions, once each."""
    return list(dict.fromkeys(name for point in points for name in parsed(point).names))


def _added(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
