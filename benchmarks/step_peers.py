"""Training steps of ours and of public libraries, in alternation, at one size and precision.

    python benchmarks/step_peers.py --peers /path/to/peers/bin/python [--only topk gated] [--float32] [--json]

Each library runs in a process of its own and makes a step when it is its turn, on the same activations; the others
wait. On a GPU (`--device cuda`) a turn is ten steps, since the host prepares one while the device makes another.
Medians of the repeats. `warmup` steps come first: dictionaries with a penalty are dense at the start, and their step
becomes faster as they become sparse, ours by `target_l0`. docs/quality.md says how to install the peers; sparsify
goes beside them (`pip install --no-deps eai-sparsify==1.3.3` and what it imports).
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from harvest import measured_on
from versus.turns import Worker

NAMES = {"product": "the encoder's product", "ours": "monosema", "dl": "dictionary_learning", "sl": "SAELens"}
ARCHITECTURES = {
    "topk": {"ours": "topk", "dl": "topk", "sl": "topk", "sparsify": "topk"},
    "batch_topk": {"ours": "batch_topk", "dl": "batch_topk", "sl": "batchtopk"},
    "matryoshka": {"ours": "matryoshka", "dl": "matryoshka", "sl": "matryoshka"},
    "jumprelu": {"ours": "jumprelu", "dl": "jumprelu", "sl": "jumprelu"},
    "gated": {"ours": "gated", "dl": "gated", "sl": "gated"},
    "april_l1": {"ours": "april_l1", "dl": "april", "sl": "standard"},
    "l1": {"ours": "l1", "dl": "standard", "sl": "standard"},
}
"""What each library calls it."""
SETTINGS = {"jumprelu": {"start_share": None}}
"""Of ours. JumpReLU begins about as sparse as it will be, as a step costs what its L0 makes it cost; in a run its
first steps have a quarter of all features active, and are dense."""
WARMUP = {"jumprelu": 6, "gated": 110, "april_l1": 150, "l1": 110}
"""Steps of ours before the measured ones, where the L0 of a trained dictionary has to be reached; 3 for all others."""

RUN = {"point": "x", "steps": 1000, "seed": 0, "lr": None, "coefficient": 0.1, "settings": {}}
"""The rest of what a trainer is told; a peer's step costs the same at any rate and coefficient."""


def measure(architecture: str, settings: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Medians of each library that has the architecture."""
    workers, at_once = {}, 1 if settings.device == "cpu" else 10
    for library, name in {"product": "", **ARCHITECTURES[architecture]}.items():
        own = library in ("product", "ours")
        if own or settings.peers:
            warmup = (settings.warmup or WARMUP.get(architecture, 3)) if library == "ours" else 3
            job = {"library": library, "architecture": name, "autocast": not settings.float32, "warmup": warmup}
            job |= {"device": settings.device, "steps_at_once": at_once}
            job |= (
                {key: getattr(settings, key) for key in ("d", "width", "batch", "processor")}
                | RUN
                | {"target": settings.k}
            )
            if library == "ours":
                job["settings"] = SETTINGS.get(architecture, {})
            workers[library] = Worker(sys.executable if own else str(settings.peers), "step_worker", job, wait=False)
    for worker in workers.values():
        worker.ready()
    times: dict[str, list[float]] = {library: [] for library in workers}
    for _ in range(settings.repeats):
        for library, worker in workers.items():
            times[library].append(1e3 * worker.turn() / at_once)
    return {
        library: {"milliseconds": round(statistics.median(found), 3), **workers[library].end()}
        for library, found in times.items()
    }


def show(architecture: str, found: dict[str, dict[str, float]]) -> None:
    own, limit = (found[name]["milliseconds"] for name in ("ours", "product"))
    print(architecture)
    for library, figures in found.items():
        milliseconds, ratio = figures["milliseconds"], figures["milliseconds"] / own
        versus = f"{own / limit:8.1f} × the product" if library == "ours" else f"{ratio:8.2f} × ours"
        versus = f"{versus}, L0 {figures['l0']}" if "l0" in figures else versus
        print(f"    {NAMES.get(library, library):24}{milliseconds:10.1f} ms{versus}{figures['peak_gib']:8.2f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"d": 512, "width": 16_384, "k": 32, "batch": 4096, "repeats": 7}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--peers", type=Path, help="the Python of the peers' environment; without it, ours alone")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="+", choices=ARCHITECTURES, default=list(ARCHITECTURES))
    parser.add_argument("--float32", action="store_true", help="multiply in float32, not bfloat16")
    parser.add_argument("--processor", action="store_true", help="one thread, and processor time")
    parser.add_argument("--warmup", type=int, help="other steps of ours before the measured ones, as for a peak alone")
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    result: dict[str, Any] = dict(measured_on(settings.device))
    result |= {key: getattr(settings, key) for key in ("d", "width", "k", "batch", "repeats", "warmup")}
    result["precision"] = "float32" if settings.float32 else "bfloat16"
    result |= {"time": "processor, one thread" if settings.processor else "clock", "steps": {}}
    for architecture in settings.only:
        result["steps"][architecture] = measure(architecture, settings)
        if not settings.json:
            show(architecture, result["steps"][architecture])
    if settings.json:
        print(json.dumps(result, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
