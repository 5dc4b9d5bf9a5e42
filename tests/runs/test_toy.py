"""Toy models leave their weights, figures and pictures in a folder."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from monosema.config import load_yaml
from monosema.errors import InputError
from monosema.runs.toy import run_toy, toy_table
from monosema.runs.toy_pictures import MOST_COLUMNS, weights_picture
from monosema.synthetic import ToyConfig, train_toy

SMALL = ToyConfig(4, 2, (1.0, 0.1), steps=20, batch_size=32, restarts=2)
PNG = b"\x89PNG\r\n"


def test_a_folder_holds_all_that_was_found(tmp_path: Path):
    models = run_toy(SMALL, tmp_path / "toy")
    folder = tmp_path / "toy"
    assert {path.name for path in folder.iterdir()} == {
        *("config.yaml", "metrics.json", "toy.safetensors", "weights.png", "curves.png")
    }
    assert load_yaml(ToyConfig, folder / "config.yaml") == SMALL
    assert torch.equal(load_file(folder / "toy.safetensors")["W"], models.W)
    figures = json.loads((folder / "metrics.json").read_text())["models"]
    assert [found["density"] for found in figures] == [1.0, 0.1]
    assert [found["represented"] for found in figures] == models.represented()
    for name in ("weights.png", "curves.png"):
        assert (folder / name).read_bytes().startswith(PNG)


def test_the_table_has_a_row_for_each_density():
    table = toy_table(run_toy(SMALL))
    assert [row[0] for row in table.rows] == ["1", "0.1"]


@pytest.mark.slow
def test_many_densities_make_no_wider_picture_than_six():
    def width(count: int) -> int:
        config = ToyConfig(3, 2, tuple(1 / (i + 1) for i in range(count)), steps=1, batch_size=8, restarts=1)
        return int.from_bytes(weights_picture(train_toy(config))[16:20], "big")

    assert width(1) < width(MOST_COLUMNS) == width(MOST_COLUMNS + 3)


def test_a_folder_in_use_is_left_alone(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="already holds something"):
        run_toy(SMALL, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
