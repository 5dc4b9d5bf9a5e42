"""Features per second: our feature store and page beside SAEDashboard, on one dictionary, model and text.

    python benchmarks/dashboards.py --peers /path/to/peers/bin/python [--dictionary FOLDER] [--processor] [--json]
    python benchmarks/dashboards.py --store-only --tokens 1_000_000     # seconds of each part of our store

A TopK dictionary of 4,096 features of the embedded model's residual stream behind layer 2, trained here if none is
given; SAEDashboard reads it as `monosema convert --to saelens` writes it, on a `HookedTransformer` with the same
weights and the same contexts. Ours makes the store of all features and the page of some, without what the model has to
be run for again, which SAEDashboard does not show; its own time is that of these features. Text is read and tokenised
in our time alone. Every library in a process of its own; docs/quality.md says how to install the peers, and
SAEDashboard is `sae-dashboard`, installed with `--no-deps`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import torch
from dashboards_worker import contexts_of
from harvest import machine
from safetensors.torch import save_file
from versus.turns import Worker

import monosema as ms
from monosema.activations.contexts import take_contexts
from monosema.models import load_model
from monosema.runs.convert import convert
from monosema.tiny import PATH

NAMES = {"ours": "monosema", "sd": "SAEDashboard"}
TRAINED_ON = 200_000
"""Tokens that a dictionary is trained on, where none is given."""


def trained(folder: Path, recipe: str = "topk") -> Path:
    """A dictionary of `resid_post.2`, as `monosema train` makes it."""
    arguments = ["--site", "resid_post.2", "--width", "4096", "--recipe", recipe, "--k", "32"]
    arguments += ["--tokens", str(TRAINED_ON), "--out", str(folder)]
    subprocess.run([sys.executable, "-m", "monosema", "train", *arguments], check=True, stdout=sys.stderr)
    return next((folder / "dictionaries").iterdir())


def jobs(settings: argparse.Namespace, dictionary: Path, scratch: Path) -> dict[str, dict[str, Any]]:
    """What each library is told."""
    common = {key: getattr(settings, key) for key in ("tokens", "context", "features", "processor")}
    common["scratch"] = str(scratch)
    found: dict[str, dict[str, Any]] = {"ours": {**common, "library": "ours", "dictionary": str(dictionary)}}
    if settings.peers:
        convert(dictionary, scratch / "saelens", "saelens")
        model = load_model("tiny")
        ids = take_contexts(contexts_of(common, model.tokenizer), settings.tokens)
        save_file({"ids": ids}, scratch / "contexts.safetensors")
        theirs = {"library": "sd", "dictionary": str(scratch / "saelens"), "model": str(PATH)}
        theirs |= {"contexts": str(scratch / "contexts.safetensors"), "special": sorted(model.special_ids)}
        found["sd"] = {**common, **theirs, "dtype": settings.peer_dtype}
    return found


def measure(settings: argparse.Namespace, dictionary: Path, scratch: Path) -> dict[str, Any]:
    """Seconds and features per second of each library."""
    width = ms.load(dictionary).spec.width
    found: dict[str, Any] = {"width": width, "libraries": {}}
    fired: dict[str, torch.Tensor] = {}
    for library, job in jobs(settings, dictionary, scratch).items():
        worker = Worker(str(settings.peers) if library == "sd" else sys.executable, "dashboards_worker", job)
        seconds = statistics.median([worker.turn() for _ in range(settings.repeats)])
        last = worker.end()
        fired[library] = torch.tensor(last.pop("fired"), dtype=torch.float64)
        found["libraries"][library] = {"seconds": round(seconds, 2), **rates(library, seconds, width, settings, last)}
    if len(fired) > 1:
        found["alive_of_the_features"] = int((fired["ours"] > 0).sum())
        found["activations_of_the_features"] = {name: int(counts.sum()) for name, counts in fired.items()}
    return found


def rates(library: str, seconds: float, width: int, settings: argparse.Namespace, last: dict[str, Any]) -> Any:
    """Features per second: all of ours over the store and as many pages as they need."""
    if library == "sd":
        return {"features_per_second": round(settings.features / seconds, 2), **last}
    parts = {part: round(value, 2) for part, value in last.pop("seconds").items()}
    with_pages = parts["store"] + parts.get("page", 0.0) * width / max(settings.features, 1)
    return {
        "features_per_second": round(width / with_pages, 2),
        "features_per_second_of_the_store": round(width / parts["store"], 2),
        "seconds_of_parts": parts,
        **last,
    }


def show(found: dict[str, Any], settings: argparse.Namespace) -> None:
    """Prints the table, and the parts of ours."""
    for library, figures in found["libraries"].items():
        rate, ours = figures["features_per_second"], found["libraries"]["ours"]["features_per_second"]
        ratio = "" if library == "ours" else f"   monosema {ours / rate:.1f} ×"
        taken = f"{figures['seconds']:10.1f} s{rate:12.2f} features/s{figures['peak_gib']:8.2f} GiB"
        print(f"{NAMES[library]:16}{taken}{ratio}")
    if "activations_of_the_features" in found:
        print(f"activations of the first {settings.features} features: {found['activations_of_the_features']}")
    print("seconds of the parts of ours:")
    for part, seconds in found["libraries"]["ours"]["seconds_of_parts"].items():
        print(f"    {part:16}{seconds:10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="the Python of the peers' environment; without it, ours alone")
    parser.add_argument("--dictionary", type=Path, help="one of resid_post.2; by default it is trained")
    parser.add_argument("--tokens", type=int, default=65_536)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--features", type=int, default=256, help="that a page shows, and SAEDashboard is measured on")
    parser.add_argument("--peer-dtype", default="float32", help="of SAEDashboard's model and dictionary")
    parser.add_argument("--store-only", action="store_true", help="ours alone, without a page")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--processor", action="store_true", help="one thread, and processor time")
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    if settings.store_only:
        settings.peers, settings.features = None, 0
    result: dict[str, Any] = {"date": date.today().isoformat(), "machine": machine()}
    result |= {key: getattr(settings, key) for key in ("tokens", "context", "features", "peer_dtype", "repeats")}
    result["time"] = "processor, one thread" if settings.processor else "clock"
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        dictionary = settings.dictionary or trained(scratch / "run")
        result |= measure(settings, dictionary, scratch)
    if settings.json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        show(result, settings)


if __name__ == "__main__":
    main()
