"""k-sparse probes: a label read off a few columns, which the training examples alone have chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

from monosema.analysis.probing.tasks import Task
from monosema.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Rows: TypeAlias = "np.ndarray | csr_array"
"""`[n, columns]`: dense, or codes that are stored where they are not zero."""


@dataclass(frozen=True)
class Space:
    """Columns that a probe may read of each example."""

    rows: Rows
    principal: bool = False
    """Whether the columns are to be the principal components of these, of the training examples of each fold."""
    whole: bool = True
    """Whether a probe on all columns is fitted, too."""


@dataclass(frozen=True)
class ProbeOptions:
    """How probes are fitted."""

    ks: tuple[int, ...] = (1, 2, 5, 20, 100)
    """How many columns they read."""
    c: float = 1.0
    """Inverse strength of the L2 penalty of k-sparse probes, each of whose columns is scaled to variance one."""
    cs: tuple[float, ...] = (1e-5, 1e-4, 0.001, 0.01, 0.1, 1.0)
    """Of probes on all columns, those to choose from."""
    components: int = 256
    """Principal components to choose from, those of largest variance."""

    def __post_init__(self):
        if not self.ks or min(self.ks) < 1 or self.components < 1:
            raise InputError(
                f"probes on {self.ks} columns of {self.components} components", expected="at least one of each"
            )
        if not self.cs or not min(*self.cs, self.c) > 0:
            raise InputError(f"C of {self.c} and {self.cs}", expected="numbers above 0")


@dataclass(frozen=True)
class Fit:
    """How one probe is fitted."""

    c: float
    """Inverse strength of the L2 penalty."""
    each: bool = True
    """Whether each column is scaled to variance one, or all by one number: of sparse codes, the former makes rare
    features as large as frequent ones."""


@dataclass(frozen=True)
class Score:
    """How good probes on so many columns are, fold by fold, on the fold's own examples."""

    k: int | None
    """Columns that they read; None: all."""
    accuracy: tuple[float, ...]
    """Mean of the shares of positives and of negatives that are told right: 0.5 by chance."""
    auc: tuple[float, ...]
    """Share of the pairs of a positive and a negative that are in the right order."""
    columns: tuple[tuple[int, ...], ...] = ()
    """The columns that were chosen, the best one first."""
    fits: tuple[Fit, ...] = ()
    """How they were fitted."""


def cross_validate(
    spaces: Mapping[str, Space], task: Task, options: ProbeOptions = ProbeOptions()
) -> dict[str, list[Score]]:
    """Probes of one task in several spaces: on the best k columns of each, and on all.

    The k columns are those whose means over the two classes differ most; logistic regression then reads them. Means,
    components, scales, C and weights are those of the training folds, and no document is in training and test. For all
    columns, C, and whether each column is scaled by itself, are those with which a probe that was fitted without one of
    the training folds tells this one best.

    Args:
        spaces: by name, aligned with the examples that the task's rows number.
        task: what is to be told.
        options: how.

    Returns:
        Of each space a score for each k that is at most the number of its columns, and of a whole one a last score for
        all of its columns.

    Reference: k-sparse probing, Gurnee et al. 2023 (arXiv 2305.01610); with the mean difference, as in SAEBench
    (Karvonen et al. 2025, arXiv 2503.09532).
    """
    return {name: _scores(space, task, options) for name, space in spaces.items()}


def strongest(rows: Rows, y: Bool[np.ndarray, " n"], k: int) -> Int[np.ndarray, " k"]:
    """The k columns with the largest absolute difference of means between the classes, largest first.

    One product with a vector, so that codes stay sparse.
    """
    weights = y / max(y.sum(), 1) - ~y / max((~y).sum(), 1)
    return np.argsort(-np.abs(rows.T @ weights), kind="stable")[:k]


