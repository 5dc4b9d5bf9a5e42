"""An entropy penalty. Experimental: it tends to split features into those that never fire and those that always do."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.dictionaries import ActivationFunction, ReLU
from monosema.recipes.exchange import Forward, Moment, Term
from monosema.recipes.learning_rate import Fit
from monosema.recipes.penalised import Penalised
from monosema.recipes.recipe import recipes, squared_error


def code_entropy(batch: Forward, f: Float[Tensor, "batch width"]) -> Float[Tensor, ""]:
    """Mean over the batch of H(f / Σf) in nats, for f ≥ 0; a row of zeros has none."""
    f = f.float()
    tiny, features = torch.finfo(f.dtype).tiny, batch.dictionary.ranks.features
    total = features.sum(f.sum(1))
    # H = log S − Σ f log f / S, whose gradient is finite where f is zero.
    entropy = total.clamp_min(tiny).log() - features.sum((f * f.clamp_min(tiny).log()).sum(1)) / total.clamp_min(tiny)
    return batch.mean(entropy[total > 0].sum())


@recipes.register("entropy")
@dataclass(frozen=True)
class EntropyRecipe(Penalised):
    """L = R + λ s(t) H(f / Σf), f = relu((x − b_dec) W_enc + b_enc); unit decoder rows. An experiment."""

    name: ClassVar[str] = "entropy"
    rows_apart: ClassVar[bool] = True
    fit: ClassVar[Fit] = Fit(1e-3)
    usual_sparsity: ClassVar[float] = 0.02
    # Features drift towards density while the learning rate falls, so the controller is stiffer near its goal, and from
    # afar as calm as any other.
    gain: ClassVar[float] = 180.0
    damping: ClassVar[float] = 1.0
    largest_error: ClassVar[float] = 1 / 9

    def activation(self, width: int) -> ActivationFunction:
        """ReLU."""
        return ReLU(width)

    def terms(self, batch: Forward, moment: Moment) -> dict[str, Term]:
        """R + λ s H(f / Σf)."""
        return {
            "error": Term(1.0, squared_error(batch, batch.reconstruction)),
            "entropy": Term(self.coefficient(moment), code_entropy(batch, batch.dense_codes())),
        }
