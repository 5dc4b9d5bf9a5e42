"""Comparing dictionaries that lie on disk: which features they share, and which chance would."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from monosema.activations.filters import not_special
from monosema.analysis.stability import (
    EXACT,
    Interval,
    Pairs,
    Side,
    bootstrap,
    pairs_of,
    random_like,
    shared_by_all,
    signatures,
)
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation.rows import in_evaluation_mode
from monosema.models import read
from monosema.progress import progress
from monosema.runs.data import Heldout
from monosema.runs.evaluate import open_folder
from monosema.runs.features import first_named
from monosema.seeding import generator_for

THRESHOLDS = (0.7, 0.9)
_CONTEXTS, _ROWS = 16, 4096


@dataclass(frozen=True)
class Shared:
    """What of one dictionary's features another one has."""

    first: str
    second: str
    features: int
    """Of the first that were compared."""
    others: int
    """Of the second."""
    exact: bool
    """Whether partners are those of the best matching; else those that are each other's most similar."""
    partner: dict[float, Interval]
    """Share of the first's features whose partner has at least that cosine."""
    nearest: Interval
    """Mean over the first's features of the largest cosine with any of the second's."""
    random: dict[str, tuple[dict[float, float], float]]
    """The same two with random directions in the second's place."""


@dataclass(frozen=True)
class Compared:
    """All pairs, in both directions, and what of the first dictionary all others share."""

    pairs: list[Shared]
    by_all: dict[float, Interval]
    """Share of the first dictionary's features whose partner in every other has at least that cosine."""
    side: Side
    tokens: int | None
    """On which a compared feature has fired at least once; None where dead ones are compared, too."""


def compare_folders(
    folders: Sequence[str | Path],
    *,
    name: str | None = None,
    side: Side = "decoder",
    dead: bool = False,
    thresholds: Sequence[float] = THRESHOLDS,
    resamples: int = 1000,
    seed: int = 0,
    exact: int = EXACT,
    **options: Any,
) -> Compared:
    """Matches the features of every two of some dictionaries.

    Args:
        folders: of dictionaries or runs, or addresses. Of a run all dictionaries, or the one that is named.
        name: which of each run's dictionaries.
        side: compare by decoder, encoder or both.
        dead: also compare features that do not fire on held-out text.
        thresholds: cosines from which a feature counts as shared.
        resamples: of the bootstrap.
        seed: of resamples and random directions.
        exact: features up to which the best matching is found, as `pairs_of` takes it.
        options: those of `open_folder`, for the held-out text.

    Raises:
        InputError: fewer than two dictionaries, some of different hook points, or what `open_folder` raises.
    """
    if not thresholds or not all(-1 <= t <= 1 for t in thresholds):
        raise InputError(f"cosines {tuple(thresholds)}", expected="at least one, from −1 to 1")
    found, tokens = _compared(folders, name, side, dead, options)
    names, rows, ahead = list(found), [], []
    with progress("matching", len(names) * (len(names) - 1) // 2, "pairs") as bar:
        for first, second in combinations(names, 2):
            a, b = found[first], found[second]
            pairs = pairs_of(a, b, exact)
            assert pairs.back is not None
            ahead += [pairs.cosine] if first == names[0] else []
            for one, other, x, y, own in ((first, second, a, b, pairs), (second, first, b, a, pairs.back)):
                chance = {kind: _chance(x, y, kind, thresholds, seed, exact) for kind in ("sphere", "covariance")}
                is_exact = max(len(a), len(b)) <= exact
                figures = _figures(own, thresholds, resamples, seed)
                rows.append(Shared(one, other, len(x), len(y), is_exact, *figures, chance))
            bar.advance()
    least = shared_by_all(ahead)
    by_all = {t: bootstrap(least >= t, resamples, seed) for t in thresholds}
    return Compared(rows, by_all, side, tokens)


def _figures(
    pairs: Pairs, thresholds: Sequence[float], resamples: int, seed: int
) -> tuple[dict[float, Interval], Interval]:
    partner = {t: bootstrap(pairs.cosine >= t, resamples, seed) for t in thresholds}
    return partner, bootstrap(pairs.nearest, resamples, seed)


def _chance(
    first: Float[Tensor, "n d"],
    second: Float[Tensor, "m d"],
    kind: str,
    thresholds: Sequence[float],
    seed: int,
    exact: int,
) -> tuple[dict[float, float], float]:
    """Shares and mean largest cosine with random directions in place of the second."""
    random = random_like(second, generator_for(f"{seed}:{kind}"), covariance=kind == "covariance")
    pairs = pairs_of(first, random, exact)
    return {t: float((pairs.cosine >= t).mean()) for t in thresholds}, float(pairs.nearest.mean())


def _compared(
    folders: Sequence[str | Path], name: str | None, side: Side, dead: bool, options: Mapping[str, Any]
) -> tuple[dict[str, Float[Tensor, "n d"]], int | None]:
    """Of each dictionary, by folder and name, the directions of the features that are compared."""
    found: dict[str, Float[Tensor, "n d"]] = {}
    places: set[tuple[str, ...]] = set()
    tokens = None
    for folder in folders:
        dictionaries, heldout = open_folder(folder, **options)
        if name is not None:
            dictionaries = {name: dictionaries[first_named(list(dictionaries), name)[0]]}
        for own, dictionary in dictionaries.items():
            kept = torch.ones(dictionary.spec.width, dtype=torch.bool)
            if not dead:
                kept, tokens = alive_features(dictionary, heldout)
            shown = own if len(folders) == 1 else str(folder) if len(dictionaries) == 1 else f"{folder}: {own}"
            found[shown] = signatures(dictionary, kept, side)
            spec = dictionary.spec
            places.add({"decoder": spec.writes, "encoder": spec.reads, "both": (*spec.reads, *spec.writes)}[side])
    if len(found) < 2 or len(places) > 1:
        raise InputError(
            f"{len(found)} dictionaries of {'; '.join(sorted(' & '.join(points) for points in places))}",
            expected="at least two different ones of the same hook points",
        )
    return found, tokens


@torch.no_grad()
def alive_features(dictionary: Dictionary, heldout: Heldout) -> tuple[Bool[Tensor, " width"], int]:
    """Which features fire on held-out data, special tokens left out, and on how many tokens that was looked at.

    Raises:
        InputError: none of them.
    """
    fired, seen = torch.zeros(dictionary.spec.width, dtype=torch.long), 0
    with in_evaluation_mode([dictionary]):
        for x in _batches(dictionary, heldout):
            for part in x.split(_ROWS):
                fired += dictionary.active_entries(part.to(dictionary.W_enc)).fired().cpu()
            seen += len(x)
    if not fired.any():
        raise InputError(f"a dictionary of which no feature fires on {seen} tokens", expected="some to compare")
    return fired > 0, seen


def _batches(dictionary: Dictionary, heldout: Heldout) -> Iterator[Float[Tensor, "rows d_in"]]:
    """What a dictionary reads, batch after batch."""
    if heldout.rows is not None:
        yield torch.cat([heldout.rows[point] for point in dictionary.spec.reads], 1)
        return
    assert heldout.model is not None
    assert heldout.contexts is not None
    point, special = " & ".join(dictionary.spec.reads), heldout.model.special_ids
    with progress("reading", heldout.contexts.numel(), "tokens") as bar:
        for ids in heldout.contexts.split(_CONTEXTS):
            rows = read(heldout.model, ids, [point])[point]
            yield rows[not_special(ids, special).to(rows.device)]
            bar.advance(ids.numel())
