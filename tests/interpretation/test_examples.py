"""Examples are of one half, and are what they are called; scores are what they should be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monosema.interpretation import Activity, Detection
from monosema.interpretation.examples import Examples, draw_examples
from monosema.interpretation.scores import f1, wilson
from tests.interpretation import planted


@pytest.mark.parametrize("heldout", [False, True])
@pytest.mark.parametrize("feature", range(8))
@pytest.mark.parametrize("around", [0, 3])
def test_examples_are_what_they_are_called(activity: Activity, feature: int, heldout: bool, around: int):
    text, (tokens, values) = activity.text, activity.of(feature)
    found = draw_examples(text, tokens, values, heldout=heldout, most=50, seed=feature, around=around)
    assert len(found.firing) == len(found.strength) == 50
    for kind in (found.firing, found.random, found.hard):
        assert (text.heldout[kind] == heldout).all()
        assert len(set(kind.tolist())) == len(kind) <= 50
    own = set(tokens.tolist())
    assert set(found.firing.tolist()) <= own
    place = found.random % text.length
    for step in range(-around, around + 1):
        near = (found.random + step)[(place + step >= 0) & (place + step < text.length)]
        assert not set(near.tolist()) & own
    assert not set(found.hard.tolist()) & own
    assert set(text.ids[found.hard].tolist()) <= set(text.ids[found.firing].tolist())
    assert (np.diff(found.strength) >= 0).all()


def test_all_quantiles_are_there_alike(activity: Activity):
    tokens, values = activity.of(0)
    own = np.sort(values[activity.text.heldout[tokens]])
    found = draw_examples(activity.text, tokens, values, heldout=True, most=40)
    quarters = np.searchsorted(np.quantile(own, [0.25, 0.5, 0.75]), found.strength)
    assert np.bincount(quarters).tolist() == pytest.approx([10] * 4, abs=1)
    assert found.strength[[0, -1]].tolist() == own[[0, -1]].tolist()


def test_where_a_feature_fires_on_all_of_a_kind_none_of_them_is_hard(activity: Activity):
    found = draw_examples(activity.text, *activity.of(0), heldout=True, most=50)
    assert planted.NAMES[0] == "on `self`"
    assert len(found.hard) == 0
    assert found.weights.sum() == pytest.approx(0)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 9), st.integers(0, 2**28 - 1))
def test_weights_add_up_to_the_balanced_accuracy(firing: int, random: int, hard: int, bits: int):
    """Of activations that are equally strong; random and hard examples count the same together."""
    kinds = [np.arange(n) for n in (firing, random, hard)]
    examples = Examples(kinds[0], np.full(firing, 3.0), kinds[1], kinds[2])
    called = np.array([bits >> i & 1 for i in range(firing + random + hard)], dtype=bool)
    parts = np.split(called, [firing, firing + random])
    specificity = np.mean([(~part).mean() for part in parts[1:] if len(part)])
    assert 0.5 + examples.weights[called].sum() == pytest.approx((parts[0].mean() + specificity) / 2)


@given(st.integers(0, 50), st.integers(1, 50))
def test_wilsons_interval_is_scipys(count: int, more: int):
    from scipy.stats import binomtest

    expected = binomtest(count, count + more).proportion_ci(method="wilson")
    assert wilson(count, count + more) == pytest.approx((expected.low, expected.high), abs=1e-6)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_an_interval_has_its_score_inside_and_shrinks_with_more_examples(
    hits: int, misses: int, right: int, wrong: int
):
    own = Detection(hits, hits + misses, right, right + wrong)
    if not (own.activating and own.others):
        assert own.balanced_accuracy is None
        assert own.interval is None
        return
    assert own.interval is not None
    assert own.balanced_accuracy is not None
    assert 0 <= own.interval[0] <= own.balanced_accuracy <= own.interval[1] <= 1
    more = own + own + own
    assert more.balanced_accuracy == pytest.approx(own.balanced_accuracy)
    assert more.interval is not None
    assert more.interval[1] - more.interval[0] < own.interval[1] - own.interval[0]


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng, true = np.random.default_rng(0), (0.9 + 0.6) / 2
    draws = [Detection(int(rng.binomial(20, 0.9)), 20, int(rng.binomial(20, 0.6)), 20).interval for _ in range(2000)]
    covered = np.mean([low <= true <= high for low, high in filter(None, draws)])
    assert 0.92 < covered < 0.98


def test_f1_is_the_harmonic_mean():
    assert f1(3, 4, 6) == pytest.approx(2 / (1 / (3 / 4) + 1 / (3 / 6)))
    assert f1(0, 0, 0) == 0
