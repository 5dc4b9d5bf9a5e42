"""The examples of many GPUs: their runs can be read and fit where they say, their scripts are whole."""

import re
import subprocess
from pathlib import Path

import pytest

from monosema.config import load_yaml
from monosema.planning import best, hardware, plan
from monosema.runs import RunConfig
from monosema.runs.plan import mesh_of
from monosema.runs.workload import workload_of

SCALE = Path(__file__).parents[2] / "examples" / "scale"
GPUS = {
    "node": (8, "h100"),
    "slurm": (64, "h100"),
    "campaign-32k": (64, "h100"),
    "campaign-131k": (64, "h100"),
    "campaign-1m": (128, "h200"),
}
"""What each run is for."""
SCRIPTS = ("node.sh", "slurm.sbatch")


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(SCALE.parents[1])


def test_every_run_of_the_folder_is_among_those_tested_here():
    assert {path.stem for path in SCALE.glob("*.yaml")} == GPUS.keys()


@pytest.mark.parametrize("name", GPUS)
def test_a_run_fits_as_it_is_laid_out_and_is_nearly_the_fastest(name: str):
    config = load_yaml(RunConfig, SCALE / f"{name}.yaml")
    ranks, kind = GPUS[name]
    work, gpu = workload_of(config), hardware(kind)
    found = plan(work, gpu, mesh_of(config.parallel, ranks))
    assert found.fits
    assert found.duration < 1.2 * best(work, gpu, ranks).duration
    assert config.checkpoint_every is not None


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_whole(name: str):
    assert subprocess.run(["bash", "-n", SCALE / name], check=False).returncode == 0


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_a_script_names_is_there(name: str):
    text = (SCALE / name).read_text(encoding="utf-8")
    named = re.findall(r"examples/scale/[\w.-]+", text)
    assert len(named) >= 2
    assert [path for path in named if not Path(path).exists()] == []


def test_the_single_node_script_plans_and_then_trains_with_all_gpus(tmp_path: Path):
    """With stand-ins that say how they were called."""
    for command in ("python", "torchrun"):
        (tmp_path / command).write_text(f'#!/bin/bash\necho "{command} $*"\n')
        (tmp_path / command).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "GPUS": "4"}
    ended = subprocess.run(["bash", SCALE / "node.sh"], env=environment, capture_output=True, text=True, check=True)
    planned, trained = ended.stdout.splitlines()
    assert planned == "python -m monosema plan examples/scale/node.yaml --hardware h100 --ranks 4 --gpus-per-node 4"
    assert trained == (
        "torchrun --standalone --nproc-per-node 4 "
        "-m monosema train --config examples/scale/node.yaml --out runs/node --resume"
    )


def test_the_slurm_script_starts_one_torchrun_on_each_machine_and_queues_itself_again(tmp_path: Path):
    """With stand-ins for what SLURM has; the run goes on until it is told to stop."""
    stand_ins = {
        "python": "exit 0",
        "scontrol": 'if [ "$1" = show ]; then printf "first\\nsecond\\n"; else echo "scontrol $*"; fi',
        "scancel": 'echo "scancel $*"; touch stopped',
        "srun": 'echo "srun $*"; kill -USR1 "$PPID"; until [ -e stopped ]; do sleep 0.05; done',
    }
    for command, does in stand_ins.items():
        (tmp_path / command).write_text(f"#!/bin/bash\n{does}\n")
        (tmp_path / command).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "SLURM_JOB_NODELIST": "first,second",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_ID": "7",
    }
    ended = subprocess.run(
        ["bash", SCALE / "slurm.sbatch"], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0
    said = ended.stdout
    assert "torchrun --nnodes 2 --nproc-per-node 8" in said
    assert "--rdzv-endpoint first:29500" in said
    assert said.index("scancel --signal=TERM 7.0") < said.index("scontrol requeue 7")
