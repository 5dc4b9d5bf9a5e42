"""The published figures of dictionary_learning's Pythia-70m suite, and those of a finished run, in the same columns.

    python scripts/reference_table.py runs/pythia-70m [--published configs/reference/pythia-70m.csv]

Prints Markdown. Alive are features that fire on one of 8,192 tokens, where as many were measured on. A hook point that
the run does not have stays empty; of several dictionaries at one hook point, each has a row.
"""

import argparse
import csv
import json
from pathlib import Path

PUBLISHED = Path(__file__).parents[1] / "configs" / "reference" / "pythia-70m.csv"
HEADERS = ("Layer", "", "Variance Explained (%)", "L1", "L0", "% Alive", "CE Diff", "% CE Recovered")


def ours(run: Path) -> dict[str, list[list[str]]]:
    """The rows of a run's dictionaries, by the hook point that they reconstruct."""
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["dictionaries"]
    found: dict[str, list[list[str]]] = {}
    for name, own in metrics.items():
        spec = json.loads((run / "dictionaries" / name / "dictionary.json").read_text(encoding="utf-8"))["spec"]
        shares = [_percent(own.get(key)) for key in ("fve", "alive_8192", "ce_recovered")]
        ce = "–" if own.get("ce_diff") is None else f"{own['ce_diff']:.2f}"
        row = [shares[0], f"{own['l1']:.0f}", f"{own['l0']:.0f}", shares[1], ce, shares[2]]
        found.setdefault(" & ".join(spec["writes"]), []).append(row)
    return found


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f}"


def table(run: Path, published: Path) -> str:
    """Two rows for each hook point: what was published, and the run's."""
    rows, own = [HEADERS, ("---",) * len(HEADERS)], ours(run)
    with published.open(encoding="utf-8", newline="") as file:
        for point, *figures in list(csv.reader(file))[1:]:
            rows.append((point, "published", *figures))
            rows += [("", "monosema", *found) for found in own.get(point, [["–"] * len(figures)])]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("--published", type=Path, default=PUBLISHED, help="figures as CSV")
    settings = parser.parse_args()
    print(table(settings.run, settings.published))


if __name__ == "__main__":
    main()
