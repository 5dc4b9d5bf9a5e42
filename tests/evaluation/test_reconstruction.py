from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from monosema.errors import InputError
from monosema.evaluation.reconstruction import ReconstructionSums, reconstruction_sums
from tests.evaluation.helpers import assert_same


def metrics(x: Tensor, x_hat: Tensor, cuts: tuple[int, ...] = ()):
    mean = x.double().mean(0)
    edges = [0, *sorted(cuts), len(x)]
    parts = (reconstruction_sums(x[a:b], x_hat[a:b], mean) for a, b in pairwise(edges))
    return sum(parts, start=ReconstructionSums()).metrics()


def gaussian(mean: float, n: int = 500, d: int = 7) -> Tensor:
    return torch.randn(n, d) + mean


def test_identity_explains_everything():
    x = gaussian(1.0)
    m = metrics(x, x)
    assert (m.mse, m.fve, m.fve_legacy) == (0, 1, 1)
    assert m.cosine == pytest.approx(1, abs=1e-12)
    assert m.l2_ratio == pytest.approx(1, abs=1e-12)
    assert m.reconstruction_bias == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("mean", [0.0, 5.0, 1e4])
def test_predicting_the_mean_explains_nothing(mean: float):
    x = gaussian(mean)
    m = metrics(x, x.double().mean(0).expand(x.shape), cuts=(3, 200, 201))
    assert m.fve == pytest.approx(0, abs=1e-12)
    assert m.fve_legacy == pytest.approx(0, abs=1e-12)


def test_the_mean_over_tokens_leaves_out_those_at_the_mean_activation():
    x = torch.tensor([[-1.0, 2.0], [0.0, 0.0], [1.0, -2.0]])
    assert metrics(x, 0.5 * x).fve_legacy == pytest.approx(1 - 0.5**2)


def test_variance_keeps_its_precision_far_from_zero():
    noise, error = torch.randn(500, 7).double(), 0.3 * torch.randn(500, 7).double()
    near, far = metrics(noise, noise + error), metrics(noise + 1e6, noise + 1e6 + error)
    assert far.fve == pytest.approx(near.fve, abs=1e-8)
    assert far.mse == pytest.approx(near.mse, rel=1e-8)


@pytest.mark.parametrize("c", [0.5, 1.0, 1.7])
def test_reconstruction_bias_of_scaled_activations_is_the_scale(c: float):
    x = gaussian(0.3).double()
    m = metrics(x, c * x)
    assert m.reconstruction_bias == pytest.approx(c, abs=1e-12)
    assert m.l2_ratio == pytest.approx(c, abs=1e-12)
    assert m.cosine == pytest.approx(1, abs=1e-12)


def test_reconstruction_bias_minimises_the_rescaled_error():
    x = gaussian(0.5).double()
    x_hat = 0.7 * x + 0.4 * torch.randn_like(x)
    best = metrics(x, x_hat).reconstruction_bias
    assert best is not None
    error = [((x_hat / g) - x).square().sum() for g in (best - 1e-3, best, best + 1e-3)]
    assert error[1] < min(error[0], error[2])


def test_zeros_have_no_direction_and_no_bias():
    m = metrics(gaussian(0.0), torch.zeros(500, 7))
    assert (m.cosine, m.l2_ratio, m.reconstruction_bias) == (0, 0, None)


def test_agrees_with_one_dense_float64_computation():
    x, x_hat = gaussian(2.0), gaussian(2.0)
    m, x, x_hat = metrics(x, x_hat, cuts=(100, 333)), x.double(), x_hat.double()
    error, centred = (x - x_hat).square().sum(1), (x - x.mean(0)).square().sum(1)
    assert m.mse == pytest.approx(error.mean().item(), rel=1e-12)
    assert m.fve == pytest.approx((1 - error.sum() / centred.sum()).item(), rel=1e-12)
    assert m.fve_legacy == pytest.approx((1 - error / centred).mean().item(), rel=1e-12)
    assert m.cosine == pytest.approx(torch.cosine_similarity(x, x_hat).mean().item(), rel=1e-12)
    assert m.l2_ratio == pytest.approx((x_hat.norm(dim=1) / x.norm(dim=1)).mean().item(), rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 60), max_size=8), mean=st.sampled_from([0.0, 5.0, 1e4]), seed=st.integers(0, 99))
def test_no_metric_depends_on_the_cut_into_batches(cuts: list[int], mean: float, seed: int):
    x = mean + torch.randn(60, 5, generator=torch.Generator().manual_seed(seed))
    x_hat = x + torch.randn(60, 5, generator=torch.Generator().manual_seed(seed + 1))
    assert_same(metrics(x, x_hat, tuple(cuts)), metrics(x, x_hat), rel=1e-11)


def test_tokens_at_the_mean_or_at_zero_do_not_spoil_averages():
    x = torch.tensor([[-1.0], [0.0], [1.0]])
    m = metrics(x, torch.tensor([[-1.0], [0.5], [1.0]]))
    assert m.fve_legacy == 1
    assert m.l2_ratio == 1
    assert m.fve == pytest.approx(1 - 0.25 / 2)


@pytest.mark.parametrize("x", [torch.ones(4, 3), torch.ones(0, 3)])
def test_activations_without_variance_are_refused(x: Tensor):
    with pytest.raises(InputError, match="vary"):
        metrics(x, x)
