"""What to run, in order of importance, and which learning rate is a trainer's best."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .results import Record, Results, fve, l0
from .trainers import LEARNING_RATES, TARGET, TARGETS, TRAINERS, Trainer

FIRST, SECOND = "resid_post.2", "mlp_out.1"
STAGES = {
    "lr": "learning rates",
    "precision": "float32",
    "l0": "sparsities",
    "seed": "second seed",
    "point": "second hook point",
    "twice": "the same tokens twice",
}
TWICE = ("ours/batch_topk", "ours/topk", "ours/gated")
"""Trainers that go over the tokens a second time, which takes them about as long as the peers take for once."""
PRECISION = {"dl/topk": 2.5e-3, "sl/batchtopk": 2.5e-3}
"""Trainers and learning rates that are run in float32 too, to see whether bfloat16 does harm."""
FVE_PER_LOG_L0 = 0.06
"""How much more is explained by e times as many active features, near the target: corrects small differences in L0
where learning rates are compared."""


class Cell(NamedTuple):
    """One figure that is wanted; a coefficient may take several runs to find."""

    stage: str
    trainer: Trainer
    point: str
    lr: float | None
    """None stands for the library's default."""
    target: int
    seed: int = 0

    @property
    def autocast(self) -> bool:
        """Whether matrix products are in bfloat16."""
        return self.trainer.autocast and self.stage != "precision"

    @property
    def passes(self) -> int:
        """How often it goes over the tokens."""
        return 2 if self.stage == "twice" else 1

    @property
    def id(self) -> str:
        """Names the cell in files and results."""
        rate = "default" if self.lr is None else f"{self.lr:g}"
        apart = {"precision": "/float32", "twice": "/twice"}.get(self.stage, "")
        return f"{self.trainer.name}/{self.point}/lr={rate}/l0={self.target}/seed={self.seed}{apart}"


def sweep(trainer: Trainer) -> list[Cell]:
    """Every learning rate at the common sparsity."""
    return [Cell("lr", trainer, FIRST, lr, TARGET) for lr in trainer.rates]


def wanted(trainer: Trainer, rates: Sequence[float | None] | None = None) -> list[Cell]:
    """The sweep from the middle outwards, as the middle rates explain the most; `rates`: these of it alone."""
    lowest, low, middle, high = LEARNING_RATES
    cells = {cell.lr: cell for cell in sweep(trainer)}
    order = dict.fromkeys((middle, high, low, lowest, *cells))
    return [cells[lr] for lr in order if rates is None or lr in rates]


def plan(trainers: Sequence[Trainer], results: Results, rates: Sequence[float | None] | None = None) -> Iterator[Cell]:
    """All cells, the most important first; those at the best learning rate come once it is known."""
    for trainer in trainers:
        yield from wanted(trainer, rates)
        if trainer.name in PRECISION:
            yield Cell("precision", trainer, FIRST, PRECISION[trainer.name], TARGET)
        if trainer.name in TWICE:
            yield Cell("twice", trainer, FIRST, None, TARGET)
    known = [(t, cell.lr) for t in trainers if swept(t, results, rates) and (cell := best_cell(t, results))]
    for target in (target for target in TARGETS if target != TARGET):
        yield from (Cell("l0", trainer, FIRST, lr, target) for trainer, lr in known)
    yield from (Cell("seed", trainer, FIRST, lr, TARGET, 1) for trainer, lr in known)
    yield from (Cell("point", trainer, SECOND, lr, TARGET) for trainer, lr in known)


def swept(trainer: Trainer, results: Results, rates: Sequence[float | None] | None = None) -> bool:
    """Whether every learning rate that is wanted has been tried."""
    return all(results.tries(cell.id) or results.failed(cell.id) for cell in wanted(trainer, rates))


def best_cell(trainer: Trainer, results: Results) -> Cell | None:
    """The learning rate that explains the most of those tried, small differences in sparsity allowed for.

    One that never came within half and twice the sparsity that was wanted is best only where none did.
    """
    tried = {cell: record for cell in sweep(trainer) if (record := results.best_try(cell.id))}
    near = {cell: record for cell, record in tried.items() if 0.5 <= l0(record) / record["target"] <= 2}
    tried = near or tried
    return max(tried, key=lambda cell: comparable(tried[cell]), default=None)


def comparable(record: Record) -> float:
    """What the run would explain, about, if it had the sparsity that was wanted."""
    return fve(record) - FVE_PER_LOG_L0 * math.log(l0(record) / record["target"])


def chosen(trainers: Sequence[str] | None, library: str | None = None) -> list[Trainer]:
    """The trainers that are named, and those whose names contain a word that is no trainer's whole name."""
    words = [word for word in trainers or () if word not in TRAINERS]
    wanted = {*(trainers or TRAINERS), *(name for name in TRAINERS if any(word in name for word in words))}
    found = [trainer for name, trainer in TRAINERS.items() if name in wanted]
    return [t for t in found if library is None or t.library == library]
