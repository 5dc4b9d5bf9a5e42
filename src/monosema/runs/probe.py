"""Probing dictionaries that lie on disk: a label read off their features, off activations, and off chance features."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from monosema.analysis.probing import (
    Pool,
    ProbeOptions,
    Score,
    Space,
    Task,
    cross_validate,
    encoded,
    pooled,
    read_rows,
    tasks_of,
    untrained_like,
)
from monosema.device import pick_device
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.models import Readable
from monosema.progress import progress
from monosema.runs.config import RunConfig
from monosema.runs.evaluate import common_origin, dictionaries_in, model_of
from monosema.runs.features import first_named
from monosema.runs.labelled import read_labelled
from monosema.runs.probe_examples import Examples, labelled_examples, python_examples
from monosema.tiny import documents

CODES, UNTRAINED, ACTIVATIONS, PCA = "codes", "untrained", "activations", "PCA"
_SAMPLE = 8192  # tokens by which the untrained dictionary is set up


@dataclass(frozen=True)
class LabelledFile:
    """Documents with a label each."""

    path: str
    text: str = "text"
    """Name of the column with the texts."""
    label: str = "label"
    """Name of the column with the labels."""
    pool: Pool = "mean"
    """How the tokens of a document become one row."""


@dataclass(frozen=True)
class ProbePlan:
    """What is probed, and how."""

    labelled: LabelledFile | None = None
    """Documents with labels; by default Python's own labels of tokens of the embedded corpus."""
    text: str = "tiny:heldout"
    """Of the embedded corpus, which part."""
    tokens: int = 131_072
    """Tokens of the corpus to draw examples from."""
    examples: int = 4000
    """Examples of each task at most."""
    folds: int = 5
    """Folds of documents."""
    seed: int = 0
    """Of examples, folds and the untrained dictionary."""
    probes: ProbeOptions = field(default_factory=ProbeOptions)
    """How probes are fitted."""


@dataclass(frozen=True)
class Fires:
    """How much of a dictionary takes part in a data set."""

    width: int
    d: int
    """Size of the activations read."""
    examples: int
    at_all: int
    """Features that fire on at least one of the examples."""
    often: int
    """Features that fire on at least one in a hundred."""
    l0: float
    """Mean number of features that fire on an example."""

    @property
    def warning(self) -> str | None:
        """Why probes on these codes may say little of the dictionary, if they may."""
        if self.often >= self.d:
            return None
        return (
            f"Only {self.often:,} of {self.width:,} features fire on at least 1 % of the examples, fewer than the "
            f"{self.d:,} dimensions of the activations: probes on codes see a projection that the data set has chosen, "
            "and may lose much by that alone (Rajamanoharan 2023)."
        )


@dataclass(frozen=True)
class Probed:
    """What probes of one dictionary have told."""

    name: str
    reads: tuple[str, ...]
    text: str
    documents: int
    fires: Fires
    results: list[tuple[Task, dict[str, list[Score]]]]
    """Of every task the scores in each space."""
    left_out: dict[str, list[str]]
    """Of every label the classes in too few documents to be told."""


def probe_folder(
    folder: str | Path,
    plan: ProbePlan = ProbePlan(),
    *,
    name: str | None = None,
    model: str | None = None,
    second: str | None = None,
    context: int | None = None,
    device: str = "auto",
) -> Probed:
    """Probes a dictionary: k-sparse ones on its codes, beside activations, PCA, raw channels and an untrained one.

    Only the activations of examples that some task uses are kept, and codes where they are not zero.

    Args:
        folder: a dictionary's folder or address, or a run's.
        plan: what is probed.
        name: which of a run's dictionaries; by default the first.
        model, second: other models to read.
        context: tokens that the model reads at once; by default as in training.
        device: where to compute activations and codes.

    Raises:
        InputError: no such dictionary, model or labels, or none of the labels' classes is in enough documents.
    """
    dictionaries = dictionaries_in(folder)
    chosen = first_named(list(dictionaries), name)[0]
    dictionary = dictionaries[chosen].to(pick_device(device)).eval()
    if not dictionary.spec.reads:
        raise InputError(f"{folder}, which names no hook point", expected="what it reads in its spec")
    loaded = model_of({chosen: dictionary}, model=model, second=second, device=device)
    length = context or common_origin({chosen: dictionary})["context"] or RunConfig.context
    examples, text = _examples(plan, loaded, min(length, loaded.max_context or length))
    tasks, left_out = _tasks(plan, examples)
    rows = np.unique(np.concatenate([task.rows for task in tasks]))
    spaces = _spaces(dictionary, loaded, examples.only(rows), plan.seed)
    results = []
    with progress("probing", len(tasks), "tasks") as bar:
        for task in tasks:
            results.append((task, cross_validate(spaces, task.among(rows), plan.probes)))
            bar.advance()
    fires, used = _fires(dictionary, spaces[CODES].rows), len(np.unique(examples.documents[rows]))
    return Probed(chosen, dictionary.spec.reads, text, used, fires, results, left_out)


