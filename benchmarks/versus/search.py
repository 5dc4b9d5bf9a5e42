"""Finding the coefficient that gives a sparsity: short pilot runs, then the whole run, then a correction or two.

ln L0 falls nearly linearly with the logarithm of the coefficient; pilots give the line, and how far whole runs lie from
pilots is learned from the learning rates done before.
"""

import math
from collections.abc import Sequence

from .plan import FIRST, Cell, sweep
from .results import Record, Results, l0

PILOT_STEPS = 300
PILOTS, TRIES = 3, 3
NEAR, NEAR_PILOT = 0.08, 0.25
"""How far ln L0 may be from the target's."""
USUAL_SLOPE = -1.2
"""Of ln L0 over the coefficient's logarithm, where there is only one run."""


class Line:
    """ln L0 = a + b ln c, through the last of some runs."""

    def __init__(self, runs: Sequence[Record]):
        self.points = [(math.log(run["coefficient"]), math.log(l0(run))) for run in runs]
        self.slope = _slope(self.points)

    def at(self, log_c: float) -> float:
        """ln L0 where the coefficient's logarithm is `log_c`."""
        x, y = min(self.points, key=lambda point: abs(point[0] - log_c))
        return y + self.slope * (log_c - x)

    def reaching(self, log_l0: float) -> float:
        """The coefficient at which ln L0 is `log_l0`, from the run that came nearest to it."""
        x, y = min(self.points, key=lambda point: abs(point[1] - log_l0))
        return math.exp(x + (log_l0 - y) / self.slope)


def _slope(points: Sequence[tuple[float, float]]) -> float:
    mean_x, mean_y = (sum(values) / len(values) for values in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if spread < 1e-3:
        return USUAL_SLOPE
    return min(max(sum((x - mean_x) * (y - mean_y) for x, y in points) / spread, -4.0), -0.4)


def next_run(cell: Cell, results: Results) -> tuple[str, float | None] | None:
    """The kind of the cell's next run, `try` or `pilot`, and its coefficient; None once there is nothing to do."""
    tries, failures = results.tries(cell.id), results.failed(cell.id)
    if failures:
        return None
    if cell.trainer.knob == "target":
        return None if tries else ("try", None)
    if cell.stage in ("l0", "seed"):
        return None if tries else ("try", _from_the_sweep(cell, results))
    wanted = math.log(cell.target)
    if tries:
        near = min(abs(math.log(l0(run)) - wanted) for run in tries) < NEAR
        known = tries if len(tries) > 1 else [*results.pilots(cell.id)]
        line = Line(tries)
        line.slope = Line(known).slope if known else line.slope
        return None if near or len(tries) >= TRIES else ("try", line.reaching(wanted))
    pilots = results.pilots(cell.id)
    if not pilots:
        return "pilot", _start(cell, results)
    wanted -= _offset(cell, results)
    line = Line(pilots)
    if len(pilots) < PILOTS and min(abs(y - wanted) for _, y in line.points) > NEAR_PILOT:
        return "pilot", line.reaching(wanted)
    return "try", line.reaching(wanted)


def _from_the_sweep(cell: Cell, results: Results) -> float:
    """The coefficient of the sweep's run at this learning rate, moved along its line to the new target."""
    same = cell._replace(target=32, seed=0, point=FIRST)
    run = results.best_try(same.id)
    assert run is not None
    known = results.tries(same.id) if len(results.tries(same.id)) > 1 else results.pilots(same.id)
    slope = Line(known or [run]).slope
    return run["coefficient"] * math.exp((math.log(cell.target) - math.log(l0(run))) / slope)


def _start(cell: Cell, results: Results) -> float:
    done = [run for other in sweep(cell.trainer) if (run := results.best_try(other.id))]
    return done[-1]["coefficient"] if done else cell.trainer.start


def _offset(cell: Cell, results: Results) -> float:
    """How much larger ln L0 is after a whole run than after a pilot with the same coefficient."""
    found = [
        math.log(l0(run)) - Line(pilots).at(math.log(run["coefficient"]))
        for other in sweep(cell.trainer)
        if (run := results.best_try(other.id)) and (pilots := results.pilots(other.id))
    ]
    return sum(found) / len(found) if found else 0.0
