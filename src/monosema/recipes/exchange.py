"""What passes between a learner and its recipe at each step."""

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from monosema.dictionaries import Dictionary, Preactivations
from monosema.kernels import RaggedCodes, SparseCodes, column_counts


class Pressure(NamedTuple):
    """How hard a run pushes for sparsity: what a recipe adapts from step to step, and a checkpoint keeps."""

    coefficient: float
    """λ of the sparsity term, before its warm-up."""
    integral: float = 0.0
    """Sum of the controller's past errors, in units of log λ."""
    l0: float | None = None
    """Moving average of the batches' L0."""


@dataclass(frozen=True)
class Moment:
    """Where a training run stands: `step` of `steps`, each on `batch_size` tokens."""

    step: int
    steps: int
    batch_size: int
    pressure: Pressure | None = None
    """For recipes that adapt a coefficient; None is where they start."""
    stored: float | None = None
    """Entries a row that mattered in the last batch (`Loss.stored`), None if that is unknown: whether a step pays that
    touches these alone."""

    @property
    def fraction(self) -> float:
        """How much of the run is done, from 0 to just under 1."""
        return self.step / self.steps

    @property
    def tokens(self) -> int:
        """Length of the whole run in tokens."""
        return self.steps * self.batch_size


class Forward(NamedTuple):
    """One batch on its way through a dictionary."""

    dictionary: Dictionary
    x: Float[Tensor, "batch d_in"]
    """Scaled activations read."""
    y: Float[Tensor, "batch d_out"]
    """Scaled activations to produce; the same tensor as `x` for an autoencoder."""
    pre: Preactivations
    codes: Float[Tensor, "batch width"] | SparseCodes | RaggedCodes
    reconstruction: Float[Tensor, "batch d_out"]

    def mean(self, total: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The mean over the batch of what sums up to `total` over the rows that are here."""
        rows = self.dictionary.ranks.rows
        return rows.sum(total) / (len(self.x) * rows.size)

    def mean_of_features(self, total: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The mean over the batch of what sums up to `total` over the rows and the features that are here."""
        ranks = self.dictionary.ranks
        return ranks.all.sum(total) / (len(self.x) * ranks.rows.size)

    def dense_codes(self) -> Float[Tensor, "batch width"]:
        """The codes with their zeros."""
        return self.codes if isinstance(self.codes, Tensor) else self.codes.to_dense()


class Term(NamedTuple):
    """A part of the loss: what is logged, and the weight with which it counts."""

    weight: float
    value: Float[Tensor, ""]


class Loss(NamedTuple):
    """What a recipe's loss returns; logging and counters read it, and never call the loss again."""

    total: Float[Tensor, ""]
    """What is minimised."""
    terms: dict[str, Float[Tensor, ""]]
    """The parts of the total, by name, before their coefficients."""
    codes: Float[Tensor, "batch width"] | SparseCodes | RaggedCodes | None
    """None where the loss was made of some rows at a time, which `Recipe.by_row` permits."""
    reconstruction: Float[Tensor, "batch d_out"]
    pre: Preactivations | None
    """None where the codes are."""
    stored: float | None
    """Pre-activations a row above the activation function's bound; None where it has none."""

    def fired(self) -> Int[Tensor, " width"]:
        """How many rows each feature was active in."""
        assert self.codes is not None
        return column_counts(self.codes) if isinstance(self.codes, Tensor) else self.codes.fired()
