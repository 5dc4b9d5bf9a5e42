"""One library's training step, on demand: the other end of `step_peers.py`, in the library's own environment.

    python step_worker.py '{"library": "dl", "architecture": "topk", "d": 512, "width": 16384, ...}'

The trainers are those of the quality benchmark; where the library tells, the last batch's L0 is reported.
"""

import itertools
import json
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from versus.turns import serve

Step = Callable[[int, Tensor], object]


def rows(job: dict[str, Any]) -> list[Tensor]:
    """Four batches of sparse combinations of twice as many directions as there are dimensions."""
    generator = torch.Generator().manual_seed(0)
    d, batch = job["d"], job["batch"]
    directions = torch.randn(2 * d, d, generator=generator)
    found = []
    for _ in range(4):
        active = (torch.rand(batch, 2 * d, generator=generator) < 8 / d).float()
        found.append(active @ directions + 0.05 * torch.randn(batch, d, generator=generator))
    return [x.to(job["device"]) for x in found]


def step_of(job: dict[str, Any], pool: list[Tensor]) -> tuple[Step, Callable[[], dict[str, float]]]:
    """What a batch costs with the job's library, and what it reports in the end."""
    if job["library"] == "product":
        return _product(job, pool), dict
    if job["library"] == "sparsify":
        return _sparsify(job), dict
    if job["library"] == "ours":
        from versus.ours import Run

        from monosema.device import keep_freed_memory

        keep_freed_memory()  # as `train` does
        run = Run(job, job["d"], job["width"], torch.cat(pool))
        return run.step, lambda: {"l0": round(run.l0, 1)}
    if job["library"] == "dl":
        from versus.peer_dl import Run
    else:
        from versus.peer_saelens import Run
    return Run(job, job["d"], job["width"], pool).step, dict


def _product(job: dict[str, Any], pool: list[Tensor]) -> Step:
    """The encoder's product alone: the limit."""
    dtype = torch.bfloat16 if job["autocast"] else torch.float32
    weight, inputs = torch.randn(job["d"], job["width"]).to(pool[0].device, dtype), [x.to(dtype) for x in pool]
    return lambda number, _: inputs[number % len(inputs)] @ weight


def _sparsify(job: dict[str, Any]) -> Step:
    """What sparsify's trainer does with a batch."""
    from sparsify import SparseCoder, SparseCoderConfig  # pyright: ignore[reportMissingImports]

    coder = SparseCoder(job["d"], SparseCoderConfig(num_latents=job["width"], k=job["target"]), device=job["device"])
    optimiser = torch.optim.Adam(coder.parameters(), lr=3e-4)

    def step(number: int, x: Tensor) -> None:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=job["autocast"]):
            out = coder(x)
        out.fvu.backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        optimiser.step()
        optimiser.zero_grad()
        coder.set_decoder_norm_to_unit_norm()

    return step


def main() -> None:
    job = json.loads(sys.argv[1])
    torch.manual_seed(0)
    pool = rows(job)
    step, last = step_of(job, pool)
    for number in range(job["warmup"]):
        step(number, pool[number % len(pool)])
    numbers = itertools.count(job["warmup"])

    def turn() -> None:
        for number in itertools.islice(numbers, job["steps_at_once"]):
            step(number, pool[number % len(pool)])

    serve(turn, job, last)


if __name__ == "__main__":
    main()
