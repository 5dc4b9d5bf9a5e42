"""Finding the coefficient that gives a sparsity: whole runs, each corrected by what the ones before it reached.

Short pilots mislead, since the L0 of many trainers falls through the whole run: one that pilots of 300 steps had placed
at an L0 of 32 ended at 9. So the search starts from a guess, or from what the nearest learning rate needed. ln L0 falls
nearly linearly with the logarithm of the coefficient, at a slope that all runs of a trainer tell together.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from .plan import Cell, best_cell, sweep
from .results import Record, Results, l0
from .trainers import Trainer

TRIES, AGAIN = 3, 2
"""Of a cell: where learning rates are compared, and elsewhere."""
NEAR, NEAR_ENOUGH = 0.08, 0.25
"""How far ln L0 may be from the target's: at the best learning rate, and where learning rates are compared."""
USUAL_SLOPE = -1.2
"""Of ln L0 over the coefficient's logarithm, where nothing tells."""


class Run(NamedTuple):
    """A run that a cell still needs."""

    coefficient: float | None


def next_run(cell: Cell, results: Results) -> Run | None:
    """The cell's next run; None once there is nothing to do."""
    if results.failed(cell.id):
        return None
    tries, wanted = results.tries(cell.id), math.log(cell.target)
    if cell.trainer.knob == "target":
        return None if tries else Run(None)
    slope = _slope(cell.trainer, results)
    if not tries:
        return Run(_start(cell, results, slope))
    once = cell.stage in ("l0", "seed", "precision", "twice")
    exact = cell.stage == "lr" and cell == best_cell(cell.trainer, results)
    near = _distance(tries, wanted) < (NEAR if exact else NEAR_ENOUGH)
    return None if near or len(tries) >= (AGAIN if once else TRIES) else Run(_reaching(tries, wanted, slope))


def _distance(runs: Sequence[Record], log_l0: float) -> float:
    return min(abs(math.log(l0(run)) - log_l0) for run in runs)


def _reaching(runs: Sequence[Record], log_l0: float, slope: float) -> float:
    """The coefficient at which ln L0 should be `log_l0`, from the run that came nearest to it."""
    x, y = min(map(_point, runs), key=lambda point: abs(point[1] - log_l0))
    return math.exp(x + (log_l0 - y) / slope)


def _slope(trainer: Trainer, results: Results) -> float:
    """Of ln L0 over ln c: the regression within the groups of runs that differ in their coefficient alone."""
    product = square = 0.0
    for cell in sweep(trainer):
        points = [_point(run) for run in results.tries(cell.id)]
        for x, y in points:
            product += (x - sum(x for x, _ in points) / len(points)) * y
            square += (x - sum(x for x, _ in points) / len(points)) ** 2
    return min(max(product / square, -4.0), -0.4) if square > 0.01 else USUAL_SLOPE


def _start(cell: Cell, results: Results, slope: float) -> float:
    """What this learning rate, or else the nearest one, needed in the sweep; the trainer's guess where none is done."""
    rate = _log_lr(cell)
    done = sorted(sweep(cell.trainer), key=lambda other: abs(_log_lr(other) - rate))
    runs = next((runs for other in done if (runs := results.tries(other.id))), None)
    return _reaching(runs, math.log(cell.target), slope) if runs else cell.trainer.start


def _log_lr(cell: Cell) -> float:
    return math.log(cell.lr or cell.trainer.default_lr or 1e-3)


def _point(run: Record) -> tuple[float, float]:
    return math.log(run["coefficient"]), math.log(l0(run))
