"""Sweeps of the learning rate, from which `lr: auto` is fitted, and how far `auto` is from the best of each sweep.

    python benchmarks/learning_rate.py [--only topk] [--activations FILE] [--results FILE] [--report] [--json]

Every run trains one dictionary on activations of the embedded model (`resid_post.2`), read once into a file, and is
measured on held-out rows. A run is one line of the results, and a run that has its line is skipped: stop it at any
time and start it again. `--report` trains nothing: it prints the sweeps, the fit, and what `auto` loses.
"""

import argparse
import json
import math
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from harvest import machine
from safetensors.torch import load_file, save_file
from torch import Tensor

import monosema as ms
from monosema.evaluation import evaluate_rows
from monosema.recipes import recipes
from monosema.recipes.learning_rate import auto_lr

POINT, D, HELDOUT, SAMPLE = "resid_post.2", 256, 65_536, 16_384
RESULTS = Path(__file__).parent / "results" / "learning-rate.jsonl"
RATES = {
    "topk": (1.5e-3, 3e-3, 6e-3, 1.2e-2),
    "jumprelu": (3e-4, 1e-3, 3e-3),
    "l1": (3e-4, 1e-3, 3e-3, 9e-3),
}
FAMILIES = {"batch_topk": "topk", "matryoshka": "topk", "hierarchical_topk": "topk", "jumprelu_tanh": "jumprelu"}


@dataclass(frozen=True)
class Run:
    """One training run."""

    recipe: str
    lr: float
    tokens: int = 500_000
    width: int = 4096
    batch: int = 512
    optimiser: str = "adam"

    def setting(self) -> tuple[Any, ...]:
        """All but the learning rate: the runs of one sweep have it in common."""
        return (self.recipe, self.optimiser, self.tokens, self.width, self.batch)


def plan() -> Iterator[Run]:
    """Every recipe at one setting; for some, other lengths, widths and batch sizes."""
    main = ("topk", "batch_topk", "jumprelu", "gated", "april_l1", "matryoshka", "l1", "p_anneal")
    for name in (*main, *(name for name in sorted(recipes) if name not in main)):
        for lr in RATES[FAMILIES.get(name, name if name in RATES else "l1")]:
            yield Run(name, lr)
    for name in ("topk", "gated"):
        rates = RATES.get(name, RATES["l1"])
        yield from (Run(name, lr, tokens=2_000_000) for lr in rates)
        yield from (Run(name, lr, width=1024) for lr in rates)
        yield from (Run(name, lr, batch=2048) for lr in rates)
    yield from (Run("topk", lr, tokens=8_000_000) for lr in RATES["topk"][:3])
    yield from (Run("topk", lr, width=16_384) for lr in RATES["topk"][:3])
    for optimiser, rates in {
        "muon": (5e-3, 2e-2, 5e-2),
        "signum": (1e-4, 3e-4, 1e-3),
        "schedule_free": (3e-3, 1e-2),
    }.items():
        yield from (Run("topk", lr, optimiser=optimiser) for lr in rates)
    yield from (Run("topk", lr, tokens=20_000_000) for lr in RATES["topk"][:2])


