"""How the time of a training step and its memory grow with width, k, batch size and the number of dictionaries.

    python benchmarks/growth.py [--only width k] [--repeats 5] [--processor] [--plot docs/images/growth.png] [--json]
    python benchmarks/growth.py --device cuda    # with the memory of the GPU

TopK dictionaries at d = 512 in bfloat16. One size changes at a time, from width 16,384, k = 32, batch 4,096 and one
dictionary; each is measured in a process of its own. What the arithmetic says: the encoder's product grows with all but
k, the passes over weights with the width and the number of dictionaries.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harvest import measured_on

import monosema as ms
from monosema.device import keep_freed_memory
from monosema.recipes import recipes

D = 512
BASE = {"width": 16_384, "k": 32, "batch": 4096, "dictionaries": 1}
SIZES = {
    "width": (4096, 8192, 16_384, 32_768, 65_536, 131_072),
    "k": (16, 32, 64, 128, 256),
    "batch": (1024, 2048, 4096, 8192, 16_384),
    "dictionaries": (1, 2, 4, 8, 16),
}
WARMUP = 3


def learners(sizes: dict[str, int], x: torch.Tensor) -> list[ms.Learner]:
    """As many as there are to be dictionaries."""
    recipe: dict[str, Any] = {"k": sizes["k"]}
    return [
        ms.Learner(
            ms.Spec.autoencoder("x", D, sizes["width"]),
            recipes["topk"](**recipe),
            {"x": x[:4096]},
            steps=1000,
            batch_size=len(x),
            seed=seed,
            device=str(x.device),
            autocast=True,
        )
        for seed in range(sizes["dictionaries"])
    ]


def one(sizes: dict[str, int], repeats: int, processor: bool, device: str) -> dict[str, float]:
    """Median time of a step of all dictionaries on one batch, of the product alone, and peak memory."""
    keep_freed_memory()  # as `train` does
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(sizes["batch"], 2 * D, generator=generator).relu() @ torch.randn(2 * D, D, generator=generator)
    weight = torch.randn(D, sizes["width"], generator=generator).bfloat16().to(device)
    x = x.to(device)
    low, all_learners = x.bfloat16(), learners(sizes, x)
    on_gpu = torch.device(device).type == "cuda"

    def milliseconds(work: Callable[[], object]) -> float:
        """Of one call, when the device has done its part: the median."""
        clock = time.process_time if processor else time.perf_counter
        found = []
        for _ in range(WARMUP + repeats):
            start = clock()
            work()
            if on_gpu:
                torch.cuda.synchronize(device)
            found.append(1e3 * (clock() - start))
        return statistics.median(found[WARMUP:])

    step = milliseconds(lambda: [learner.step({"x": x}) for learner in all_learners])
    of_process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if on_gpu else of_process
    product = milliseconds(lambda: torch.mm(low, weight))
    return {
        "milliseconds": round(step, 1),
        "tokens_per_second": round(1e3 * len(x) / step),
        "over_the_products": round(step / (product * sizes["dictionaries"]), 2),
        "peak_gib": round(peak, 2),
    }


def elsewhere(sizes: dict[str, int], repeats: int, processor: bool, device: str) -> dict[str, float]:
    """`one`, in a new process, whose peak memory is its own."""
    command = [sys.executable, __file__, "--one", json.dumps(sizes), "--repeats", str(repeats), "--device", device]
    command, alone = ([*command, "--processor"], {"OMP_NUM_THREADS": "1"}) if processor else (command, {})
    return json.loads(subprocess.run(command, capture_output=True, env=os.environ | alone, check=True).stdout)


def plot(found: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Time and memory over each size, with a straight line for what grows in proportion."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(found), 5.4), layout="constrained")
    axes = figure.subplots(2, len(found), squeeze=False)
    for column, (name, rows) in zip(axes.T, found.items(), strict=True):
        sizes = [row[name] for row in rows]
        for cell, key, label in zip(column, ("milliseconds", "peak_gib"), ("ms a step", "peak GiB"), strict=True):
            values = [row[key] for row in rows]
            cell.loglog(sizes, values, marker="o")
            cell.loglog(sizes, [values[-1] * size / sizes[-1] for size in sizes], color="grey", linestyle=":")
            cell.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=45)
            cell.minorticks_off()
            cell.set_xlabel(name)
            cell.set_ylabel(label)
            cell.set_ylim(min(values) / 2, max(values) * 1.5)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SIZES, default=list(SIZES), help="what to change")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--processor", action="store_true", help="one thread, and processor time")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--plot", type=Path, help="where to save a picture")
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.one:
        print(json.dumps(one(settings.one, settings.repeats, settings.processor, settings.device)))
        return
    found: dict[str, list[dict[str, Any]]] = {}
    for name in settings.only:
        found[name] = []
        for size in SIZES[name]:
            figures = elsewhere({**BASE, name: size}, settings.repeats, settings.processor, settings.device)
            found[name].append({name: size, **figures})
            if not settings.json:
                time_, rate, ratio, peak = figures.values()
                print(f"{name:14}{size:>8,}{time_:10.1f} ms{rate:10,.0f} tokens/s{ratio:7.2f} × product{peak:7.2f} GiB")
    if settings.plot:
        plot(found, settings.plot)
    if settings.json:
        about: dict[str, object] = {**measured_on(settings.device), "d": D, **BASE}
        about["time"] = "processor, one thread" if settings.processor else "clock"
        print(json.dumps(about | {"sizes": found}, indent=2))


if __name__ == "__main__":
    main()
