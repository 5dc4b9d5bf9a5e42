"""Runs that are killed, and go on."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.killed import ended, ended_after_kills
from tests.runs.test_resume import outcome
from tests.runs.tiny_run import options

KILLS, STEPS = 6, 900
TRAIN = [sys.executable, "-m", "monosema", "train"]


def lines(out: Path) -> int:
    log = out / "metrics.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def log_of(out: Path) -> int:
    """Which file the log is: a run that goes on begins by writing it again."""
    log = out / "metrics.jsonl"
    return log.stat().st_ino if log.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("source", ["text", "file", "store"])
def test_killed_at_random_points_a_run_ends_with_the_same_bits(
    source: str, model: Path, corpus: Path, vectors: Path, tmp_path: Path
):
    if source == "text":
        read = {"model": model, "text": corpus, "shuffle": 4096}
        dictionaries = ["--site", "resid_post.0", "resid_post.1", "--recipe", "topk", "jumprelu"]
    elif source == "store":
        read, dictionaries = (
            {"store": tmp_path / "store"},
            ["--site", "resid_post.0", "--recipe", "batch_topk", "gated"],
        )
        harvest = ["harvest", "--site", "resid_post.0", "--tokens", "4096", "--context", "32", "--shard-tokens", "256"]
        of_text = ["--model", str(model), "--text", str(corpus), "--shuffle", "4096", "--device", "cpu"]
        ended([*harvest, *of_text, "--out", str(read["store"])])
    else:
        read, dictionaries = {"activations": vectors}, ["--site", "activations", "--recipe", "batch_topk", "--k", "4"]
    each = options(**read, tokens=STEPS * 64, log_every=1, checkpoint_every=64 * 7) + dictionaries
    parts, draw = tmp_path / "parts", random.Random(len(read))
    ended(["train", *each, "--out", str(tmp_path / "whole")])
    command = ["train", *each, "--out", str(parts), "--resume"]
    assert ended_after_kills(KILLS, command, lambda: log_of(parts), 0.2, draw)
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


@pytest.mark.slow
def test_a_request_to_terminate_leaves_a_checkpoint(vectors: Path, tmp_path: Path, monosema: Command):
    out = tmp_path / "out"
    arguments = [*options(activations=vectors, tokens=10**8, log_every=1), "--site", "activations", "--out", str(out)]
    with subprocess.Popen([*TRAIN, *arguments], stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and lines(out) < 3:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate()
    assert process.returncode == 130
    assert "--resume goes on" in err
    steps = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    assert (out / "checkpoints" / f"step-{steps:010}.safetensors").is_file()
    assert "tokens = 640 to go on" in monosema("train", "--out", out, "--resume", "--tokens", "640").refused()


def test_resume_needs_a_run_or_what_to_begin_with(vectors: Path, tmp_path: Path, monosema: Command):
    assert "no hook point" in monosema("train", "--out", tmp_path / "none", "--resume").refused()
    assert "one of the two" in monosema("train", "--out", tmp_path, "--resume", "--overwrite").refused()


def test_a_finished_run_is_not_begun_again(finished: Path, monosema: Command):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    assert "is finished" in monosema("train", "--out", finished, "--resume").refused()
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before