def read_activations(path: Path) -> None:
    """Two million training rows and the held-out ones, into a file; longer runs go over them again."""
    model = ms.load_model("tiny")
    files = {}
    for part, text, rows in (("train", "tiny:train", 2**21), ("heldout", "tiny:heldout", HELDOUT)):
        contexts = ms.MixedContexts(ms.Contexts(model.tokenizer, text, 256, repeat=True), window=2**24)
        source = iter(ms.ModelSource(model, contexts, [POINT], batch_size=4096))
        files[part] = torch.cat([next(source)[POINT].bfloat16() for _ in range(rows // 4096)])
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(files, path)


def train(run: Run, rows: dict[str, Tensor]) -> dict[str, Any]:
    """One run's line."""
    recipe = replace(recipes[run.recipe](), lr=run.lr, optimiser=run.optimiser)
    x = rows["train"]
    learner = ms.Learner(
        ms.Spec.autoencoder(POINT, D, run.width),
        recipe,
        {POINT: x[:SAMPLE].float()},
        steps=run.tokens // run.batch,
        batch_size=run.batch,
        autocast=True,
    )
    started = time.process_time()
    for step in range(learner.steps):
        start = step * run.batch % (len(x) - run.batch)
        learner.step({POINT: x[start : start + run.batch]})
    seconds = time.process_time() - started
    batches = [(part.float(), part.float()) for part in rows["heldout"].split(4096)]
    metrics = evaluate_rows(learner.finished(), batches).metrics
    figures = {"fve": metrics.fve, "l0": metrics.l0, "alive": metrics.alive}
    rounded = {name: round(float(value), 5) for name, value in figures.items()}
    return {**asdict(run), **rounded, "cpu_seconds": round(seconds, 1), "date": date.today().isoformat()}


def report(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each sweep: the best rate, what `auto` is, and the unexplained variance that it would give.

    Between the rates of a sweep, log(1 − FVE) is interpolated linearly in log lr.
    """
    sweeps = defaultdict(list)
    for line in lines:
        run = Run(**{name: line[name] for name in Run.__dataclass_fields__})
        sweeps[run.setting()].append(line)
    found = []
    for (recipe, optimiser, tokens, width, batch), runs in sweeps.items():
        runs.sort(key=lambda line: line["lr"])
        best = min(runs, key=lambda line: 1 - line["fve"])
        auto = auto_lr(recipe, optimiser, width, tokens // batch, batch)
        found.append(
            {
                **{"recipe": recipe, "optimiser": optimiser, "tokens": tokens, "width": width, "batch": batch},
                "rates": {f"{line['lr']:g}": round(1 - line["fve"], 4) for line in runs},
                "best": best["lr"],
                "auto": auto,
                "auto_over_best": round(_interpolated(runs, auto) / (1 - best["fve"]), 4),
            }
        )
    return found


def _interpolated(runs: list[dict[str, Any]], lr: float) -> float:
    """Unexplained variance at a rate; beyond the ends of the sweep, infinite: nothing is known there."""
    for low, high in pairwise(runs):
        if low["lr"] <= lr <= high["lr"]:
            share = math.log(lr / low["lr"]) / math.log(high["lr"] / low["lr"])
            return (1 - low["fve"]) ** (1 - share) * (1 - high["fve"]) ** share
    return next((1 - line["fve"] for line in runs if line["lr"] == lr), math.inf)


def show(found: list[dict[str, Any]]) -> None:
    """The sweeps as a table."""
    numbers = f"{'tokens':>10}{'width':>7}{'batch':>6}{'best':>9}{'auto':>9}{'loss':>7}"
    print(f"{'recipe':18}{'optimiser':14}{numbers}   1 − FVE by rate")
    for row in found:
        name = f"{row['recipe']:18}{row['optimiser']:14}{row['tokens']:>10,}{row['width']:>7}{row['batch']:>6}"
        rates = "  ".join(f"{lr}: {value:.4f}" for lr, value in row["rates"].items())
        print(f"{name}{row['best']:>9g}{row['auto']:>9g}{row['auto_over_best']:>7.3f}   {rates}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=None, help="recipes to run")
    parser.add_argument("--activations", type=Path, default=Path("build/learning-rate/rows.safetensors"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    lines = (
        [json.loads(line) for line in settings.results.read_text().splitlines()] if settings.results.exists() else []
    )
    if not settings.report:
        torch.set_num_threads(settings.threads)
        done = {tuple(line[name] for name in Run.__dataclass_fields__) for line in lines}
        if not settings.activations.exists():
            read_activations(settings.activations)
        rows = load_file(settings.activations)
        for run in plan():
            wanted = settings.only is None or run.recipe in settings.only
            if wanted and tuple(asdict(run).values()) not in done:
                line = {**train(run, rows), "machine": machine()}
                lines.append(line)
                with settings.results.open("a") as file:
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
    found = report(lines)
    print(json.dumps(found, indent=2)) if settings.json else show(found)


if __name__ == "__main__":
    main()
