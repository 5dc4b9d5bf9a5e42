"""Activation functions against their definitions, and JumpReLU's pseudo-derivatives against the paper's."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monosema.dictionaries import (
    AbsTopK,
    ActivationFunction,
    BatchTopK,
    Dense,
    GroupMax,
    JumpReLU,
    Preactivations,
    TopK,
    activation_functions,
    step_kernels,
)
from monosema.errors import InputError
from tests.dictionaries.strategies import ACTIVATIONS, WIDTH, activate, quick, random

every_function = pytest.mark.parametrize("name", sorted(ACTIVATIONS))
seeds = st.integers(0, 10**6)


KERNELS: dict[str, Callable[[float], float]] = {
    "rectangle": lambda u: 1.0 if abs(u) < 0.5 else 0.0,
    "triangle": lambda u: max(1 - abs(u), 0.0),
    "gaussian": lambda u: math.exp(-u * u / 2) / math.sqrt(2 * math.pi),
    "epanechnikov": lambda u: max(0.75 * (1 - u * u), 0.0),
}


def made(name: str, training: bool = True) -> ActivationFunction:
    return ACTIVATIONS[name](WIDTH).double().train(training)


def test_every_registered_function_is_tested_here():
    searching = {name for name, function in activation_functions.items() if function.searches}
    assert set(ACTIVATIONS) == set(activation_functions) - searching
    assert searching == {"matching_pursuit"}  # tested on its own: it needs more than pre-activations


@every_function
@quick
@given(seed=seeds, batch=st.integers(1, 5), training=st.booleans())
def test_codes_follow_the_definition(name: str, seed: int, batch: int, training: bool):
    function, pre = made(name, training), random(seed, batch, WIDTH)
    assert torch.equal(function(pre), activate(function, pre))


@pytest.mark.parametrize("name", sorted(ACTIVATIONS.keys() - {"abs_topk"}))
@pytest.mark.parametrize("pre", [torch.full((3, WIDTH), -4.0), torch.full((3, WIDTH), -9.0)], ids=["low", "lower"])
@pytest.mark.parametrize("training", [True, False])
def test_nothing_fires_where_preactivations_and_biases_are_negative(name: str, pre: torch.Tensor, training: bool):
    assert not made(name, training)(pre.double()).any()


@every_function
@quick
@given(seed=seeds, training=st.booleans())
def test_sparse_codes_are_the_dense_ones_in_values_and_gradients(name: str, seed: int, training: bool):
    function, pre, upstream = made(name, training), random(seed, 4, WIDTH), random(seed + 1, 4, WIDTH)
    leaves = [pre.requires_grad_(), *function.parameters()]
    identity = torch.eye(WIDTH, dtype=pre.dtype)
    lazy = Preactivations(Dense(), pre, identity, pre.new_zeros(WIDTH), None)
    dense, sparse = function(pre), function.sparse(lazy).to_dense()
    assert torch.equal(dense, sparse)
    of_dense = torch.autograd.grad((dense * upstream).sum(), leaves, allow_unused=True, materialize_grads=True)
    of_sparse = torch.autograd.grad((sparse * upstream).sum(), leaves, allow_unused=True, materialize_grads=True)
    assert all(torch.equal(a, b) for a, b in zip(of_dense, of_sparse, strict=True))


@every_function
@quick
@given(seed=seeds, factor=st.floats(1e-3, 1e3), training=st.booleans())
def test_rescaling_makes_the_function_homogeneous(name: str, seed: int, factor: float, training: bool):
    function, rescaled, pre = made(name, training), made(name, training), random(seed, 4, WIDTH)
    rescaled.rescale_(factor)
    torch.testing.assert_close(rescaled(factor * pre), factor * function(pre), rtol=1e-12, atol=0)


@every_function
@pytest.mark.parametrize("training", [True, False])
def test_leading_dimensions_are_one_batch(name: str, training: bool):
    function, pre = made(name, training), random(0, 2, 3, WIDTH)
    assert torch.equal(function(pre), function(pre.view(6, WIDTH)).view(2, 3, WIDTH))
    assert torch.equal(function(pre[0, 0]), function(pre[0, :1])[0])


@every_function
def test_codes_have_the_precision_of_the_preactivations(name: str):
    pre = random(0, 3, WIDTH).bfloat16()
    for training in (True, False):
        assert ACTIVATIONS[name](WIDTH).train(training)(pre).dtype == torch.bfloat16


@every_function
def test_options_rebuild_the_function(name: str):
    options = made(name).options()
    assert activation_functions[name](WIDTH, **options).options() == options
    assert activation_functions[name].name == name


@pytest.mark.parametrize("name", ["topk", "batch_topk", "abs_topk", "groupmax"])
@pytest.mark.parametrize("k", [0, -1, WIDTH + 1, 2.5, math.nan])
def test_k_outside_the_width_is_refused(name: str, k: int):
    with pytest.raises(InputError, match=rf"k = {k} with width {WIDTH}.*from 1 to the width"):
        activation_functions[name](WIDTH, k=k)


@pytest.mark.parametrize("options", [{"bandwidth": 0}, {"bandwidth": math.nan}, {"threshold": -1}])
def test_jumprelu_refuses_impossible_options(options: dict):
    with pytest.raises(InputError, match="bandwidth above 0"):
        JumpReLU(WIDTH, **options)


def test_k_may_be_the_whole_width():
    pre = random(0, 4, WIDTH)
    assert torch.equal(TopK(WIDTH, WIDTH)(pre), pre.relu())
    assert torch.equal(BatchTopK(WIDTH, WIDTH)(pre), pre.relu())
    assert torch.equal(AbsTopK(WIDTH, WIDTH)(pre), pre)
    assert torch.equal(GroupMax(WIDTH, WIDTH)(pre), pre.relu())


def test_groups_are_of_one_size():
    with pytest.raises(InputError, match=rf"5 groups of {WIDTH} features.*divides the width"):
        GroupMax(WIDTH, 5)


@quick
@given(seed=seeds)
def test_abs_topk_is_odd(seed: int):
    function, pre = made("abs_topk"), random(seed, 4, WIDTH)
    assert torch.equal(function(-pre), -function(pre))


@quick
@given(seed=seeds)
def test_in_evaluation_batch_topk_treats_each_row_alone(seed: int):
    function, pre = made("batch_topk", training=False), random(seed, 5, WIDTH)
    alone = torch.cat([function(row[None]) for row in pre])
    assert torch.equal(function(pre), alone)


def test_in_training_batch_topk_lets_rows_compete():
    function, pre = made("batch_topk", training=True), random(0, 2, WIDTH).abs()
    strong = torch.cat([pre[:1], pre[1:] + 10])
    assert function(strong)[0].count_nonzero() < function(pre[:1]).count_nonzero()


def test_batch_topk_without_a_threshold_refuses_evaluation_even_after_rescaling():
    function = BatchTopK(WIDTH, 2).eval()
    function.rescale_(0.1)
    with pytest.raises(RuntimeError, match="threshold was never set"):
        function(random(0, 3, WIDTH))


@quick
@given(
    u=st.lists(st.sampled_from([-2.0, -1.0, -0.6, -0.45, -0.1, 0.0, 0.1, 0.45, 0.6, 1.0, 2.0]), min_size=8, max_size=8),
    bandwidth=st.sampled_from([0.001, 0.01, 0.3]),
    kernel=st.sampled_from(["rectangle", "triangle", "gaussian", "epanechnikov"]),
    seed=seeds,
)
def test_jumprelu_has_the_pseudo_derivatives_of_the_paper(u: list[float], bandwidth: float, kernel: str, seed: int):
    """Rajamanoharan et al. 2024, equations 11 and 12: (π − θ)/ε is the argument of the kernel K."""
    function = JumpReLU(2, bandwidth=bandwidth, kernel=kernel)
    function.threshold.data.copy_(random(seed, 2).abs() + 0.01)
    theta = function.threshold.detach()
    pre = (theta + bandwidth * torch.tensor(u).view(4, 2)).requires_grad_()
    upstream = random(seed + 1, 4, 2).float()
    (function(pre) * upstream).sum().backward()
    assert pre.grad is not None
    assert function.threshold.grad is not None

    of_theta, of_step = [0.0, 0.0], [0.0, 0.0]
    for b in range(4):
        for j in range(2):
            t, p, g = theta[j].item(), pre[b, j].item(), upstream[b, j].item()
            near = KERNELS[kernel]((p - t) / bandwidth)
            of_theta[j] += g * -(t / bandwidth) * near
            of_step[j] += g * -(1 / bandwidth) * near
            assert pre.grad[b, j].item() == (g if p > t else 0.0)
    torch.testing.assert_close(function.threshold.grad, torch.tensor(of_theta), rtol=1e-5, atol=1e-5 / bandwidth)

    (step,) = torch.autograd.grad((function.active(pre) * upstream).sum(), function.threshold)
    torch.testing.assert_close(step, torch.tensor(of_step), rtol=1e-5, atol=1e-5 / bandwidth)


@pytest.mark.parametrize("name", step_kernels)
def test_a_step_kernel_integrates_to_one_and_is_even(name: str):
    u = torch.linspace(-8, 8, 160_001, dtype=torch.float64)
    values = step_kernels[name](u)
    assert torch.trapezoid(values, u).item() == pytest.approx(1, abs=1e-4)
    assert torch.equal(values, values.flip(0))
    assert set(KERNELS) == set(step_kernels)


def test_an_unknown_kernel_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"unknown step kernel 'rectangel'.*did you mean rectangle"):
        JumpReLU(2, kernel="rectangel")


def test_a_bandwidth_for_each_feature_is_used_for_that_feature_alone():
    function = JumpReLU(2, threshold=0.5, per_feature=True)
    function.bandwidth.copy_(torch.tensor([0.1, 1.0]))
    function.active(torch.tensor([[0.7, 0.7]])).sum().backward()
    assert function.threshold.grad is not None
    assert function.threshold.grad.tolist() == [0.0, -1.0]  # 0.7 lies outside the first rectangle, inside the second


@pytest.mark.parametrize("name", ["jumprelu", "gated"])
def test_resetting_touches_the_features_asked_for_alone(name: str):
    function = made(name)
    before = [parameter.detach().clone() for parameter in function.parameters()]
    features = torch.arange(WIDTH) % 3 == 0
    function.reset_(features)
    fresh = list(activation_functions[name](WIDTH).double().parameters())
    for parameter, old, new in zip(function.parameters(), before, fresh, strict=True):
        torch.testing.assert_close(parameter[features], new[features])
        assert torch.equal(parameter[~features], old[~features])


def test_the_step_of_jumprelu_sums_to_the_l0_and_sends_nothing_to_the_preactivations():
    function, pre = JumpReLU(WIDTH, threshold=0.3), random(0, 5, WIDTH).float().requires_grad_()
    active = function.active(pre)
    assert active.sum() == (function(pre) != 0).sum()
    (gradient,) = torch.autograd.grad(active.sum(), pre, allow_unused=True, materialize_grads=True)
    assert not gradient.any()


def test_rescaling_jumprelu_leaves_the_gradient_of_the_threshold_as_it_was():
    function, rescaled, pre = made("jumprelu"), made("jumprelu"), random(0, 50, WIDTH)
    rescaled.rescale_(4.0)
    (before,) = torch.autograd.grad(function(pre).sum(), list(function.parameters()))
    (after,) = torch.autograd.grad(rescaled(4 * pre).sum(), list(rescaled.parameters()))
    assert before.any()
    torch.testing.assert_close(after, before)


def test_thresholds_learn_in_float32_from_codes_in_bfloat16():
    function = JumpReLU(WIDTH, threshold=0.5, bandwidth=1.0)
    pre = random(0, 5, WIDTH).bfloat16().requires_grad_()
    function(pre).sum().backward()
    assert function.threshold.grad is not None
    assert function.threshold.grad.dtype == torch.float32
    assert function.threshold.grad.any()
    assert pre.grad is not None
    assert pre.grad.dtype == torch.bfloat16
