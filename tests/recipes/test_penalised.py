"""Coefficients: given, the paper's, or steered towards an L0; exponents that fall and keep the penalty's size."""

import dataclasses
import math
from typing import Any

import pytest
import torch

from monosema.errors import InputError
from monosema.recipes import Loss, Moment, Pressure, recipes
from monosema.recipes.april_l1 import AprilL1Recipe
from monosema.recipes.entropy import code_entropy
from monosema.recipes.exchange import Forward
from monosema.recipes.jumprelu import JumpReLURecipe
from monosema.recipes.l1 import L1Recipe
from monosema.recipes.p_anneal import FLOOR, PAnnealRecipe, power_sum
from monosema.recipes.penalised import Penalised
from tests.recipes.reference import batch_for, dictionary_for, some_dead

PENALISED = sorted(name for name, recipe in recipes.items() if issubclass(recipe, Penalised))


@pytest.mark.parametrize("name", [name for name in PENALISED if name != "jumprelu"])
def test_a_coefficient_and_a_target_together_are_refused(name: str):
    with pytest.raises(InputError, match=r"sparsity = 2.0 and target_l0 = 10.0 .* expected one of the two"):
        recipes[name](sparsity=2.0, target_l0=10.0)  # pyright: ignore[reportCallIssue]


def test_jumprelu_takes_both_in_the_form_that_needs_both():
    recipe = JumpReLURecipe(penalty="target", sparsity=2.0, target_l0=10.0)
    assert recipe.start_pressure().coefficient == 2.0
    with pytest.raises(InputError, match="one of the two"):
        JumpReLURecipe(penalty="l0", sparsity=2.0, target_l0=10.0)


def test_auto_is_the_paper_s_coefficient_where_there_is_one_and_a_goal_elsewhere():
    assert AprilL1Recipe().goal is None
    assert AprilL1Recipe().start_pressure().coefficient == 5.0
    assert AprilL1Recipe(target_l0=20.0).goal == 20.0
    assert L1Recipe().goal == 32.0
    assert L1Recipe(sparsity=0.1).goal is None


def loss_of(recipe: Penalised, moment: Moment) -> Loss:
    dictionary = dictionary_for(recipe)
    return recipe.loss(dictionary, *batch_for(dictionary), moment, some_dead())


def test_a_given_coefficient_never_moves():
    recipe, moment = L1Recipe(sparsity=0.3), Moment(0, 100, 16)
    for step in range(5):
        pressure = recipe.pressure(moment, 1000.0, loss_of(recipe, moment))
        assert pressure == Pressure(0.3)
        moment = Moment(step + 1, 100, 16, pressure)


@pytest.mark.parametrize("start", [0.01, 1.0, 100.0])
def test_the_controller_finds_the_coefficient_of_a_system_that_answers_slowly(start: float):
    """L0 follows 500 / (1 + λ) with a lag of thirty steps, from a start that knows nothing of it."""
    steps, l0 = 2000, 500.0
    recipe = dataclasses.replace(L1Recipe(target_l0=25.0), resample_at=(), lr_decay=0.2)
    moment = Moment(0, steps, 16, Pressure(start))
    loss = loss_of(recipe, Moment(0, steps, 16))
    for step in range(steps):
        l0 += (500 / (1 + 20 * recipe.coefficient(moment)) - l0) / 30
        moment = Moment(step + 1, steps, 16, recipe.pressure(moment, l0, loss))
    assert l0 == pytest.approx(25, rel=0.02)


@pytest.mark.parametrize("name", ["entropy", "april_l1"])
def test_the_controller_keeps_up_with_a_system_that_drifts(name: str):
    """As above, but as long as features learn, L0 grows at any coefficient: by a factor of e in half of the run."""
    steps, l0, size = 2000, 500.0, 500.0
    recipe = dataclasses.replace(recipes[name](target_l0=25.0), lr_decay=0.6)  # pyright: ignore[reportCallIssue]
    assert isinstance(recipe, Penalised)
    moment, loss = Moment(0, steps, 16, Pressure(1.0)), loss_of(recipe, Moment(0, steps, 16))
    for step in range(steps):
        size *= math.exp(2 * recipe.lr_scale(moment) / steps)
        l0 += (size / (1 + 20 * recipe.coefficient(moment)) - l0) / 30
        moment = Moment(step + 1, steps, 16, recipe.pressure(moment, l0, loss))
    assert l0 == pytest.approx(25, rel=0.02)


