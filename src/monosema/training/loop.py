"""The training loop: one stream of batches, any number of dictionaries."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from monosema.activations import Source
from monosema.device import keep_freed_memory
from monosema.errors import InputError
from monosema.training.learner import Batch, Learner, NonFiniteLoss


class Observer(Protocol):
    """Told of every step; what it does (a bar, a log, an evaluation) never changes the training."""

    def on_step(self, step: int, metrics: Mapping[str, Mapping[str, float]]) -> None:
        """`step` steps are done; `metrics` are the last one's, by dictionary."""
        ...


def train(
    source: Source,
    learners: Mapping[str, Learner],
    steps: int | None = None,
    observers: Sequence[Observer] = (),
    *,
    done: int = 0,
    skip_non_finite: bool = False,
) -> None:
    """Trains every learner on the same batches, each read through the model once, until `steps` are done.

    From then on this process keeps memory that it frees, see `device.keep_freed_memory`.

    Args:
        source: what yields the batches.
        learners: the dictionaries in training, by name.
        steps: length of the run; by default the one that the learners' schedules were made for.
        observers: told of every step.
        done: steps that lie behind source and learners.
        skip_non_finite: leave out batches whose loss is not finite, in place of ending the run.

    Raises:
        InputError: the source ends before, or the length is not given and the learners do not agree on one.
        NonFiniteLoss: a dictionary's loss left the finite numbers; the error holds the batch.
    """
    steps = _length(learners) if steps is None else steps
    keep_freed_memory()
    batches = iter(source)
    for step in range(done + 1, steps + 1):
        batch = next(batches, None)
        if batch is None:
            raise InputError(
                f"the source ended after {step - 1} batches of {source.batch_size}",
                expected=f"{steps} batches",
                hint="ask for fewer tokens, or let the text repeat",
            )
        metrics = {name: _step(learner, batch, skip_non_finite) for name, learner in learners.items()}
        for observer in observers:
            observer.on_step(step, metrics)


def _length(learners: Mapping[str, Learner]) -> int:
    """The steps that all learners were made for."""
    steps = {name: learner.steps for name, learner in learners.items()}
    if len(set(steps.values())) != 1:
        raise InputError(
            f"learners for runs of these lengths: {steps}" if steps else "no learner",
            expected="one length, or `steps`",
        )
    return next(iter(steps.values()))


def _step(learner: Learner, batch: Batch, skip_non_finite: bool) -> dict[str, float]:
    try:
        return learner.step(batch)
    except NonFiniteLoss as error:
        if skip_non_finite:
            return learner.skip()
        error.batch = batch
        raise
