"""A planted feature is found, chance is told as chance, and nothing of a test fold reaches what is tested on it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from monosema.analysis.probing import ProbeOptions, Space, Task, cross_validate, label_of, strongest, tasks_of
from monosema.errors import InputError

N, WIDTH, D, DOCUMENTS = 1200, 300, 16, 60
ONE = ProbeOptions(ks=(1, 5), cs=(0.1, 1.0))


def sparse_codes(n: int = N, width: int = WIDTH, share: float = 0.03) -> np.ndarray:
    rng = np.random.default_rng(0)
    return ((rng.random((n, width)) < share) * rng.gamma(2, 1, (n, width))).astype(np.float32)


def task_for(y: np.ndarray, folds: int = 5) -> Task:
    documents = np.repeat(np.arange(DOCUMENTS), len(y) // DOCUMENTS)
    (task,) = tasks_of(label_of("planted", np.where(y, "yes", "no").tolist()), documents, folds=folds)
    return task


def test_a_label_that_is_one_feature_is_told_by_that_feature():
    codes = sparse_codes()
    codes[:, 123] = 0
    planted = np.random.default_rng(1).random(N) < 0.3
    codes[planted, 123] = 2.0
    scores = cross_validate({"codes": Space(csr_array(codes))}, task_for(planted), ONE)["codes"]
    assert [score.k for score in scores] == [1, 5, None]
    for score in scores:
        assert min(score.accuracy) > 0.97
        assert min(score.auc) > 0.98
    assert scores[0].columns == ((123,),) * 5
    assert all(columns[0] == 123 and len(set(columns)) == 5 for columns in scores[1].columns)


@pytest.mark.slow
def test_random_labels_are_told_by_chance():
    x = np.random.default_rng(3).normal(size=(N, D)).astype(np.float32)
    spaces = {"codes": Space(csr_array(sparse_codes())), "x": Space(x), "PCA": Space(x, principal=True)}
    labels = [np.random.default_rng(seed).random(N) < 0.5 for seed in range(10, 15)]  # folds of one share what they fit
    found = [cross_validate(spaces, task_for(y), replace(ONE, cs=(0.1,))) for y in labels]
    for name in spaces:
        for scores in zip(*(each[name] for each in found), strict=True):
            assert np.mean([score.accuracy for score in scores]) == pytest.approx(0.5, abs=0.04)
            assert np.mean([score.auc for score in scores]) == pytest.approx(0.5, abs=0.04)


def test_a_direction_across_all_channels_is_told_by_the_first_component_and_by_all_channels():
    rng = np.random.default_rng(4)
    y, direction = rng.random(N) < 0.5, rng.choice([-1, 1], D) / np.sqrt(D)
    x = (rng.normal(size=(N, D)) + np.outer(np.where(y, 3, -3), direction)).astype(np.float32)
    found = cross_validate({"x": Space(x), "PCA": Space(x, principal=True)}, task_for(y), ONE)
    component, channel, every = found["PCA"][0], found["x"][0], found["x"][-1]
    assert component.columns == ((0,),) * 5
    assert np.mean(component.accuracy) > 0.99
    assert np.mean(every.accuracy) > 0.99
    assert np.mean(channel.accuracy) < 0.9


@pytest.mark.slow
def test_the_tested_fold_does_not_change_what_is_tested_on_it():
    """Whatever the examples of a fold are, the columns and C that are tested on it stay."""
    codes, x = sparse_codes(), np.random.default_rng(3).normal(size=(N, D)).astype(np.float32)
    y = (codes[:, 7] > 0) | (np.random.default_rng(5).random(N) < 0.2)
    task = task_for(y)
    options = replace(ONE, ks=(1, 3), cs=(1e-4, 1.0))

    def scores(codes: np.ndarray, x: np.ndarray, task: Task):
        rest = {"x": Space(x[:, :D]), "PCA": Space(x, principal=True)}
        return cross_validate({"codes": Space(csr_array(codes)), **rest}, task, options)

    tested = task.rows[task.folds == 2]
    leaked, leaked_x = codes.copy(), x.copy()
    leaked[tested, 200] = 100 * y[tested]  # a perfect feature, on this fold alone
    leaked_x[tested, 4] += 100 * y[tested]
    flipped = replace(task, y=np.where(task.folds == 2, ~task.y, task.y))
    before = scores(codes, x, task)
    for after in (scores(leaked, leaked_x, task), scores(codes, x, flipped)):
        for name in ("codes", "x"):
            for a, b in zip(before[name], after[name], strict=True):
                assert a.k is None or a.columns[2] == b.columns[2]
                assert a.fits[2] == b.fits[2]
    assert before["codes"][0].columns[0] == (7,)
    assert (200,) in scores(leaked, leaked_x, task)["codes"][0].columns  # where the fold is trained on


def test_sparse_and_dense_rows_are_probed_alike():
    codes, y = sparse_codes(), np.random.default_rng(6).random(N) < 0.4
    codes[:, 9] += 1.5 * y
    pair = {"sparse": Space(csr_array(codes), whole=False), "dense": Space(codes, whole=False)}
    found = cross_validate(pair, task_for(y), ONE)
    assert found["sparse"] == found["dense"]


def test_the_strongest_columns_are_those_of_the_largest_mean_difference():
    codes, y = sparse_codes(), np.random.default_rng(6).random(N) < 0.4
    differences = np.abs(codes[y].mean(0, dtype=np.float64) - codes[~y].mean(0, dtype=np.float64))
    wanted = np.argsort(-differences)[:20]
    assert strongest(csr_array(codes), y, 20).tolist() == strongest(codes, y, 20).tolist() == wanted.tolist()


def test_a_million_features_stay_sparse():
    """Dense, the codes would take 4.8 GB."""
    rng, width = np.random.default_rng(0), 1_000_000
    y = rng.random(N) < 0.5
    columns = rng.integers(0, width - 1, (N, 8))
    columns[y, 0] = width - 1
    codes = csr_array((np.ones(8 * N, np.float32), columns.ravel(), np.arange(0, 8 * N + 1, 8)), shape=(N, width))
    (score,) = cross_validate({"codes": Space(codes, whole=False)}, task_for(y), ProbeOptions(ks=(1,)))["codes"]
    assert score.columns == ((width - 1,),) * 5
    assert min(score.accuracy) == 1


def test_more_columns_than_there_are_are_not_asked_for():
    x = np.random.default_rng(3).normal(size=(N, D))
    y = np.random.default_rng(2).random(N) < 0.5
    (scores,) = cross_validate({"x": Space(x)}, task_for(y), ProbeOptions(ks=(2, D, D + 1), cs=(1.0,))).values()
    assert [score.k for score in scores] == [2, D, None]


def test_options_that_make_no_sense_are_refused():
    made: list[Callable[[], ProbeOptions]] = [
        lambda: ProbeOptions(ks=()),
        lambda: ProbeOptions(ks=(0,)),
        lambda: ProbeOptions(cs=(0.0,)),
        lambda: ProbeOptions(c=-1.0),
        lambda: ProbeOptions(components=0),
    ]
    for make in made:
        with pytest.raises(InputError):
            make()
    y = np.random.default_rng(2).random(N) < 0.5
    with pytest.raises(InputError, match="2 folds"):
        cross_validate({"x": Space(np.ones((N, 2)))}, task_for(y, folds=2), ONE)
