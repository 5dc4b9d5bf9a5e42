"""The figures as tables in Markdown."""

from collections import Counter
from collections.abc import Sequence

from .curves import best_at, curve, lead
from .plan import FIRST, PRECISION, SECOND, STAGES, TWICE, Cell, best_cell, comparable, plan, sweep
from .results import Record, Results, fve, l0
from .search import next_run
from .trainers import (
    BY_FAMILY,
    FAMILIES,
    LEARNING_RATES,
    LIBRARIES,
    OURS,
    PEERS,
    TARGET,
    TARGETS,
    TRAINERS,
    Trainer,
)

NONE = "–"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first column is text, the others are figures."""
    if not rows:
        return "(nothing yet)"
    lines = [headers, ["---", *["---:"] * (len(headers) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def label(trainer: Trainer) -> str:
    """`recipe` by library."""
    return f"{LIBRARIES[trainer.library]} `{trainer.architecture}`"


def rate_of(cell: Cell, record: Record) -> str:
    """The learning rate as a number, even where it is the default."""
    return f"{record['lr']:g}" if isinstance(record.get("lr"), float) else str(record.get("lr", NONE))


def main_table(results: Results) -> str:
    """Each trainer at its best learning rate and at its default; the best of each family is bold."""
    headers = [
        "",
        "lr",
        "L0",
        "FVE (%)",
        "CE recovered (%)",
        "alive (%)",
        "core minutes",
        "default lr",
        "FVE there (%)",
    ]
    rows = []
    for family in FAMILIES:
        found = {t: best for t in BY_FAMILY if t.family == family and (best := _best(t, results))}
        found = dict(sorted(found.items(), key=lambda item: -comparable(item[1][1])))
        for place, (trainer, (cell, record)) in enumerate(found.items()):
            default = default_run(trainer, results)
            there = [rate_of(cell, default), fve_at(default)] if default else [NONE, NONE]
            row = [label(trainer), rate_of(cell, record), *figures(record), minutes(record), *there]
            rows.append([f"**{text}**" if place == 0 else text for text in row])
    return table(headers, rows)


def rate_table(results: Results) -> str:
    """Held-out FVE of every trainer at every learning rate."""
    rows = []
    for trainer in BY_FAMILY:
        runs = [results.best_try(cell.id) for cell in sweep(trainer) if cell.lr is not None]
        default = default_run(trainer, results)
        if any(runs) or default:
            alone = default is not None and None in trainer.rates
            shown = f"{fve_at(default)} ({rate_of(sweep(trainer)[0], default)})" if default and alone else NONE
            rows.append([label(trainer), *map(fve_at, runs), shown])
    return table(["", *[f"{lr:g}" for lr in LEARNING_RATES], "another default"], rows)


def curve_table(results: Results) -> str:
    """FVE and CE recovered over the sparsities."""
    rows = []
    for trainer in BY_FAMILY:
        runs = curve(trainer, results)
        if len(runs) > 1:
            rows.append([label(trainer), *[_curve_figure(runs.get(target)) for target in TARGETS]])
    return table(["", *[f"L0 about {target}" for target in TARGETS]], rows)


def lead_table(results: Results) -> str:
    """What the best of our recipes of the family explains beyond a peer, in points, at the L0 that the peer has."""
    rows = []
    for trainer in (trainer for trainer in BY_FAMILY if trainer.library != "ours"):
        leads = [lead(trainer, target, results) for target in TARGETS]
        if any(points is not None for points in leads):
            rows.append([label(trainer), *[NONE if points is None else f"{100 * points:+.1f}" for points in leads]])
    return table(["", *[f"L0 about {target}" for target in TARGETS]], rows)


def best_table(results: Results) -> str:
    """The best of ours beside the best peer at each sparsity."""
    rows = []
    for target in TARGETS:
        ours, theirs = best_at(target, OURS, results), best_at(target, PEERS, results)
        if ours and theirs:
            less = 1 - (1 - ours[1]) / (1 - theirs[1])
            named = [text for trainer, value in (ours, theirs) for text in (label(trainer), percent(value))]
            rows.append([str(target), *named, f"{100 * less:.0f} %"])
    return table(["L0", "best of ours", "FVE (%)", "best peer", "FVE (%)", "less unexplained"], rows)


def repeat_table(results: Results) -> str:
    """The best learning rate with a second seed, and at a second hook point."""
    rows = []
    for trainer in BY_FAMILY:
        best = _best(trainer, results)
        if best is None:
            continue
        seed = results.best_try(best[0]._replace(seed=1).id)
        point = results.best_try(best[0]._replace(point=SECOND).id)
        if seed or point:
            rows.append([label(trainer), fve_at(best[1]), fve_at(seed), fve_at(point), _ce(point)])
    headers = [f"FVE (%), `{FIRST}`", "second seed", f"`{SECOND}`", f"CE recovered (%), `{SECOND}`"]
    return table(["", *headers], rows)


def twice_table(results: Results) -> str:
    """Our recipes after a second pass over the tokens, against the best peer, small differences in L0 allowed for."""
    peers = {t: best for t in BY_FAMILY if t.library != "ours" and (best := _best(t, results))}
    if not peers:
        return table([], [])
    first, (_, peer) = max(peers.items(), key=lambda item: comparable(item[1][1]))
    rows = [[label(first), *_cost(peer), NONE]]
    for name in TWICE:
        for what, stage in (("one pass", "lr"), ("two passes", "twice")):
            run = results.best_try(Cell(stage, TRAINERS[name], FIRST, None, TARGET).id)
            if run:
                less = 1 - (1 - comparable(run)) / (1 - comparable(peer))
                rows.append([f"{label(TRAINERS[name])}, {what}", *_cost(run), f"{100 * less:.0f} %"])
    return table(["", "L0", "FVE (%)", "CE recovered (%)", "core minutes", "less unexplained"], rows)


def _cost(record: Record) -> list[str]:
    return [f"{l0(record):.1f}", percent(fve(record)), _ce(record), minutes(record)]


def precision_table(results: Results) -> str:
    """What bfloat16 products do to quality and time."""
    rows = []
    for name, lr in PRECISION.items():
        cell = Cell("precision", TRAINERS[name], FIRST, lr, TARGET)
        full, half = results.best_try(cell.id), results.best_try(cell._replace(stage="lr").id)
        if full and half:
            rows.append([label(TRAINERS[name]), fve_at(half), minutes(half), fve_at(full), minutes(full)])
    return table(["", "FVE (%), bfloat16", "core minutes", "FVE (%), float32", "core minutes"], rows)


def missing(results: Results) -> list[str]:
    """What of the plan has not been run, or failed, in words; a line for each trainer."""
    found: dict[Trainer, Counter[str]] = {}
    for cell in plan(BY_FAMILY, results):
        failed = results.failed(cell.id)
        if failed or next_run(cell, results):
            what = STAGES[cell.stage] + (" (failed)" if failed else "")
            found.setdefault(cell.trainer, Counter())[what] += 1
    return [
        f"{label(trainer)}: " + ", ".join(f"{count} × {what}" for what, count in counts.items())
        for trainer, counts in found.items()
    ]


def default_run(trainer: Trainer, results: Results) -> Record | None:
    """The run at the library's own learning rate."""
    lr = None if None in trainer.rates else trainer.default_lr
    return results.best_try(Cell("lr", trainer, FIRST, lr, TARGET).id)


