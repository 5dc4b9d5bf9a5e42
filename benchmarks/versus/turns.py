"""Libraries that take turns: each in a process of its own, doing one measured piece of work when it is told to."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

BENCHMARKS = Path(__file__).parents[1]


class Worker:
    """The near end: starts `benchmarks/<script>.py` with a job, in the library's own environment.

    Where the job says `processor`, it runs on one thread, and a turn is measured in processor time: on a machine that
    others use, threads wait for each other at every operation, and the clock tells of the others.
    """

    def __init__(self, python: str, script: str, job: dict[str, Any], wait: bool = True):
        command = [python, str(BENCHMARKS / f"{script}.py"), json.dumps(job)]
        alone = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"} if job.get("processor") else {}
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.process = subprocess.Popen(command, env=os.environ | alone, text=True, **pipes)
        if wait:
            self.ready()

    def ready(self) -> None:
        """Waits until it has started."""
        self._answer("ready")

    def turn(self) -> float:
        """Seconds that one piece of work took."""
        return float(self._ask("turn"))

    def end(self) -> dict[str, float]:
        """Peak memory in GiB, and whatever else the far end has to say."""
        return json.loads(self._ask("end"))

    def _ask(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self, expected: str = "") -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:  # libraries print, too
            if line.strip() == expected or (not expected and line[:1] in "{0123456789"):
                return line
        assert self.process.stderr is not None
        raise SystemExit(self.process.stderr.read()[-2000:])


def serve(work: Callable[[], object], job: dict[str, Any], last: Callable[[], dict[str, float]] = dict) -> None:
    """The far end: says `ready`, and works whenever it is told to; on a GPU a turn ends when that has done its part."""
    clock = time.process_time if job.get("processor") else time.perf_counter
    on_gpu = job.get("device", "cpu").startswith("cuda")
    wait: Callable[[], object] = torch.cuda.synchronize if on_gpu else lambda: None
    wait()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            of_process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            peak = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else of_process
            print(json.dumps({"peak_gib": round(peak, 2), **last()}), flush=True)
            return
        start = clock()
        work()
        wait()
        print(clock() - start, flush=True)
