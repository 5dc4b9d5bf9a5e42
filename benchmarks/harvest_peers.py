"""Tokens per second from text to shuffled batches: our source beside the buffers of two libraries, in turns.

    python benchmarks/harvest_peers.py --peers /path/to/peers/bin/python [--tokens 131072] [--repeats 5] [--json]

The embedded model in bfloat16, contexts of 512 tokens, sixteen of them at a time, batches of 4,096 from a buffer of
65,536 rows, the residual stream behind layer 2. Every library in a process of its own, on the same documents. The
limit is the model cut behind that layer, on contexts that were tokenised beforehand. docs/quality.md says how to
install the peers.
"""

import argparse
import json
import statistics
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from harvest import measured_on
from versus.turns import Worker

from monosema.activations import open_text
from monosema.tiny import PATH

DOCUMENTS, LAYER = 300, 2
NAMES = {"bare": "bare forward", "ours": "monosema", "dl": "dictionary_learning", "sl": "SAELens"}


def measure(settings: argparse.Namespace, texts: Path) -> dict[str, dict[str, float]]:
    job: dict[str, Any] = {"model": str(PATH), "texts": str(texts), "layer": LAYER, "tokens": settings.tokens}
    job |= {"processor": settings.processor, "device": settings.device}
    pythons = {"bare": sys.executable, "ours": sys.executable}
    if settings.peers:
        pythons |= {"dl": str(settings.peers), "sl": str(settings.peers)}
    workers = {name: Worker(python, "harvest_worker", {**job, "library": name}) for name, python in pythons.items()}
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(settings.repeats):
        for name, worker in workers.items():
            seconds[name].append(worker.turn())
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    return {
        name: {
            "tokens_per_second": round(settings.tokens / medians[name]),
            "of_the_bare_forward": round(medians["bare"] / medians[name], 3),
            **worker.end(),
        }
        for name, worker in workers.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="the Python of the peers' environment; without it, ours alone")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tokens", type=int, default=131_072, help="activations in one turn of one library")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--processor", action="store_true", help="one thread, and processor time")
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        texts = Path(folder) / "texts.json"
        texts.write_text(json.dumps(list(islice(open_text("tiny:train"), DOCUMENTS))))
        found = measure(settings, texts)
    if settings.json:
        kept: dict[str, Any] = {"tokens": settings.tokens, "repeats": settings.repeats}
        kept["time"] = "processor, one thread" if settings.processor else "clock"
        print(json.dumps({**measured_on(settings.device), **kept, "libraries": found}, indent=2, ensure_ascii=False))
        return
    for name, figures in found.items():
        rate, share, peak = figures.values()
        print(f"{NAMES[name]:22}{rate:12,.0f} tokens/s{share:8.0%} of the bare forward{peak:8.2f} GiB")


if __name__ == "__main__":
    main()
