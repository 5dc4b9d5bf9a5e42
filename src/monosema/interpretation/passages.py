"""Passages of a text as a language model is shown them: some in which a feature fires, some in which it does not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from monosema.analysis.render import one_line
from monosema.interpretation.activity import Activity
from monosema.interpretation.examples import draw_examples
from monosema.interpretation.prompts import CLOSE, OPEN

BEFORE, AFTER = 24, 7
"""Tokens of a passage before and after the one that it is drawn by: 32 in all, as in delphi."""
MARKED = 0.3
"""Tokens are marked that are at least this share as strong as the strongest of their passage, as in delphi."""
_INNER = str.maketrans({OPEN: "‹", CLOSE: "›"})


@dataclass(frozen=True)
class Passage:
    """Some tokens that follow each other."""

    texts: Sequence[str]
    values: np.ndarray
    """Of the feature on each token, without signs."""
    hard: bool = False
    """Whether it was drawn by a token on which the feature fires elsewhere."""

    @property
    def fires(self) -> bool:
        """Whether the feature does, on any of its tokens."""
        return bool((self.values > 0).any())

    @property
    def active(self) -> list[int]:
        """The places of the tokens that are marked."""
        return np.flatnonzero((self.values > 0) & (self.values >= MARKED * self.values.max())).tolist()

    def plain(self) -> str:
        """The text on a line."""
        return self.marked(())

    def marked(self, places: Iterable[int]) -> str:
        """The text on a line, with some of its tokens marked."""
        chosen = set(places)
        shown = [one_line(text).translate(_INNER) for text in self.texts]
        return "".join(f"{OPEN}{text}{CLOSE}" if place in chosen else text for place, text in enumerate(shown))

    def evidence(self, most: float) -> str:
        """The text with its active tokens marked, and how strong they are in tenths of `most`."""
        listed = ", ".join(
            f"{OPEN}{one_line(self.texts[i]).translate(_INNER)}{CLOSE} {max(round(10 * self.values[i] / most), 1)}"
            for i in self.active
        )
        return f"{self.marked(self.active)}   [{listed}]"

    def misplaced(self, rng: np.random.Generator) -> list[int] | None:
        """As many places as are marked, but of tokens on which the feature is silent; None where there are too few."""
        silent = [i for i, text in enumerate(self.texts) if not self.values[i] and text.strip()]
        count = len(self.active)
        return sorted(rng.choice(silent, count, replace=False).tolist()) if len(silent) >= count else None


class Passages:
    """Draws passages.

    Args:
        activity: of the features.
        seed: of the draws.
    """

    def __init__(self, activity: Activity, seed: int = 0):
        self.activity, self.seed = activity, seed

    def to_explain(self, feature: int, count: int) -> list[Passage]:
        """Passages of the half that is learnt from: half of them the strongest, the others of all strengths."""
        text, firing = self.activity.text, self.activity.of(feature)
        own = ~text.heldout[firing.tokens]
        order = np.argsort(-np.abs(firing.values[own]), kind="stable")
        tokens = firing.tokens[own][order]
        best = _one_each(tokens, text.length)
        strongest = best[: -(-count // 2)]
        rest = best[len(strongest) :]
        spread = rest[np.linspace(0, len(rest) - 1, min(count // 2, len(rest))).round().astype(np.int64)]
        return self._around(feature, np.concatenate([strongest, spread]))

    def to_score(self, feature: int, count: int) -> tuple[list[Passage], list[Passage]]:
        """Held-out passages where it fires, of all strengths, and as many where it does not, half of them hard."""
        text, firing = self.activity.text, self.activity.of(feature)
        drawn = draw_examples(
            text,
            *firing,
            heldout=True,
            most=count,
            seed=self.seed * len(self.activity.store) + feature,
            around=max(BEFORE, AFTER),
        )
        hard = drawn.hard[: count // 2]
        random = drawn.random[: count - len(hard)]
        fires = self._around(feature, drawn.firing)
        return fires, [*self._around(feature, random), *self._around(feature, hard, hard=True)]

    def _around(self, feature: int, tokens: np.ndarray, *, hard: bool = False) -> list[Passage]:
        firing, length = self.activity.of(feature), self.activity.text.length
        values = np.zeros(len(self.activity.text))
        values[firing.tokens] = np.abs(firing.values)
        places = self.activity.store.places(tokens.tolist(), BEFORE, AFTER)
        firsts = [place.context * length + place.start for place in places]
        return [
            Passage(place.texts, values[first : first + len(place.texts)], hard)
            for place, first in zip(places, firsts, strict=True)
        ]


def _one_each(tokens: np.ndarray, length: int) -> np.ndarray:
    """The first token of each context, in their order."""
    _, firsts = np.unique(tokens // length, return_index=True)
    return tokens[np.sort(firsts)]
