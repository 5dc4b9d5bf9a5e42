"""What a training step is made of on a GPU: its time, the encoder's product's, and each operation's share.

    python benchmarks/gpu_step.py [--recipe topk] [--d 2304] [--width 65536] [--k 64] [--batch 8192] [--json]

`warmup` steps come first. The step is timed without the profiler, `repeats` times, then profiled for five steps;
operations by name, the longest first, as PyTorch's profiler counts their time on the device. `--first 40` instead times
each of the first steps, waiting for the device, with its L0 and the share of entries that it stored.
"""

import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any

import torch
from gpu_kernels import arguments
from harvest import measured_on
from step_worker import rows
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

import monosema as ms
from monosema.recipes import recipes

PROFILED, WARMUP = 5, 5
STEPS = 1000
"""Of the run whose first ones are measured."""


def milliseconds(work: Callable[[int], object], repeats: int) -> float:
    """The mean time of one call, when the device has done all of them."""
    for number in range(WARMUP):
        work(number)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for number in range(repeats):
        work(number)
    torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start) / repeats


def measure(
    recipe: str, d: int, width: int, k: int, batch: int, warmup: int, repeats: int, first: int
) -> dict[str, object]:
    pool = rows({"d": d, "batch": batch, "device": "cuda"})
    protocol = recipes[recipe]
    knob: dict[str, Any] = {"k" if "k" in {field.name for field in dataclasses.fields(protocol)} else "target_l0": k}
    spec, sample = ms.Spec.autoencoder("x", d, width), {"x": pool[0][:4096]}
    learner = ms.Learner(spec, protocol(**knob), sample, steps=STEPS, batch_size=batch, device="cuda", autocast=True)
    if first:
        return {"steps": [_one(learner, pool[number % len(pool)]) for number in range(first)]}
    for number in range(warmup):
        learner.step({"x": pool[number % len(pool)]})
    step = milliseconds(lambda number: learner.step({"x": pool[number % len(pool)]}), repeats)
    low, weight = pool[0].bfloat16(), torch.randn(d, width, device="cuda", dtype=torch.bfloat16)
    product = milliseconds(lambda _: low @ weight, repeats)
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for number in range(PROFILED):
            learner.step({"x": pool[number % len(pool)]})
        torch.cuda.synchronize()
    l0 = learner.step({"x": pool[0]})["l0"]
    taken = {event.key: event.self_device_time_total / 1e3 / PROFILED for event in profiler.key_averages()}
    longest = sorted((name for name in taken if taken[name] > 0), key=lambda name: -taken[name])
    return {
        "step": round(step, 3),
        "product": round(product, 3),
        "l0": round(l0, 1),
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2),
        "operations": {name: round(taken[name], 4) for name in longest},
    }


def _one(learner: ms.Learner, x: Tensor) -> dict[str, float]:
    torch.cuda.synchronize()
    start = time.perf_counter()
    l0 = learner.step({"x": x})["l0"]
    torch.cuda.synchronize()
    taken = 1e3 * (time.perf_counter() - start)
    return {
        "milliseconds": round(taken, 1),
        "l0": round(l0),
        "stored": round((learner.stored or 0) / len(learner.dictionary.b_enc), 4),
    }


def main() -> None:
    settings, as_json = arguments(
        __doc__, recipe="topk", d=2304, width=65_536, k=64, batch=8192, warmup=0, repeats=20, first=0
    )
    found = measure(**settings)
    if as_json:
        print(json.dumps(measured_on("cuda") | settings | found, indent=2, ensure_ascii=False))
        return
    if settings["first"]:
        assert isinstance(found["steps"], list)
        for number, one in enumerate(found["steps"]):
            print(f"{number:5}" + "".join(f"{name:>14} {figure:8}" for name, figure in one.items()))
        return
    print(f"step {found['step']} ms, product {found['product']} ms, L0 {found['l0']}, {found['peak_gib']} GiB")
    assert isinstance(found["operations"], dict)
    for name, taken in found["operations"].items():
        print(f"{taken:9.3f} ms  {name[:100]}")


if __name__ == "__main__":
    main()
