"""Gated dictionaries with a reparametrisation-invariant L1 penalty, after S. Rajamanoharan's remarks on his paper."""

from dataclasses import dataclass
from typing import ClassVar

from monosema.recipes.exchange import Forward, Moment, Term
from monosema.recipes.gated import GatedFamily, auxiliary_error, opened
from monosema.recipes.learning_rate import Fit
from monosema.recipes.recipe import recipes, squared_error
from monosema.recipes.sums import l1


@recipes.register("gated_ri_l1")
@dataclass(frozen=True)
class GatedRiL1Recipe(GatedFamily):
    """L = R + λ s(t) Σ_j relu(π_gate)_j ‖d_j‖ + ‖y − x̂(relu(π_gate))‖²; the decoder's norms are free.

    The decoder is either a constant in both added terms or in neither: frozen in one alone, its norms would shrink
    without end, or grow.
    """

    name: ClassVar[str] = "gated_ri_l1"
    fit: ClassVar[Fit] = Fit(6e-3)
    unit_norm: ClassVar[bool] = False

    frozen: bool = False
    """Whether the decoder is a constant in the penalty and in the auxiliary reconstruction."""

    def terms(self, batch: Forward, moment: Moment) -> dict[str, Term]:
        """R, the weighted L1 norm of the gate, and the auxiliary reconstruction."""
        gate, norms = opened(batch), batch.dictionary.decoder_norms()
        norms = norms.detach() if self.frozen else norms
        return {
            "error": Term(1.0, squared_error(batch, batch.reconstruction)),
            "l1": Term(self.coefficient(moment), l1(batch, gate, norms)),
            "auxiliary": Term(1.0, auxiliary_error(batch, gate, self.frozen)),
        }
