"""Rules: what a token has to be, or to have around it, for a feature to fire on it; and how they read."""

from dataclasses import dataclass

import numpy as np

from monosema.interpretation.families import FAMILIES, quoted
from monosema.interpretation.text import Text


@dataclass(frozen=True)
class Condition:
    """One of some numbers of a family is there, or none of them."""

    family: str
    listed: tuple[int, ...]
    without: bool = False

    def holds(self, text: Text, tokens: np.ndarray) -> np.ndarray:
        """Of each token, whether the condition does."""
        return FAMILIES[self.family].holds(text, tokens, self.listed) != self.without


@dataclass(frozen=True)
class Rule:
    """Clauses of conditions: a token is called firing if all conditions of one clause hold; without any, none is."""

    clauses: tuple[tuple[Condition, ...], ...]

    def holds(self, text: Text, tokens: np.ndarray) -> np.ndarray:
        """Whether each token is called firing."""
        called = np.zeros(len(tokens), dtype=bool)
        for clause in self.clauses:
            left = np.flatnonzero(~called)
            for condition in sorted(clause, key=_place):  # those that take longest last, of the fewest tokens
                left = left[condition.holds(text, tokens[left])]
            called[left] = True
        return called

    def words(self, text: Text) -> str:
        """The rule as a sentence without its subject: "on `self` after `(`; or before `import`"."""
        return "; or ".join(_clause(clause, text) for clause in self.clauses)


def _place(condition: Condition) -> int:
    return list(FAMILIES).index(condition.family)


def _clause(clause: tuple[Condition, ...], text: Text) -> str:
    """What has to be there, in the families' order; then what must not be."""
    conditions = sorted(clause, key=lambda condition: (condition.without, _place(condition)))
    return " ".join(_phrase(condition, text) for condition in conditions)


def _phrase(condition: Condition, text: Text) -> str:
    family = FAMILIES[condition.family]
    if family.size > 1 and len(condition.listed) == 1 and not condition.without:
        (key,), base = condition.listed, len(text.vocabulary)
        before = "".join(text.shown(key // base**back % base) for back in range(family.size - 1, 0, -1))
        return f"on {quoted(text.shown(key % base))} after {quoted(before)}"
    names = [family.label(text, key) for key in condition.listed]
    listed = ", ".join(names[:-1]) + (" or " if len(names) > 1 else "") + names[-1]
    return (family.without if condition.without else family.phrase).format(listed)