def percent(share: float | None) -> str:
    """With one decimal."""
    return NONE if share is None else f"{100 * share:.1f}"


def fve_at(record: Record | None) -> str:
    """FVE in per cent, with the L0 where it is not what was wanted."""
    if record is None:
        return NONE
    off = abs(l0(record) / record["target"] - 1) > 0.05
    return percent(fve(record)) + (f" (L0 {l0(record):.0f})" if off else "")


def figures(record: Record) -> list[str]:
    """L0, FVE, CE recovered and alive."""
    alive = record["metrics"]["alive"] if "metrics" in record else None
    return [f"{l0(record):.1f}", percent(fve(record)), _ce(record), percent(alive)]


def minutes(record: Record) -> str:
    """What the training steps took."""
    return f"{record['core_minutes']:.1f}" if "core_minutes" in record else "GPU"


def _best(trainer: Trainer, results: Results) -> tuple[Cell, Record] | None:
    cell = best_cell(trainer, results)
    record = results.best_try(cell.id) if cell else None
    return (cell, record) if cell and record else None


def _curve_figure(record: Record | None) -> str:
    if record is None:
        return NONE
    return f"{percent(fve(record))} / {_ce(record)}" + (f" (L0 {l0(record):.0f})" if "(" in fve_at(record) else "")


def _ce(record: Record | None) -> str:
    return percent(record["metrics"]["ce_recovered"]) if record and "metrics" in record else NONE
