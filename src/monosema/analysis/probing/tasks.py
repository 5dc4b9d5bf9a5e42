"""What is probed for: labels, and the yes-or-no tasks that are made of them."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int

from monosema.errors import InputError


@dataclass(frozen=True)
class Label:
    """One thing that is said of examples, such as the kind of token."""

    name: str
    classes: tuple[str, ...]
    """What it can be."""
    values: Int[np.ndarray, " n"]
    """The class of each example; −1 where nothing is said of it."""


@dataclass(frozen=True)
class Task:
    """One class of a label against all others, on as many examples of it as of them."""

    label: str
    positive: str
    rows: Int[np.ndarray, " rows"]
    """The examples, ascending."""
    y: Bool[np.ndarray, " rows"]
    """Which of them are of the class: half."""
    folds: Int[np.ndarray, " rows"]
    """The fold in which each is tested; all examples of a document are in one."""
    share: float
    """Of all examples that have the label, those of the class."""

    def among(self, kept: Int[np.ndarray, " kept"]) -> "Task":
        """The same task where only some examples, ascending, this task's among them, are at hand."""
        return replace(self, rows=np.searchsorted(kept, self.rows))


def label_of(name: str, values: Sequence[str]) -> Label:
    """A label from what it says of each example, in words; its classes are in alphabetical order."""
    classes, numbers = np.unique(np.asarray(values, dtype=str), return_inverse=True)
    return Label(name, tuple(map(str, classes)), numbers.ravel())


def tasks_of(
    label: Label, documents: Int[np.ndarray, " n"], *, most: int = 4000, folds: int = 5, seed: int = 0
) -> list[Task]:
    """The tasks of a label: one of each class against the rest, of two classes one.

    A class that occurs, or is missing, in too few documents to be in every fold has none.

    Args:
        label: of the examples.
        documents: of which each example is a part.
        most: examples of a task, drawn by chance; half of them are of the class.
        folds: in which documents are divided.
        seed: of both.

    Raises:
        InputError: fewer than two folds or examples; labels and documents of different number.
    """
    if folds < 2 or most < 2 or label.values.shape != documents.shape:
        raise InputError(
            f"{folds} folds, {most} examples, {len(label.values)} labels of {len(documents)} examples",
            expected="at least two folds and two examples, and a label for each",
        )
    positives = range(1, 2) if len(label.classes) == 2 else range(len(label.classes))
    found = (_task(label, number, documents, most, folds, seed) for number in positives)
    return [task for task in found if task is not None]


def _task(label: Label, number: int, documents: Int[np.ndarray, " n"], most: int, folds: int, seed: int) -> Task | None:
    said = np.flatnonzero(label.values >= 0)
    of_class = label.values[said] == number
    sides = said[of_class], said[~of_class]
    if any(len(np.unique(documents[side])) < folds for side in sides):
        return None
    rng = np.random.default_rng([seed, zlib.crc32(f"{label.name}: {label.classes[number]}".encode())])
    each = min(most // 2, *map(len, sides))
    rows = np.sort(np.concatenate([rng.choice(side, each, replace=False) for side in sides]))
    y = label.values[rows] == number
    tested = _folds(y, documents[rows], folds, seed)
    if tested is None:
        return None
    return Task(label.name, label.classes[number], rows, y, tested, float(of_class.mean()))


def _folds(
    y: Bool[np.ndarray, " rows"], documents: Int[np.ndarray, " rows"], folds: int, seed: int
) -> Int[np.ndarray, " rows"] | None:
    """Folds of whole documents with about as many positives in each; None where one would lack either class."""
    from sklearn.model_selection import StratifiedGroupKFold

    if any(len(np.unique(documents[y == side])) < folds or (y == side).sum() < folds for side in (True, False)):
        return None
    tested = np.zeros(len(y), np.int64)
    # In random order, which `shuffle=True` of scikit-learn before 1.8 gives to the counts but not to the documents.
    _, numbers = np.unique(documents, return_inverse=True)
    order = np.arange(numbers.max() + 1)
    np.random.RandomState(seed).shuffle(order)
    splits = StratifiedGroupKFold(folds).split(y[:, None], y, np.argsort(order)[numbers])
    for fold, (_, test) in enumerate(splits):
        tested[test] = fold
        if len(np.unique(y[test])) < 2:
            return None
    return tested
