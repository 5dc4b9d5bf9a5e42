"""Works through the plan, one process at a time; killed at any time, it goes on where it stood."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cache import STEPS, write_cache
from .plan import Cell, plan
from .results import Results
from .rows import BATCH
from .score import score
from .search import next_run
from .trainers import Trainer

WIDTH = 4096
AT_ONCE = 4
"""Runs that are evaluated together."""


@dataclasses.dataclass
class Runner:
    """Where the work is done, and with what."""

    results: Results
    cache: Path
    peers: Path | None
    """The Python of an environment with dictionary_learning and SAELens."""
    device: str = "cpu"
    """Where dictionaries are trained."""
    rates: Sequence[float | None] | None = None
    """The learning rates to run, None among them being the default; by default all."""

    def work(self, trainers: Sequence[Trainer], stages: Sequence[str]) -> None:
        """Runs what is missing, in the order of the plan."""
        write_cache(self.cache)
        usable = [trainer for trainer in trainers if self._usable(trainer)]
        while (found := self._next(usable, stages)) is not None:
            self._run(*found)
            if len(self._unscored()) >= AT_ONCE:
                self.evaluate()
            self.results.read()
        self.evaluate()
        if self._next(usable, stages) is not None:  # the figures may have changed which learning rate is best
            self.work(trainers, stages)

    def evaluate(self) -> None:
        """Measures every whole run that has not been measured."""
        pending = self._unscored()
        for start in range(0, len(pending), AT_ONCE):
            group = pending[start : start + AT_ONCE]
            for name, metrics in score({name: self._folder(name) for name in group}).items():
                self.results.add(id=name, metrics=metrics)
                print(f"{name}: L0 {metrics['l0']:.1f}, FVE {metrics['fve']:.4f}", flush=True)

    def _next(self, trainers: Sequence[Trainer], stages: Sequence[str]) -> tuple[Cell, float | None] | None:
        for cell in plan(trainers, self.results, self.rates):
            if cell.stage in stages and (run := next_run(cell, self.results)):
                return cell, run.coefficient
        return None

    def _unscored(self) -> list[str]:
        return [
            name
            for name, record in self.results.records.items()
            if "/try" in name and "quick" in record and "metrics" not in record and self._folder(name).exists()
        ]

    def _usable(self, trainer: Trainer) -> bool:
        if trainer.library != "ours":
            return self.peers is not None
        from monosema.recipes import recipes

        return trainer.architecture in recipes

    def _folder(self, name: str) -> Path:
        return self.cache / "runs" / name.replace("/", "_")

    def _run(self, cell: Cell, coefficient: float | None) -> None:
        name = f"{cell.id}/try={self.results.started(cell.id) + 1}"
        folder = self._folder(name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        job = self._job(cell, coefficient)
        (folder / "job.json").write_text(json.dumps(job))
        done = self._start(cell.trainer, folder)
        kept = {key: job[key] for key in ("target", "coefficient", "autocast", "steps")}
        if cell.trainer.library == "ours":
            kept["commit"] = _commit()
        if done.returncode:
            print(done.stderr, file=sys.stderr, flush=True)
            result: dict[str, Any] = {"failed": done.stderr[-500:]}
        else:
            result = json.loads((folder / "result.json").read_text())
        self.results.add(id=name, **kept, **result)
        print(
            f"{name}: {result.get('quick', result.get('failed'))}, {result.get('core_minutes', 0):.2f} min", flush=True
        )

    def _job(self, cell: Cell, coefficient: float | None) -> dict[str, Any]:
        return {
            "library": cell.trainer.library,
            "architecture": cell.trainer.architecture,
            "point": cell.point,
            "lr": cell.lr,
            "target": cell.target,
            "coefficient": coefficient,
            "seed": cell.seed,
            "steps": cell.passes * STEPS,
            "device": self.device,
            "cache": str(self.cache.resolve()),
            "width": WIDTH,
            "batch": BATCH,
            "autocast": cell.autocast,
            "settings": cell.trainer.settings,
        }

    def _start(self, trainer: Trainer, folder: Path) -> subprocess.CompletedProcess[str]:
        python = sys.executable if trainer.library == "ours" else str(self.peers)
        return subprocess.run(
            [python, "-m", "versus.worker", str(folder.resolve())],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TQDM_DISABLE": "1"},
            capture_output=True,
            text=True,
        )


def _commit() -> str | None:
    """What the working tree is at: our own recipes change."""
    asked = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    found = subprocess.run(asked, capture_output=True, text=True)
    return found.stdout.strip() or None
