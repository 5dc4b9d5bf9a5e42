"""Ghost gradients: dead features alone learn, from a residual that is a constant; sizes are as the update says."""

import torch
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.recipes.ghost import ghost_loss as ghost_loss_of_dead
from monosema.recipes.topk import TopKRecipe
from tests.recipes.reference import BATCH, WIDTH, dictionary_for, ghost, random, some_dead


def ghost_loss(dictionary: Dictionary, pre: Tensor, error: Tensor, dead: Tensor) -> Tensor:
    features = dead.nonzero().squeeze(1)
    return ghost_loss_of_dead(dictionary, pre[:, features], error, features)


def setting():
    dictionary = dictionary_for(TopKRecipe(k=4))
    return dictionary, dictionary.preactivations(random(7, BATCH, 6)), random(8, BATCH, 6).requires_grad_()


def test_value_and_gradient_equal_the_dense_formula():
    dictionary, pre, error = setting()
    loss = ghost_loss(dictionary, pre, error, some_dead())
    loss.backward()
    weight = dictionary.W_dec.detach().double().requires_grad_()
    dense = ghost(pre.detach().double(), weight, error.detach().double(), some_dead())
    dense.backward()
    torch.testing.assert_close(loss.detach().double(), dense.detach())
    assert dictionary.W_dec.grad is not None
    torch.testing.assert_close(dictionary.W_dec.grad.double(), weight.grad, rtol=1e-4, atol=1e-6)
    assert error.grad is None


def test_the_loss_is_as_large_as_the_main_error():
    dictionary, pre, error = setting()
    loss = ghost_loss(dictionary, pre, error, some_dead())
    torch.testing.assert_close(loss, error.square().sum(1).mean())


def test_only_dead_features_learn():
    dictionary, pre, error = setting()
    ghost_loss(dictionary, pre, error, some_dead()).backward()
    assert dictionary.W_enc.grad is not None
    assert dictionary.W_dec.grad is not None
    assert torch.equal(dictionary.W_enc.grad.abs().sum(0) > 0, some_dead())
    assert torch.equal(dictionary.W_dec.grad.abs().sum(1) > 0, some_dead())


def test_zero_without_dead_features_and_finite_for_any_preactivation():
    dictionary, pre, error = setting()
    assert ghost_loss(dictionary, pre, error, torch.zeros(WIDTH, dtype=torch.bool)).item() == 0
    for factor in (1e4, -1e4, 0.0):
        loss = ghost_loss(dictionary, factor * pre, error, some_dead())
        (gradient,) = torch.autograd.grad(loss, dictionary.W_dec, retain_graph=True)
        assert loss.isfinite()
        assert gradient.isfinite().all()
    assert ghost_loss(dictionary, pre, torch.zeros(BATCH, 6), some_dead()).item() == 0
