"""Silence is counted in tokens since a feature's last activity."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monosema.training import DeadFeatures


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.lists(st.integers(0, 2), min_size=3, max_size=3)), max_size=12))
def test_silence_is_the_sum_of_tokens_since_the_last_activity(history):
    counter = DeadFeatures(3)
    expected = [0, 0, 0]
    for tokens, fired in history:
        counter.update(torch.tensor(fired), tokens)
        expected = [0 if n else silent + tokens for n, silent in zip(fired, expected, strict=True)]
    assert counter.silent.tolist() == expected
    for window in (1, 5, 20):
        assert counter.mask(window).tolist() == [silent >= window for silent in expected]


def test_nothing_is_dead_at_the_start():
    assert not DeadFeatures(3).mask(1).any()


@pytest.mark.parametrize("tokens", [3 * 10**9])
def test_counts_do_not_overflow(tokens: int):
    counter = DeadFeatures(1)
    for _ in range(3):
        counter.update(torch.tensor([0]), tokens)
    assert counter.silent.item() == 9 * 10**9
