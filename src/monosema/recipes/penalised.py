"""What recipes with a sparsity coefficient share: the coefficient itself, or an L0 to reach in its place."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from monosema.errors import InputError
from monosema.recipes.exchange import Loss, Moment, Pressure
from monosema.recipes.recipe import Recipe, require
from monosema.recipes.schedules import ramp

USUAL_L0 = 32.0
"""The L0 that `auto` leads to where no paper says how to set the coefficient."""
MEMORY = 0.9
"""How much of the moving average of L0 is kept at each step."""
LONGEST_WARMUP = 0.2
"""Of the sparsity term where λ is sought: it cannot be found while the warm-up changes its effect."""


@dataclass(frozen=True)
class Penalised(Recipe):
    """A loss R + λ s(t) P, where P is a measure of sparsity, s(t) a warm-up, and λ is given or found.

    With a `target_l0` a controller finds λ: log λ is a proportional and an integral term of the error log(L0 / target),
    where L0 is a moving average over batches.
    """

    usual_sparsity: ClassVar[float] = 1.0
    """A λ that is not too high for the first features: where the controller starts."""
    gain: ClassVar[float] = 60.0
    """Of the controller: units of log λ in a whole run at an error of one unit of log L0."""
    damping: ClassVar[float] = 0.5
    """Of the controller: units of log λ at once at an error of one unit of log L0."""
    largest_error: ClassVar[float] = 1 / 3
    """Of log L0, as the controller sees it. λ follows L0 from afar no faster than features can learn: one that rises
    while they still point anywhere has killed them by the time L0 answers."""
    paper_sparsity: ClassVar[float | None] = None
    """The λ that the paper gives for activations of the recipe's scale, if it gives one."""

    sparsity: float | Literal["auto"] = "auto"
    """Sparsity coefficient λ; auto is the paper's, or where it gives none, the one that leads to an L0 of 32."""
    target_l0: float | None = None
    """Mean number of active features to reach, in place of a coefficient."""
    sparsity_warmup: float = 0.1
    """Fraction of the run over which the sparsity term rises linearly from zero."""

    def __post_init__(self):
        super().__post_init__()
        require(self, "sparsity", self.sparsity == "auto" or self.sparsity >= 0, "a coefficient of at least 0, or auto")
        require(self, "target_l0", self.target_l0 is None or self.target_l0 > 0, "a number of features above 0")
        require(self, "sparsity_warmup", 0 <= self.sparsity_warmup <= 1, "a fraction of the run, from 0 to 1")
        self._check_one_of_both()

    def _check_one_of_both(self) -> None:
        if self.sparsity != "auto" and self.target_l0 is not None:
            raise InputError(
                f"sparsity = {self.sparsity} and target_l0 = {self.target_l0} for recipe {self.name}",
                expected="one of the two: a coefficient, or the L0 that it is to lead to",
            )

    @property
    def goal(self) -> float | None:
        """The L0 that the controller steers for; None where the coefficient is fixed."""
        if self.sparsity != "auto" or self.target_l0 is not None:
            return self.target_l0
        return USUAL_L0 if self.paper_sparsity is None else None

    def start_pressure(self) -> Pressure:
        """The pressure at the start of a run."""
        if self.sparsity != "auto":
            return Pressure(self.sparsity)
        return Pressure(self.usual_sparsity if self.paper_sparsity is None or self.goal else self.paper_sparsity)

    def coefficient(self, moment: Moment) -> float:
        """λ s(t)."""
        pressure = moment.pressure or self.start_pressure()
        return pressure.coefficient * self._warmup(moment)

    def pressure(self, moment: Moment, l0: float, loss: Loss) -> Pressure | None:
        """One step of the controller, if there is a goal."""
        old = moment.pressure or self.start_pressure()
        if self.goal is None:
            return old
        start = self.start_pressure().coefficient
        mean = l0 if old.l0 is None else MEMORY * old.l0 + (1 - MEMORY) * l0
        error = math.log(max(mean, 1e-3) / self.goal)
        error = min(max(error, -self.largest_error), self.largest_error)
        # What is summed up while L0 cannot answer, for want of a penalty or of a learning rate, would be too much.
        answer = self._warmup(moment) * self.lr_scale(moment)
        integral = old.integral + self.gain / moment.steps * error * answer
        return Pressure(start * math.exp(integral + self.damping * error), integral, mean)

    def _warmup(self, moment: Moment) -> float:
        length = self.sparsity_warmup if self.goal is None else min(self.sparsity_warmup, LONGEST_WARMUP)
        return ramp(moment.fraction, length)
