"""`monosema harvest`, and training on what it wrote."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.activations.store.setup import files
from tests.cli.conftest import Command
from tests.cli.killed import ended, ended_after_kills, killed
from tests.runs.test_resume import outcome
from tests.runs.tiny_run import options

KILLS = 6


@pytest.fixture
def harvest(model: Path, corpus: Path) -> list[str]:
    sizes = ["--tokens", "4096", "--context", "32", "--shard-tokens", "512", "--shuffle", "4096"]
    return ["harvest", "--model", str(model), "--text", str(corpus), "--site", "resid_post.0", "mlp_out.1", *sizes]


def trained(store: Path, **changes: object) -> list[str]:
    small = options(**{"store": store, "site": "mlp_out.1", "k": 4, "tokens": 2048, **changes})
    unset = small.index("--context")
    return ["train", *small[:unset], *small[unset + 2 :]]


@pytest.mark.slow
def test_what_was_harvested_can_be_trained_on_measured_and_evaluated(
    harvest: list[str], tmp_path: Path, monosema: Command
):
    store, out = tmp_path / "store", tmp_path / "out"
    said = monosema(*harvest, "--out", store)
    assert said.status == 0
    assert "rows of resid_post.0 (16), mlp_out.1 (16) in bfloat16" in said.out
    assert monosema(*trained(store, out=out)).status == 0
    assert "CE Recovered" in monosema("evaluate", out).out
    again = tmp_path / "again"
    assert monosema("train", "--config", out / "config.yaml", "--out", again).status == 0
    assert outcome(again) == outcome(out)


def test_a_run_that_contradicts_its_store_is_refused(harvest: list[str], tmp_path: Path, monosema: Command):
    store, out = tmp_path / "store", tmp_path / "out"
    monosema(*harvest, "--out", store)
    for changed, said in (
        ({"site": "resid_post.1"}, "expected one in the store: resid_post.0, mlp_out.1"),
        ({"seed": 0, "model": "elsewhere"}, "model = elsewhere with the store"),
        ({"store": tmp_path / "none"}, "no store at"),
        ({"activations": "x.npy"}, "a store and a file"),
    ):
        assert said in monosema(*trained(**{"store": store, "out": out, **changed})).refused()
    assert not out.exists()


@pytest.mark.slow
def test_resume_and_repair_say_what_there_is_to_do(harvest: list[str], tmp_path: Path, monosema: Command):
    store = tmp_path / "store"
    monosema(*harvest, "--out", store)
    before = files(store)
    assert "is finished" in monosema("harvest", "--out", store, "--resume").refused()
    assert "already holds something" in monosema(*harvest, "--out", store).refused()
    assert "tokens = 8192 for a store" in monosema("harvest", "--out", store, "--resume", "--tokens", 8192).refused()
    assert "dtype = float16" in monosema("harvest", "--out", store, "--resume", "--dtype", "float16").refused()
    assert "8 shards, 0 made again" in monosema("harvest", "--out", store, "--repair").out
    (store / "shard-000003.safetensors").unlink()
    assert "1 made again: shard-000003.safetensors" in monosema("harvest", "--out", store, "--repair").out
    assert files(store) == before
    assert "no store at" in monosema("harvest", "--out", tmp_path / "none", "--resume").refused()
    assert "no hook point" in monosema("harvest", "--out", tmp_path / "none").refused()
    assert "one of the two" in monosema("harvest", "--out", store, "--resume", "--repair").refused()


@pytest.mark.slow
def test_killed_at_random_points_a_store_ends_with_the_same_bytes(harvest: list[str], tmp_path: Path):
    sizes = {"--tokens": "40960", "--shuffle": "65536", "--shard-tokens": "64"}
    for name, value in sizes.items():
        harvest[harvest.index(name) + 1] = value
    ended([*harvest, "--out", str(tmp_path / "whole")])
    parts, draw = tmp_path / "parts", random.Random(0)
    command, shards = [*harvest, "--out", str(parts)], lambda: len(list(parts.glob("shard-*")))
    assert killed(command, shards, 0.05, draw)
    ended_after_kills(KILLS - 1, [*command, "--resume"], shards, 0.05, draw)
    assert files(parts) == files(tmp_path / "whole")


@pytest.mark.slow
def test_a_disk_that_is_full_ends_it_clearly_and_it_goes_on(harvest: list[str], tmp_path: Path):
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)); " + (
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from monosema.cli.main import main; main()"
    )
    store, whole = tmp_path / "store", tmp_path / "whole"
    command = [sys.executable, "-c", limited, *harvest, "--out", str(store)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "cannot be written to" in done.stderr
    assert "File too large" in done.stderr
    assert "--resume goes on" in done.stderr
    assert "Traceback" not in done.stderr
    for out, more in ((store, ["--resume"]), (whole, [])):
        subprocess.run([sys.executable, "-m", "monosema", *harvest, "--out", str(out), *more], check=True)
    assert files(store) == files(whole)
