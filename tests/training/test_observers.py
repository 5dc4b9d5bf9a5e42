"""Observers write what the loop told them, and nothing is lost when a run breaks off."""

import contextlib
import json
import math
import sys

import pytest

from monosema.errors import InputError
from monosema.training import JsonlLog, ProgressBar, TensorBoardLog, WandbLog, train
from tests.training.setup import learner, recipe, source

METRICS = {"a": {"tokens": 64, "loss": 0.5}, "b/c": {"tokens": 64, "loss": 0.25}}


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_jsonl_holds_all_metrics_of_each_dictionary_on_the_logged_steps(tmp_path):
    path = tmp_path / "new" / "metrics.jsonl"
    students = {name: learner(recipe(name)) for name in ("topk", "jumprelu")}
    with JsonlLog(path, every=3) as log:
        train(source(), students, 7, [log])
    logged = lines(path)
    assert [(line["step"], line["dictionary"]) for line in logged] == [
        (step, name) for step in (1, 3, 6) for name in students
    ]
    again = learner(recipe("topk"))
    first = again.step(next(iter(source())))
    assert first.items() <= logged[0].items()
    assert [line["tokens"] for line in logged[::2]] == [64, 3 * 64, 6 * 64]
    seconds = [line["seconds"] for line in logged]
    assert seconds == sorted(seconds)


def test_jsonl_lines_are_on_the_disk_as_soon_as_they_are_known(tmp_path):
    log = JsonlLog(tmp_path / "log", every=1)
    log.on_step(1, METRICS)
    assert [line["dictionary"] for line in lines(tmp_path / "log")] == ["a", "b/c"]
    log.close()


def test_jsonl_adds_to_a_log_that_is_there(tmp_path):
    for step in (1, 2):
        with JsonlLog(tmp_path / "log", every=1) as log:
            log.on_step(step, METRICS)
    assert [line["step"] for line in lines(tmp_path / "log")] == [1, 1, 2, 2]


def test_jsonl_stays_valid_json_when_a_metric_is_not_finite(tmp_path):
    with JsonlLog(tmp_path / "log", every=1) as log:
        log.on_step(1, {"a": {"fve": math.nan, "loss": -math.inf, "l0": 3.0}})
    (line,) = lines(tmp_path / "log")
    assert (line["fve"], line["loss"], line["l0"]) == (None, None, 3.0)
    assert "NaN" not in (tmp_path / "log").read_text()


def test_logs_close_when_training_breaks_off(tmp_path):
    log = JsonlLog(tmp_path / "log", every=1)
    with contextlib.suppress(KeyboardInterrupt), log:
        log.on_step(1, METRICS)
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="closed"):
        log.on_step(2, METRICS)
    assert len(lines(tmp_path / "log")) == 2


def test_logging_every_zero_steps_is_refused(tmp_path):
    with pytest.raises(InputError, match="every 0 steps"):
        JsonlLog(tmp_path / "log", every=0)


@pytest.mark.slow
def test_tensorboard_has_a_curve_for_each_dictionary_and_metric(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with TensorBoardLog(tmp_path, every=2) as log:
        for step in range(1, 6):
            log.on_step(step, {"a": {"loss": 1 / step}, "b/c": {"loss": 2.0}})
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == {"a/loss", "b/c/loss"}
    assert [(event.step, event.value) for event in events.Scalars("a/loss")] == [(1, 1.0), (2, 0.5), (4, 0.25)]


@pytest.mark.slow
def test_wandb_records_the_run_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with WandbLog("monosema-test", tmp_path / "run", every=2, config={"answer": 4242}) as log:
        for step, loss in ((1, 0.1111), (2, 0.2222), (3, 0.3333), (4, 0.4444)):
            log.on_step(step, {"a/b": {"loss": loss}})
    wandb.teardown()  # waits until its service, a process of its own, has written everything
    (record,) = (tmp_path / "run").rglob("*.wandb")
    written = record.read_bytes()  # of a format of wandb's own, whose texts are plain
    for text in (b"monosema-test", b"answer", b"4242", b"a/b/loss", b"0.1111", b"0.2222", b"0.4444"):
        assert text in written
    assert b"0.3333" not in written


@pytest.mark.parametrize(
    ("module", "extra", "make"),
    [
        ("torch.utils.tensorboard", "tensorboard", lambda folder: TensorBoardLog(folder)),
        ("wandb", "wandb", lambda folder: WandbLog("project", folder)),
    ],
)
def test_a_missing_extra_says_how_to_install_it(tmp_path, monkeypatch, module, extra, make):
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(InputError, match=rf"{extra} is not installed; pip install monosema\[{extra}\]"):
        make(tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_progress_counts_tokens(capsys, monkeypatch):
    monkeypatch.setattr("monosema.progress._LINE_EVERY", 0.0)
    with ProgressBar(steps=3, batch_size=1000) as bar:
        for step in (1, 2, 3):
            bar.on_step(step, METRICS)
    assert [line.split("tokens")[0].strip() for line in capsys.readouterr().err.splitlines()] == [
        "training 1,000/3,000",
        "training 2,000/3,000",
        "training 3,000/3,000",
    ]
