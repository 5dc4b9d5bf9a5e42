"""The training loop: one stream of batches, any number of dictionaries."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from monosema.activations import Source
from monosema.device import keep_freed_memory
from monosema.errors import InputError
from monosema.training.learner import Learner


class Observer(Protocol):
    """Told of every step; what it does (a bar, a log, an evaluation) never changes the training."""

    def on_step(self, step: int, metrics: Mapping[str, Mapping[str, float]]) -> None:
        """`step` steps are done; `metrics` are the last one's, by dictionary."""
        ...


def train(source: Source, learners: Mapping[str, Learner], steps: int, observers: Sequence[Observer] = ()) -> None:
    """Trains every learner on the same `steps` batches, each read through the model once.

    From then on this process keeps memory that it frees, see `device.keep_freed_memory`.

    Raises:
        InputError: the source ends before.
        NonFiniteLoss: a dictionary's loss left the finite numbers.
    """
    keep_freed_memory()
    batches = iter(source)
    for step in range(1, steps + 1):
        batch = next(batches, None)
        if batch is None:
            raise InputError(
                f"the source ended after {step - 1} batches of {source.batch_size}",
                expected=f"{steps} batches",
                hint="ask for fewer tokens, or let the text repeat",
            )
        metrics = {name: learner.step(batch) for name, learner in learners.items()}
        for observer in observers:
            observer.on_step(step, metrics)