def _fires(dictionary: Dictionary, codes: Any) -> Fires:
    """Counts over codes in scipy's form."""
    examples, width = codes.shape
    counts = np.bincount(codes.indices[codes.data != 0], minlength=width)
    often = int((counts >= examples / 100).sum())
    return Fires(width, dictionary.spec.d_in, examples, int((counts > 0).sum()), often, counts.sum() / examples)


def _examples(plan: ProbePlan, model: Readable, length: int) -> tuple[Examples, str]:
    """What can be probed, and where it comes from."""
    if plan.labelled is not None:
        own = plan.labelled
        texts, labels = read_labelled(own.path, own.text, own.label)
        how = {"name": own.label, "length": length, "pool": own.pool}
        return labelled_examples(model.tokenizer, model.special_ids, texts, labels, **how), own.path
    splits = {"tiny:heldout": "heldout", "tiny:train": "train"}
    if plan.text not in splits or plan.tokens < 1:
        raise InputError(
            f"{plan.tokens} tokens of {plan.text}",
            expected=f"some, of {' or '.join(splits)}",
            hint="other texts need labels",
        )
    sources = documents("heldout" if plan.text == "tiny:heldout" else "train")
    how = {"tokens": plan.tokens, "length": length, "seed": plan.seed}
    return python_examples(model.tokenizer, model.special_ids, sources, **how), plan.text


def _tasks(plan: ProbePlan, examples: Examples) -> tuple[list[Task], dict[str, list[str]]]:
    """The tasks of all labels, and the classes that have none."""
    how = {"most": plan.examples, "folds": plan.folds, "seed": plan.seed}
    tasks, left_out = [], {}
    for label in examples.labels:
        own = tasks_of(label, examples.documents, **how)
        wanted = label.classes if len(label.classes) != 2 else label.classes[1:]
        missing = [each for each in wanted if each not in {task.positive for task in own}]
        tasks += own
        left_out |= {label.name: missing} if missing else {}
    if not tasks:
        raise InputError(
            f"labels of which no class is in, and missing from, {plan.folds} documents",
            expected="more documents",
            hint="or fewer folds",
        )
    return tasks, left_out


def _spaces(dictionary: Dictionary, model: Readable, examples: Examples, seed: int) -> dict[str, Space]:
    """What is read off, by name."""
    point = " & ".join(dictionary.spec.reads)
    if examples.pool is None:
        x = read_rows(model, point, examples.pieces, examples.keep)
        untrained = untrained_like(dictionary, _spread(x), seed=seed)
        dense, codes, chance = x.numpy(), encoded(dictionary, x), encoded(untrained, x)
    else:
        untrained = untrained_like(dictionary, _sample(model, point, examples), seed=seed)
        both = [dictionary, untrained]
        dense, (codes, chance) = pooled(model, point, examples.pieces, examples.keep, both, examples.pool)
    return {
        CODES: Space(codes),
        UNTRAINED: Space(chance),
        PCA: Space(dense, principal=True, whole=False),
        ACTIVATIONS: Space(dense),
    }


def _spread(x: Float[Tensor, "n d"]) -> Float[Tensor, "fewer d"]:
    return x[:: max(len(x) // _SAMPLE, 1)]


def _sample(model: Readable, point: str, examples: Examples) -> Float[Tensor, "n d"]:
    """Activations of some tokens of some documents from all over."""
    every = max(sum(map(len, examples.keep)) // _SAMPLE, 1)
    return read_rows(model, point, examples.pieces[::every], examples.keep[::every])
