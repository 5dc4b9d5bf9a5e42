"""One dictionary in training."""

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.activations.normalise import geometric_median
from monosema.device import read_figures
from monosema.dictionaries import Dictionary, Preactivations, Spec
from monosema.errors import InputError
from monosema.kernels.precision import tensor_float_32
from monosema.kernels.spare import keep_gradient_
from monosema.ranks import ALONE, Ranks
from monosema.recipes import Loss, Moment, Pressure, Recipe, entries_per_row
from monosema.training.dead_features import DeadFeatures
from monosema.training.frame import Frame, fold_, frame_of
from monosema.training.gradients import learn_from
from monosema.training.optimisers import Optimisers
from monosema.training.parts import check_divides, cut_, gradient_norm, marked, unmarked, whole
from monosema.training.resample import resample_, resampling_window
from monosema.training.state_file import Divided

Batch = Mapping[str, Float[Tensor, "batch d"]]


FEW = 256
"""Rows on which it is seen how many features matter at the start."""


class NonFiniteLoss(RuntimeError):
    """The loss or its gradient was not finite; the dictionary is as it was before the batch that caused it."""

    batch: Batch | None = None
    """The batch, where the training loop says so."""


class Learner:
    """A dictionary, its recipe, its optimiser, and what has to be remembered between steps.

    Args:
        spec: what the dictionary connects.
        recipe: how it learns.
        sample: activations like those of the training stream, `{hook point: [rows, d]}`: they set the scale of
            training, and where the biases start.
        steps: length of the run, for the schedules.
        batch_size: tokens per step.
        seed: of the random directions it starts with.
        device: where it trains.
        autocast: multiply matrices in bfloat16; weights, thresholds and sums stay float32.
        ranks: who trains it together. Each rank is given the same sample and its own rows of each batch, and all do
            everything at the same time; `batch_size` is that of all.

    Raises:
        InputError: the sample lacks a hook point or has other sizes than the spec, or is not finite, or is all zero;
            there are no steps; the recipe does not fit the width, or cannot be divided among so many ranks.
    """

    def __init__(
        self,
        spec: Spec,
        recipe: Recipe,
        sample: Batch,
        *,
        steps: int,
        batch_size: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        autocast: bool = False,
        ranks: Ranks = ALONE,
    ):
        _check_fits(spec, sample)
        check_divides(spec, recipe, ranks)
        if steps < 1 or batch_size < 1:
            raise InputError(f"{steps} steps of {batch_size} tokens", expected="at least one step of one token")
        self.spec = replace(spec, subtracts_input_bias=recipe.subtracts_input_bias)
        self.recipe = recipe.fitted(spec, steps, batch_size)
        self.steps, self.batch_size, self.step_count = steps, batch_size, 0
        self.device, self.autocast, self.seed, self.ranks = torch.device(device), autocast, seed, ranks
        self.read, self.written = self._frames(sample)
        self.dictionary = self._start(sample, seed).to(self.device)
        self.dead = DeadFeatures(self.dictionary.spec.width, self.device)
        self.optimisers = Optimisers(recipe, self.dictionary)
        self.skipped = 0
        self.pressure: Pressure | None = None
        self.stored = entries_per_row(self.dictionary.activation, self._first_preactivations(sample))

    @property
    def moment(self) -> Moment:
        """Where the run stands."""
        return Moment(self.step_count, self.steps, self.batch_size, self.pressure, self.stored)

    def step(self, batch: Batch) -> dict[str, float]:
        """Learns from one batch of raw activations.

        Returns:
            The `tokens` learned from so far, the `loss` and its terms, the batch's `l0` and `fve` (not finite where
            its targets do not vary), the share of `dead` features, `lr`, and `grad_norm` before clipping.

        Raises:
            NonFiniteLoss: the loss or its gradient is NaN or infinite; nothing was changed.
        """
        x, y = self._framed(batch)
        moment = self.moment
        dead = self.dead.mask(self.recipe.dead_window(moment))
        loss, fired = learn_from(self.recipe, self.dictionary, x, y, moment, dead, self.autocast)
        fired, tokens = self.ranks.rows.sum(fired), len(x) * self.ranks.rows.size
        self.ranks.rows.sum_(self._gradients())
        gradient = gradient_norm(self.dictionary)
        metrics, grad_norm = self._figures(loss, gradient, y, fired, tokens, dead)
        if not (math.isfinite(metrics["loss"]) and math.isfinite(grad_norm)):
            self.dictionary.zero_grad()
            raise NonFiniteLoss(self._blame(metrics["loss"], x, y))
        lr = self._update(loss, moment, grad_norm)
        self.dead.update(fired, tokens)
        self.pressure, self.stored = self.recipe.pressure(moment, metrics["l0"], loss), loss.stored
        self._resample(moment, x, y, loss)
        self.step_count += 1
        return {
            "tokens": self.step_count * self.batch_size,
            **metrics,
            "lr": lr,
            "grad_norm": grad_norm,
            **({} if self.pressure is None else {"sparsity": self.pressure.coefficient}),
        }

    def skip(self) -> dict[str, float]:
        """Leaves out a batch; the schedules go on. Returns the `tokens` seen and the batches `skipped` so far."""
        self.step_count += 1
        self.skipped += 1
        return {"tokens": self.step_count * self.batch_size, "skipped": self.skipped}

    def finished(self) -> Dictionary:
        """A copy that takes raw activations, in evaluation mode; training can go on. All ranks have to ask for it."""
        dictionary = copy.deepcopy(self.dictionary).eval()
        dictionary.zero_grad()
        if self.optimisers.averages:
            self.optimisers.averaged_(self.dictionary, dictionary)
            self.recipe.constrain_(dictionary)
        dictionary = whole(dictionary)
        fold_(dictionary, self.read, self.written)
        return dictionary.requires_grad_(False)

    def state_dict(self) -> dict[str, Any]:
        """Everything that a later `step` depends on. The tensors are the learner's own: copy what outlives a step."""
        return unmarked(self.marked_state())

    def marked_state(self) -> dict[str, Any]:
        """The same, with what ranks divide by features as `Divided`; the rest is alike on all of them."""
        return {
            **marked(self.dictionary, self.optimisers),
            "silent": Divided(self.dead.silent, 0),
            "step": self.step_count,
            "skipped": self.skipped,
            "pressure": None if self.pressure is None else tuple(self.pressure),
            "stored": self.stored,
            "seed": self.seed,
            "frames": [(frame.scales, frame.sizes, frame.axes) for frame in (self.read, self.written)],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from where another learner with the same spec and recipe stood, of which this rank has its part."""
        self.dictionary.load_state_dict(state["dictionary"])
        self.optimisers.load_state_dict(copy.deepcopy(state["optimiser"]))  # torch would share its tensors
        self.dead.silent.copy_(state["silent"])
        self.step_count, self.seed, self.stored = state["step"], state["seed"], state["stored"]
        self.skipped = state["skipped"]
        self.pressure = None if state["pressure"] is None else Pressure(*state["pressure"])
        self.read, self.written = (Frame(tuple(scales), tuple(sizes), axes) for scales, sizes, axes in state["frames"])

    def _figures(
        self, loss: Loss, gradient: Tensor, y: Tensor, fired: Tensor, tokens: int, dead: Tensor
    ) -> tuple[dict[str, float], float]:
        """What is said of a batch, and its gradient's norm, in one copy from the device."""
        figures = {
            "loss": loss.total,
            **loss.terms,
            "l0": self.ranks.features.sum(fired.sum()),
            "fve": loss.terms["error"] / self._variance(y),
            "dead": self.ranks.features.sum(dead.float().mean()),
        }
        *read, grad_norm = read_figures([*figures.values(), gradient])
        metrics = dict(zip(figures, read, strict=True))
        metrics |= {"l0": metrics["l0"] / tokens, "fve": 1 - metrics["fve"]}
        metrics["dead"] /= self.ranks.features.size
        return metrics, grad_norm

    def _variance(self, y: Float[Tensor, "batch d"]) -> Float[Tensor, ""]:
        count = len(y) * self.ranks.rows.size
        return self.ranks.rows.sum((y - self.ranks.rows.sum(y.sum(0)) / count).square().sum()) / count

    def _gradients(self) -> list[Tensor]:
        return [p.grad for p in self.dictionary.parameters() if p.grad is not None]

    def _blame(self, total: float, x: Tensor, y: Tensor) -> str:
        finite = x.isfinite().all() and y.isfinite().all()
        cause = f"lower the learning rate ({self.recipe.lr})" if finite else "the activations hold NaN or infinity"
        return f"loss {total} or its gradient at step {self.step_count} is not finite: {cause}"

    def _update(self, loss: Loss, moment: Moment, grad_norm: float) -> float:
        if grad_norm > self.recipe.grad_clip:  # torch's own clipping would go over short gradients, too
            for grad in self._gradients():
                grad.mul_(self.recipe.grad_clip / grad_norm)
        self.recipe.before_step_(self.dictionary)
        assert self.recipe.lr != "auto"
        lr = self.recipe.lr * self.recipe.lr_scale(moment)
        self.optimisers.step(lr)
        for parameter in self.dictionary.parameters():
            keep_gradient_(parameter)
        self.recipe.after_step_(self.dictionary, loss)
        return lr

    def _resample(self, moment: Moment, x: Tensor, y: Tensor, loss: Loss) -> None:
        window = resampling_window(self.recipe, moment, self.spec.width)
        if window is None:
            return
        dead = self.dead.mask(window)
        if self.ranks.features.total(int(dead.any())):
            # A generator of this step's own: what is drawn depends on seed and step alone, and resuming repeats it.
            generator = torch.Generator().manual_seed(self.seed + 1_000_003 * (moment.step + 1))
            restarted = resample_(self.dictionary, self.optimisers, x, y, loss.reconstruction, dead, generator)
            self.recipe.constrain_(self.dictionary)
            self.dead.silent[restarted] = 0

    def _rows(self, batch: Batch) -> tuple[Tensor, Tensor]:
        x, y = (torch.cat([batch[p] for p in points], dim=1) for points in (self.spec.reads, self.spec.writes))
        return x.to(self.device, torch.float32), y.to(self.device, torch.float32)

    def _framed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        x, y = self._rows(batch)
        with tensor_float_32(self.autocast):  # the axes rounded to 10 bits are still the same axes for every batch
            framed = self.read.into(x)
            return framed, framed if self.spec.reads == self.spec.writes else self.written.into(y)

    def _frames(self, sample: Batch) -> tuple[Frame, Frame]:
        x, y = self._rows(sample)
        norm, basis, spec = self.recipe.norm, self.recipe.basis, self.spec
        same = spec.reads == spec.writes
        # If there is one frame, then both sides' blocks stay apart in it.
        blocks = max(spec.blocks_in, spec.blocks_out) if same else spec.blocks_in
        read = frame_of(x, norm, basis, sizes=spec.sizes_in, blocks=blocks)
        return read, read if same else frame_of(y, norm, basis, sizes=spec.sizes_out, blocks=spec.blocks_out)

    @torch.no_grad()
    def _start(self, sample: Batch, seed: int) -> Dictionary:
        """Fills the weights; then b_dec starts at the centre of what is written, and the encoder at that of its input.

        A recipe that subtracts no input bias gets the same start through `b_enc`, since (x − c) W = x W − c W.
        """
        dictionary = Dictionary(self.spec, self.recipe.activation(self.spec.width))
        self.recipe.initialise_(dictionary, torch.Generator().manual_seed(seed))
        x, y = (rows.cpu() for rows in self._framed(sample))
        dictionary.b_dec.copy_(self._centre(y))
        if dictionary.b_in is not None:
            dictionary.b_in.copy_(self._centre(x))
        if dictionary.input_bias is None:
            dictionary.b_enc.sub_(dictionary.encoder.apply(self._centre(x), dictionary.W_enc))
        self.recipe.constrain_(dictionary)
        self.recipe.calibrate_(dictionary, x)
        cut_(dictionary, self.ranks)
        return dictionary

    def _first_preactivations(self, sample: Batch) -> Preactivations:
        return self.dictionary.lazy_preactivations(self._framed({point: x[:FEW] for point, x in sample.items()})[0])

    def _centre(self, rows: Float[Tensor, "rows d"]) -> Float[Tensor, " d"]:
        if self.recipe.bias_init == "zero":
            return rows.new_zeros(rows.shape[1])
        return rows.mean(0) if self.recipe.bias_init == "mean" else geometric_median(rows)


def _check_fits(spec: Spec, sample: Batch) -> None:
    if spec.normalisation != "none":
        raise InputError(
            f"training with {spec.normalisation}", expected="no normalisation: activations are scaled by one factor"
        )
    for points, size in ((spec.reads, spec.d_in), (spec.writes, spec.d_out)):
        given = {point: sample[point].shape[1] for point in points if point in sample}
        if len(given) < len(points) or sum(given.values()) != size:
            raise InputError(
                f"a dictionary of size {size} at {', '.join(points) or 'no hook point'}",
                expected=f"sizes that fit the activations: { ({p: t.shape[1] for p, t in sample.items()}) }",
            )
