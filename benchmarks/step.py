"""Milliseconds of one training step of every recipe, on activations made up beforehand.

    python benchmarks/step.py [--d 256] [--width 4096] [--batch 512] [--repeats 30] [--float32] [--json]

The recipes take turns in one process; medians of the repeats. The encoder's product alone, in the same precision, is
the limit.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import date

import torch
from harvest import machine

from monosema.dictionaries import Spec
from monosema.recipes import recipes
from monosema.training import Learner

POINT = "x"


def sides(d: int, width: int, batch: int, steps: int, autocast: bool) -> dict[str, Callable[[], object]]:
    """One step of each recipe, and the encoder's product."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(width // 4, d, generator=generator)
    sparse = (torch.rand(8 * batch, width // 4, generator=generator) < 8 / width).float()
    rows = sparse @ directions + 0.05 * torch.randn(8 * batch, d, generator=generator)
    x, weight = rows[:batch], torch.randn(d, width, generator=generator)
    if autocast:
        x, weight = x.bfloat16(), weight.bfloat16()
    found: dict[str, Callable[[], object]] = {"encoder's product": lambda: x @ weight}
    for name, recipe in recipes.items():
        spec = Spec.autoencoder(POINT, d, width)
        learner = Learner(spec, recipe(), {POINT: rows}, steps=steps, batch_size=batch, autocast=autocast)
        found[name] = lambda learner=learner: learner.step({POINT: rows[:batch]})
    return found


def measure(settings: argparse.Namespace) -> dict[str, object]:
    warmup = 3
    steps = sides(settings.d, settings.width, settings.batch, settings.repeats + warmup, autocast=not settings.float32)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(settings.repeats + warmup):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if repeat >= warmup:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {
        "date": date.today().isoformat(),
        "machine": machine(),
        "precision": "float32" if settings.float32 else "bfloat16",
        **{key: getattr(settings, key) for key in ("d", "width", "batch", "repeats")},
        "milliseconds": {name: round(statistics.median(values), 2) for name, values in times.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"d": 256, "width": 4096, "batch": 512, "repeats": 30}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--float32", action="store_true", help="multiply in float32, not bfloat16")
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    result = measure(settings)
    if settings.json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
        return
    assert isinstance(result["milliseconds"], dict)
    print(f"{result['machine']}, {result['precision']}, d {settings.d}, width {settings.width}, batch {settings.batch}")
    for name, value in result["milliseconds"].items():
        print(f"{name:20}{value:10.1f} ms")


if __name__ == "__main__":
    main()
