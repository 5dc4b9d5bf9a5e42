"""Sweeps of our own recipes: of the learning rate, from which `lr: auto` is fitted, of options, one at a time, and of
the length of a run.

    python benchmarks/sweep.py rates [--only topk] [--report]
    python benchmarks/sweep.py options [--report]
    python benchmarks/sweep.py lengths [--report]

Every run trains one dictionary on activations of the embedded model (`resid_post.2`), read once into a file, and is
measured on held-out rows. A run is one line of the results, and a run that has its line is skipped: stop it at any
time and start it again. `--report` trains nothing. `rates` prints the sweeps and what `auto` loses against the best of
each; `options` what each option changes; `lengths` what each recipe explains.
"""

import argparse
import json
import math
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
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
RESULTS = Path(__file__).parent / "results"
HIGH, LOW = (1.5e-3, 3e-3, 6e-3, 1.2e-2), (3e-4, 1e-3, 3e-3, 9e-3)
LONG = (6e-3, 1.2e-2, 2.4e-2)
RATES = {"entropy": LOW, "jumprelu_tanh": LOW}
"""The rates of a sweep; `HIGH` where nothing is said."""
LENGTHS = (100_000, 250_000, 500_000, 1_000_000, 2_000_000, 8_000_000)
OPTIMISERS = {"muon": (5e-3, 2e-2, 5e-2), "signum": (1e-4, 3e-4, 1e-3), "schedule_free": (3e-3, 6e-3, 1.2e-2)}
PLAIN = {"basis": "given", "encoder_scale": 1.0, "encoder_lr": 1.0, "lr_warmup": 0.02}
"""What `topk` is in the paper where its defaults differ here, but for the learning rate."""
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"basis": "given"},
    {"encoder_lr": 1.0},
    {"encoder_scale": 1.0},
    {**PLAIN, "lr": 6e-3},
    {**PLAIN, "lr": 6e-3, "lr_decay": 0.2},
    {"aligned": True},
    {"k_start": 128, "k_anneal": 0.3},
    {"betas": [0.9, 0.99]},
    {"betas": [0.8, 0.999]},
    {"encoder_lr": 0.5},
    {"encoder_scale": 0.2},
    {"aux": 0.0},
    {"lr_decay": 1.0},
    {"aux": 0.0, "ghost": 1.0},
    {"aux": 0.0, "ghost": 1 / 32},
    {"aux": 0.0, "resample_at": [0.2, 0.4]},
    {"multi_topk": 0.125},
    {"optimiser": "schedule_free"},
    {"optimiser": "muon", "lr": 2e-2},
)


@dataclass(frozen=True)
class Run:
    """One training run."""

    recipe: str
    lr: float
    tokens: int = 500_000
    width: int = 4096
    batch: int = 512
    options: dict[str, Any] = field(default_factory=dict)
    passes: int = 1
    """How often the tokens are gone over."""

    def setting(self) -> str:
        """All but the learning rate: the runs of one sweep have it in common."""
        return json.dumps({**asdict(self), "lr": None}, sort_keys=True)


PAPER = {"threshold": 0.001, "bandwidth": 0.001, "encoder_scale": 1.0, "encoder_lr": 1.0, "lr_warmup": 0.02}
"""What `jumprelu` is in the paper where its defaults differ here."""
OTHERS: tuple[tuple[str, float, dict[str, Any]], ...] = (
    ("batch_topk", 8e-3, {}),
    ("gated", 6e-3, {}),
    ("gated", 6e-3, {"encoder_scale": 1.0}),
    ("jumprelu", 6e-3, {}),
    ("jumprelu", 1e-3, PAPER),
    ("april_l1", 3e-3, {}),
    ("hierarchical_topk", 8e-3, {}),
    ("jumprelu", 6e-3, {"target_l0": 16.0}),
    ("jumprelu", 6e-3, {"target_l0": 16.0, "aux": 1 / 32}),
    ("jumprelu", 6e-3, {"target_l0": 128.0}),
    ("jumprelu", 6e-3, {"encoder_lr": 0.3}),
    ("jumprelu", 6e-3, {"target_l0": 128.0, "encoder_lr": 0.3}),
    ("jumprelu", 6e-3, {"aux": 1 / 32}),
    ("jumprelu", 6e-3, {"adaptive_bandwidth": 0.5}),
    ("jumprelu", 6e-3, {"step_kernel": "epanechnikov"}),
    ("april_l1", 4.5e-3, {"target_l0": 128.0}),
    ("april_l1", 4.5e-3, {"target_l0": 32.0}),
    ("april_l1", 4.5e-3, {"target_l0": 32.0, "ghost": 1.0}),
)
"""Other recipes, with their defaults and as they were."""


