"""Which tokens a description is learnt from, and scored on: where the feature fires, and where it does not."""

from dataclasses import dataclass

import numpy as np

from monosema.interpretation.text import Text

TRIES = 8
"""Times that each example of a token on which the feature does not fire is drawn, before there is said to be none."""


@dataclass(frozen=True)
class Examples:
    """Tokens of one half of a text."""

    firing: np.ndarray
    """On which the feature fires, from the weakest activation to the strongest, of all quantiles alike."""
    strength: np.ndarray
    """How strongly on each, without a sign."""
    random: np.ndarray
    """Any on which it does not fire."""
    hard: np.ndarray
    """On which it does not fire, though it does on others with the same id; with the ids that `firing` has."""

    @property
    def tokens(self) -> np.ndarray:
        """All of them."""
        return np.concatenate([self.firing, self.random, self.hard])

    @property
    def weights(self) -> np.ndarray:
        """What each adds to the balanced accuracy, less 1/2, of a rule that calls it firing.

        Both classes have the same weight, and so have, among those that are not firing, the random and the hard ones.
        Firing examples weigh as much as they are strong: the weakest activations are the least like the others.
        """
        kinds = [kind for kind in (self.random, self.hard) if len(kind)]
        firing = 0.5 * self.strength / max(self.strength.sum(), np.finfo(np.float64).tiny)
        return np.concatenate([firing, *(np.full(len(kind), -0.5 / len(kinds) / len(kind)) for kind in kinds)])


def draw_examples(
    text: Text, tokens: np.ndarray, values: np.ndarray, *, heldout: bool, most: int, seed: int = 0, around: int = 0
) -> Examples:
    """Examples of one feature.

    Args:
        text: where it fires.
        tokens: on which it does, ascending.
        values: how strongly; their signs are left out.
        heldout: from which half.
        most: of each of the three kinds.
        seed: of the draws.
        around: tokens before and after one on which it does not fire that must not fire either.
    """
    own = text.heldout[tokens] == heldout
    values = np.abs(values.astype(np.float64))
    firing, strength = tokens[own], values[own]
    ranks = np.argsort(strength, kind="stable")
    spread = ranks[np.linspace(0, len(ranks) - 1, min(most, len(ranks))).round().astype(np.int64)]
    chosen, size = firing[spread], strength[spread]
    fires = np.zeros(len(text), dtype=bool)
    fires[tokens] = True
    if around:
        fires = _widened(fires, text.length, around)
    rng = np.random.default_rng(seed)
    pool, ids = text.halves[heldout], text.half_ids[heldout]
    anywhere = rng.integers(0, max(len(pool), 1), TRIES * most) if len(pool) else np.zeros(0, np.int64)
    random = _first(pool[anywhere], fires, most)
    hard = np.zeros(0, np.int64)
    if len(chosen):
        like = text.ids[rng.choice(chosen, TRIES * most)]
        begins, ends = np.searchsorted(ids, like, side="left"), np.searchsorted(ids, like, side="right")
        hard = _first(pool[begins + (rng.random(len(like)) * (ends - begins)).astype(np.int64)], fires, most)
    return Examples(chosen, size, random, hard)


def _first(drawn: np.ndarray, fires: np.ndarray, most: int) -> np.ndarray:
    """The first of those drawn on which it does not fire, each once."""
    left = drawn[~fires[drawn]]
    _, places = np.unique(left, return_index=True)
    return left[np.sort(places)[:most]]


def _widened(fires: np.ndarray, length: int, around: int) -> np.ndarray:
    """Whether it fires on a token or on one around it, of its context."""
    rows = fires.reshape(-1, length)
    sums = np.concatenate([np.zeros((len(rows), 1), np.int64), rows.cumsum(1)], axis=1)
    places = np.arange(length)
    ends, begins = np.minimum(places + around + 1, length), np.maximum(places - around, 0)
    return (sums[:, ends] > sums[:, begins]).ravel()
