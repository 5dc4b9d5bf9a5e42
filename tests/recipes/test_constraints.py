"""Decoder rows on the unit sphere, and gradients tangent to it."""

import torch

from monosema.recipes.constraints import normalise_decoder_, project_gradient_
from monosema.recipes.topk import TopKRecipe
from tests.recipes.reference import WIDTH, dictionary_for, random


def test_projected_gradient_is_orthogonal_to_each_row_and_keeps_its_tangent():
    dictionary = dictionary_for(TopKRecipe(k=4))
    normalise_decoder_(dictionary)
    rows = dictionary.W_dec.detach()
    along, across = random(1, WIDTH, 1), random(2, WIDTH, 6)
    across = across - (across * rows).sum(1, keepdim=True) * rows
    dictionary.W_dec.grad = along * rows + across
    project_gradient_(dictionary)
    torch.testing.assert_close((dictionary.W_dec.grad * rows).sum(1), torch.zeros(WIDTH), atol=1e-6, rtol=0)
    torch.testing.assert_close(dictionary.W_dec.grad, across)


def test_normalising_keeps_directions_and_leaves_a_zero_row_at_zero():
    dictionary = dictionary_for(TopKRecipe(k=4))
    dictionary.W_dec.data[0] = 0
    before = dictionary.W_dec.detach().clone()
    normalise_decoder_(dictionary)
    rows = dictionary.W_dec.detach()
    assert torch.equal(rows[0], torch.zeros(6))
    torch.testing.assert_close(rows[1:].norm(dim=1), torch.ones(WIDTH - 1))
    torch.testing.assert_close(rows[1:] * before[1:].norm(dim=1, keepdim=True), before[1:])
