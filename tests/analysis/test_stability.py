"""A dictionary shares everything with itself in another order, and with chance what chance has."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment

from monosema.analysis.stability import bootstrap, pairs_of, random_like, shared_by_all, signatures
from monosema.errors import InputError
from tests.analysis.dictionaries import autoencoder, crosscoder, transcoder


def directions(n: int, d: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("exact", [0, 1000])
def test_features_in_another_order_and_of_other_norms_are_the_same(exact: int):
    a = directions(40)
    order = torch.randperm(40)
    scaled = (a * torch.rand(40, 1).add(0.1))[order]
    pairs = pairs_of(a, scaled, exact)
    assert pairs.back is not None
    for cosines in (pairs.cosine, pairs.nearest, pairs.back.cosine, pairs.back.nearest):
        np.testing.assert_allclose(cosines, 1, atol=1e-5)


def test_partners_are_those_of_the_largest_sum_of_cosines():
    a, b = directions(30), directions(50, seed=1)
    cosines = (F.normalize(a.double(), dim=1) @ F.normalize(b.double(), dim=1).T).numpy()
    pairs = pairs_of(a, b)
    one, other = linear_sum_assignment(-cosines)
    np.testing.assert_allclose(pairs.cosine[one], cosines[one, other], atol=1e-6)
    np.testing.assert_allclose(pairs.nearest, cosines.max(1), atol=1e-6)
    assert pairs.back is not None
    np.testing.assert_allclose(pairs.back.nearest, cosines.max(0), atol=1e-6)
    assert (pairs.back.cosine > -1).sum() == 30  # the others have no partner
    np.testing.assert_allclose(np.sort(pairs.back.cosine)[20:], np.sort(pairs.cosine), atol=1e-6)


def test_beyond_the_exact_size_partners_are_each_others_most_similar():
    a, b = directions(30), directions(50, seed=1)
    cosines = (F.normalize(a.double(), dim=1) @ F.normalize(b.double(), dim=1).T).numpy()
    pairs = pairs_of(a, b, exact=10)
    for i in range(30):
        j = cosines[i].argmax()
        wanted = cosines[i, j] if cosines[:, j].argmax() == i else -1
        assert pairs.cosine[i] == pytest.approx(wanted, abs=1e-6)


def test_a_planted_share_is_found():
    """Half of the features are in both, moved by an angle whose cosine is 0.8; the rest is chance."""
    d = 256
    a, b = (F.normalize(directions(200, d, seed), dim=1) for seed in (0, 1))
    moved = b[:100] - (b[:100] * a[:100]).sum(1, keepdim=True) * a[:100]
    b[:100] = 0.8 * a[:100] + 0.6 * F.normalize(moved, dim=1)
    pairs = pairs_of(a, b[torch.randperm(200)])
    assert (pairs.cosine >= 0.7).mean() == 0.5
    assert (pairs.cosine >= 0.9).mean() == 0
    chance = pairs_of(a, random_like(b, torch.Generator().manual_seed(5)))
    assert (chance.cosine >= 0.7).mean() == 0


def test_random_directions_have_the_second_moments_that_they_should():
    given = directions(4000, 4) @ torch.diag(torch.tensor([3.0, 1.0, 0.1, 0.0])) @ directions(4, 4, 2)
    made = random_like(given, torch.Generator().manual_seed(0), covariance=True)
    wanted = given.T @ given / len(given)
    torch.testing.assert_close(made.T @ made / len(made), wanted, rtol=0.15, atol=0.05 * float(wanted.max()))
    plain = random_like(given, torch.Generator().manual_seed(0))
    torch.testing.assert_close(plain.T @ plain / len(plain), torch.eye(4), rtol=0, atol=0.1)


def test_an_interval_covers_the_mean_as_often_as_it_says():
    """Of a thousand values whose true mean is 0.3, drawn again and again."""
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(100):
        interval = bootstrap(rng.random(200) < 0.3, resamples=200, seed=seed)
        assert interval.low <= interval.value <= interval.high
        hits += interval.low <= 0.3 <= interval.high
    assert 85 <= hits <= 100
    same = bootstrap(np.ones(5))
    assert (same.low, same.value, same.high) == (1, 1, 1)
    with pytest.raises(InputError, match="of 0 features"):
        bootstrap(np.zeros(0))


def test_what_all_share_is_what_the_least_like_shares():
    assert shared_by_all([np.array([0.9, 0.2]), np.array([0.8, 0.95])]).tolist() == [0.8, 0.2]


@pytest.mark.parametrize(
    "made",
    [
        autoencoder("resid_post.0", 12),
        autoencoder("resid_post.0", 12, encoder="block_diagonal", decoder="block_diagonal", blocks=2),
        transcoder("mlp_in.0", "mlp_out.0", 12),
        crosscoder(("resid_post.0", "resid_post.1"), 12),
    ],
)
def test_features_are_compared_by_decoder_encoder_or_the_mean_of_both(made):
    kept = torch.arange(made.spec.width) % 3 > 0
    sides = {side: signatures(made, kept, side) for side in ("decoder", "encoder", "both")}
    cosines = {side: rows @ rows.T for side, rows in sides.items()}
    torch.testing.assert_close(cosines["both"], (cosines["decoder"] + cosines["encoder"]) / 2)
    units = torch.eye(made.spec.width, dtype=torch.float64)
    decoded = F.normalize(made.decode_features(units)[kept].float(), dim=1)
    torch.testing.assert_close(cosines["decoder"], (decoded @ decoded.T).detach())
    assert sides["both"].shape == (int(kept.sum()), made.spec.d_in + made.spec.d_out)
