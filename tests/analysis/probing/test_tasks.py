"""Tasks are balanced, and no document is in two folds."""

import numpy as np
import pytest

from monosema.analysis.probing import Label, label_of, tasks_of
from monosema.errors import InputError


def example_documents(n: int = 600, documents: int = 30) -> np.ndarray:
    return np.sort(np.random.default_rng(0).integers(0, documents, n))


@pytest.mark.parametrize("seed", range(3))
def test_documents_are_whole_and_classes_even(seed: int):
    documents = example_documents()
    colours = np.random.default_rng(1).choice(["red", "green", "blue"], len(documents), p=[0.6, 0.3, 0.1])
    label = label_of("colour", colours.tolist())
    tasks = tasks_of(label, documents, most=200, folds=5, seed=seed)
    assert [task.positive for task in tasks] == ["blue", "green", "red"]
    for task in tasks:
        assert task.y.mean() == 0.5
        assert len(task.rows) <= 200
        assert (np.diff(task.rows) > 0).all()
        wanted = label.values[task.rows] == label.classes.index(task.positive)
        assert (task.y == wanted).all()
        for document in np.unique(documents):
            assert len(np.unique(task.folds[documents[task.rows] == document])) <= 1
        for fold in range(5):
            assert set(task.y[task.folds == fold]) == {True, False}


def test_two_classes_are_one_task_and_examples_without_label_none():
    documents = example_documents(100, 10)
    values = np.arange(100) % 2
    values[::10] = -1
    (task,) = tasks_of(Label("odd", ("no", "yes"), values), documents, folds=3)
    assert task.positive == "yes"
    assert not set(task.rows) & set(range(0, 100, 10))
    assert task.share == pytest.approx(50 / 90)


def test_a_class_in_too_few_documents_has_no_task():
    documents = np.repeat(np.arange(10), 10)
    values = np.where(documents < 2, 2, documents % 2)
    assert [t.positive for t in tasks_of(Label("l", ("a", "b", "rare"), values), documents, folds=4)] == ["a", "b"]


def test_rows_are_found_again_among_those_at_hand():
    documents = example_documents(100, 10)
    (task,) = tasks_of(label_of("l", ["a", "b"] * 50), documents, most=20, folds=3)
    kept = np.union1d(task.rows, [3, 50, 99])
    assert (kept[task.among(kept).rows] == task.rows).all()


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InputError, match="1 folds"):
        tasks_of(label_of("l", ["a", "b"]), np.arange(2), folds=1)
    with pytest.raises(InputError, match="2 labels of 3"):
        tasks_of(label_of("l", ["a", "b"]), np.arange(3))
