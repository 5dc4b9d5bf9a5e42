"""What rules may look at: numbers of each token (ids, pairs of them, kinds) that a rule lists, or leaves out.

| family | what it looks at |
| --- | --- |
| `token`, `previous`, `second_before`, `next` | one id, of the token or of one beside it |
| `pair`, `triple` | the ids of the two or three tokens that end here |
| `ending` | the last letters of the token |
| `kind`, `kind_before`, `kind_after` | classes of strings: numbers, capitalised words, brackets |
| `place` | where in its context, line or word the token is, and whether it is there for the second time |
| `line` | the first token of the line |
| `recent`, `on_line` | the ids of the tokens before it, as far as a window or the line goes |
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from monosema.analysis.render import one_line
from monosema.interpretation import classes
from monosema.interpretation.text import MISSING, Text

WINDOW, LINE = 16, 24
"""Tokens that `recent` and `on_line` look back."""
PLACES = (
    "at the first token of a context",
    "among the first four tokens of a context",
    "on the first token of a line",
    "within a word",
    f"on tokens that were among the {WINDOW} before",
)


@dataclass(frozen=True)
class Family:
    """One thing to look at.

    Args:
        name: of the family.
        keys: the numbers of some tokens, `[tokens, n]`; `MISSING` where a token has fewer.
        label: a number in words.
        phrase: what is said of a rule that lists `{}`.
        without: what is said of a rule that leaves `{}` out.
        listing: how many numbers a rule may list.
        size: how many tokens a number stands for.
        costs: how many tokens that are named a number is as long as, to a reader, if not `size`.
    """

    name: str
    keys: Callable[[Text, np.ndarray], np.ndarray]
    label: Callable[[Text, int], str]
    phrase: str
    without: str
    listing: int = 8
    size: int = 1
    costs: int | None = None

    def holds(self, text: Text, tokens: np.ndarray, listed: tuple[int, ...]) -> np.ndarray:
        """Whether a token has one of the numbers that are listed."""
        found = self.keys(text, tokens)
        return np.logical_or.reduce([(found == key).any(axis=1) for key in listed])


def quoted(text: str) -> str:
    """A token as it stands in a description."""
    mark = "``" if "`" in text else "`"
    return f"{mark}{one_line(text)}{mark}"


def _token(text: Text, key: int) -> str:
    return quoted(text.shown(key))


def _beside(offset: int) -> Callable[[Text, np.ndarray], np.ndarray]:
    return lambda text, tokens: text.at(tokens, offset)[:, None]


def _run(count: int) -> Callable[[Text, np.ndarray], np.ndarray]:
    """The ids of the tokens that end here as one number: digits to the base of the vocabulary's size."""

    def keys(text: Text, tokens: np.ndarray) -> np.ndarray:
        own = text.at(tokens, 0)
        for back in range(1, count):
            before = text.at(tokens, -back)
            own = np.where((before == MISSING) | (own == MISSING), MISSING, before * len(text.vocabulary) ** back + own)
        return own[:, None]

    return keys


def _run_label(count: int) -> Callable[[Text, int], str]:
    def label(text: Text, key: int) -> str:
        ids = [key // len(text.vocabulary) ** back % len(text.vocabulary) for back in reversed(range(count))]
        return quoted("".join(text.shown(i) for i in ids))

    return label


def _window(reach: int, *, same_line: bool) -> Callable[[Text, np.ndarray], np.ndarray]:
    """The ids before a token, those of its own line alone if asked for."""

    def keys(text: Text, tokens: np.ndarray) -> np.ndarray:
        back = np.arange(1, reach + 1)
        found = text.at(tokens[:, None], -back)
        if same_line:
            found = np.where(tokens[:, None] - back >= text.line_starts[tokens][:, None], found, MISSING)
        return found

    return keys


def _kinds(offset: int) -> Callable[[Text, np.ndarray], np.ndarray]:
    def keys(text: Text, tokens: np.ndarray) -> np.ndarray:
        own = text.at(tokens, offset)
        return np.where((own == MISSING)[:, None], MISSING, text.kinds[own])

    return keys


def _endings(text: Text, tokens: np.ndarray) -> np.ndarray:
    return text.endings[0][text.ids[tokens]][:, None]


def _places(text: Text, tokens: np.ndarray) -> np.ndarray:
    within, own = tokens % text.length, text.at(tokens, 0)
    before, (begins, ends) = text.at(tokens, -1), text.word_edges
    inside = (before != MISSING) & ends[before] & begins[own]
    again = (_window(WINDOW, same_line=False)(text, tokens) == own[:, None]).any(axis=1)
    there = (within == 0, within < 4, text.line_starts[tokens] == tokens, inside, again)
    return np.stack([np.where(holds, place, MISSING) for place, holds in enumerate(there)], axis=1)


def _line(text: Text, tokens: np.ndarray) -> np.ndarray:
    return text.at(text.line_starts[tokens], 0)[:, None]


def _kind(text: Text, key: int) -> str:
    return classes.NAMES[key]


def _place(text: Text, key: int) -> str:
    return PLACES[key]


def _ending(text: Text, key: int) -> str:
    return quoted(text.endings[1][key])


_ALL = [
    Family("token", _beside(0), _token, "on {}", "but not on {}"),
    Family("ending", _endings, _ending, "on tokens that end in {}", "but not on tokens that end in {}", costs=3),
    Family("kind", _kinds(0), _kind, "on {}", "but not on {}", listing=2),
    Family("pair", _run(2), _run_label(2), "at the end of {}", "but not at the end of {}", size=2),
    Family("triple", _run(3), _run_label(3), "at the end of {}", "but not at the end of {}", size=3),
    Family("place", _places, _place, "{}", "but not {}", listing=1),
    Family("previous", _beside(-1), _token, "after {}", "but not after {}"),
    Family("kind_before", _kinds(-1), _kind, "after {}", "but not after {}", listing=2),
    Family("second_before", _beside(-2), _token, "two tokens after {}", "but not two tokens after {}"),
    Family("next", _beside(1), _token, "before {}", "but not before {}"),
    Family("kind_after", _kinds(1), _kind, "before {}", "but not before {}", listing=2),
    Family("line", _line, _token, "in lines that begin with {}", "but not in lines that begin with {}"),
    Family(
        "on_line",
        _window(LINE, same_line=True),
        _token,
        "after {} on the same line",
        "but not after {} on the same line",
        listing=3,
    ),
    Family(
        "recent",
        _window(WINDOW, same_line=False),
        _token,
        f"within {WINDOW} tokens after {{}}",
        f"but not within {WINDOW} tokens after {{}}",
        listing=3,
    ),
]
FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}
"""By name, in the order in which their phrases stand in a sentence."""
