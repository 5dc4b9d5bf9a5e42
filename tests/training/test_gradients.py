"""Where dense codes are made of some rows at a time, nothing else is different."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.kernels import parts
from monosema.recipes import Loss, Recipe, recipes
from monosema.training.gradients import learn_from, rows_together
from tests.recipes.reference import MOMENT, RECIPES, batch_for, dictionary_for, label, some_dead

ROWS = 3
by_row = [recipe for recipe in RECIPES if recipe.by_row]


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch):
    """A function after which a few rows of a dictionary's codes are as many as are held at a time."""

    def set_part(dictionary: Dictionary) -> None:
        monkeypatch.setattr(parts, "DENSE", ROWS * dictionary.spec.width)

    return set_part


def learned(recipe: Recipe, dictionary: Dictionary) -> tuple[Loss, Tensor, dict[str, Tensor]]:
    dictionary.zero_grad()
    loss, fired = learn_from(recipe, dictionary, *batch_for(dictionary), MOMENT, some_dead(), autocast=False)
    return loss, fired, {name: p.grad for name, p in dictionary.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("wiring", ["autoencoder", "transcoder"])
@pytest.mark.parametrize("recipe", by_row, ids=label)
def test_the_loss_and_its_gradients_are_those_of_the_whole_batch(recipe: Recipe, wiring: str, in_parts):
    dictionary = dictionary_for(recipe, wiring)
    whole, fired, expected = learned(recipe, dictionary)
    in_parts(dictionary)
    x, _ = batch_for(dictionary)
    assert rows_together(recipe, dictionary, x, MOMENT) == ROWS
    assert len(x) % ROWS  # the last part is shorter, and counts for less
    loss, fired_in_parts, found = learned(recipe, dictionary)
    assert torch.equal(fired_in_parts, fired)
    assert fired.sum() > 0
    torch.testing.assert_close(loss.total, whole.total.detach())
    torch.testing.assert_close(loss.terms, {name: value.detach() for name, value in whole.terms.items()})
    torch.testing.assert_close(loss.reconstruction, whole.reconstruction.detach())
    assert loss.stored == pytest.approx(whole.stored)
    assert found.keys() == expected.keys()
    for name, grad in expected.items():
        torch.testing.assert_close(found[name], grad, rtol=1e-4, atol=1e-5 * grad.abs().max().item(), msg=name)


def test_every_recipe_with_a_penalty_is_tested_here():
    family = {"topk", "batch_topk", "matryoshka", "hierarchical_topk"}
    assert {recipe.name for recipe in by_row} == set(recipes) - family


@pytest.mark.parametrize("recipe", [r for r in RECIPES if not r.by_row], ids=label)
def test_a_batch_whose_rows_need_each_other_stays_together(recipe: Recipe, in_parts):
    dictionary = dictionary_for(recipe)
    in_parts(dictionary)
    x, _ = batch_for(dictionary)
    assert rows_together(recipe, dictionary, x, MOMENT) == len(x)


@pytest.mark.parametrize(
    "settings",
    [
        {"aux": 0.1},
        {"ghost": 1.0},
        {"penalty": "target", "target_l0": 4.0},
        {"adaptive_bandwidth": 0.5},
    ],
    ids=str,
)
def test_options_may_join_rows(settings):
    plain = recipes["jumprelu"]()
    assert plain.by_row
    assert not recipes["jumprelu"](**settings).by_row


def test_few_entries_are_made_of_all_rows_at_once(in_parts):
    recipe = recipes["l1"]()
    dictionary = dictionary_for(recipe)
    in_parts(dictionary)
    x, _ = batch_for(dictionary)
    assert rows_together(recipe, dictionary, x, replace(MOMENT, stored=0.0)) == len(x)
    assert rows_together(recipe, dictionary, x, MOMENT) == ROWS
