"""Figures and examples of a feature against what one would count by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monosema.errors import InputError
from monosema.features.summary import ExampleOptions, Summary, summarise

LENGTH = 8
Given = tuple[np.ndarray, np.ndarray]


@st.composite
def activations(draw: st.DrawFn, negative: bool = True) -> Given:
    """Tokens and values of one feature, in up to 40 contexts; whole numbers, so that some are equal."""
    draws = np.random.default_rng(draw(st.integers(0, 10**6)))
    count = draw(st.integers(1, 120))
    tokens = np.sort(draws.choice(40 * LENGTH, count, replace=False)).astype(np.int32)
    kind = draw(st.sampled_from(["whole", "normal", "tiny", "equal"]))
    values = {
        "whole": draws.integers(1, 5, count),
        "normal": np.abs(draws.normal(size=count)) + 1e-3,
        "tiny": draws.integers(1, 9, count) * 1e-44,  # smaller than any normal float32
        "equal": np.full(count, 0.7),
    }[kind].astype(np.float32)
    if negative and draw(st.booleans()):
        values *= draws.choice([-1, 1], count).astype(np.float32)
    return tokens, values


def of(tokens: np.ndarray, values: np.ndarray, feature: int = 3, **options: int) -> Summary:
    return summarise(feature, tokens, values, LENGTH, ExampleOptions(**options))


def strongest_by_hand(tokens: np.ndarray, values: np.ndarray, n: int) -> list[tuple[int, float]]:
    """Of each context the first of its largest values; of contexts the earlier of equals first."""
    best: dict[int, tuple[int, float]] = {}
    for token, value in zip(tokens.tolist(), values.tolist(), strict=True):
        context = token // LENGTH
        if context not in best or value > best[context][1]:
            best[context] = token, value
    return sorted((pair for pair in best.values() if pair[1] > 0), key=lambda pair: (-pair[1], pair[0]))[:n]


@settings(max_examples=150, deadline=None)
@given(activations(), st.integers(1, 7), st.integers(1, 12))
def test_figures_are_those_of_all_values(given_: Given, intervals: int, bins: int):
    tokens, values = given_
    found = of(tokens, values, intervals=intervals, bins=bins)
    exact = values.astype(np.float64)
    assert found.mean == pytest.approx(exact.mean(), rel=1e-9)
    assert found.high == max(exact.max(), 0)
    assert found.low == min(exact.min(), 0)
    assert found.histogram.sum() == len(values)
    assert len(found.histogram) == bins
    assert found.shares.sum() == pytest.approx(1)
    counts = found.shares * len(values)
    np.testing.assert_allclose(counts, counts.round(), atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(activations())
def test_bins_are_those_of_numpy_but_for_values_on_an_edge(given_: Given):
    tokens, values = given_
    found = of(tokens, values)
    edges = np.linspace(found.low, found.high, 41)
    inside = np.abs(values[:, None] - edges).min(1) > 1e-9 * max(abs(edges[0]), edges[-1])
    expected = np.histogram(values[inside].astype(np.float64), edges)[0]
    assert (found.histogram >= expected).all()
    assert (found.histogram - expected).sum() == (~inside).sum()


@settings(max_examples=150, deadline=None)
@given(activations(), st.integers(0, 6))
def test_the_strongest_are_the_largest_of_their_contexts(given_: Given, n: int):
    tokens, values = given_
    picks = [pick for pick in of(tokens, values, strongest=n).examples if pick.group == 0]
    assert [(pick.token, pick.value) for pick in picks] == strongest_by_hand(tokens, values, n)


def test_of_more_contexts_than_are_sorted_the_same_are_strongest():
    draws = np.random.default_rng(0)
    tokens = np.arange(0, 400 * LENGTH, 3, dtype=np.int32)
    values = draws.integers(1, 30, len(tokens)).astype(np.float32)
    picks = of(tokens, values, strongest=20).examples
    assert [(p.token, p.value) for p in picks if p.group == 0] == strongest_by_hand(tokens, values, 20)


@settings(max_examples=100, deadline=None)
@given(activations(), st.integers(1, 6), st.integers(0, 5))
def test_drawn_examples_lie_in_their_intervals_and_in_contexts_of_their_own(given_: Given, intervals: int, each: int):
    tokens, values = given_
    found = of(tokens, values, intervals=intervals, each=each)
    edges = np.linspace(found.high, found.low, intervals + 1)
    value_at = dict(zip(tokens.tolist(), values.tolist(), strict=True))
    for number in range(1, intervals + 1):
        picks = [pick for pick in found.examples if pick.group == number]
        high, low, slack = edges[number - 1], edges[number], 1e-6 * (edges[0] - edges[-1])
        assert all(low - slack <= pick.value <= high + slack for pick in picks)
        assert all(value_at[pick.token] == pick.value for pick in picks)
        assert len({pick.token // LENGTH for pick in picks}) == len(picks) <= each
        count = round(found.shares[number - 1] * len(values))
        assert len(picks) >= min(each, 1, count)


def test_a_draw_depends_on_the_feature_and_on_nothing_else():
    draws = np.random.default_rng(1)
    tokens = np.sort(draws.choice(300 * LENGTH, 900, replace=False)).astype(np.int32)
    values = np.abs(draws.normal(size=900)).astype(np.float32)
    first = of(tokens, values)
    np.random.seed(99)
    assert of(tokens, values).examples == first.examples
    assert of(tokens, values, feature=4).examples != first.examples


def test_a_feature_that_never_fires_has_figures_of_nothing():
    found = of(np.zeros(0, np.int32), np.zeros(0, np.float32), bins=7, intervals=3)
    assert (found.mean, found.low, found.high, found.examples) == (0, 0, 0, ())
    assert found.histogram.tolist() == [0] * 7
    assert found.shares.tolist() == [0] * 3


def test_a_feature_that_is_always_negative_has_no_strongest_context():
    found = of(np.arange(9, dtype=np.int32), -np.arange(1, 10, dtype=np.float32))
    assert (found.low, found.high) == (-9, 0)
    assert {pick.group for pick in found.examples} <= set(range(1, 6))
    assert found.examples


@pytest.mark.parametrize("options", [{"strongest": -1}, {"each": -1}, {"intervals": 0}, {"bins": 0}])
def test_impossible_numbers_of_examples_are_refused(options: dict[str, int]):
    (name,) = options
    with pytest.raises(InputError, match=f"{name} = "):
        ExampleOptions(**options)