def test_the_controller_sees_a_moving_average_of_which_a_batch_is_a_tenth():
    recipe, loss = L1Recipe(target_l0=25.0), loss_of(L1Recipe(target_l0=25.0), Moment(0, 100, 16))
    first = recipe.pressure(Moment(0, 100, 16), 20.0, loss)
    second = recipe.pressure(Moment(1, 100, 16, first), 40.0, loss)
    assert first is not None
    assert second is not None
    assert (first.l0, second.l0) == (20.0, pytest.approx(22.0))


def test_the_controller_stands_still_while_l0_cannot_answer():
    recipe = L1Recipe(target_l0=25.0, sparsity_warmup=0.1, resample_at=())
    first = recipe.pressure(Moment(0, 1000, 16), 400.0, loss_of(recipe, Moment(0, 1000, 16)))
    assert first is not None
    assert first.integral == 0.0


def test_nothing_active_leaves_the_pressure_finite():
    recipe = PAnnealRecipe(target_l0=25.0)
    pressure = None
    for step in range(100):
        moment = Moment(step, 100, 16, pressure)
        loss = loss_of(recipe, moment)
        nothing = {name: torch.zeros(()) for name in loss.terms}
        pressure = recipe.pressure(moment, 0.0, loss._replace(terms=nothing))
    assert pressure is not None
    assert 0 < pressure.coefficient < 1
    assert math.isfinite(pressure.integral)


def test_the_exponent_falls_from_one_to_its_end_in_equal_steps():
    recipe = PAnnealRecipe(p_start=0.1, p_stop=0.8, p_end=0.2, p_steps=4)
    seen = [recipe.exponent(i / 1000) for i in range(1000)]
    assert seen[:100] == [1.0] * 100
    assert sorted(set(seen), reverse=True) == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])
    assert seen == sorted(seen, reverse=True)
    assert seen[800:] == pytest.approx([0.2] * 200)


def test_each_fall_of_the_exponent_keeps_the_size_of_the_penalty():
    recipe = PAnnealRecipe(sparsity=0.3, p_start=0.0, p_stop=0.9, p_steps=3)
    dictionary = dictionary_for(recipe)
    x, y = batch_for(dictionary)
    pressure, changes = recipe.start_pressure(), 0
    for step in range(40, 99):
        moment, after = (Moment(at, 100, 16, pressure) for at in (step, step + 1))
        loss = recipe.loss(dictionary, x, y, moment, some_dead())
        pressure = recipe.pressure(moment, 5.0, loss)
        assert pressure is not None
        then = recipe.loss(dictionary, x, y, dataclasses.replace(after, pressure=pressure), some_dead())
        changes += recipe.exponent(moment.fraction) != recipe.exponent(after.fraction)
        before = recipe.coefficient(moment) * loss.terms["penalty"].item()
        assert pressure.coefficient * then.terms["penalty"].item() == pytest.approx(before, rel=1e-5)
    assert changes == 2


@pytest.mark.parametrize(("sparsity", "after_a_fifth"), [(2.0, 0.2), ("auto", 1.0)])
def test_where_a_goal_is_sought_the_warm_up_is_over_after_a_fifth_of_the_run(sparsity: Any, after_a_fifth: float):
    recipe = L1Recipe(sparsity=sparsity, sparsity_warmup=1.0)
    start = recipe.start_pressure().coefficient
    assert recipe.coefficient(Moment(20, 100, 16)) == pytest.approx(after_a_fifth * start)
    assert recipe.coefficient(Moment(10, 100, 16)) == pytest.approx(after_a_fifth / 2 * start)


def test_rows_without_features_have_no_entropy_and_count_in_the_mean():
    batch, f = one_row(), torch.rand(1, 5)
    two = batch._replace(x=batch.x.expand(2, -1))
    torch.testing.assert_close(code_entropy(two, torch.cat([f, 0 * f])), code_entropy(batch, f) / 2)


def one_row() -> Forward:
    dictionary = dictionary_for(PAnnealRecipe())
    x = batch_for(dictionary)[0][:1]
    pre = dictionary.lazy_preactivations(x)
    return Forward(dictionary, x, x, pre, pre.dense, x)


def test_powers_are_continuous_at_the_floor_and_have_finite_slopes_at_zero():
    f = torch.tensor([[0.0, FLOOR / 2, FLOOR, 2 * FLOOR, 1.0]], requires_grad=True)
    batch = one_row()
    power_sum(batch, f, 0.2).backward()
    assert f.grad is not None
    assert f.grad.isfinite().all()
    below, above = (power_sum(batch, torch.tensor([[FLOOR * factor]]), 0.2) for factor in (0.9999, 1.0001))
    assert below.item() == pytest.approx(above.item(), rel=1e-3)
