"""p-annealing (Karvonen et al. 2024, Measuring progress in dictionary learning, arXiv 2408.00113)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.dictionaries import ActivationFunction, ReLU
from monosema.recipes.exchange import Forward, Loss, Moment, Pressure, Term
from monosema.recipes.learning_rate import Fit
from monosema.recipes.penalised import Penalised
from monosema.recipes.recipe import recipes, require, squared_error
from monosema.recipes.sums import Codes, l1

FLOOR = 1e-3
"""Below it f^p is replaced by the chord from zero, whose slope is finite; activations have unit norm."""


def power_sum(batch: Forward, codes: Codes, p: float) -> Float[Tensor, ""]:
    """Mean over the batch of Σ_j f_j^p, for codes f ≥ 0; linear in f below `FLOOR`."""
    if not isinstance(codes, Tensor):
        return l1(batch, codes._replace(values=_power(codes.values.float(), p)))
    return l1(batch, _power(codes.float(), p))


def _power(f: Float[Tensor, "*any"], p: float) -> Float[Tensor, "*any"]:
    return torch.where(f > FLOOR, f.clamp_min(FLOOR).pow(p), f * FLOOR ** (p - 1))


@dataclass(frozen=True)
class Annealed(Penalised):
    """A penalty λ s(t) Σ_j f_j^p whose p falls in equal steps from 1 to `p_end`.

    At each of them λ is rescaled so that the penalty keeps its size.
    """

    usual_sparsity: ClassVar[float] = 0.05
    rows_apart: ClassVar[bool] = True

    p_end: float = 0.2
    """The exponent at the end of the run."""
    p_start: float = 0.1
    """Point of the run, as a fraction, at which the exponent begins to fall."""
    p_stop: float = 0.8
    """Point of the run, as a fraction, at which the exponent has fallen."""
    p_steps: int = 10
    """Number of steps in which it falls."""

    def __post_init__(self):
        super().__post_init__()
        require(self, "p_end", 0 < self.p_end <= 1, "an exponent above 0, at most 1")
        require(self, "p_start", 0 <= self.p_start < self.p_stop, "a fraction of the run, from 0 to just under p_stop")
        require(self, "p_stop", self.p_stop <= 1, "a fraction of the run, at most 1")
        require(self, "p_steps", self.p_steps >= 1, "at least one step")

    def exponent(self, fraction: float) -> float:
        """p at a point of the run."""
        done = max(fraction - self.p_start, 0.0) / (self.p_stop - self.p_start)
        return 1 - (1 - self.p_end) * min(int(done * self.p_steps), self.p_steps) / self.p_steps

    def annealed(self, batch: Forward, f: Codes, moment: Moment) -> dict[str, Term]:
        """λ s Σ_j f_j^p; where the exponent is about to change, also what the penalty will be after that."""
        now, soon = self.exponent(moment.fraction), self.exponent((moment.step + 1) / moment.steps)
        terms = {"penalty": Term(self.coefficient(moment), power_sum(batch, f, now))}
        return terms if soon == now else terms | {"next_penalty": Term(0.0, power_sum(batch, f, soon).detach())}

    def pressure(self, moment: Moment, l0: float, loss: Loss) -> Pressure | None:
        """λ of the next step, rescaled where the exponent changes so that the penalty keeps its size."""
        pressure = super().pressure(moment, l0, loss)
        if pressure is None or "next_penalty" not in loss.terms:
            return pressure
        now, soon = loss.terms["penalty"].item(), loss.terms["next_penalty"].item()
        if not (now > 0 and soon > 0):  # nothing was active
            return pressure
        ratio = now / soon
        return pressure._replace(coefficient=pressure.coefficient * ratio, integral=pressure.integral + math.log(ratio))


@recipes.register("p_anneal")
@dataclass(frozen=True)
class PAnnealRecipe(Annealed):
    """L = R + λ s(t) Σ_j f_j^p, f = relu((x − b_dec) W_enc + b_enc); p from 1 down to 0.2; unit decoder rows."""

    name: ClassVar[str] = "p_anneal"
    fit: ClassVar[Fit] = Fit(4e-3)

    def activation(self, width: int) -> ActivationFunction:
        """ReLU."""
        return ReLU(width)

    def terms(self, batch: Forward, moment: Moment) -> dict[str, Term]:
        """R + λ s Σ_j f_j^p."""
        error = squared_error(batch, batch.reconstruction)
        return {"error": Term(1.0, error), **self.annealed(batch, batch.codes, moment)}