@dataclass(frozen=True)
class _Split:
    """What a fold is trained and tested on."""

    train: Rows
    y_train: Bool[np.ndarray, " train"]
    test: Rows
    y_test: Bool[np.ndarray, " test"]

    @property
    def width(self) -> int:
        """Columns."""
        train: Any = self.train  # whose shape scipy's types may lack
        return train.shape[1]


def _scores(space: Space, task: Task, options: ProbeOptions) -> list[Score]:
    folds = range(int(task.folds.max()) + 1)
    splits = [_split(space, task, task.folds != fold, task.folds == fold, options) for fold in folds]
    fewest = min(split.width for split in splits)
    found = []
    for k in (k for k in options.ks if k <= fewest):
        chosen = [strongest(split.train, split.y_train, k) for split in splits]
        parts = [_columns(split, own) for split, own in zip(splits, chosen, strict=True)]
        columns = tuple(tuple(own.tolist()) for own in chosen)
        found.append(_score(k, parts, [Fit(options.c)] * len(parts), columns))
    if space.whole:
        fits = [_best_fit(space, task, fold, options) for fold in folds]
        found.append(_score(None, splits, fits))
    return found


def _split(
    space: Space, task: Task, train: Bool[np.ndarray, " rows"], test: Bool[np.ndarray, " rows"], options: ProbeOptions
) -> _Split:
    rows: Any = space.rows
    a, b = rows[task.rows[train]], rows[task.rows[test]]
    if space.principal:
        from sklearn.decomposition import PCA

        components = PCA(min(options.components, *a.shape), random_state=0).fit(a)
        a, b = components.transform(a), components.transform(b)
    return _Split(a, task.y[train], b, task.y[test])


def _columns(split: _Split, chosen: Int[np.ndarray, " k"]) -> _Split:
    """Some columns, dense."""
    from scipy.sparse import issparse

    a, b = (rows[:, chosen] for rows in (split.train, split.test))
    a, b = (rows.toarray() if issparse(rows) else rows for rows in (a, b))
    return _Split(a, split.y_train, b, split.y_test)


def _best_fit(space: Space, task: Task, fold: int, options: ProbeOptions) -> Fit:
    """The one that is best for the fold behind the tested one when it is fitted on the rest."""
    count = int(task.folds.max()) + 1
    if count < 3:
        raise InputError(f"{count} folds", expected="at least three: one to test, one to choose C, one to fit")
    inner = (fold + 1) % count
    split = _split(space, task, ~np.isin(task.folds, (fold, inner)), task.folds == inner, options)
    fits = [Fit(c, each) for each in (True, False) for c in options.cs]
    return max(fits, key=lambda fit: _told(split, fit)[0])


def _score(
    k: int | None, splits: Sequence[_Split], fits: Sequence[Fit], columns: tuple[tuple[int, ...], ...] = ()
) -> Score:
    told = [_told(split, fit) for split, fit in zip(splits, fits, strict=True)]
    accuracy, auc = zip(*told, strict=True)
    return Score(k, accuracy, auc, columns, tuple(fits))


def _told(split: _Split, fit: Fit) -> tuple[float, float]:
    """Balanced accuracy and AUC of a logistic regression on the test examples."""
    from scipy.sparse import issparse
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score
    from sklearn.preprocessing import StandardScaler

    scaler: Any = StandardScaler(with_mean=not issparse(split.train))  # centred codes would not be sparse
    scaler.fit(split.train)
    if not fit.each:
        scaler.scale_ = np.full_like(scaler.scale_, np.sqrt(scaler.var_.mean()) or 1.0)
    probe = LogisticRegression(C=fit.c, max_iter=1000, class_weight="balanced")
    probe.fit(scaler.transform(split.train), split.y_train)
    scores: Float[np.ndarray, " test"] = probe.decision_function(scaler.transform(split.test))
    return (
        float(balanced_accuracy_score(split.y_test, scores > 0)),
        float(roc_auc_score(split.y_test, scores)),
    )
