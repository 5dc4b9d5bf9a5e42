"""Finding the coefficient that gives a sparsity: short pilot runs, then the whole run, at the best rate corrected.

ln L0 falls nearly linearly with the logarithm of the coefficient, at a slope that all runs of a trainer tell together;
how far whole runs lie from pilots is learned from the learning rates done before.
"""

import math
from collections.abc import Sequence

from .plan import FIRST, Cell, best_cell, sweep, swept
from .results import Record, Results, l0
from .trainers import TARGET, Trainer

PILOT_STEPS = 300
PILOTS, TRIES = 3, 3
NEAR, NEAR_PILOT = 0.08, 0.25
"""How far ln L0 may be from the target's."""
USUAL_SLOPE = -1.2
"""Of ln L0 over the coefficient's logarithm, where nothing tells."""


def next_run(cell: Cell, results: Results) -> tuple[str, float | None] | None:
    """The kind of the cell's next run, `try` or `pilot`, and its coefficient; None once there is nothing to do."""
    tries = results.tries(cell.id)
    if results.failed(cell.id):
        return None
    if cell.trainer.knob == "target" or cell.stage in ("l0", "seed", "precision"):
        return None if tries else ("try", _from_the_sweep(cell, results))
    slope, wanted = _slope(cell.trainer, results), math.log(cell.target)
    if tries:
        exact = swept(cell.trainer, results) and cell == best_cell(cell.trainer, results)
        done = _distance(tries, wanted) < (NEAR if exact else NEAR_PILOT) or len(tries) >= TRIES
        return None if done else ("try", _reaching(tries, wanted, slope))
    pilots = results.pilots(cell.id)
    if not pilots:
        return "pilot", _start(cell, results)
    wanted -= _offset(cell, results, slope)
    ready = _distance(pilots, wanted) < NEAR_PILOT or len(pilots) >= PILOTS
    return "try" if ready else "pilot", _reaching(pilots, wanted, slope)


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
        for runs in (results.tries(cell.id), results.pilots(cell.id)):
            points = [_point(run) for run in runs]
            for x, y in points:
                product += (x - sum(x for x, _ in points) / len(points)) * y
                square += (x - sum(x for x, _ in points) / len(points)) ** 2
    return min(max(product / square, -4.0), -0.4) if square > 0.01 else USUAL_SLOPE


def _from_the_sweep(cell: Cell, results: Results) -> float | None:
    """The coefficient of the sweep's run at this learning rate, moved along the slope to the new target."""
    if cell.trainer.knob == "target":
        return None
    runs = results.tries(cell._replace(stage="lr", target=TARGET, seed=0, point=FIRST).id)
    return _reaching(runs, math.log(cell.target), _slope(cell.trainer, results))


def _start(cell: Cell, results: Results) -> float:
    """The coefficient found at the learning rate before this one."""
    found = [run for other in sweep(cell.trainer) if (run := results.best_try(other.id))]
    return found[-1]["coefficient"] if found else cell.trainer.start


def _offset(cell: Cell, results: Results, slope: float) -> float:
    """How much larger ln L0 is after a whole run than after a pilot with the same coefficient."""
    offsets = []
    for other in sweep(cell.trainer):
        run, pilots = results.best_try(other.id), results.pilots(other.id)
        if run and pilots:
            (x, y), (pilot_x, pilot_y) = _point(run), _point(pilots[-1])
            offsets.append(y - pilot_y - slope * (x - pilot_x))
    return sum(offsets) / len(offsets) if offsets else 0.0


def _point(run: Record) -> tuple[float, float]:
    return math.log(run["coefficient"]), math.log(l0(run))
