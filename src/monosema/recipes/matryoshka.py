"""Matryoshka dictionaries (Bussmann et al. 2025, Learning multi-level features, arXiv 2503.17547)."""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.dictionaries import Dictionary, Spec
from monosema.dictionaries.spec import BLOCK_DIAGONAL, TRIANGULAR
from monosema.errors import InputError
from monosema.kernels import RaggedCodes
from monosema.recipes.batch_topk import BatchTopKFamily
from monosema.recipes.exchange import Forward, Moment, Term
from monosema.recipes.recipe import recipes, require, squared_error

if TYPE_CHECKING:
    from typing_extensions import Self


@recipes.register("matryoshka")
@dataclass(frozen=True)
class MatryoshkaRecipe(BatchTopKFamily):
    """L = Σ_i w_i R_i + α · AuxK, where R_i is the error of the first features alone, up to the i-th prefix.

    The codes are BatchTopK's. Each prefix of the dictionary is to be a dictionary of its own, so the first features
    become general and the later ones special. Of a dictionary in blocks, a prefix has the first features of each. The
    weights w_i are positive and are scaled to sum to one.
    """

    name: ClassVar[str] = "matryoshka"
    step_cost: ClassVar[float] = 1.3
    step_cost_on_gpu: ClassVar[float] = 1.6

    prefixes: tuple[float, ...] = (1 / 32, 3 / 32, 7 / 32, 15 / 32, 1.0)
    """Where the prefixes end, as fractions of the width; the last is 1."""
    prefix_weights: tuple[float, ...] | None = None
    """Weights of the prefixes' errors; by default all alike."""

    def __post_init__(self):
        super().__post_init__()
        rising = all(a < b for a, b in pairwise((0.0, *self.prefixes)))
        require(self, "prefixes", rising and self.prefixes[-1:] == (1.0,), "rising fractions of the width, the last 1")
        weights = self.prefix_weights
        fits = weights is None or (len(weights) == len(self.prefixes) and all(weight > 0 for weight in weights))
        require(self, "prefix_weights", fits, f"{len(self.prefixes)} weights above 0, one for each prefix")

    def fitted(self, spec: Spec, steps: int, batch_size: int) -> "Self":
        """The recipe with its learning rate; refuses prefixes that would be some of an encoder's blocks alone."""
        in_blocks = [kind in (BLOCK_DIAGONAL, TRIANGULAR) for kind in (spec.encoder, spec.decoder)]
        if in_blocks[0] != in_blocks[1]:
            raise InputError(
                f"recipe matryoshka with an encoder that is {spec.encoder} and a decoder that is {spec.decoder}",
                expected="blocks on both sides or on none: a prefix holds the first features of every block",
            )
        return super().fitted(spec, steps, batch_size)

    def ends(self, width: int) -> list[int]:
        """Number of features in each prefix."""
        return [max(round(fraction * width), 1) for fraction in self.prefixes]

    def ends_here(self, dictionary: Dictionary) -> list[int]:
        """The same, of a dictionary's own features, where it holds a part of them."""
        own, ranks = dictionary.spec.width, dictionary.ranks.features
        return [min(max(end - own * ranks.rank, 0), own) for end in self.ends(own * ranks.size)]

    def terms(self, batch: Forward, moment: Moment) -> dict[str, Term]:
        """The prefixes' errors; that of the whole dictionary, the last of them, is named beside it."""
        weights = self.prefix_weights or (1.0,) * len(self.prefixes)
        errors = self.errors(batch)
        total = torch.stack([w * error for w, error in zip(weights, errors, strict=True)]).sum() / sum(weights)
        return {"error": Term(0.0, errors[-1]), "prefixes": Term(1.0, total)}

    def errors(self, batch: Forward) -> list[Float[Tensor, ""]]:
        """The squared error of each prefix."""
        assert isinstance(batch.codes, RaggedCodes)
        ends = self.ends_here(batch.dictionary)
        reconstruction, errors = batch.dictionary.decode_nothing(batch.x), []
        for part in batch.dictionary.decoder.apply_parts(batch.codes, batch.dictionary.W_dec, ends[:-1]):
            reconstruction = reconstruction + batch.dictionary.ranks.features.sum(part)
            errors.append(squared_error(batch, reconstruction))
        return [*errors, squared_error(batch, batch.reconstruction)]
