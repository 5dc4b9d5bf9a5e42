"""The L1 protocol of Bricken et al. 2023, Towards Monosemanticity."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from monosema.dictionaries import ActivationFunction, ReLU
from monosema.recipes.exchange import Forward, Moment, Term
from monosema.recipes.learning_rate import Fit
from monosema.recipes.penalised import Penalised
from monosema.recipes.recipe import recipes, squared_error
from monosema.recipes.sums import l1


@recipes.register("l1")
@dataclass(frozen=True)
class L1Recipe(Penalised):
    """L = R + λ s(t) ‖f‖₁, f = relu((x − b_dec) W_enc + b_enc); decoder rows of unit norm.

    The optimiser is held to the sphere: the gradient loses its part along each row before Adam's step, and the rows
    are renormalised after it. Dead features start again at an eighth, a quarter, three eighths and half of the run.
    """

    name: ClassVar[str] = "l1"
    rows_apart: ClassVar[bool] = True
    fit: ClassVar[Fit] = Fit(6e-3)
    usual_sparsity: ClassVar[float] = 0.05

    bias_init: Literal["mean", "geometric_median", "zero"] = "geometric_median"
    """Where the decoder's bias (and the input bias) starts: a location of the first activations."""
    resample_at: tuple[float, ...] = (0.125, 0.25, 0.375, 0.5)
    """Points of the run, as fractions, at which dead features start again from inputs that are badly reconstructed."""

    def activation(self, width: int) -> ActivationFunction:
        """ReLU."""
        return ReLU(width)

    def terms(self, batch: Forward, moment: Moment) -> dict[str, Term]:
        """R + λ s ‖f‖₁."""
        return {
            "error": Term(1.0, squared_error(batch, batch.reconstruction)),
            "l1": Term(self.coefficient(moment), l1(batch, batch.codes)),
        }
