"""A run on known features gives the same figures again, and writes everything or nothing."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monosema.config import load_yaml
from monosema.dictionaries import Spec
from monosema.errors import InputError
from monosema.evaluation.known_truth import match_features
from monosema.formats import load
from monosema.runs.synthetic import (
    SyntheticRun,
    as_json,
    heldout_rows,
    measure_synthetic,
    run_synthetic,
    truth_table,
)
from monosema.synthetic import Magnitudes, SyntheticConfig, SyntheticSource, World, presets
from monosema.training import Learner
from tests.runs.tiny_run import recipe

SMALL = SyntheticRun(
    (recipe("topk", k=2), recipe("topk", k=3), recipe("batch_topk", k=2)),
    world=SyntheticConfig(12, 8, 0.1, Magnitudes(1.0, spread=0.5)),
    tokens=4096,
    batch_size=128,
    heldout=1500,
    device="cpu",
)


def test_a_run_writes_what_it_returns_and_its_configuration_repeats_it(tmp_path: Path):
    results = run_synthetic(SMALL, tmp_path / "run")
    assert list(results) == ["topk-k2", "topk-k3", "batch_topk"]
    written = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert written["dictionaries"] == json.loads(json.dumps(as_json(results)))
    assert run_synthetic(load_yaml(SyntheticRun, tmp_path / "run" / "config.yaml")) == results
    for name, result in results.items():
        dictionary = load(tmp_path / "run" / "dictionaries" / name)
        assert SMALL.world is not None
        assert measure_synthetic(dictionary, World(SMALL.world), SMALL) == result
        assert dictionary.spec.width == 12


def test_equal_recipes_are_numbered():
    assert replace(SMALL, recipes=(recipe("topk", k=2),) * 3).names() == ["topk", "topk-2", "topk-3"]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_dictionary_knows_nothing_of_the_truth_before_it_learns(seed: int):
    config = replace(presets["easy"](), seed=seed)
    source = SyntheticSource(World(config), 8, seed=seed)
    for name in ("topk", "april_l1"):
        learner = Learner(
            Spec.autoencoder("synthetic", 64, 256), recipe(name), source.sample(256), steps=1, batch_size=8, seed=seed
        )
        assert match_features(source.world.directions, learner.finished().W_dec).mcc < 0.5


def test_held_out_rows_are_never_trained_on():
    assert SMALL.world is not None
    world = World(SMALL.world)
    held = {tuple(row) for x, _ in heldout_rows(world, SMALL) for row in x.tolist() if any(row)}
    source = SyntheticSource(world, 128)
    seen = {tuple(row) for _ in range(32) for row in next(source)["synthetic"].tolist()}
    assert sum(len(x) for x, _ in heldout_rows(world, SMALL)) == SMALL.heldout
    assert len(held) > 500
    assert not held & seen


def test_the_table_has_a_row_for_each_dictionary():
    table = truth_table(run_synthetic(SMALL))
    assert [row[0] for row in table.rows] == SMALL.names()
    assert all(len(row) == len(table.headers) for row in table.rows)
    assert len(table.notes) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "hard", "world": None}, "hard"),
        ({"recipes": ()}, "no recipe"),
        ({"tokens": 0}, "tokens = 0"),
        ({"width": 0}, "width = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"recipes": (recipe("topk", k=99),)}, "k"),
    ],
)
def test_bad_input_leaves_nothing_behind(tmp_path: Path, changes: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        run_synthetic(replace(SMALL, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_left_alone(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="already holds something"):
        run_synthetic(SMALL, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
