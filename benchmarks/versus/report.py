"""Writes the figures into docs/quality.md, between its markers, and draws the pictures."""

from pathlib import Path

from .curves import curve
from .plan import FIRST
from .results import Record, Results, fve, l0
from .tables import (
    best_table,
    curve_table,
    lead_table,
    main_table,
    missing,
    precision_table,
    rate_table,
    repeat_table,
    twice_table,
)
from .trainers import BY_FAMILY, FAMILIES, LIBRARIES, TARGET

BEGIN, END = "<!-- figures: begin (benchmarks/quality.py --report) -->", "<!-- figures: end -->"
TITLES = {
    "topk": "TopK",
    "batch_topk": "BatchTopK",
    "jumprelu": "JumpReLU",
    "l1": "L1 and its kin",
    "gated": "Gated",
    "matryoshka": "Matryoshka",
}
STYLES = {"ours": "-", "dl": "--", "sl": ":"}
MARKERS = {"ours": "o", "dl": "s", "sl": "^"}
COLOURS = {
    "ours": ["#0072b2", "#56b4e9", "#009e73"],
    "dl": ["#d55e00", "#e69f00", "#7f3b08"],
    "sl": ["#555555", "#999999"],
}


def write_report(results: Results, docs: Path) -> None:
    """Replaces what is between the markers, and the pictures; says what is missing."""
    page = docs / "quality.md"
    before, rest = page.read_text().split(BEGIN)
    _, after = rest.split(END)
    page.write_text(before + BEGIN + "\n\n" + figures(results) + "\n\n" + END + after)
    draw(results, docs / "images" / "quality-fve.png", "variance explained", fve)
    draw(results, docs / "images" / "quality-ce.png", "cross-entropy recovered", _ce)


def figures(results: Results) -> str:
    """All tables, with their headings."""
    todo = missing(results)
    done = sum("quick" in record for record in results.records.values())
    spent = sum(record.get("core_minutes", 0) for record in results.records.values()) / 60
    parts = [
        f"## At {TARGET} active features",
        f"`{FIRST}`, seed 0, each trainer at its best learning rate of the sweep and at its library's default; the "
        "best of each family in bold.",
        main_table(results),
        "## Over the sparsity",
        "![Variance explained over active features per token](images/quality-fve.png)",
        "![Cross-entropy recovered over active features per token](images/quality-ce.png)",
        "FVE / CE recovered, in per cent, at the best learning rate; the L0 reached where it is more than 5 % off.",
        curve_table(results),
        "How many points of FVE the best of our recipes of a family lies above a peer, at exactly the L0 that the peer "
        "has (between our runs, on a straight line over log L0):",
        lead_table(results),
        "The best of ours and the best peer, of any family, at exactly an L0 (on the same lines):",
        best_table(results),
        "## Learning rates",
        f"FVE in per cent at an L0 of {TARGET}.",
        rate_table(results),
        "## The same tokens twice",
        "Against the peer that explains the most at its best learning rate, small differences in L0 allowed for:",
        twice_table(results),
        "## A second seed, a second hook point",
        repeat_table(results),
        "## Precision",
        precision_table(results),
        f"{done} runs, those of the search for coefficients among them; {spent:.1f} core hours in training steps.",
    ]
    if todo:
        parts += ["Not run yet:", "\n".join(f"- {line}" for line in todo)]
    return "\n\n".join(parts)


def draw(results: Results, path: Path, title: str, value) -> None:
    """One panel for each family, one line for each trainer that has been run at several sparsities."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    figure = Figure(figsize=(11, 8), layout="constrained")
    for family, axes in zip(FAMILIES, figure.subplots(2, 3, sharey=True).flat, strict=True):
        used = dict.fromkeys(STYLES, 0)
        for trainer in (trainer for trainer in BY_FAMILY if trainer.family == family):
            runs = [run for run in curve(trainer, results).values() if value(run) is not None]
            points = sorted((l0(run), 100 * value(run)) for run in runs)
            if points:
                colours = COLOURS[trainer.library]
                axes.plot(
                    *zip(*points, strict=True),
                    linestyle=STYLES[trainer.library],
                    marker=MARKERS[trainer.library],
                    color=colours[used[trainer.library] % len(colours)],
                    label=f"{LIBRARIES[trainer.library]} {trainer.architecture}",
                )
                used[trainer.library] += 1
        axes.set(title=TITLES[family], xscale="log", xticks=[16, 32, 64, 128])
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
        if any(used.values()):
            axes.legend(fontsize=8, loc="lower right")
    low, high = figure.axes[0].get_ylim()
    figure.axes[0].set_ylim(low - 0.4 * (high - low), high)  # room for the legends
    figure.supxlabel("active features per token")
    figure.supylabel(f"{title} (%)")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _ce(record: Record) -> float | None:
    return record["metrics"]["ce_recovered"] if "metrics" in record else None