def rates() -> Iterator[Run]:
    """Long runs and a wide one; every recipe at one setting and an L0 of 32; for some, others, and other optimisers."""
    for tokens in (8_000_000, 20_000_000):  # narrow and in large batches, so that they take minutes
        yield from (Run("topk", lr, tokens, 1024, 2048) for lr in LONG)
    yield from (Run("topk", lr, width=16_384) for lr in HIGH[:3])
    main = ("topk", "batch_topk", "jumprelu", "gated", "april_l1", "matryoshka", "l1", "p_anneal")
    for name in (*main, *(name for name in sorted(recipes) if name not in main)):
        sparsity = {"target_l0": 32.0} if name == "april_l1" else {}  # else it is the paper's coefficient
        yield from (Run(name, lr, options=sparsity) for lr in RATES.get(name, HIGH))
    for name in ("topk", "gated"):
        yield from (Run(name, lr, tokens=2_000_000) for lr in HIGH)
        yield from (Run(name, lr, width=1024) for lr in (*HIGH, 2.4e-2))
        yield from (Run(name, lr, batch=2048) for lr in (*HIGH, 2.4e-2))
    for optimiser, swept in OPTIMISERS.items():
        yield from (Run("topk", lr, options={"optimiser": optimiser}) for lr in swept)


def options() -> Iterator[Run]:
    """`topk` at one rate, with one option changed at a time; smaller batches; other recipes."""
    for changed in OPTIONS:
        rest = {name: value for name, value in changed.items() if name != "lr"}
        yield Run("topk", changed.get("lr", 8e-3), options=rest)
    yield Run("topk", 6e-3, batch=256)
    yield from (Run(name, lr, options=changed) for name, lr, changed in OTHERS)
    yield from (Run(name, lr, passes=2) for name, lr in (("topk", 6e-3), ("gated", 5e-3), ("batch_topk", 6e-3)))


