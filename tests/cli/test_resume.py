"""Runs that are killed, and go on."""

import json
import multiprocessing
import random
import signal
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from monosema.cli.main import main
from tests.cli.conftest import Command
from tests.runs.test_resume import outcome
from tests.runs.tiny_run import options

KILLS, STEPS = 10, 1500
TRAIN = [sys.executable, "-m", "monosema", "train"]


def lines(out: Path) -> int:
    log = out / "metrics.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def log_of(out: Path) -> int:
    log = out / "metrics.jsonl"
    return log.stat().st_ino if log.exists() else 0


def begun(arguments: list[str]) -> BaseProcess:
    """The command line in a process of its own, which a server starts that has loaded PyTorch already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["monosema.runs", "transformers"])
    process = context.Process(target=main, args=(["train", *arguments],))
    process.start()
    return process


def trained(arguments: list[str]) -> None:
    process = begun(arguments)
    process.join()
    assert process.exitcode == 0


def killed_on_the_way(arguments: list[str], out: Path, seed: int) -> None:
    """Kills the run at random points of its training, and lets it end then."""
    draw = random.Random(seed)
    for _ in range(KILLS):
        before = log_of(out)
        process = begun(arguments)
        while process.is_alive() and log_of(out) == before:  # a run that goes on begins by writing its log again
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.2))
        assert process.is_alive(), "it ended before it could be killed"
        process.kill()
        process.join()
    trained(arguments)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["text", "file"])
def test_killed_at_random_points_a_run_ends_with_the_same_bits(
    source: str, model: Path, corpus: Path, vectors: Path, tmp_path: Path
):
    if source == "text":
        read = {"model": model, "text": corpus, "shuffle": 4096}
        dictionaries = ["--site", "resid_post.0", "resid_post.1", "--recipe", "topk", "jumprelu"]
    else:
        read, dictionaries = {"activations": vectors}, ["--site", "activations", "--recipe", "batch_topk", "--k", "4"]
    each = options(**read, tokens=STEPS * 64, log_every=1, checkpoint_every=64 * 7) + dictionaries
    trained([*each, "--out", str(tmp_path / "whole")])
    killed_on_the_way([*each, "--out", str(tmp_path / "parts"), "--resume"], tmp_path / "parts", seed=len(read))
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
