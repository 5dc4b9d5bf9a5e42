"""Finding the rule that tells best where a feature fires.

Each example has a weight, positive where the feature fires and negative where it does not, so that the sum over what a
rule calls firing is its balanced accuracy less 1/2 (with strong activations counting for more). So the best list of a
family's numbers is those with the largest sums of their own, and what a condition adds to others is told by the
examples that these leave.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from monosema.interpretation.examples import Examples
from monosema.interpretation.families import FAMILIES
from monosema.interpretation.rules import Condition, Rule
from monosema.interpretation.text import MISSING, Text


@dataclass(frozen=True)
class SearchOptions:
    """How long a rule may get, and what each part of it must be good for: shares of balanced accuracy, on the examples
    that it is learnt from."""

    conditions: int = 3
    """Of a clause, at most."""
    clauses: int = 2
    noise: float = 1.0
    """What a number that is listed must add, in units of √(2 ln m) standard deviations of what it would add by chance,
    for a family of m numbers: the largest of m sums of noise is about as large (Donoho and Johnstone 1994)."""
    listed: float = 0.002
    """What a number that is listed has to be worth when rules are compared; a pair of tokens counts twice."""
    condition: float = 0.02
    """What a further condition must add."""
    clause: float = 0.03
    """What a further clause must add."""
    seen: int = 2
    """Activating (or other) examples that a number must have to be listed (or left out)."""
    beam: int = 4
    """Clauses that are kept at a time."""


@dataclass(frozen=True)
class _Entries:
    """The numbers that examples have in one family: entry i says that example `rows[i]` has `keys[codes[i]]`."""

    rows: np.ndarray
    codes: np.ndarray
    keys: np.ndarray

    alone: bool
    """Whether no example has two of them."""

    def sums(self, weights: np.ndarray, noise: float) -> np.ndarray:
        """Of each number, the weight of its examples; 0 where chance could have given as much."""
        own = weights[self.rows]
        sums, squares = (np.bincount(self.codes, values, len(self.keys)) for values in (own, own * own))
        return np.where(sums * sums > 2 * np.log(len(self.keys)) * noise**2 * squares, sums, 0.0)

    def examples(self, places: np.ndarray, count: int) -> np.ndarray:
        """Whether each of `count` examples has one of the numbers at some places."""
        wanted = np.zeros(len(self.keys), dtype=bool)
        wanted[places] = True
        found = np.zeros(count, dtype=bool)
        found[self.rows[wanted[self.codes]]] = True
        return found


@dataclass(frozen=True)
class _Step:
    """Conditions that hold together, and on which examples."""

    conditions: tuple[Condition, ...]
    called: np.ndarray
    gain: float
    """The weight of these."""

    @property
    def length(self) -> int:
        """Tokens that it names, or as many as what it names is as long as."""
        families = [FAMILIES[condition.family] for condition in self.conditions]
        costs = [family.costs or family.size for family in families]
        return sum(cost * len(condition.listed) for cost, condition in zip(costs, self.conditions, strict=True))


class Search:
    """The search for one feature's rule.

    Args:
        text: where it fires.
        examples: to learn from.
        options: how long the rule may get.
    """

    def __init__(self, text: Text, examples: Examples, options: SearchOptions = SearchOptions()):
        self.options, self._weights = options, examples.weights
        self._entries = {
            name: _entries(family.keys(text, examples.tokens), self._weights, options.seen)
            for name, family in FAMILIES.items()
        }

    def rule(self) -> Rule:
        """The best rule that was found; one without clauses where none is better than chance."""
        clauses: list[tuple[Condition, ...]] = []
        called = np.zeros(len(self._weights), dtype=bool)
        for number in range(self.options.clauses):
            found = self._clause(np.where(called, 0.0, self._weights))
            if found is None or found.gain < (self.options.clause if number else self.options.condition):
                break
            clauses.append(found.conditions)
            called |= found.called
        return Rule(tuple(clauses))

    def _clause(self, weights: np.ndarray) -> _Step | None:
        """The conditions that together have the largest weight."""
        everything = _Step((), np.ones(len(weights), dtype=bool), float(weights.sum()))
        beam = self._best(self._further(everything, weights, negated=False))
        best = beam[0] if beam else None
        for _ in range(self.options.conditions - 1):
            longer = [more for step in beam for more in self._further(step, weights, negated=True)]
            better = [self._refitted(step, weights) for step in self._best(longer)]
            beam = self._best(better)
            if best is None or not beam or beam[0].gain < best.gain + self.options.condition:
                break
            best = beam[0]
        return best

    def _best(self, steps: Iterable[_Step]) -> list[_Step]:
        return sorted(steps, key=lambda step: self.options.listed * step.length - step.gain)[: self.options.beam]

    def _further(self, step: _Step, weights: np.ndarray, *, negated: bool) -> Iterator[_Step]:
        """The step with one more condition, of each family that it has none of; or with one that must not hold."""
        left = np.where(step.called, weights, 0.0)
        used = {condition.family for condition in step.conditions}
        for name in (name for name in self._entries if name not in used):  # in their order, which settles ties
            for without in (False, True) if negated else (False,):
                found = self._condition(name, -left if without else left, without=without)
                if found is not None:
                    condition, holds = found
                    called = step.called & holds
                    yield _Step((*step.conditions, condition), called, float(weights[called].sum()))

    def _refitted(self, step: _Step, weights: np.ndarray) -> _Step:
        """The same with the first condition's list chosen anew, now that others hold, too."""
        first, *others = step.conditions
        held = np.ones(len(weights), dtype=bool)
        for condition in others:
            held &= self._holds(condition)
        found = self._condition(first.family, np.where(held, weights, 0.0), without=False)
        if found is None:
            return step
        called = held & found[1]
        gain = float(weights[called].sum())
        return replace(step, conditions=(found[0], *others), called=called, gain=gain) if gain > step.gain else step

    def _holds(self, condition: Condition) -> np.ndarray:
        entries = self._entries[condition.family]
        places = np.flatnonzero(np.isin(entries.keys, condition.listed))
        return entries.examples(places, len(self._weights)) != condition.without

    def _condition(self, name: str, weights: np.ndarray, *, without: bool) -> tuple[Condition, np.ndarray] | None:
        """The list of a family's numbers with the largest weight, and where one of them is, or where none is."""
        entries, most = self._entries[name], FAMILIES[name].listing
        chosen: list[int] = []
        called, left = np.zeros(len(weights), dtype=bool), weights
        while len(chosen) < most and len(entries.keys):
            sums = entries.sums(left, self.options.noise)
            # Where an example has one number alone, all are chosen at once; else those of others change with each.
            count = most if entries.alone else 1
            order = np.argsort(-sums, kind="stable")[:count]
            order = order[sums[order] > 0]
            chosen += order.tolist()
            if not len(order):
                break
            called |= entries.examples(order, len(weights))
            left = np.where(called, 0.0, weights)
            if count > 1:
                break
        if not chosen:
            return None
        return Condition(name, tuple(int(entries.keys[place]) for place in chosen), without), called != without


def _entries(keys: np.ndarray, weights: np.ndarray, seen: int) -> _Entries:
    """Which examples have which numbers, without those that too few of either kind have.

    Args:
        keys: `[examples, n]`, `MISSING` where there are fewer.
        weights: of the examples.
        seen: activating examples, or others, that a number must have.
    """
    keys = _each_once(keys)
    rows, columns = np.nonzero(keys != MISSING)
    kinds, codes = np.unique(keys[rows, columns], return_inverse=True)
    firing = weights[rows] > 0
    counts = np.bincount(codes, firing, len(kinds)), np.bincount(codes, ~firing, len(kinds))
    kept = np.maximum(*counts) >= seen
    number = np.cumsum(kept) - 1
    there = kept[codes]
    rows = rows[there]
    return _Entries(rows, number[codes[there]], kinds[kept], alone=len(rows) == len(np.unique(rows)))


def _each_once(keys: np.ndarray) -> np.ndarray:
    """The numbers of each row, those that come again replaced by `MISSING`."""
    found = np.sort(keys, axis=1)
    found[:, 1:][found[:, 1:] == found[:, :-1]] = MISSING
    return found
