"""The words that a feature can be found by."""

from collections.abc import Sequence

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
        "\n".join([*("".join(texts(_around(pick, ids, length))) for pick in s.examples), *moved])
        for s, moved in zip(summaries, logits, strict=True)
    ]


def _around(pick: Pick, ids: np.ndarray, length: int) -> list[int]:
    if pick.group:
        return [int(ids[pick.token])]
    begin = pick.token // length * length
    start, end = max(pick.token - AROUND[0], begin), min(pick.token + AROUND[1] + 1, begin + length)
    return ids[start:end].tolist()
