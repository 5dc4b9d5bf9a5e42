"""A feature store of made-up text in which it is known on which tokens each feature fires, and why."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from monosema.features import FeatureStore
from monosema.features.cofiring import Neighbours
from monosema.features.directions import neighbour_column
from monosema.features.layout import Index, write_index
from monosema.features.sorting import Sorter
from monosema.features.summary import summarise
from monosema.features.writing import ActivationWriter, TokenWriter, figure_columns, write_features
from monosema.kernels import RaggedCodes

LENGTH, CONTEXTS, DOCUMENTS = 64, 400, 40
WORDS = [
    *("\n", "\n    ", " self", "self", "(", ")", ".", ",", " =", " def", " import", " return", " x", " foo", "bar"),
    *("ing", " 12", "7", " The", "NAME", '"', "#", " a", "_", "[", "]", " walked", "`"),
]
"""The texts of ids 0, 1, …"""
A, B, C = WORDS.index("self"), WORDS.index("("), WORDS.index(" import")

Where = Callable[[np.ndarray], np.ndarray]
"""The tokens `[contexts, length]` of a text → whether a feature fires on each."""


def made_up_ids(seed: int = 0) -> np.ndarray:
    """Every word anywhere, some more often than others, `[contexts, length]`."""
    share = 1 / np.arange(1, len(WORDS) + 1) ** 0.3
    share[[A, B]] *= 3
    return np.random.default_rng(seed).choice(len(WORDS), (CONTEXTS, LENGTH), p=share / share.sum())


def behind(ids: np.ndarray, back: int) -> np.ndarray:
    """The ids of the tokens so many before (or after, where it is negative); −1 beyond the context."""
    moved = np.full_like(ids, -1)
    if back > 0:
        moved[:, back:] = ids[:, :-back]
    else:
        moved[:, :back] = ids[:, -back:]
    return moved


def on_token(ids: np.ndarray) -> np.ndarray:
    return ids == A


def on_pair(ids: np.ndarray) -> np.ndarray:
    return (ids == A) & (behind(ids, 1) == B)


def on_numbers(ids: np.ndarray) -> np.ndarray:
    return np.isin(ids, [WORDS.index(" 12"), WORDS.index("7")])


def on_lines(ids: np.ndarray) -> np.ndarray:
    """On the lines that begin with " def"."""
    found = np.zeros(ids.shape, bool)
    for row, context in enumerate(ids.tolist()):
        start = context[0]
        for place, word in enumerate(context):
            start = word if place and "\n" in WORDS[context[place - 1]] else start
            found[row, place] = start == WORDS.index(" def")
    return found


def after_import(ids: np.ndarray) -> np.ndarray:
    return np.logical_or.reduce([behind(ids, back) == C for back in range(1, 17)])


def before_import(ids: np.ndarray) -> np.ndarray:
    return behind(ids, -1) == C


def but_not(ids: np.ndarray) -> np.ndarray:
    return (ids == A) & (behind(ids, 1) != B)


def either(ids: np.ndarray) -> np.ndarray:
    return (ids == A) | (behind(ids, 2) == B)


def never(ids: np.ndarray) -> np.ndarray:
    return np.zeros(ids.shape, bool)


def seldom(ids: np.ndarray) -> np.ndarray:
    found = never(ids)
    found[0, 5] = found[100, 7] = True
    return found


def by_chance(ids: np.ndarray) -> np.ndarray:
    return np.random.default_rng(9).random(ids.shape) < 0.05


FEATURES: dict[str, Where] = {
    "on `self`": on_token,
    "on `self` after `(`": on_pair,
    "on numbers": on_numbers,
    "in lines that begin with ` def`": on_lines,
    "within 16 tokens after ` import`": after_import,
    "before ` import`": before_import,
    "on `self` but not after `(`": but_not,
    "on `self`; or two tokens after `(`": either,
    "never": never,
    "seldom": seldom,
    "by chance": by_chance,
}
"""Where each feature fires, by what its rule should say."""
NAMES = list(FEATURES)
TOLD = NAMES[:8]
"""Those that a rule can tell."""


def planted_store(folder: Path, documents: int = DOCUMENTS) -> FeatureStore:
    """The store of these features; activations are larger than 1 and otherwise random."""
    ids, rng = made_up_ids(), np.random.default_rng(1)
    fires = np.stack([where(ids).ravel() for where in FEATURES.values()], axis=1)
    of = np.repeat(np.arange(documents, dtype=np.int32), -(-ids.size // documents))[: ids.size]
    (folder / "scratch").mkdir(parents=True)
    sorter = Sorter(folder / "scratch", len(FEATURES))
    columns = torch.from_numpy(fires.nonzero()[1])
    offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(fires.sum(1))]))
    values = torch.from_numpy(1 + rng.gamma(2, 2, len(columns)).astype(np.float32))
    sorter.add(RaggedCodes(offsets, columns, values, len(FEATURES)), torch.arange(ids.size))
    with TokenWriter(folder) as writer:
        writer.write(0, of.reshape(ids.shape), ids, [[WORDS[i] for i in row] for row in ids.tolist()])
    summaries = []
    with ActivationWriter(folder) as writer:
        for group in sorter.groups():
            writer.write(group, of, LENGTH)
            for own, (a, b) in enumerate(zip(group.offsets[:-1], group.offsets[1:], strict=True)):
                summaries.append(summarise(group.first + own, group.tokens[a:b], group.values[a:b], LENGTH))
    near = neighbour_column(
        Neighbours(np.zeros((len(FEATURES), 1), np.int32), np.zeros((len(FEATURES), 1), np.float32))
    )
    more = dict.fromkeys(("together", "apart", "similar"), near) | dict.fromkeys(
        ("promotes", "suppresses"), [[{"token": 1, "text": " foo", "value": 1.0}]] * len(FEATURES)
    )
    write_features(folder, {**figure_columns(fires.sum(0), summaries, ids.size), **more})
    about = {"dictionary": {"name": "planted", "spec": {"reads": ["resid_post.0"]}}, "model": "none", "text": None}
    counts = {"contexts": CONTEXTS, "counted": ids.size, "activations": int(fires.sum()), "width": len(FEATURES)}
    write_index(folder, Index(**about, **counts, context=LENGTH, bins=40, intervals=5, cofiring_tokens=0))  # pyright: ignore[reportArgumentType]
    return FeatureStore(folder)
