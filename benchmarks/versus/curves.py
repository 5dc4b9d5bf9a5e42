"""Curves of variance explained over sparsity, compared at equal sparsity."""

import math
from collections.abc import Sequence
from itertools import pairwise

from .plan import best_cell
from .results import Record, Results, fve, l0
from .trainers import BY_FAMILY, TARGETS, Trainer


def curve(trainer: Trainer, results: Results) -> dict[int, Record]:
    """The runs at the best learning rate, by the sparsity that was wanted."""
    best = best_cell(trainer, results)
    runs = {target: results.best_try(best._replace(target=target).id) for target in TARGETS} if best else {}
    return {target: run for target, run in runs.items() if run}


def fve_on(runs: list[Record], at: float) -> float | None:
    """FVE at an L0, on straight lines over log L0 between runs; beyond the ends, by up to a tenth, on the last line."""
    points = sorted((math.log(l0(run)), fve(run)) for run in runs)
    if len(points) < 2 or not points[0][0] - 0.1 <= math.log(at) <= points[-1][0] + 0.1:
        return None
    x = math.log(at)
    (x0, y0), (x1, y1) = next((pair for pair in pairwise(points) if x <= pair[1][0]), (points[-2], points[-1]))
    return y0 + (x - x0) / (x1 - x0) * (y1 - y0)


def lead(peer: Trainer, target: int, results: Results) -> float | None:
    """How much more the best of our recipes of the family explains at the L0 that the peer has."""
    run = curve(peer, results).get(target)
    if run is None:
        return None
    ours = [fve_on(list(curve(t, results).values()), l0(run)) for t in counterparts(peer)]
    known = [value for value in ours if value is not None]
    return max(known) - fve(run) if known else None


def best_at(target: float, trainers: Sequence[Trainer], results: Results) -> tuple[Trainer, float] | None:
    """Which of some trainers explains the most at exactly an L0, and how much."""
    found = {t: value for t in trainers if (value := fve_on(list(curve(t, results).values()), target)) is not None}
    return max(found.items(), key=lambda item: item[1]) if found else None


def counterparts(peer: Trainer) -> list[Trainer]:
    """Our recipes of the peer's family."""
    return [t for t in BY_FAMILY if t.library == "ours" and t.family == peer.family]
