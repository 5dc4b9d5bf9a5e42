"""`monosema synthetic`, `toy` and `neuron` print figures, as a table and as JSON, and refuse bad input in one line."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command

SYNTHETIC = ("synthetic", "--tokens", 4096, "--batch-size", 256, "--heldout", 512, "--device", "cpu")
TOY = ("toy", "--features", 3, "--d", 2, "--densities", 1, 0.1, "--steps", 5, "--batch-size", 16)


def test_synthetic_trains_a_grid_of_recipes(monosema: Command, tmp_path: Path):
    ended = monosema(*SYNTHETIC, "--recipe", "topk", "--k", 4, 5, "--width", 64, "--json", "--out", tmp_path / "run")
    assert ended.status == 0
    found = json.loads(ended.out)
    assert list(found) == ["topk-k4", "topk-k5"]
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["dictionaries"] == found
    assert all(-1 <= each["mcc"] <= 1 for each in found.values())


def test_synthetic_prints_a_table(monosema: Command):
    ended = monosema(*SYNTHETIC, "--recipe", "topk", "--k", 5, "--width", 32)
    assert "MCC" in ended.out
    assert "True L0" in ended.out


def test_toy_prints_a_row_for_each_density(monosema: Command):
    assert "of 3" in monosema(*TOY).out
    assert [each["density"] for each in json.loads(monosema(*TOY, "--json").out)] == [1, 0.1]


def test_neuron_prints_features_with_their_shares(monosema: Command, finished: Path):
    ended = monosema("neuron", finished, 5, "--top", 3, "--device", "cpu", "--json")
    (found,) = json.loads(ended.out).values()
    assert found["neuron"] == 5
    assert len(found["features"]) == 3
    assert "neuron 5" in monosema("neuron", finished, 5, "--device", "cpu").out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((*SYNTHETIC, "--preset", "easyy"), "did you mean easy"),
        ((*SYNTHETIC, "--recipe", "topk", "--target-l0", 3), "--target-l0 with recipe topk"),
        ((*SYNTHETIC, "--recipe", "topk", "--k", 0), "k = 0"),
        (("toy", "--densities", 2), "densities"),
        (("neuron", "absent", 3), "absent"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    monosema: Command, tmp_path: Path, arguments: tuple[object, ...], says: str
):
    out = () if arguments[0] == "neuron" else ("--out", tmp_path / "run")
    assert says in monosema(*arguments, *out).refused()
    assert not (tmp_path / "run").exists()


def test_a_neuron_that_is_not_there_is_refused(monosema: Command, finished: Path):
    assert "it has 16" in monosema("neuron", finished, 99, "--device", "cpu").refused()
