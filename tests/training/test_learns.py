"""Short runs on easy data: every recipe finds structure, and the mechanisms around the loss do their work."""

from functools import cache

import pytest
import torch

from monosema.dictionaries import Dictionary
from monosema.recipes import recipes
from monosema.training import train
from tests.training.setup import autoencoder, batches, learner, recipe, rows, source

FVE = {"topk": 0.75, "batch_topk": 0.75, "entropy": 0.1}  # entropy splits features into always and never active
LEAST = 0.6


def fve_of(dictionary: Dictionary) -> float:
    x = rows(1000, seed=99)
    return 1 - ((x - dictionary(x)).square().sum() / (x - x.mean(0)).square().sum()).item()


@cache
def trained(name: str) -> Dictionary:
    student = learner(recipe(name, lr=1e-2), steps=400)
    train(source(), {name: student}, 400)
    return student.finished()


def mean_l0(dictionary: Dictionary) -> float:
    return (dictionary.encode(rows(1000, seed=99)) != 0).sum(1).float().mean().item()


@pytest.mark.parametrize("name", recipes)
def test_explains_held_out_sparse_data(name: str):
    assert fve_of(trained(name)) > FVE.get(name, LEAST)


@pytest.mark.parametrize("name", ["batch_topk", "matryoshka", "jumprelu", "gated", "gated_ri_l1"])
def test_mean_l0_at_inference_is_what_was_asked_for(name: str):
    assert mean_l0(trained(name)) == pytest.approx(4, rel=0.1)


def test_batch_topk_is_sparse_at_inference_before_the_first_step():
    assert mean_l0(learner(recipe("batch_topk")).finished()) == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize("name", ["topk", "batch_topk"])
def test_dead_features_revive_with_auxk_and_stay_dead_without(name: str):
    alive = {}
    for aux in (0.0, 1 / 32):
        student = learner(recipe(name, aux=aux, dead_after=300, lr=5e-3, encoder_lr=1.0), steps=200)
        student.dictionary.W_enc.data[:, :8] *= 1e-3  # positive at times, but hardly ever among the largest
        shares = [student.step(batch)["dead"] for batch in batches(200)]
        assert shares[10] >= 7 / 32
        alive[aux] = (student.finished().encode(rows(1000, seed=99)) > 0).any(0)[:8].sum()
    assert alive[1 / 32] >= 6
    assert alive[0.0] <= 2


@pytest.mark.parametrize("name", recipes)
def test_constant_and_zero_batches_keep_everything_finite(name: str):
    student = learner(recipe(name, dead_after=1), autoencoder(recipe(name)))
    usual = batches(2)
    for x in (torch.zeros(64, 16), torch.ones(64, 16), usual[0]["x"]):
        student.step({"x": x})
    assert all(value.isfinite().all() for value in student.dictionary.state_dict().values())


@pytest.mark.parametrize("name", [name for name, recipe in recipes.items() if recipe.unit_norm])
def test_decoder_rows_have_unit_norm_after_every_step(name: str):
    student = learner(recipe(name, lr=1e-2))
    for batch in batches(5):
        student.step(batch)
        torch.testing.assert_close(student.dictionary.decoder_norms(), torch.ones(32))


def test_april_l1_starts_small_and_leaves_norms_free():
    student = learner(recipe("april_l1", lr=1e-2))
    torch.testing.assert_close(student.dictionary.decoder_norms(), torch.full((32,), 0.1))
    for batch in batches(5):
        student.step(batch)
    assert student.dictionary.decoder_norms().min() > 0.101


def test_batch_topk_threshold_ignores_batches_with_nothing_active():
    student = learner(recipe("batch_topk", lr=1e-2))
    threshold = student.dictionary.get_buffer("activation.threshold")
    before = threshold.clone()
    student.dictionary.b_enc.data.fill_(-100.0)
    student.step(batches(1)[0])
    assert torch.equal(threshold, before)


def test_batch_topk_threshold_is_the_moving_average_of_the_smallest_kept():
    student = learner(recipe("batch_topk", threshold_decay=0.75))
    threshold = student.dictionary.get_buffer("activation.threshold")
    before = threshold.item()
    batch = batches(1)[0]
    codes = student.dictionary.encode(student.read.into(batch["x"]))
    smallest = codes[codes > 0].min().item()
    student.step(batch)
    assert threshold.item() == pytest.approx(0.75 * before + 0.25 * smallest)


def test_jumprelu_thresholds_stay_at_zero_or_above():
    student = learner(recipe("jumprelu", lr=0.1, target_l0=31.0))  # so few may be cut that thresholds want to fall
    for batch in batches(30):
        student.step(batch)
        assert student.dictionary.get_parameter("activation.threshold").min() >= 0
    assert (student.dictionary.get_parameter("activation.threshold") == 0).any()
