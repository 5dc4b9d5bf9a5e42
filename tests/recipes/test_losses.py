"""Every recipe's loss and all its gradients equal an independent float64 transcription of its equation."""

import copy
from dataclasses import replace

import pytest
import torch

from monosema.dictionaries import Bounded
from monosema.kernels import RaggedCodes
from monosema.recipes import Moment, Recipe, recipes
from tests.recipes.reference import (
    LATE,
    MOMENT,
    RECIPES,
    WIRINGS,
    batch_for,
    dictionary_for,
    expected,
    label,
    some_dead,
)

each_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=label)
each_wiring = pytest.mark.parametrize("wiring", WIRINGS)


def test_every_registered_recipe_is_tested_here():
    assert {recipe.name for recipe in RECIPES} == set(recipes)


@pytest.mark.parametrize(
    "moment", [MOMENT, LATE, replace(LATE, stored=0.0)], ids=["early", "late", "late, over the entries that matter"]
)
@each_wiring
@each_recipe
def test_loss_and_gradients_equal_the_published_equation(recipe: Recipe, wiring: str, moment: Moment):
    dictionary = dictionary_for(recipe, wiring)
    x, y = batch_for(dictionary)
    loss = recipe.loss(dictionary, x, y, moment, some_dead())
    loss.total.backward()
    total, gradients = expected(recipe, dictionary, x, y, some_dead(), moment)
    torch.testing.assert_close(loss.total.detach().double(), total, rtol=1e-5, atol=1e-6)
    for name, parameter in dictionary.named_parameters():
        if not parameter.requires_grad:
            assert not parameter.any()  # a bias that the activation function has in its stead
            continue
        assert parameter.grad is not None, name
        scale = gradients[name].abs().max().item()
        assert scale > 0, f"the test says nothing about {name}"
        torch.testing.assert_close(parameter.grad.double(), gradients[name], rtol=1e-4, atol=1e-5 * scale, msg=name)


@each_recipe
def test_loss_changes_nothing_and_repeats_itself(recipe: Recipe):
    dictionary = dictionary_for(recipe)
    before = copy.deepcopy(dictionary.state_dict())
    x, y = batch_for(dictionary)
    x_before, dead = x.clone(), some_dead()
    first, second = (recipe.loss(dictionary, x, y, MOMENT, dead) for _ in range(2))
    assert first.total.item() == second.total.item()
    assert torch.equal(first.fired(), second.fired())
    assert all(torch.equal(value, before[name]) for name, value in dictionary.state_dict().items())
    assert torch.equal(x, x_before)
    assert torch.equal(dead, some_dead())


@each_recipe
def test_reconstruction_and_codes_are_those_of_the_dictionary(recipe: Recipe):
    dictionary = dictionary_for(recipe)
    x, y = batch_for(dictionary)
    loss = recipe.loss(dictionary, x, y, LATE, some_dead())
    torch.testing.assert_close(loss.reconstruction, dictionary(x))
    assert torch.equal(loss.fired(), (dictionary.encode(x) != 0).sum(0))


@each_recipe
def test_terms_name_the_parts_of_the_total(recipe: Recipe):
    dictionary = dictionary_for(recipe)
    x, y = batch_for(dictionary)
    loss = recipe.loss(dictionary, x, y, LATE, some_dead())
    torch.testing.assert_close(loss.terms["error"], (y - dictionary(x)).square().sum(1).mean())


def test_zero_valued_selected_entries_do_not_count_as_fired():
    for recipe in RECIPES:
        dictionary = dictionary_for(recipe)
        biases = [p for name, p in dictionary.named_parameters() if name.split(".")[-1] in ("b_enc", "b_gate")]
        for bias in biases:
            bias.data.fill_(-100.0)
        x, y = batch_for(dictionary)
        loss = recipe.loss(dictionary, x, y, MOMENT, some_dead())
        assert loss.fired().sum() == 0, recipe.name


@each_recipe
def test_a_batch_after_one_with_few_entries_is_computed_from_its_entries(recipe: Recipe):
    dictionary = dictionary_for(recipe)
    x, y = batch_for(dictionary)
    first = recipe.loss(dictionary, x, y, replace(LATE, stored=None), some_dead())
    if not isinstance(dictionary.activation, Bounded):
        assert first.stored is None
        return
    assert first.stored == (dictionary.preactivations(x) > dictionary.activation.bound()).sum().item() / len(x)
    second = recipe.loss(dictionary, x, y, replace(LATE, stored=0.0), some_dead())
    needs_all = getattr(recipe, "adaptive_bandwidth", 0) > 0
    assert isinstance(first.codes, torch.Tensor)
    assert isinstance(second.codes, torch.Tensor if needs_all else RaggedCodes)
    assert torch.equal(first.fired(), second.fired())


@pytest.mark.parametrize(
    ("name", "share", "cpu", "gpu"),
    [
        ("l1", 1 / 5, False, False),
        ("l1", 1 / 20, True, False),
        ("l1", 1 / 100, True, True),
        ("gated", 1 / 20, True, False),
        ("jumprelu", 1 / 3, True, True),
        ("jumprelu", 2 / 3, False, False),
    ],
)
def test_how_few_are_few_depends_on_the_device(
    name: str, share: float, cpu: bool, gpu: bool, monkeypatch: pytest.MonkeyPatch
):
    recipe = recipes[name]()
    dictionary = dictionary_for(recipe)
    moment = replace(LATE, stored=share * dictionary.spec.width)
    assert recipe.stores_entries(dictionary, moment) == cpu
    monkeypatch.setattr("monosema.recipes.recipe.on_gpu", lambda tensor: True)
    assert recipe.stores_entries(dictionary, moment) == gpu
