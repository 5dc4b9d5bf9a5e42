"""Seconds from text to a trained dictionary: our source and learner beside two libraries' buffers and trainers.

    python benchmarks/end_to_end.py --peers /path/to/peers/bin/python [--tokens 5000000] [--only topk] [--json]

The embedded model in bfloat16, the residual stream behind layer 2 (d = 256), width 4,096, 32 active features, batches
of 4,096, bfloat16 products. Every library in a process of its own, on the same documents; they take turns of 65,536
tokens until each has trained on all. docs/quality.md says how to install the peers.
"""

import argparse
import json
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from harvest import measured_on
from harvest_peers import DOCUMENTS, LAYER, NAMES
from versus.turns import Worker

from monosema.activations import open_text
from monosema.tiny import PATH

TURN, D, WIDTH, K, BATCH = 65_536, 256, 4096, 32, 4096
ARCHITECTURES = {
    "topk": {"ours": "topk", "dl": "topk", "sl": "topk"},
    "batch_topk": {"ours": "batch_topk", "dl": "batch_topk", "sl": "batchtopk"},
}
"""What each library calls it."""


def measure(architecture: str, settings: argparse.Namespace, texts: Path) -> dict[str, dict[str, float]]:
    """Seconds of all turns, for each library."""
    job = {"model": str(PATH), "texts": str(texts), "layer": LAYER, "tokens": TURN, "d": D, "width": WIDTH}
    job |= {"target": K, "steps": settings.tokens // BATCH, "point": "x", "seed": 0, "lr": None, "autocast": True}
    job |= {"coefficient": None, "settings": {}, "processor": settings.processor, "device": settings.device}
    workers = {}
    for library, name in ARCHITECTURES[architecture].items():
        python = sys.executable if library == "ours" else str(settings.peers)
        if library == "ours" or settings.peers:
            workers[library] = Worker(python, "end_to_end_worker", {**job, "library": library, "architecture": name})
    seconds = dict.fromkeys(workers, 0.0)
    for _ in range(settings.tokens // TURN):
        for library, worker in workers.items():
            seconds[library] += worker.turn()
    return {
        library: {
            "seconds": round(seconds[library], 1),
            "over_ours": round(seconds[library] / seconds["ours"], 2),
            **worker.end(),
        }
        for library, worker in workers.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="the Python of the peers' environment; without it, ours alone")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tokens", type=int, default=5_000_000, help="that each library trains on")
    parser.add_argument("--only", nargs="+", choices=ARCHITECTURES, default=list(ARCHITECTURES))
    parser.add_argument("--processor", action="store_true", help="one thread, and processor time")
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    result: dict[str, Any] = {**measured_on(settings.device), "tokens": settings.tokens}
    result |= {"d": D, "width": WIDTH, "k": K, "batch": BATCH}
    result |= {"time": "processor, one thread" if settings.processor else "clock", "runs": {}}
    with tempfile.TemporaryDirectory() as folder:
        texts = Path(folder) / "texts.json"
        texts.write_text(json.dumps(list(islice(open_text("tiny:train"), DOCUMENTS))))
        for architecture in settings.only:
            found = result["runs"][architecture] = measure(architecture, settings, texts)
            for library, figures in {} if settings.json else found.items():
                seconds, ratio, peak = figures.values()
                print(f"{architecture:12}{NAMES[library]:22}{seconds:10.1f} s{ratio:8.2f} × ours{peak:8.2f} GiB")
    if settings.json:
        print(json.dumps(result, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
