"""Dose and response of steering: the features of a dictionary beside random directions of the same norm.

    python benchmarks/steering.py runs/demo --dictionary topk --json > benchmarks/results/steering-DATE.json

Features are those that a page would show: live ones, evenly spread from the densest to the rarest. Strengths are
multiples of each feature's largest activation. A feature does something of its own where its tokens (the ten that its
direction promotes most) gain more than by random directions.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from harvest import machine

from monosema.analysis.dose import Response, dose_response
from monosema.evaluation import Table
from monosema.models import LoadedModel
from monosema.runs.evaluate import open_folder
from monosema.runs.feature_page import provider_of, spread
from monosema.runs.terminal import print_table


def measured(settings: argparse.Namespace) -> dict[str, Any]:
    """The responses to each feature."""
    provider = provider_of(settings.run, settings.dictionary, alone=True, device="cpu")
    dictionaries, heldout = open_folder(settings.run, tokens=settings.tokens, device="cpu")
    dictionary, model, contexts = dictionaries[provider.name].eval(), heldout.model, heldout.contexts
    assert isinstance(model, LoadedModel)
    assert contexts is not None
    found = []
    for feature in spread(provider, settings.features):
        row = provider.store.feature(feature)
        strengths = [times * row.high for times in settings.times]
        responses = dose_response(dictionary, model, contexts, feature, strengths, controls=settings.controls)
        known = {"feature": feature, "density": row.density, "max": row.high, "promoted": row.promoted}
        found.append({**known, "responses": [asdict(one) for one in responses]})
    return {"dictionary": provider.name, "tokens": contexts.numel(), "features": found}


def summary(features: Sequence[dict[str, Any]], times: Sequence[float]) -> list[dict[str, Any]]:
    """Medians over features at each strength, and how many features' tokens gain more than by random directions."""
    rows = []
    for place, strength in enumerate(times):
        responses = [Response(**feature["responses"][place]) for feature in features]
        names = ("tokens", "cross_entropy", "random_tokens", "random_cross_entropy")
        medians = {name: round(statistics.median(getattr(one, name) for one in responses), 4) for name in names}
        further = sum((one.tokens - one.random_tokens) * strength > 0 for one in responses)
        rows.append({"times_max": strength, **medians, "further_than_random": further, "of": len(responses)})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """The summary, as text."""
    headers = ["strength / max", "Its tokens", "CE", "Random: its tokens", "Random: CE", "Further than random"]
    return Table(
        headers,
        [
            [
                f"{row['times_max']:+g}",
                *(f"{value:+.3f}" for value in list(row.values())[1:5]),
                f"{row['further_than_random']} of {row['of']}",
            ]
            for row in rows
        ],
        ["Medians over features, of changes in nats."],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", default="runs/demo", help="a run's folder, with feature stores (make demo)")
    parser.add_argument("--dictionary", help="which of its dictionaries; by default the first")
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=4096, help="of held-out text")
    parser.add_argument("--controls", type=int, default=4, help="random directions")
    parser.add_argument(
        "--times", type=float, nargs="+", default=[-1.0, 0.5, 1.0, 2.0], help="of the largest activation"
    )
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    result: dict[str, Any] = {"date": date.today().isoformat(), "machine": machine()}
    result |= {"controls": settings.controls, **measured(settings)}
    result["summary"] = summary(result["features"], settings.times)
    if settings.json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        print_table(table(result["summary"]))


if __name__ == "__main__":
    main()
