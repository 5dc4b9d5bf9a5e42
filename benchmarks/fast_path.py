"""Whether dictionaries learn the same from stored entries as from dense products: both ways on the same batches.

    python benchmarks/fast_path.py [--tokens 500000] [--only topk] [--plot docs/images/fast-path.png] [--json]

Width 4,096 on `resid_post.2` of the embedded model, bfloat16 products, k or L0 of 32. Dense means: all pre-activations
at once, PyTorch's top-k, and products with codes that hold their zeros; all that is between is the same. The two round
differently, and training magnifies the last bit, as it does a seed, which is shown beside.
"""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from harvest import machine
from safetensors.torch import load_file
from sweep import POINT, SAMPLE, D, read_activations
from torch import Tensor

import monosema as ms
from monosema.dictionaries import JumpReLU, Preactivations
from monosema.dictionaries.maps import Dense
from monosema.evaluation import evaluate_rows
from monosema.kernels import RaggedCodes, SparseCodes
from monosema.recipes import recipes

WIDTH, BATCH, EVERY = 4096, 512, 20
RECIPES: dict[str, dict[str, Any]] = {"topk": {"k": 32}, "batch_topk": {"k": 32}, "jumprelu": {"target_l0": 32.0}}


def _largest(self: Preactivations, k: int) -> SparseCodes:
    found = self.dense.topk(k, dim=1)
    return SparseCodes(found.indices, found.values.relu(), self.dense.shape[1])


def _largest_of_batch(self: Preactivations, k: int, guess: float) -> RaggedCodes:
    width, flat = self.dense.shape[1], self.dense.relu().flatten()
    places = flat.topk(k * len(self.x)).indices.sort().values
    starts = torch.arange(len(self.x) + 1) * width
    return RaggedCodes(torch.searchsorted(places, starts), places % width, flat[places], width)


def _apply_sparse(self: Dense, codes: SparseCodes | RaggedCodes, weight: Tensor) -> Tensor:
    return codes.to_dense() @ weight


@contextmanager
def dense_products() -> Iterator[None]:
    """Dictionaries compute all products, and keep the zeros of codes."""
    with (
        patch.multiple(Preactivations, largest=_largest, largest_of_batch=_largest_of_batch),
        patch.object(Dense, "apply_sparse", _apply_sparse),
        patch.object(JumpReLU, "few", 0.0),
    ):
        yield


def train(name: str, tokens: int, seed: int, rows: dict[str, Tensor]) -> dict[str, Any]:
    """The curve of a run and its figures on held-out rows."""
    x = rows["train"]
    learner = ms.Learner(
        ms.Spec.autoencoder(POINT, D, WIDTH),
        recipes[name](**RECIPES[name]),
        {POINT: x[:SAMPLE].float()},
        steps=tokens // BATCH,
        batch_size=BATCH,
        seed=seed,
        autocast=True,
    )
    curve, started = [], time.process_time()
    for step in range(learner.steps):
        metrics = learner.step({POINT: x[step * BATCH : (step + 1) * BATCH]})
        if step % EVERY == 0:
            curve.append(round(metrics["fve"], 4))
    seconds = time.process_time() - started
    heldout = [(part.float(), part.float()) for part in rows["heldout"].split(4096)]
    found = evaluate_rows(learner.finished(), heldout).metrics
    figures = {"fve": round(found.fve, 4), "l0": round(found.l0, 2), "alive": round(found.alive, 4)}
    return {**figures, "cpu_seconds": round(seconds, 1), "curve": curve}


def plot(found: dict[str, dict[str, dict[str, Any]]], path: Path) -> None:
    """The training curves, from a tenth of the run on."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * len(found), 3), layout="constrained")
    for cell, (name, runs) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        for (label, run), style in zip(runs.items(), ("-", "--", ":"), strict=True):
            first = len(run["curve"]) // 10
            tokens = [EVERY * BATCH * i for i in range(first, len(run["curve"]))]
            cell.plot(tokens, run["curve"][first:], style, label=label, linewidth=1)
        cell.set_title(name, fontsize=10)
        cell.set_xlabel("tokens")
        cell.xaxis.set_major_formatter(lambda tokens, _: f"{tokens / 1000:.0f}k")
        cell.legend(fontsize=8)
    figure.supylabel("variance explained, of the batch", fontsize=9)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=500_000)
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--activations", type=Path, default=Path("build/sweep/rows.safetensors"))
    parser.add_argument("--plot", type=Path, help="where to save a picture")
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    torch.set_num_threads(1)
    if not settings.activations.exists():
        read_activations(settings.activations)
    rows, found = load_file(settings.activations), {}
    for name in settings.only:
        runs = {"stored entries": train(name, settings.tokens, 0, rows)}
        with dense_products():
            runs["dense"] = train(name, settings.tokens, 0, rows)
        runs["another seed"] = train(name, settings.tokens, 1, rows)
        found[name] = runs
        for label, run in {} if settings.json else runs.items():
            rest = f"L0 {run['l0']:6.2f}  alive {run['alive']:.3f}  {run['cpu_seconds']:6.1f} core seconds"
            print(f"{name:12}{label:16}FVE {run['fve']:.4f}  {rest}", flush=True)
    if settings.plot:
        plot(found, settings.plot)
    if settings.json:
        kept = {"date": date.today().isoformat(), "machine": machine(), "tokens": settings.tokens}
        print(json.dumps({**kept, "recipes": found}))


if __name__ == "__main__":
    main()