def lengths() -> Iterator[Run]:
    """The recipes that explain the most, at the rate that `auto` chooses, in shorter and longer runs and a wide one;
    and what else `jumprelu` might need there."""

    def run(name: str, tokens: int, width: int = 4096, **options: float) -> Run:
        rate = auto_lr(recipes[name].fit, "adam", width, tokens // Run.batch, Run.batch)
        sparsity = {"k": 32} if "topk" in name else {"target_l0": 32.0}
        return Run(name, rate, tokens, width, options=sparsity | options)

    for name in ("topk", "batch_topk", "jumprelu"):
        yield from (run(name, tokens) for tokens in LENGTHS)
        yield run(name, 1_000_000, 16_384)
    yield from (run("jumprelu", tokens, start_share=0.1) for tokens in (250_000, 500_000))
    yield run("jumprelu", 8_000_000, aux=1 / 32)


PLANS = {"rates": rates, "options": options, "lengths": lengths}


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


def train(run: Run, rows: dict[str, Tensor], device: str = "cpu") -> dict[str, Any]:
    """One run's line."""
    settings: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in run.options.items()}
    x = rows["train"]
    rows_seen = min(run.tokens // run.batch * run.batch, len(x) // run.batch * run.batch)
    learner = ms.Learner(
        ms.Spec.autoencoder(POINT, D, run.width),
        recipes[run.recipe](lr=run.lr, **settings),
        {POINT: x[:SAMPLE].float()},
        steps=run.passes * (run.tokens // run.batch),
        batch_size=run.batch,
        device=device,
        autocast=True,
    )
    started = time.process_time()
    for step in range(learner.steps):
        start = step * run.batch % rows_seen
        learner.step({POINT: x[start : start + run.batch]})
    seconds = time.process_time() - started
    batches = [(part.float(), part.float()) for part in rows["heldout"].to(device).split(4096)]
    metrics = evaluate_rows(learner.finished(), batches).metrics
    figures = {name: round(float(getattr(metrics, name)), 5) for name in ("fve", "l0", "alive")}
    return {**asdict(run), **figures, "cpu_seconds": round(seconds, 1), "date": date.today().isoformat()}


def sweeps(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each sweep: the best rate, what `auto` is, and its unexplained variance relative to the best."""
    by_setting = defaultdict(list)
    for line in lines:
        by_setting[run_of(line).setting()].append(line)
    found = []
    for runs in by_setting.values():
        runs.sort(key=lambda line: line["lr"])
        best, one = max(runs, key=lambda line: line["fve"]), run_of(runs[0])
        optimiser = one.options.get("optimiser", "adam")
        auto = auto_lr(recipes[one.recipe].fit, optimiser, one.width, one.tokens // one.batch, one.batch)
        found.append(
            {
                **{name: getattr(one, name) for name in ("recipe", "tokens", "width", "batch")},
                "optimiser": optimiser,
                "unexplained": {f"{line['lr']:g}": round(1 - line["fve"], 4) for line in runs},
                "best": best["lr"],
                "auto": auto,
                "auto_over_best": round(unexplained_at(runs, auto) / (1 - best["fve"]), 3),
            }
        )
    return found


def run_of(line: dict[str, Any]) -> Run:
    """The run that a line of the results is of."""
    return Run(**{name: line[name] for name in Run.__dataclass_fields__ if name in line})


def unexplained_at(runs: list[dict[str, Any]], lr: float) -> float:
    """1 − FVE at a rate, its logarithm interpolated in log lr; infinite beyond the sweep, where nothing is known."""
    for low, high in pairwise(runs):
        if low["lr"] <= lr <= high["lr"]:
            share = math.log(lr / low["lr"]) / math.log(high["lr"] / low["lr"])
            return (1 - low["fve"]) ** (1 - share) * (1 - high["fve"]) ** share
    return next((1 - line["fve"] for line in runs if line["lr"] == lr), math.inf)


def show_rates(lines: list[dict[str, Any]]) -> None:
    """The sweeps as a table."""
    numbers = f"{'tokens':>10}{'width':>7}{'batch':>6}{'best':>9}{'auto':>9}{'loss':>7}"
    print(f"{'recipe':18}{'optimiser':14}{numbers}   1 − FVE by rate")
    for row in sweeps(lines):
        name = f"{row['recipe']:18}{row['optimiser']:14}{row['tokens']:>10,}{row['width']:>7}{row['batch']:>6}"
        found = "  ".join(f"{lr}: {value:.4f}" for lr, value in row["unexplained"].items())
        print(f"{name}{row['best']:>9g}{row['auto']:>9g}{row['auto_over_best']:>7.3f}   {found}")


def show_options(lines: list[dict[str, Any]]) -> None:
    """The runs as a table, against the first."""
    print(f"{'FVE':>7}{'1 − FVE':>9}{'alive':>7}{'seconds':>9}   changed")
    for line in lines:
        ratio = (1 - line["fve"]) / (1 - lines[0]["fve"])
        now, before = asdict(run_of(line)), asdict(run_of(lines[0]))
        changed = {name: now[name] for name in ("recipe", "lr", "batch", "passes") if now[name] != before[name]}
        about = ", ".join(f"{k} {v}" for k, v in (line["options"] | changed).items()) or "nothing"
        print(f"{line['fve']:>7.4f}{ratio:>9.3f}{line['alive']:>7.2f}{line['cpu_seconds']:>9.0f}   {about}")


def show_lengths(lines: list[dict[str, Any]]) -> None:
    """The runs as a table."""
    print(f"{'tokens':>10}{'width':>7}{'FVE':>8}{'L0':>7}{'alive':>7}{'seconds':>9}   recipe")
    for line in sorted(lines, key=lambda line: (line["width"], line["tokens"])):
        figures = f"{line['fve']:>8.4f}{line['l0']:>7.1f}{line['alive']:>7.2f}{line['cpu_seconds']:>9.0f}"
        about = ", ".join(f"{name} {value:g}" for name, value in line["options"].items())
        print(f"{line['tokens']:>10,}{line['width']:>7}{figures}   {line['recipe']}, {about}")


SHOW = {"rates": show_rates, "options": show_options, "lengths": show_lengths}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", choices=PLANS)
    parser.add_argument("--only", nargs="*", default=None, help="recipes to run")
    parser.add_argument("--activations", type=Path, default=Path("build/sweep/rows.safetensors"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", type=Path, help="JSON lines; by default benchmarks/results/sweep-PLAN.jsonl")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    path = settings.results or RESULTS / f"sweep-{settings.plan}.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    if not settings.report:
        torch.set_num_threads(1)
        if not settings.activations.exists():
            read_activations(settings.activations)
        rows = load_file(settings.activations)
        done = [run_of(line) for line in lines]
        for run in PLANS[settings.plan]():
            if run not in done and (settings.only is None or run.recipe in settings.only):
                about = {
                    "machine": machine() if settings.device == "cpu" else torch.cuda.get_device_name(settings.device)
                }
                lines.append({**train(run, rows, settings.device), **about})
                with path.open("a") as file:
                    file.write(json.dumps(lines[-1], ensure_ascii=False) + "\n")
    if settings.json:
        print(json.dumps(sweeps(lines) if settings.plan == "rates" else lines, indent=2))
    else:
        SHOW[settings.plan](lines)


if __name__ == "__main__":
    main()
