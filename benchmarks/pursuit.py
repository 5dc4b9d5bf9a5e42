"""Seconds of pursuit: ours beside dictionary_learning's `grad_pursuit`, in turns, on the same vectors and directions.

    python benchmarks/pursuit.py --peers /path/to/peers/bin/python [--tokens 4096] [--k 32] [--repeats 3] [--json]

Vectors are sparse combinations of random directions, with noise. Every way is told how much of the vectors' squared
length its codes explain. docs/quality.md says how to install the peer.
"""

import argparse
import json
import statistics
import sys
from datetime import date
from pathlib import Path
from typing import Any

from harvest import machine
from versus.turns import Worker

NAMES = {
    "ours": "monosema",
    "ours-gradient": "monosema, one pick, gradient",
    "ours-orthogonal": "monosema, one pick, least squares",
    "dl": "dictionary_learning",
}


def measure(settings: argparse.Namespace) -> dict[str, dict[str, Any]]:
    names = ("d", "width", "k", "tokens", "processor")
    job = {name: getattr(settings, name) for name in names}
    pythons = dict.fromkeys(list(NAMES)[:3], sys.executable)
    if settings.peers:
        pythons["dl"] = str(settings.peers)
    workers = {name: Worker(python, "pursuit_worker", {**job, "way": name}) for name, python in pythons.items()}
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(settings.repeats):
        for name, worker in workers.items():
            seconds[name].append(worker.turn())
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    return {
        name: {"seconds": round(medians[name], 3), "times_ours": round(medians[name] / medians["ours"], 2), **w.end()}
        for name, w in workers.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="the Python of the peers' environment; without it, ours alone")
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--width", type=int, default=16_384)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processor", action="store_true", help="one thread, and processor time")
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    found = measure(settings)
    if settings.json:
        kept = {name: getattr(settings, name) for name in ("d", "width", "k", "tokens", "repeats")}
        kept["time"] = "processor, one thread" if settings.processor else "clock"
        print(json.dumps({"date": date.today().isoformat(), "machine": machine(), **kept, "ways": found}, indent=2))
        return
    for name, figures in found.items():
        print(
            f"{NAMES[name]:36}{figures['seconds']:9.2f} s{figures['times_ours']:8.1f} × ours"
            f"{figures['explained']:10.4f} explained{figures['l0']:8.1f} L0"
        )


if __name__ == "__main__":
    main()
