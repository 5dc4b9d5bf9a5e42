"""Runs of several processes from the command line, and what becomes of them when one is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.runs.test_resume import outcome
from tests.runs.tiny_run import options

STEPS = 300
LAUNCHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def torchrun(*arguments: object, restarts: int = 0) -> list[str]:
    return [*LAUNCHER, f"--max-restarts={restarts}", "-m", "monosema", "train", *map(str, arguments)]


def killed(command: list[str], out: Path, rank: int) -> tuple[int, str]:
    """Kills one of the processes once there is a checkpoint; how the whole ended, and what it said."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as launcher:
        while launcher.poll() is None and not list((out / "checkpoints").glob("step-*")):
            time.sleep(0.02)
        os.kill(process_of(launcher.pid, rank), signal.SIGKILL)
        _, err = launcher.communicate(timeout=240)
        return launcher.returncode, err


def process_of(launcher: int, rank: int) -> int:
    """The process that a launcher has started for a rank: it starts them in their order."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    family = [tuple(map(int, line.split())) for line in listed.splitlines()]
    return sorted(pid for pid, parent in family if parent == launcher)[rank]


@pytest.fixture
def arguments(vectors: Path) -> list[str]:
    read = options(activations=vectors, tokens=STEPS * 64, log_every=1, checkpoint_every=64 * 20)
    return [*read, "--site", "activations", "--recipe", "batch_topk", "--k", "4", "--width", "32", "--resume"]


@pytest.mark.slow
def test_when_one_is_killed_all_end_soon_and_the_run_goes_on_with_the_same_bits(arguments: list[str], tmp_path: Path):
    whole, parts, again = (tmp_path / name for name in ("whole", "parts", "again"))
    assert subprocess.run(torchrun(*arguments, "--out", whole), capture_output=True).returncode == 0
    status, err = killed(torchrun(*arguments, "--out", parts), parts, rank=1)
    assert status != 0
    assert "process 0 has lost contact with another one" in err
    assert not (parts / "metrics.json").exists()
    assert subprocess.run(torchrun(*arguments, "--out", parts), capture_output=True).returncode == 0
    assert outcome(parts) == outcome(whole)
    status, err = killed(torchrun(*arguments, "--out", again, restarts=2), again, rank=0)
    assert status == 0, err  # the launcher has begun all of them again
    assert outcome(again) == outcome(whole)


@pytest.mark.slow
def test_the_same_processes_may_meet_more_than_once(tmp_path: Path):
    script = tmp_path / "meetings.py"
    script.write_text(
        "from monosema.runs.parallel import Parallel\n"
        "from monosema.runs.processes import join\n"
        "for parallel in (Parallel(), Parallel(feature=2), Parallel(spread=2)):\n"
        "    with join(parallel, 'cpu') as processes:\n"
        "        assert processes.world.total(1) == 2\n"
    )
    ended = subprocess.run([*LAUNCHER, script], capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr
