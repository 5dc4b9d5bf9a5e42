"""The words that a feature can be found by."""

from collections.abc import Iterator, Sequence

import numpy as np

from monosema.analysis import TokenTexts
from monosema.features.summary import Pick, Summary

AROUND = (8, 4)
"""Tokens before and after those where a feature is strongest, which it can be found by, too."""


def strongest_tokens(summaries: Sequence[Summary], ids: np.ndarray, texts: TokenTexts) -> list[str]:
    """The token that each feature is strongest on; empty if it never fires, or no example is kept."""
    return [texts([int(ids[_strongest(s).token])])[0] if s.examples else "" for s in summaries]


def _strongest(summary: Summary) -> Pick:
    """The first of the strongest examples; of a feature that is never positive, the largest in absolute value."""
    return max(summary.examples, key=lambda pick: (pick.group == 0, abs(pick.value)))


def words_of(
    summaries: Sequence[Summary], ids: np.ndarray, length: int, texts: TokenTexts, logits: Sequence[Sequence[str]]
) -> list[str]:
    """The text around each feature's examples, a line for each, and the tokens whose logits it moves.

    Of the strongest examples these are some tokens, of others their own.
    """
    return [
        "\n".join([*("".join(texts(around)) for around in _around(s.examples, ids, length)), *moved])
        for s, moved in zip(summaries, logits, strict=True)
    ]


def _around(picks: Sequence[Pick], ids: np.ndarray, length: int) -> Iterator[list[int]]:
    """The token ids of each example's line."""
    own = ids[[pick.token for pick in picks]].tolist() if picks else []
    for (group, token, _), alone in zip(picks, own, strict=True):
        if group:
            yield [alone]
        else:
            begin = token // length * length
            yield ids[max(token - AROUND[0], begin) : min(token + AROUND[1] + 1, begin + length)].tolist()
