"""Correlations of firing against NumPy's, of dense columns of zeros and ones."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from monosema.features import cofiring as module
from monosema.features.cofiring import EXPECTED, cofiring

TOKENS, WIDTH = 400, 12


def fires(seed: int = 0) -> np.ndarray:
    """Columns of all densities, some alike, some exclusive; one that is always on, one that never is."""
    draws = np.random.default_rng(seed)
    on = draws.random((TOKENS, WIDTH)) < np.linspace(0.02, 0.6, WIDTH)
    on[:, 3] = on[:, 9] & (draws.random(TOKENS) < 0.9)
    on[:, 4] = ~on[:, 9] & (draws.random(TOKENS) < 0.8)
    on[:, 0], on[:, 1] = False, True
    return on.astype(np.float32)


def phi(on: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        found = np.array(np.nan_to_num(np.corrcoef(on.T.astype(np.float64))))
    np.fill_diagonal(found, 0)
    return found


@pytest.mark.parametrize("at_once", [1, 5, 256])
@pytest.mark.parametrize("n", [1, 4, WIDTH - 1, 50])
def test_neighbours_are_those_of_the_dense_correlation(monkeypatch: pytest.MonkeyPatch, at_once: int, n: int):
    monkeypatch.setattr(module, "_FEATURES", at_once)
    on = fires()
    exact, both = phi(on), on.T @ on
    chance = np.outer(on.sum(0), on.sum(0)) / TOKENS
    together, apart = cofiring(csr_array(on), n)
    kinds = ((together, np.where(both > 0, exact, 0)), (apart, np.where(chance >= EXPECTED, -exact, 0)))
    for found, figures in kinds:
        assert found.features.shape == (WIDTH, min(n, WIDTH - 1))
        sign = 1 if found is together else -1
        for own in range(WIDTH):
            kept = found.features[own] >= 0
            expected = np.sort(figures[own][figures[own] > 1e-9])[::-1][:n]
            np.testing.assert_allclose(sign * found.figures[own][kept], expected, rtol=1e-5)
            np.testing.assert_allclose(figures[own][found.features[own][kept]], expected, rtol=1e-5)
            assert not found.figures[own][~kept].any()
            assert own not in found.features[own]


def test_who_is_always_on_or_never_has_no_neighbours():
    together, apart = cofiring(csr_array(fires()), 5)
    for own in (0, 1):
        assert (together.features[own] == -1).all()
        assert (apart.features[own] == -1).all()
        assert own not in together.features


def test_rare_features_cannot_be_said_to_avoid_each_other():
    on = np.zeros((1000, 3), np.float32)
    on[:50, 0] = on[50:100, 1] = 1  # 2.5 tokens together by chance
    on[100:500, 2] = 1  # 20 by chance
    _, apart = cofiring(csr_array(on), 2)
    assert apart.features.tolist() == [[2, -1], [2, -1], [0, 1]]


def test_a_single_feature_has_no_others():
    together, apart = cofiring(csr_array(np.ones((4, 1), np.float32)), 10)
    assert together.features.shape == apart.figures.shape == (1, 0)
