"""Trains one dictionary in a process of its own, on one thread or a GPU: `python -m versus.worker FOLDER`, with
FOLDER/job.json.

Leaves the weights and `result.json` in the folder. Runs in the environment of the library that the job names.
"""

import json
import os
import sys
import time
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from .rows import BATCH, batches, heldout_rows

ESTIMATE = 100
"""Batches from which the scale of the activations is taken."""
CHECKED = 64
"""Held-out rows whose reconstruction is kept, to check the dictionary after its conversion."""


def run(folder: Path) -> dict[str, Any]:
    """Trains, saves, and returns what is recorded."""
    job = json.loads((folder / "job.json").read_text())
    cache, device = Path(job["cache"]), job["device"]
    heldout = heldout_rows(cache, job["point"]).to(device)
    first = [x.to(device) for x in islice(batches(cache, job["point"], job["steps"], job["seed"]), ESTIMATE)]
    torch.manual_seed(job["seed"])
    trainer = _trainer(job, heldout.shape[1], first)
    seconds = 0.0
    for number, x in enumerate(batches(cache, job["point"], job["steps"], job["seed"])):
        start = time.process_time()
        trainer.step(number, x.to(device))
        seconds += time.process_time() - start
    return {
        "lr": trainer.lr,
        "settings": trainer.settings,
        "version": f"{trainer.version} {metadata.version(trainer.version)}, torch {torch.__version__}",
        **({"core_minutes": seconds / 60} if device == "cpu" else {"gpu": torch.cuda.get_device_name()}),
        **_save(trainer, job, heldout, folder),
    }


def _trainer(job: dict[str, Any], d: int, first: list[Tensor]) -> Any:
    if job["library"] == "ours":
        from .ours import Run

        return Run(job, d, job["width"], torch.cat(first[: 16_384 // BATCH]))
    if job["library"] == "dl":
        from .peer_dl import Run
    else:
        from .peer_saelens import Run
    return Run(job, d, job["width"], first)


@torch.no_grad()
def _save(trainer: Any, job: dict[str, Any], heldout: Tensor, folder: Path) -> dict[str, Any]:
    """Writes the dictionary; returns its sparsity and its reconstruction on held-out rows."""
    if job["library"] == "ours":
        from monosema.dictionaries import save

        dictionary = trainer.finish()
        save(dictionary, folder / "dictionary")
        codes = dictionary.encode(heldout)
        return _quick(heldout, codes, dictionary.decode(codes))
    weights, own = trainer.finish(heldout)
    if not all(tensor.isfinite().all() for tensor in weights.tensors().values()):
        return {"failed": "weights that are not finite"}
    codes = weights.codes(heldout)
    reconstruction = weights.decode(codes)
    check_same(own, reconstruction)
    kept = {"x": heldout[:CHECKED].clone(), "x_hat": own[:CHECKED].float().clone()}
    save_file(weights.tensors() | kept, folder / "weights.safetensors")
    described = {"kind": weights.kind, "k": weights.k, "subtracts": weights.subtracts, "point": job["point"]}
    (folder / "weights.json").write_text(json.dumps(described))
    return _quick(heldout, codes, reconstruction)


def check_same(own: Tensor, converted: Tensor) -> None:
    """Refuses reconstructions that differ by more than rounding, which may tip a few codes over their thresholds."""
    difference, size = (own - converted).norm(dim=1), own.norm(dim=1)
    if (difference / size).median() > 1e-5 or difference.square().sum() > 1e-5 * size.square().sum():
        raise AssertionError(f"the library's reconstruction differs by {(difference / size).mean():.2g}")


def _quick(x: Tensor, codes: Tensor, reconstruction: Tensor) -> dict[str, Any]:
    error = (x - reconstruction).square().sum() / (x - x.mean(0)).square().sum()
    return {"quick": {"l0": (codes != 0).sum(1).float().mean().item(), "fve": 1 - error.item()}}


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    result = run(folder)
    part = folder / "result.json.part"
    part.write_text(json.dumps(result))
    os.replace(part, folder / "result.json")


if __name__ == "__main__":
    main()
