"""What every training protocol says: which activation function, which loss, which constraints, which schedules."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from monosema.dictionaries import ActivationFunction, Bounded, Dictionary, Preactivations, Spec, initialise_
from monosema.errors import InputError
from monosema.kernels import RaggedCodes, SparseCodes
from monosema.kernels.backend import on_gpu
from monosema.recipes.auxk import auxk_loss
from monosema.recipes.constraints import align_, normalise_decoder_, project_aligned_gradient_, project_gradient_
from monosema.recipes.exchange import Forward, Loss, Moment, Pressure, Term
from monosema.recipes.ghost import ghost_loss
from monosema.recipes.learning_rate import Fit, auto_lr
from monosema.recipes.schedules import decay, ramp
from monosema.registry import Registry

if TYPE_CHECKING:
    from typing_extensions import Self

Optimiser = Literal["adam", "muon", "signum", "schedule_free"]
AVERAGING = ("signum", "schedule_free")
"""Optimisers that average their iterates, which takes the place of a learning-rate decay."""

recipes: Registry[type["Recipe"]] = Registry("recipe")


@dataclass(frozen=True)
class Recipe(ABC):
    """Hyper-parameters that all protocols share. Durations are fractions of the run, so that they scale with it.

    A protocol is a subclass with its `activation` and `terms`. The constraints, the schedules and the ways to revive
    dead features are the same for all, and are chosen here.
    """

    name: ClassVar[str]
    subtracts_input_bias: ClassVar[bool] = True
    """Whether the encoder sees the input less a bias."""
    norm: ClassVar[Literal["one", "sqrt_d"]] = "one"
    """Root mean squared norm to which activations are scaled for training."""
    unit_norm: ClassVar[bool] = True
    """Whether the decoder's rows are kept at norm one."""
    divides: ClassVar[bool] = True
    """Whether ranks can each have a part of the features."""
    rows_apart: ClassVar[bool] = False
    """Whether a batch's loss is the mean of its rows' losses, and what comes after it asks for no codes."""
    fit: ClassVar[Fit] = Fit(6e-3)
    """What `lr: auto` means with Adam. This one is a guess, for recipes that no sweep has fitted."""
    step_cost: ClassVar[float] = 1.0
    """How much longer a step takes than one of topk, for `monosema plan`: as measured on a CPU at width 16,384
    (docs/performance.md); nearly as long where none is given."""
    step_cost_on_gpu: ClassVar[float] = 1.0
    """The same on a GPU, at width 65,536."""

    lr: float | Literal["auto"] = "auto"
    """Peak learning rate; auto chooses it by recipe, optimiser, width, batch size and length of the run."""
    optimiser: Optimiser = "adam"
    """adam, muon (on matrices; adam on the rest), signum (sign descent, averaged) or schedule_free (averaged Adam)."""
    encoder_lr: float = 1.0
    """Learning rate of the encoder's matrix, relative to that of all else."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's decay rates."""
    lr_warmup: float = 0.02
    """Fraction of the run over which the learning rate rises linearly from zero; again after each resampling."""
    lr_decay: float = 0.6
    """Fraction of the run, at its end, over which the learning rate falls linearly to zero."""
    grad_clip: float = 1.0
    """Largest gradient norm; longer gradients are scaled down to it."""
    bias_init: Literal["mean", "geometric_median", "zero"] = "mean"
    """Where the decoder's bias (and the input bias) starts: a location of the first activations."""
    encoder_scale: float = 1.0
    """Size of the encoder at the start, where it is the decoder's transpose times this."""
    basis: Literal["principal", "given"] = "principal"
    """Train in the principal axes of the activations, which suit Adam's steps, or in the basis that they come in."""
    aligned: bool = False
    """Keep the inner product of each feature's encoder and decoder direction at one (arXiv 2605.18629)."""
    aux: float = 0.0
    """Weight α of AuxK, which revives dead features by the residual that they could explain; 0 leaves it out."""
    aux_k: int | None = None
    """Dead features that AuxK uses for each token; by default half of d_out."""
    ghost: float = 0.0
    """Weight of ghost gradients, another way to revive dead features (the paper's is 1); 0 leaves them out."""
    resample_at: tuple[float, ...] = ()
    """Points of the run, as fractions, at which dead features start again from inputs that are badly reconstructed."""
    dead_after: int | None = None
    """Tokens of silence after which a feature counts as dead; by default a tenth of the run, at most 10 million."""

    def __post_init__(self):
        for name in ("lr_warmup", "lr_decay"):
            require(self, name, 0 <= getattr(self, name) <= 1, "a fraction of the run, from 0 to 1")
        require(self, "lr", self.lr == "auto" or self.lr > 0, "a learning rate above 0, or auto")
        require(self, "encoder_lr", self.encoder_lr > 0, "a factor above 0")
        require(self, "betas", all(0 <= beta < 1 for beta in self.betas), "two numbers from 0 to just under 1")
        require(self, "grad_clip", self.grad_clip > 0, "a norm above 0")
        require(self, "dead_after", self.dead_after is None or self.dead_after > 0, "a number of tokens above 0")
        require(self, "encoder_scale", self.encoder_scale > 0, "a factor above 0")
        require(self, "aux", self.aux >= 0, "a weight of at least 0")
        require(self, "aux_k", self.aux_k is None or self.aux_k >= 1, "at least one feature")
        require(self, "ghost", self.ghost >= 0, "a weight of at least 0")
        require(self, "resample_at", _rises(self.resample_at), "rising fractions of the run, above 0 and below 1")
        if self.aux and self.ghost:
            raise InputError(
                f"aux = {self.aux} and ghost = {self.ghost} for recipe {self.name}",
                expected="one of the two: both fit the residual with dead features",
                hint="aux: 0 leaves AuxK out",
            )

    @property
    def by_row(self) -> bool:
        """Whether dense codes may be made of some rows at a time, which takes less memory."""
        return self.rows_apart and not (self.aux or self.ghost)  # which measure errors against those of the batch

    @abstractmethod
    def activation(self, width: int) -> ActivationFunction:
        """A new activation function for a dictionary of `width` features."""

    @abstractmethod
    def terms(self, batch: Forward, moment: Moment) -> dict[str, Term]:
        """The parts of the protocol's loss, by name; `error` is the squared error of the reconstruction."""

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
        pre = dictionary.lazy_preactivations(x)
        codes = self.select(dictionary, pre, moment)
        batch = Forward(dictionary, x, y, pre, codes, dictionary.decode(codes, x))
        terms = self.terms(batch, moment) | self._revival(batch, dead)
        total = torch.stack([term.weight * term.value.float() for term in terms.values() if term.weight]).sum()
        values = {name: term.value for name, term in terms.items()}
        return Loss(total, values, codes, batch.reconstruction, pre, entries_per_row(dictionary.activation, pre))

    def select(
        self, dictionary: Dictionary, pre: Preactivations, moment: Moment
    ) -> Float[Tensor, "batch width"] | SparseCodes | RaggedCodes:
        """The codes of a training batch: of the entries that matter where these are few, as far as is known."""
        activation = dictionary.activation
        if isinstance(activation, Bounded) and self.stores_entries(dictionary, moment):
            return activation.at(pre.above(activation.bound()))
        return activation(pre.dense)

    def stores_entries(self, dictionary: Dictionary, moment: Moment) -> bool:
        """Whether a step makes the entries that matter alone, since there were few of them in the last batch."""
        activation, stored = dictionary.activation, moment.stored
        if stored is None or not isinstance(activation, Bounded):
            return False
        few = activation.few_on_gpu if on_gpu(dictionary.W_enc) else activation.few
        return stored <= few * dictionary.spec.width

    def fitted(self, spec: Spec, steps: int, batch_size: int) -> "Self":
        """The recipe with every `auto` replaced by a number, for one dictionary and length of run.

        Raises:
            InputError: the recipe does not go with the spec.
        """
        if self.aligned and spec.wiring != "autoencoder":
            raise InputError(
                f"aligned with a {spec.wiring}",
                expected="an autoencoder: a transcoder's encoder and decoder directions live in different spaces",
            )
        if self.lr != "auto":
            return self
        return replace(self, lr=auto_lr(self.fit, self.optimiser, spec.width, steps, batch_size))

    def initialise_(self, dictionary: Dictionary, generator: torch.Generator) -> None:
        """Fills the weights; the learner sets the biases from data afterwards."""
        initialise_(dictionary, generator, encoder_scale=self.encoder_scale)

    def calibrate_(self, dictionary: Dictionary, x: Float[Tensor, "rows d_in"]) -> None:
        """Sets what else depends on data, once, from scaled activations; the dictionary is in training mode."""

    def before_step_(self, dictionary: Dictionary) -> None:
        """Makes the gradients those of the constrained problem, before the optimiser uses them."""
        if self.aligned:
            project_aligned_gradient_(dictionary)
        if self.unit_norm:
            project_gradient_(dictionary)

    def constrain_(self, dictionary: Dictionary) -> None:
        """Puts the weights back on the constraints."""
        if self.unit_norm:
            normalise_decoder_(dictionary)
        if self.aligned:
            align_(dictionary)

    def after_step_(self, dictionary: Dictionary, loss: Loss) -> None:
        """Restores constraints, and updates what learns without a gradient, after the optimiser's step."""
        self.constrain_(dictionary)

    def pressure(self, moment: Moment, l0: float, loss: Loss) -> Pressure | None:
        """The sparsity pressure of the next step, from this one's L0 and loss; None where nothing adapts."""
        return None

    def lr_scale(self, moment: Moment) -> float:
        """The learning rate at a moment, as a fraction of its peak."""
        done = (moment.step + 1) / moment.steps
        since = max((at for at in (0.0, *self.resample_at) if at < done), default=0.0)
        fall = 1.0 if self.optimiser in AVERAGING else decay(moment.fraction, self.lr_decay)
        return ramp(done - since, self.lr_warmup) * fall

    def dead_window(self, moment: Moment) -> int:
        """Tokens of silence after which a feature counts as dead."""
        return self.dead_after or min(max(moment.tokens // 10, 1), 10_000_000)

    def _revival(self, batch: Forward, dead: Bool[Tensor, " width"]) -> dict[str, Term]:
        """What brings dead features back, through the gate that keeps them silent."""
        if not self.aux and not self.ghost:
            return {}
        features = dead.nonzero().squeeze(1)
        if batch.dictionary.ranks.features.total(len(features)) == 0:
            return {"ghost" if self.ghost else "aux": Term(0.0, batch.y.new_zeros(()))}
        gate = batch.dictionary.activation.gate(batch.pre.of(features), features)
        error = batch.y - batch.reconstruction
        if self.ghost:
            return {"ghost": Term(self.ghost, ghost_loss(batch.dictionary, gate, error, features))}
        aux_k = self.aux_k or max(batch.dictionary.spec.d_out // 2, 1)
        return {"aux": Term(self.aux, auxk_loss(batch.dictionary, gate, error, features, aux_k))}


@torch.no_grad()
def entries_per_row(activation: ActivationFunction, pre: Preactivations) -> float | None:
    """How many pre-activations a row exceed the activation function's bound, if it has one."""
    if not isinstance(activation, Bounded):
        return None
    stored = int((pre.dense > activation.bound()).count_nonzero()) if pre.entries is None else len(pre.entries.values)
    return stored / max(len(pre.x), 1)


def require(recipe: Recipe, name: str, holds: bool, expected: str) -> None:
    """Raises an InputError about the hyper-parameter `name` unless `holds`."""
    if not holds:
        raise InputError(f"{name} = {getattr(recipe, name)} for recipe {recipe.name}", expected=expected)


def squared_error(batch: Forward, reconstruction: Float[Tensor, "batch d"]) -> Float[Tensor, ""]:
    """Mean over the batch of the squared distance, ‖y − x̂‖²: the R of every loss."""
    return batch.mean(F.mse_loss(reconstruction.float(), batch.y, reduction="sum"))


def _rises(fractions: tuple[float, ...]) -> bool:
    inside = all(0 < fraction < 1 for fraction in fractions)
    return inside and all(a < b for a, b in pairwise(fractions))
