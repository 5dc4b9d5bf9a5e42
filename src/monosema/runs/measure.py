"""Measuring dictionaries on held-out data, during a run and at its end."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.analysis import Example, middling_features, top_examples
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation import CrossEntropy, Evaluation, Metrics, evaluate, evaluate_rows, evaluate_together
from monosema.runs.data import Heldout
from monosema.runs.processes import ONLY, Processes
from monosema.training import Learner
from monosema.training.observers import Log

FEATURES, EXAMPLES = 10, 5
SMALL = 32  # contexts of an evaluation during training
ROWS = 4096


def measure(
    dictionaries: Mapping[str, Dictionary], heldout: Heldout
) -> tuple[dict[str, Evaluation], dict[str, dict[int, list[Example]]]]:
    """Metrics and densities, and the strongest examples of some features of middling density, by dictionary."""
    found = evaluate_heldout(dictionaries, heldout)
    if heldout.model is None or heldout.contexts is None:
        return found, {name: {} for name in dictionaries}
    model, contexts = heldout.model, heldout.contexts
    return found, {
        name: top_examples(dictionary, model, contexts, middling_features(density, n=FEATURES), n=EXAMPLES)
        if (density := found[name].density).any()
        else {}
        for name, dictionary in dictionaries.items()
    }


def evaluate_heldout(dictionaries: Mapping[str, Dictionary], heldout: Heldout) -> dict[str, Evaluation]:
    """Metrics and densities of dictionaries, by name, in the model or on rows of activations."""
    if heldout.model is not None and heldout.contexts is not None:
        return evaluate(dictionaries, heldout.model, heldout.contexts)
    assert heldout.rows is not None
    return {name: evaluate_rows(d, _batches(d, heldout.rows)) for name, d in dictionaries.items()}


def measure_together(dictionaries: Mapping[str, Dictionary], heldout: Heldout) -> CrossEntropy:
    """The model's loss with all dictionaries in it at once.

    Raises:
        InputError: there is no model, or two dictionaries write one hook point.
    """
    if heldout.model is None or heldout.contexts is None:
        raise InputError("all dictionaries at once on rows of activations", expected="a model to put them into")
    return evaluate_together(dictionaries, heldout.model, heldout.contexts)


def _batches(
    dictionary: Dictionary, rows: Mapping[str, Float[Tensor, "rows d"]]
) -> list[tuple[Float[Tensor, "batch d_in"], Float[Tensor, "batch d_out"]]]:
    """What a dictionary reads and what it should write, in pieces."""
    spec, device = dictionary.spec, dictionary.W_enc.device
    x, y = (torch.cat([rows[p] for p in points], 1).to(device) for points in (spec.reads, spec.writes))
    return list(zip(x.split(ROWS), y.split(ROWS), strict=True))


class HeldoutEvaluation:
    """An observer that measures on a part of the held-out data every so many steps, and tells the logs.

    Of several processes those measure that speak for the ones with the same dictionaries.
    """

    def __init__(
        self,
        learners: Mapping[str, Learner],
        heldout: Heldout,
        every: int,
        logs: Sequence[Log],
        processes: Processes = ONLY,
    ):
        self.learners, self.every, self.logs, self.processes = learners, every, logs, processes
        self.heldout = Heldout(
            heldout.model,
            None if heldout.contexts is None else heldout.contexts[:SMALL],
            None if heldout.rows is None else {point: rows[:ROWS] for point, rows in heldout.rows.items()},
        )

    def on_step(self, step: int, metrics: Mapping[str, Mapping[str, float]]) -> None:
        """Measures if it is time to."""
        if step % self.every:
            return
        dictionaries = {name: learner.finished() for name, learner in self.learners.items()}
        found = evaluate_heldout(dictionaries, self.heldout) if self.processes.leads and dictionaries else {}
        figures = self.processes.collect({name: _figures(evaluation.metrics) for name, evaluation in found.items()})
        for log in self.logs:
            log.write(step, figures)


class Told:
    """An observer that has logs write the first step and every `every`-th, with everybody's metrics."""

    def __init__(self, logs: Sequence[Log], every: int, processes: Processes):
        self.logs, self.every, self.processes = logs, every, processes

    def on_step(self, step: int, metrics: Mapping[str, Mapping[str, float]]) -> None:
        """Collects the metrics, if it is time to, and writes them."""
        if step != 1 and step % self.every:
            return
        everything = self.processes.collect(metrics) if self.processes.others.size > 1 else metrics
        for log in self.logs:
            log.write(step, everything)


def _figures(metrics: Metrics) -> dict[str, float]:
    return {f"heldout_{k}": float(v) for k, v in asdict(metrics).items() if isinstance(v, (int, float))}
