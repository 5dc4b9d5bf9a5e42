"""Gated dictionaries under p-annealing (Karvonen et al. 2024, arXiv 2408.00113)."""

from dataclasses import dataclass
from typing import ClassVar

from monosema.dictionaries import ActivationFunction, Gated
from monosema.recipes.exchange import Forward, Moment, Term
from monosema.recipes.gated import auxiliary_error, opened
from monosema.recipes.learning_rate import Fit
from monosema.recipes.p_anneal import Annealed
from monosema.recipes.recipe import recipes, squared_error


@recipes.register("gated_anneal")
@dataclass(frozen=True)
class GatedAnnealRecipe(Annealed):
    """L = R + λ s(t) Σ_j relu(π_gate)_j^p + ‖y − x̂_frozen(relu(π_gate))‖²; p from 1 down to 0.2; unit decoder rows."""

    name: ClassVar[str] = "gated_anneal"
    fit: ClassVar[Fit] = Fit(6e-3)

    def activation(self, width: int) -> ActivationFunction:
        """Gated."""
        return Gated(width)

    def terms(self, batch: Forward, moment: Moment) -> dict[str, Term]:
        """R, the annealed penalty on the gate, and the auxiliary reconstruction."""
        gate = opened(batch)
        return {
            "error": Term(1.0, squared_error(batch, batch.reconstruction)),
            **self.annealed(batch, gate, moment),
            "auxiliary": Term(1.0, auxiliary_error(batch, gate, frozen=True)),
        }
