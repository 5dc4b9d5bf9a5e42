"""What every training protocol says: which activation function, which loss, which constraints, which schedules."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monosema.dictionaries import ActivationFunction, Dictionary, initialise_
from monosema.errors import InputError
from monosema.kernels import SparseCodes
from monosema.recipes.schedules import decay, ramp
from monosema.registry import Registry


@dataclass(frozen=True)
class Moment:
    """Where a training run stands: `step` of `steps`, each on `batch_size` tokens."""

    step: int
    steps: int
    batch_size: int

    @property
    def fraction(self) -> float:
        """How much of the run is done, from 0 to just under 1."""
        return self.step / self.steps

    @property
    def tokens(self) -> int:
        """Length of the whole run in tokens."""
        return self.steps * self.batch_size


class Loss(NamedTuple):
    """What a recipe's loss returns; logging and counters read it, and never call the loss again."""

    total: Float[Tensor, ""]
    """What is minimised."""
    terms: dict[str, Float[Tensor, ""]]
    """The parts of the total, by name, before their coefficients."""
    codes: Float[Tensor, "batch width"] | SparseCodes
    reconstruction: Float[Tensor, "batch d_out"]

    def fired(self) -> Int[Tensor, " width"]:
        """How many rows each feature was active in."""
        return self.codes.fired() if isinstance(self.codes, SparseCodes) else (self.codes != 0).sum(0)


recipes: Registry[type["Recipe"]] = Registry("recipe")


@dataclass(frozen=True)
class Recipe(ABC):
    """Hyper-parameters that all protocols share. Durations are fractions of the run, so that they scale with it."""

    name: ClassVar[str]
    subtracts_input_bias: ClassVar[bool] = True
    """Whether the encoder sees the input less a bias."""
    norm: ClassVar[Literal["one", "sqrt_d"]] = "one"
    """Root mean squared norm to which activations are scaled for training."""

    lr: float = 1e-3
    """Peak learning rate of Adam."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's decay rates."""
    lr_warmup: float = 0.02
    """Fraction of the run over which the learning rate rises linearly from zero."""
    lr_decay: float = 0.2
    """Fraction of the run, at its end, over which the learning rate falls linearly to zero."""
    grad_clip: float = 1.0
    """Largest gradient norm; longer gradients are scaled down to it."""
    bias_init: Literal["mean", "geometric_median", "zero"] = "mean"
    """Where the decoder's bias (and the input bias) starts: a location of the first activations."""
    dead_after: int | None = None
    """Tokens of silence after which a feature counts as dead; by default a tenth of the run, at most 10 million."""

    def __post_init__(self):
        for name in ("lr_warmup", "lr_decay"):
            require(self, name, 0 <= getattr(self, name) <= 1, "a fraction of the run, from 0 to 1")
        require(self, "lr", self.lr > 0, "a learning rate above 0")
        require(self, "betas", all(0 <= beta < 1 for beta in self.betas), "two numbers from 0 to just under 1")
        require(self, "grad_clip", self.grad_clip > 0, "a norm above 0")
        require(self, "dead_after", self.dead_after is None or self.dead_after > 0, "a number of tokens above 0")

    @abstractmethod
    def activation(self, width: int) -> ActivationFunction:
        """A new activation function for a dictionary of `width` features."""

    @abstractmethod
    def loss(
        self,
        dictionary: Dictionary,
        x: Float[Tensor, "batch d_in"],
        y: Float[Tensor, "batch d_out"],
        moment: Moment,
        dead: Bool[Tensor, " width"],
    ) -> Loss:
        """The loss of one batch; changes nothing.

        Args:
            dictionary: in training mode.
            x: scaled activations read.
            y: scaled activations to produce; the same tensor as `x` for an autoencoder.
            moment: where the run stands, for the schedules.
            dead: features that have been silent for `dead_after` tokens.
        """

    def initialise_(self, dictionary: Dictionary, generator: torch.Generator) -> None:
        """Fills the weights; the learner sets the biases from data afterwards."""
        initialise_(dictionary, generator)

    def calibrate_(self, dictionary: Dictionary, x: Float[Tensor, "rows d_in"]) -> None:
        """Sets what else depends on data, once, from scaled activations; the dictionary is in training mode."""

    def before_step_(self, dictionary: Dictionary) -> None:
        """Changes the gradients before the optimiser uses them."""

    def after_step_(self, dictionary: Dictionary, loss: Loss) -> None:
        """Restores constraints, and updates what learns without a gradient, after the optimiser's step."""

    def lr_scale(self, moment: Moment) -> float:
        """The learning rate at a moment, as a fraction of its peak."""
        start = ramp((moment.step + 1) / moment.steps, self.lr_warmup)
        return start * decay(moment.fraction, self.lr_decay)

    def dead_window(self, moment: Moment) -> int:
        """Tokens of silence after which a feature counts as dead."""
        return self.dead_after or min(max(moment.tokens // 10, 1), 10_000_000)


def require(recipe: Recipe, name: str, holds: bool, expected: str) -> None:
    """Raises an InputError about the hyper-parameter `name` unless `holds`."""
    if not holds:
        raise InputError(f"{name} = {getattr(recipe, name)} for recipe {recipe.name}", expected=expected)


def squared_error(y: Float[Tensor, "batch d"], reconstruction: Float[Tensor, "batch d"]) -> Float[Tensor, ""]:
    """Mean over the batch of the squared distance, ‖y − x̂‖²: the R of every loss."""
    return (y - reconstruction.float()).square().sum(1).mean()
