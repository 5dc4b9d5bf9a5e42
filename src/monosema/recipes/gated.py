"""Gated dictionaries (Rajamanoharan et al. 2024, Improving dictionary learning with gated SAEs, arXiv 2404.16014)."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from monosema.dictionaries import ActivationFunction, Gated
from monosema.kernels import RaggedCodes
from monosema.recipes.exchange import Forward, Moment, Term
from monosema.recipes.learning_rate import Fit
from monosema.recipes.penalised import Penalised
from monosema.recipes.recipe import recipes, squared_error
from monosema.recipes.sums import l1


@dataclass(frozen=True)
class GatedFamily(Penalised):
    """f = 1[π_gate > 0] · relu(e^{r_mag} z + b_mag), π_gate = z + b_gate, z = (x − b_dec) W_enc.

    The gate has no gradient. It learns from the sparsity term, on relu(π_gate), and from an auxiliary reconstruction
    that relu(π_gate) makes in place of f.
    """

    usual_sparsity: ClassVar[float] = 0.05
    rows_apart: ClassVar[bool] = True
    step_cost: ClassVar[float] = 1.6
    step_cost_on_gpu: ClassVar[float] = 1.1

    encoder_scale: float = 0.3
    """Size of the encoder at the start, where it is the decoder's transpose times this."""

    def activation(self, width: int) -> ActivationFunction:
        """Gated."""
        return Gated(width)


def opened(batch: Forward) -> Float[Tensor, "batch width"] | RaggedCodes:
    """relu(π_gate); where the codes are sparse, as sparse as they are."""
    activation, entries = batch.dictionary.activation, batch.pre.entries
    if entries is None:
        return activation.gate(batch.pre.dense).relu()
    return entries._replace(values=activation.gate(entries.values, entries.columns).relu())


def auxiliary_error(
    batch: Forward, gate: Float[Tensor, "batch width"] | RaggedCodes, frozen: bool
) -> Float[Tensor, ""]:
    """Mean ‖y − x̂(relu(π_gate))‖², with a decoder that is a constant where it is frozen."""
    dictionary = batch.dictionary
    weight, bias = dictionary.W_dec, dictionary.b_dec
    skipped = (
        0.0 if dictionary.W_skip is None else batch.x @ (dictionary.W_skip.detach() if frozen else dictionary.W_skip)
    )
    if frozen:
        weight, bias = weight.detach(), bias.detach()
    return squared_error(batch, dictionary.decode_features(gate, weight) + bias + skipped)


@recipes.register("gated")
@dataclass(frozen=True)
class GatedRecipe(GatedFamily):
    """L = R + λ s(t) ‖relu(π_gate)‖₁ + ‖y − x̂_frozen(relu(π_gate))‖²; unit decoder rows, frozen in the last term."""

    name: ClassVar[str] = "gated"
    fit: ClassVar[Fit] = Fit(6e-3, batch=0.6)

    def terms(self, batch: Forward, moment: Moment) -> dict[str, Term]:
        """R, the L1 norm of the gate, and the auxiliary reconstruction."""
        gate = opened(batch)
        return {
            "error": Term(1.0, squared_error(batch, batch.reconstruction)),
            "l1": Term(self.coefficient(moment), l1(batch, gate)),
            "auxiliary": Term(1.0, auxiliary_error(batch, gate, frozen=True)),
        }
