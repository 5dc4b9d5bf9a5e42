"""What is said of one feature by all of its activations: figures, a histogram, and the examples to show."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from monosema.errors import InputError


@dataclass(frozen=True)
class ExampleOptions:
    """Which examples of each feature are kept."""

    strongest: int = 20
    """Contexts in which the feature is strongest, each at its strongest token."""
    intervals: int = 5
    """Intervals of equal width from the weakest activation to the strongest."""
    each: int = 5
    """Activations drawn at random from each interval, of different contexts."""
    bins: int = 40
    """Bins of the histogram of activations."""

    def __post_init__(self):
        for name, least in (("strongest", 0), ("intervals", 1), ("each", 0), ("bins", 1)):
            if (given := getattr(self, name)) < least:
                raise InputError(f"{name} = {given} for a feature's examples", expected=f"at least {least}")


class Pick(NamedTuple):
    """An example: an activation, and why it is shown."""

    group: int
    """0 for the strongest, else the interval that it was drawn from: 1 for the one with the largest values."""
    token: int
    value: float


@dataclass(frozen=True)
class Summary:
    """One feature's figures."""

    mean: float
    """Of its activations."""
    low: float
    """Where histogram and intervals begin: 0, or the smallest activation where it is below."""
    high: float
    """The largest activation; 0 where there is none."""
    histogram: np.ndarray
    """How many activations are in each bin, of equal width from `low` to `high`."""
    shares: np.ndarray
    """The share of the activations in each interval, the one with the largest values first."""
    examples: tuple[Pick, ...]


def summarise(
    feature: int, tokens: np.ndarray, values: np.ndarray, length: int, options: ExampleOptions = ExampleOptions()
) -> Summary:
    """Figures and examples of one feature.

    Args:
        feature: which; the draw of examples depends on it alone.
        tokens: where it is active, in ascending order.
        values: how strongly.
        length: tokens in a context.
        options: which examples.
    """
    if not len(values):
        none = np.zeros(options.bins, dtype=np.int64), np.zeros(options.intervals)
        return Summary(0.0, 0.0, 0.0, *none, ())
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    counts = np.bincount(_bins(values, low, high, options.bins), minlength=options.bins)
    interval = options.intervals - 1 - _bins(values, low, high, options.intervals)
    of_interval = np.bincount(interval, minlength=options.intervals)
    contexts = tokens // np.int32(length)
    places = [(0, place) for place in _strongest(values, contexts, options.strongest)]
    draw = np.random.default_rng(feature)
    for number in np.flatnonzero(of_interval).tolist():
        drawn = _drawn(np.flatnonzero(interval == number), contexts, options.each, draw)
        places += [(number + 1, place) for place in drawn]
    chosen = [place for _, place in places]
    shown = zip(places, tokens[chosen].tolist(), values[chosen].tolist(), strict=True)
    picks = tuple(Pick(group, token, value) for (group, _), token, value in shown)
    return Summary(float(values.mean(dtype=np.float64)), low, high, counts, of_interval / len(values), picks)


def _bins(values: np.ndarray, low: float, high: float, bins: int) -> np.ndarray:
    """The bin of each value; the last one holds `high`."""
    scale = bins / (high - low) if high > low else 0.0
    return np.minimum(((values.astype(np.float64) - low) * scale).astype(np.int64), bins - 1)


def _strongest(values: np.ndarray, contexts: np.ndarray, n: int) -> list[int]:
    """Places of the largest value of a context, of the `n` contexts where that is largest; of equal ones the first."""
    starts = np.concatenate([[0], np.flatnonzero(contexts[1:] != contexts[:-1]) + 1])
    peaks = np.maximum.reduceat(values, starts)
    order = np.argsort(-peaks, kind="stable")[:n] if n == 0 or len(peaks) <= 8 * n else _largest(peaks, n)
    order = order[peaks[order] > 0]
    begins, ends = starts[order].tolist(), np.append(starts, len(values))[order + 1].tolist()
    return [begin + int(values[begin:end].argmax()) for begin, end in zip(begins, ends, strict=True)]


def _largest(peaks: np.ndarray, n: int) -> np.ndarray:
    """As sorting all of them would find, with the ties that it would take first."""
    bound = np.partition(peaks, len(peaks) - n)[len(peaks) - n]
    candidates = np.flatnonzero(peaks >= bound)
    return candidates[np.argsort(-peaks[candidates], kind="stable")[:n]]


def _drawn(places: np.ndarray, contexts: np.ndarray, n: int, draw: np.random.Generator) -> list[int]:
    """Some places, at most one of a context, the first drawn of each."""
    some = draw.choice(places, min(len(places), 4 * n), replace=False)
    first: dict[int, int] = {}
    for context, place in zip(contexts[some].tolist(), some.tolist(), strict=True):
        first.setdefault(context, place)
    return list(first.values())[:n]
