"""Options that change what a recipe does, and combinations that make no sense, which are refused with the reason."""

import dataclasses
from itertools import product

import pytest
import torch

from monosema.dictionaries import Spec
from monosema.errors import InputError
from monosema.recipes import Moment, recipes
from monosema.recipes.learning_rate import OTHER_OPTIMISERS, auto_lr
from monosema.recipes.matryoshka import MatryoshkaRecipe
from monosema.recipes.recipe import Optimiser
from monosema.recipes.topk import TopKRecipe
from tests.recipes.reference import BATCH, LATE, MOMENT, WIDTH, batch_for, dictionary_for, some_dead

AUTOENCODER = Spec.autoencoder("x", 16, WIDTH)
TRANSCODER = Spec(16, 8, WIDTH, ("x",), ("y",), wiring="transcoder")


def test_auxk_and_ghost_gradients_exclude_each_other():
    with pytest.raises(InputError, match="expected one of the two: both fit the residual"):
        TopKRecipe(ghost=1.0)  # aux is on by default
    assert TopKRecipe(ghost=1.0, aux=0.0).ghost == 1.0


@pytest.mark.parametrize("name", recipes)
def test_aligned_needs_an_autoencoder(name: str):
    recipe = dataclasses.replace(recipes[name](), aligned=True)
    assert recipe.fitted(AUTOENCODER, 10, 10).aligned
    with pytest.raises(InputError, match=r"aligned with a transcoder; expected an autoencoder: .* different spaces"):
        recipe.fitted(TRANSCODER, 10, 10)


def test_k_cannot_start_above_the_width():
    with pytest.raises(InputError, match=r"k_start = 50 .* at most the width, 20"):
        TopKRecipe(k_start=50).fitted(AUTOENCODER, 10, 10)


@pytest.mark.parametrize(
    "prefixes", [(), (0.5,), (0.5, 0.5, 1.0), (1.0, 0.5), (0.0, 1.0), (0.5, 1.5)], ids=lambda value: str(value)
)
def test_prefixes_must_rise_to_the_whole(prefixes: tuple[float, ...]):
    with pytest.raises(InputError, match="rising fractions of the width, the last 1"):
        MatryoshkaRecipe(prefixes=prefixes)


def test_k_falls_linearly_from_its_start_and_stays_at_its_end():
    recipe = TopKRecipe(k=10, k_start=50, k_anneal=0.4)
    seen = [recipe.k_at(Moment(step, 1000, 8)) for step in range(1000)]
    assert seen[0] == 50
    assert seen[200] == 30
    assert seen[400:] == [10] * 600
    assert seen == sorted(seen, reverse=True)


def test_multi_topk_returns_the_codes_of_k_and_goes_to_the_end_of_a_narrow_dictionary():
    recipe = TopKRecipe(k=8, multi_topk=1 / 8, aux=0.0)
    dictionary = dictionary_for(recipe)
    x, y = batch_for(dictionary)
    loss = recipe.loss(dictionary, x, y, MOMENT, some_dead())
    assert loss.fired().sum() <= 8 * BATCH
    everything = dictionary.preactivations(x).relu() @ dictionary.W_dec + dictionary.b_dec  # 4k exceeds the width
    torch.testing.assert_close(loss.terms["error_4k"], (y - everything).square().sum(1).mean())


def test_prefixes_weigh_one_in_sum_whatever_their_weights():
    for weights in (None, (5.0, 5.0, 5.0), (1.0, 2.0, 3.0)):
        recipe = MatryoshkaRecipe(k=4, prefixes=(0.2, 0.5, 1.0), prefix_weights=weights, aux=0.0)
        dictionary = dictionary_for(recipe)
        dictionary.W_dec.data.zero_()  # every prefix is as good as the next
        loss = recipe.loss(dictionary, *batch_for(dictionary), LATE, some_dead())
        torch.testing.assert_close(loss.total, loss.terms["error"])


def test_every_recipe_and_optimiser_has_a_learning_rate():
    assert {"adam", *OTHER_OPTIMISERS} == set(Optimiser.__args__)
    for name, optimiser in product(recipes, Optimiser.__args__):
        recipe = dataclasses.replace(recipes[name](), optimiser=optimiser).fitted(AUTOENCODER, 2000, 512)
        assert isinstance(recipe.lr, float)
        assert 1e-5 < recipe.lr < 0.1
        assert recipe.lr == auto_lr(recipes[name].fit, optimiser, WIDTH, 2000, 512)


def test_the_learning_rate_follows_its_fit():
    fit = TopKRecipe.fit
    base = auto_lr(fit, "adam", 4096, 1_000_000 // 512, 512)
    assert base == pytest.approx(fit.base, rel=0.06)  # two digits
    changes = [
        ({"width": 1024}, -fit.width),
        ({"width": 16_384}, fit.wide),
        ({"batch_size": 2048}, fit.batch + fit.tokens),
    ]
    for change, exponent in changes:
        settings = {"width": 4096, "steps": 1_000_000 // 512, "batch_size": 512} | change
        assert auto_lr(fit, "adam", **settings) / base == pytest.approx(4**exponent, rel=0.05)


def test_beyond_its_range_the_fit_is_not_extrapolated():
    fit = TopKRecipe.fit
    assert auto_lr(fit, "adam", 8, 1, 64) == auto_lr(fit, "adam", 512, 100_000 // 128, 128)


def test_a_learning_rate_that_is_given_is_kept():
    assert TopKRecipe(lr=3e-4).fitted(AUTOENCODER, 10, 10).lr == 3e-4
