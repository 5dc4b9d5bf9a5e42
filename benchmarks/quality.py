"""How good dictionaries are that our recipes and public libraries train on the same activations, at the same size.

    python benchmarks/quality.py --list                                  # what there is to run, and what is done
    python benchmarks/quality.py --run --peers /path/to/peers/bin/python # hours; goes on where it was stopped
    python benchmarks/quality.py --report                                # docs/quality.md and its pictures
    python benchmarks/quality.py --json                                  # the figures

The peers need an environment of their own: `pip install torch sae-lens==6.54.12`, then `pip install --no-deps
dictionary-learning==0.1.0` and what it imports. docs/quality.md describes the set-up and shows the results.
"""

import argparse
import json
from pathlib import Path

from versus.plan import STAGES, chosen, plan
from versus.results import Results, fve, l0, newest
from versus.search import next_run

ROOT = Path(__file__).parents[1]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--list", action="store_true", help="show what there is to run, and what is done; the default")
    action.add_argument("--run", action="store_true", help="train and measure what is missing")
    action.add_argument("--evaluate", action="store_true", help="measure what was trained and not measured")
    action.add_argument("--drop", action="store_true", help="forget the results of the chosen trainers and stages")
    action.add_argument("--report", action="store_true", help="write the page and the pictures")
    action.add_argument("--json", action="store_true", help="print the figures")
    parser.add_argument("--only", nargs="+", help="trainers, or words that their names hold: ours/topk dl/ gated")
    parser.add_argument("--stage", nargs="+", choices=STAGES, default=list(STAGES), help="parts of the plan")
    parser.add_argument("--rates", nargs="+", type=rate, help="learning rates, or default; the others are left out")
    parser.add_argument("--peers", type=Path, help="the Python of the peers' environment; without it, ours alone")
    parser.add_argument("--device", default="cpu", help="where dictionaries are trained; processor time is of the cpu")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "quality", help="activations and weights")
    parser.add_argument("--results", type=Path, default=newest(), help="the file that results are added to")
    return parser.parse_args()


def rate(text: str) -> float | None:
    """A learning rate; None stands for the library's default."""
    return None if text == "default" else float(text)


def show(settings: argparse.Namespace, results: Results) -> None:
    for cell in plan(chosen(settings.only), results, settings.rates):
        if cell.stage in settings.stage:
            record = results.best_try(cell.id)
            todo = next_run(cell, results)
            state = "failed" if results.failed(cell.id) else f"to do, {todo.coefficient}" if todo else "done"
            figures = f"L0 {l0(record):.1f}, FVE {fve(record):.4f}" if record else ""
            print(f"{cell.stage:10}{cell.id:66}{state!s:34}{figures}")


def drop(settings: argparse.Namespace, results: Results) -> None:
    for cell in list(plan(chosen(settings.only), results, settings.rates)):
        if cell.stage in settings.stage:
            for name in [name for name in results.records if name.startswith(cell.id + "/try")]:
                results.add(id=name, dropped=True)


def main() -> None:
    settings = arguments()
    results = Results(settings.results)
    if settings.run or settings.evaluate:
        import torch
        from versus.runner import Runner

        torch.set_num_threads(1)
        runner = Runner(results, settings.cache, settings.peers, settings.device, settings.rates)
        if settings.run:
            runner.work(chosen(settings.only), settings.stage)
        else:
            runner.evaluate()
    elif settings.drop:
        drop(settings, results)
    elif settings.report:
        from versus.report import write_report

        write_report(results, ROOT / "docs")
    elif settings.json:
        cells = {cell.id: results.best_try(cell.id) for cell in plan(chosen(settings.only), results)}
        print(json.dumps({name: record for name, record in cells.items() if record}, indent=2))
    else:
        show(settings, results)


if __name__ == "__main__":
    main()
