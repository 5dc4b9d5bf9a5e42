"""One library's training step, on demand: the other end of `step_peers.py`, in the library's own environment.

    python step_worker.py '{"library": "dl", "architecture": "topk", "d": 512, "width": 16384, ...}'

Prints `ready`, then answers each line read by the milliseconds of one more step, and the last by the peak memory.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

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
    return found


def ours(job: dict[str, Any], pool: list[Tensor]) -> Step:
    """`Learner.step`."""
    import dataclasses

    from monosema import Learner, Spec
    from monosema.recipes import recipes

    recipe = recipes[job["architecture"]]
    knob = "k" if "k" in {field.name for field in dataclasses.fields(recipe)} else "target_l0"
    learner = Learner(
        Spec.autoencoder("x", job["d"], job["width"]),
        recipe(**{knob: job["k"]}),
        {"x": torch.cat(pool)},
        steps=job["steps"],
        batch_size=job["batch"],
        autocast=job["autocast"],
    )
    return lambda _, x: learner.step({"x": x})


def dl(job: dict[str, Any], pool: list[Tensor]) -> Step:
    """A dictionary_learning trainer's `update`."""
    from importlib import import_module

    module, name, options = {
        "topk": ("top_k", "TopKTrainer", {"k": job["k"]}),
        "batch_topk": ("batch_top_k", "BatchTopKTrainer", {"k": job["k"]}),
        "matryoshka": (
            "matryoshka_batch_top_k",
            "MatryoshkaBatchTopKTrainer",
            {"k": job["k"], "group_fractions": [1 / 32, 2 / 32, 4 / 32, 8 / 32, 17 / 32]},
        ),
        "jumprelu": ("jumprelu", "JumpReluTrainer", {"target_l0": job["k"], "sparsity_warmup_steps": 10}),
        "gated": ("gdm", "GatedSAETrainer", {"l1_penalty": 0.1, "sparsity_warmup_steps": 10}),
        "april_l1": ("standard", "StandardTrainerAprilUpdate", {"l1_penalty": 0.1, "sparsity_warmup_steps": 10}),
        "l1": ("standard", "StandardTrainer", {"l1_penalty": 0.1, "sparsity_warmup_steps": 10, "resample_steps": None}),
    }[job["architecture"]]
    trainer = getattr(import_module(f"dictionary_learning.trainers.{module}"), name)(
        steps=job["steps"], activation_dim=job["d"], dict_size=job["width"], layer=0, lm_name="x", device="cpu",
        lr=3e-4, warmup_steps=10, decay_start=None, **options,
    )  # fmt: skip

    def step(number: int, x: Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=job["autocast"]):
            trainer.update(number, x)

    return step


def sl(job: dict[str, Any], pool: list[Tensor]) -> Step:
    """`SAETrainer.step` of SAELens."""
    import sae_lens  # pyright: ignore[reportMissingImports]
    from sae_lens.config import SAETrainerConfig  # pyright: ignore[reportMissingImports]
    from sae_lens.training.sae_trainer import SAETrainer  # pyright: ignore[reportMissingImports]

    widths = [job["width"] * part // 32 for part in (1, 3, 7, 15, 32)]
    name, options = {
        "topk": ("TopK", {"k": job["k"]}),
        "batch_topk": ("BatchTopK", {"k": job["k"]}),
        "matryoshka": ("MatryoshkaBatchTopK", {"k": job["k"], "matryoshka_widths": widths}),
        "jumprelu": ("JumpReLU", {"l0_coefficient": 1.0}),
        "gated": ("Gated", {"l1_coefficient": 1.0}),
        "april_l1": ("Standard", {"l1_coefficient": 1.0}),
        "l1": ("Standard", {"l1_coefficient": 1.0}),
    }[job["architecture"]]
    config = getattr(sae_lens, f"{name}TrainingSAEConfig")(
        d_in=job["d"], d_sae=job["width"], device="cpu", dtype="float32", **options
    )
    settings = SAETrainerConfig(
        total_training_samples=job["steps"] * job["batch"],
        train_batch_size_samples=job["batch"],
        lr_end=3e-5,
        autocast=job["autocast"],
    )
    sae = getattr(sae_lens, f"{name}TrainingSAE")(config)
    trainer = SAETrainer(cfg=settings, sae=sae, data_provider=iter(pool))

    def step(number: int, x: Tensor) -> None:
        trainer.step(x)
        trainer.n_training_steps += 1

    return step


def sparsify(job: dict[str, Any], pool: list[Tensor]) -> Step:
    """What sparsify's trainer does with a batch."""
    from sparsify import SparseCoder, SparseCoderConfig  # pyright: ignore[reportMissingImports]

    coder = SparseCoder(job["d"], SparseCoderConfig(num_latents=job["width"], k=job["k"]), device="cpu")
    optimiser = torch.optim.Adam(coder.parameters(), lr=3e-4)

    def step(number: int, x: Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=job["autocast"]):
            out = coder(x)
        out.fvu.backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        optimiser.step()
        optimiser.zero_grad()
        coder.set_decoder_norm_to_unit_norm()

    return step


def product(job: dict[str, Any], pool: list[Tensor]) -> Step:
    """The encoder's product alone: the limit."""
    dtype = torch.bfloat16 if job["autocast"] else torch.float32
    weight, inputs = torch.randn(job["d"], job["width"]).to(dtype), [x.to(dtype) for x in pool]
    return lambda number, _: inputs[number % len(inputs)] @ weight


def main() -> None:
    job = json.loads(sys.argv[1])
    torch.manual_seed(0)
    pool = rows(job)
    step = {"ours": ours, "dl": dl, "sl": sl, "sparsify": sparsify, "product": product}[job["library"]](job, pool)
    for number in range(job["warmup"]):
        step(number, pool[number % len(pool)])
    print("ready", flush=True)
    for number, line in enumerate(sys.stdin, job["warmup"]):
        if line.strip() == "end":
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, flush=True)
            return
        start = time.perf_counter()
        step(number, pool[number % len(pool)])
        print(1e3 * (time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    main()
