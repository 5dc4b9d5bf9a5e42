"""Which checkpoints are written, which stay, and what is in them."""

import os
from pathlib import Path

import pytest
import torch

from monosema.errors import InputError
from monosema.files import remove_unfinished
from monosema.training.checkpoints import Checkpoints, checkpoints, remove, step_of
from monosema.training.state_file import read_state


def steps(folder: Path) -> list[int]:
    return [step_of(path) for path in checkpoints(folder)]


def test_the_last_and_the_named_stay(tmp_path: Path):
    with Checkpoints(tmp_path, lambda step: {"step": step}, every=3, keep=2, always={4, 6}) as saver:
        for step in range(1, 17):
            saver.on_step(step, {})
    assert steps(tmp_path) == [4, 6, 12, 15]
    assert [read_state(path)["step"] for path in checkpoints(tmp_path)] == [4, 6, 12, 15]
    remove(tmp_path, {6})
    assert steps(tmp_path) == [6]
    remove(tmp_path)
    assert not tmp_path.exists()


def test_each_holds_the_state_of_its_step_while_training_goes_on(tmp_path: Path):
    weight = torch.zeros(1000)
    with Checkpoints(tmp_path, lambda step: {"weight": weight}, every=1, keep=20) as saver:
        for step in range(1, 11):
            weight += 1
            saver.on_step(step, {})
            weight += 0.5  # before the writer can have finished
            weight -= 0.5
    for path in checkpoints(tmp_path):
        assert (read_state(path)["weight"] == step_of(path)).all()


def test_a_step_is_saved_once(tmp_path: Path):
    asked = []
    with Checkpoints(tmp_path, asked.append, every=2) as saver:
        saver.on_step(2, {})
        saver.save(2)
    assert asked == [2]


def test_what_goes_wrong_in_writing_reaches_the_training(tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    saver = Checkpoints(blocked, lambda step: step, every=1)
    saver.on_step(1, {})
    with pytest.raises(OSError, match="file"):
        saver.on_step(2, {})
    assert blocked.read_text() == "no folder"


def test_without_an_interval_only_the_named_are_written(tmp_path: Path):
    with Checkpoints(tmp_path, lambda step: step, always={2}) as saver:
        for step in range(1, 6):
            saver.on_step(step, {})
    assert steps(tmp_path) == [2]


def test_what_a_killed_writer_left_is_no_checkpoint_and_can_be_removed(tmp_path: Path):
    (tmp_path / f".step-0000000003.safetensors.{os.getpid()}.tmp").write_bytes(b"half")
    assert steps(tmp_path) == []
    remove_unfinished(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("keep", "every"), [(0, 1), (1, 0)])
def test_fewer_than_one_checkpoint_or_step_between_two_is_refused(tmp_path: Path, keep: int, every: int):
    with pytest.raises(InputError, match="at least 1"):
        Checkpoints(tmp_path, lambda step: step, keep=keep, every=every)
