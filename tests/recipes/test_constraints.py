"""Decoder rows on the unit sphere, encoders aligned with them, and gradients that respect both."""

import torch

from monosema.recipes.constraints import align_, normalise_decoder_, project_aligned_gradient_, project_gradient_
from monosema.recipes.topk import TopKRecipe
from tests.recipes.reference import WIDTH, batch_for, dictionary_for, random


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


def test_aligning_makes_every_inner_product_one_and_moves_along_the_decoder_alone():
    dictionary = dictionary_for(TopKRecipe(k=4))
    before = dictionary.W_enc.detach().clone()
    align_(dictionary)
    encoder, decoder = dictionary.W_enc.detach().T, dictionary.W_dec.detach()
    torch.testing.assert_close((encoder * decoder).sum(1), torch.ones(WIDTH))
    moved = encoder - before.T
    along = (moved * decoder).sum(1, keepdim=True) / decoder.square().sum(1, keepdim=True) * decoder
    torch.testing.assert_close(moved, along, atol=1e-6, rtol=1e-5)


def test_aligned_gradients_are_those_of_the_reparametrised_encoder():
    """Autograd through e' = e + (1 − e · d) d / ‖d‖² is the definition; the projection must agree with it."""
    dictionary = dictionary_for(TopKRecipe(k=4)).double()
    align_(dictionary)
    x, y = (rows.double() for rows in batch_for(dictionary))
    (dictionary(x) - y).square().sum().backward()
    project_aligned_gradient_(dictionary)

    encoder = dictionary.W_enc.detach().T.clone().requires_grad_()
    decoder = dictionary.W_dec.detach().clone().requires_grad_()
    missing = (1 - (encoder * decoder).sum(1, keepdim=True)) / decoder.square().sum(1, keepdim=True)
    used = encoder + missing * decoder
    pre = (x - dictionary.b_dec.detach()) @ used.T + dictionary.b_enc.detach()
    codes = torch.zeros_like(pre).scatter(1, pre.topk(4, 1).indices, pre.topk(4, 1).values.relu())
    (codes @ decoder + dictionary.b_dec.detach() - y).square().sum().backward()
    assert dictionary.W_enc.grad is not None
    assert encoder.grad is not None
    torch.testing.assert_close(dictionary.W_enc.grad.T, encoder.grad)
    torch.testing.assert_close(dictionary.W_dec.grad, decoder.grad)
