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
    shares = np.bincount(interval, minlength=options.intervals) / len(values)
    places = _strongest(values, tokens // length, options.strongest)
    picks = [Pick(0, int(tokens[i]), float(values[i])) for i in places]
    draw = np.random.default_rng(feature)
    for number in range(options.intervals):
        chosen = _drawn(np.flatnonzero(interval == number), tokens // length, options.each, draw)
        picks += [Pick(number + 1, int(tokens[i]), float(values[i])) for i in chosen]
    return Summary(float(values.mean(dtype=np.float64)), low, high, counts, shares, tuple(picks))


def _bins(values: np.ndarray, low: float, high: float, bins: int) -> np.ndarray:
    """The bin of each value; the last one holds `high`."""
    scale = bins / (high - low) if high > low else 0.0
    return np.minimum(((values.astype(np.float64) - low) * scale).astype(np.int64), bins - 1)


def _strongest(values: np.ndarray, contexts: np.ndarray, n: int) -> list[int]:
    """Places of the largest value of a context, of the `n` contexts where that is largest; of equal ones the first."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(contexts)) + 1])
    peaks = np.maximum.reduceat(values, starts)
    ends = np.append(starts[1:], len(values))
    order = np.argsort(-peaks, kind="stable")[:n] if n == 0 or len(peaks) <= 8 * n else _largest(peaks, n)
    return [int(starts[i] + values[starts[i] : ends[i]].argmax()) for i in order if peaks[i] > 0]


def _largest(peaks: np.ndarray, n: int) -> np.ndarray:
    """As sorting all of them would find, with the ties that it would take first."""
    bound = np.partition(peaks, len(peaks) - n)[len(peaks) - n]
    candidates = np.flatnonzero(peaks >= bound)
    return candidates[np.argsort(-peaks[candidates], kind="stable")[:n]]


def _drawn(places: np.ndarray, contexts: np.ndarray, n: int, draw: np.random.Generator) -> list[int]:
    """Some places, at most one of a context, the first drawn of each."""
    some = draw.choice(places, min(len(places), 4 * n), replace=False) if len(places) else places
    _, first = np.unique(contexts[some], return_index=True)
    return [int(some[i]) for i in np.sort(first)[:n]]
