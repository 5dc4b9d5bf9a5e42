"""Schedules: end points, order, and durations that scale with the run."""

from dataclasses import replace

import pytest

from monosema.errors import InputError
from monosema.recipes import Moment, recipes
from monosema.recipes.schedules import decay, ramp
from monosema.recipes.topk import TopKRecipe

RUN = [i / 1000 for i in range(1001)]


@pytest.mark.parametrize("length", [0.05, 0.3, 1.0])
def test_ramp_rises_from_zero_to_one_at_its_length(length: float):
    values = [ramp(done, length) for done in RUN]
    assert values[0] == 0
    assert values == sorted(values)
    assert ramp(length / 2, length) == pytest.approx(0.5)
    assert ramp(length, length) == ramp(1.0, length) == 1


@pytest.mark.parametrize("length", [0.05, 0.3, 1.0])
def test_decay_falls_to_zero_over_the_last_part_and_stays(length: float):
    values = [decay(done, length) for done in RUN]
    assert values == sorted(values, reverse=True)
    assert decay(0.0, length) == 1
    assert decay(1 - length / 2, length) == pytest.approx(0.5)
    assert decay(1.0, length) == decay(1.1, length) == 0


def test_no_length_means_no_schedule():
    assert ramp(0.0, 0.0) == decay(1.0, 0.0) == 1


@pytest.mark.parametrize("name", recipes)
def test_learning_rate_starts_above_zero_peaks_at_one_and_ends_near_zero(name: str):
    recipe = replace(recipes[name](), resample_at=())
    scales = [recipe.lr_scale(Moment(step, 1000, 8)) for step in range(1000)]
    assert 0 < scales[0] < 0.1
    assert max(scales) == 1
    assert 0 < scales[-1] < 0.01
    peak = scales.index(1.0)
    assert scales[:peak] == sorted(scales[:peak])
    assert scales[peak:] == sorted(scales[peak:], reverse=True)


def test_learning_rate_warms_up_again_after_each_resampling():
    recipe = replace(TopKRecipe(), resample_at=(0.3, 0.5), lr_warmup=0.1, lr_decay=0.2)
    scales = [recipe.lr_scale(Moment(step, 1000, 8)) for step in range(1000)]
    for start in (0, 300, 500):
        assert scales[start] == pytest.approx(0.01)
        assert scales[start : start + 100] == sorted(scales[start : start + 100])
        assert scales[start + 99] == pytest.approx(1.0)
    assert min(scales[400:500]) == 1.0


@pytest.mark.parametrize("optimiser", ["signum", "schedule_free"])
def test_averaging_optimisers_have_no_decay(optimiser):
    recipe = TopKRecipe(optimiser=optimiser, lr_decay=0.6)
    assert recipe.lr_scale(Moment(999, 1000, 8)) == 1.0


def test_learning_rate_does_not_depend_on_the_length_of_the_run():
    recipe = TopKRecipe()
    for fraction in (0.3, 0.5, 0.9):
        short, long = (recipe.lr_scale(Moment(round(fraction * n), n, 8)) for n in (100, 10_000))
        assert short == pytest.approx(long)


def test_dead_window_scales_with_the_run_up_to_ten_million_tokens():
    recipe = TopKRecipe()
    assert recipe.dead_window(Moment(0, 100, 50)) == 500
    assert recipe.dead_window(Moment(70, 1000, 50)) == 5000
    assert recipe.dead_window(Moment(0, 10**6, 4096)) == 10_000_000
    assert recipe.dead_window(Moment(0, 1, 1)) == 1
    assert TopKRecipe(dead_after=123).dead_window(Moment(0, 100, 50)) == 123


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        *((name, {"lr_warmup": value}) for name in recipes for value in (-0.1, 1.1, float("nan"))),
        *((name, {"lr_decay": value}) for name in recipes for value in (-0.1, 1.1)),
        *((name, {"lr": value}) for name in recipes for value in (0.0, -1.0)),
        *((name, {"betas": value}) for name in recipes for value in ((0.9, 1.0), (-0.1, 0.9))),
        *((name, {"grad_clip": 0.0}) for name in recipes),
        *((name, {"dead_after": 0}) for name in recipes),
        *((name, {"sparsity_warmup": value}) for name in ("april_l1", "jumprelu") for value in (-0.1, 1.1)),
        *((name, {"k": 0}) for name in ("topk", "batch_topk")),
        *((name, {"aux": -1.0}) for name in ("topk", "batch_topk")),
        *((name, {"aux_k": 0}) for name in ("topk", "batch_topk")),
        ("batch_topk", {"threshold_decay": 1.0}),
        ("april_l1", {"sparsity": -1.0}),
        ("april_l1", {"decoder_norm": 0.0}),
        ("jumprelu", {"sparsity": -1.0}),
        ("jumprelu", {"target_l0": 0.0}),
        ("jumprelu", {"threshold": -0.1}),
        ("jumprelu", {"bandwidth": 0.0}),
    ],
)
def test_hyper_parameters_out_of_range_are_refused_by_name(name: str, bad: dict):
    (field,) = bad
    with pytest.raises(InputError, match=f"{field} = .* for recipe {name}; expected"):
        recipes[name](**bad)
