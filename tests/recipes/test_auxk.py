"""AuxK: the dead learn from what the living leave over, and nothing else does."""

import torch
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.recipes.auxk import auxk_loss as auxk_loss_of_dead
from monosema.recipes.topk import TopKRecipe
from tests.recipes.reference import BATCH, WIDTH, auxk, dictionary_for, random, some_dead

NONE_DEAD = torch.zeros(WIDTH, dtype=torch.bool)


def auxk_loss(dictionary: Dictionary, pre: Tensor, error: Tensor, dead: Tensor, k: int) -> Tensor:
    features = dead.nonzero().squeeze(1)
    return auxk_loss_of_dead(dictionary, pre[:, features], error, features, k)


def setting():
    dictionary = dictionary_for(TopKRecipe(k=4))
    return dictionary, dictionary.preactivations(random(7, BATCH, 6)), random(8, BATCH, 6)


def test_value_equals_the_dense_formula():
    dictionary, pre, error = setting()
    for k in (1, 3, 6):
        dense = auxk(pre.double(), dictionary.W_dec.double(), error.double(), some_dead(), k)
        torch.testing.assert_close(auxk_loss(dictionary, pre, error, some_dead(), k).double(), dense)


def test_gradient_reaches_encoder_and_decoder_of_dead_features_alone():
    dictionary, pre, error = setting()
    dead = some_dead()
    auxk_loss(dictionary, pre, error, dead, int(dead.sum())).backward()
    columns, rows, biases = dictionary.W_enc.grad, dictionary.W_dec.grad, dictionary.b_enc.grad
    assert columns is not None
    assert rows is not None
    assert biases is not None
    active = dead & (pre > 0).any(0)
    assert active.sum() > 3
    for touched in (columns.abs().sum(0) > 0, rows.abs().sum(1) > 0, biases.abs() > 0):
        assert torch.equal(touched, active)


def test_no_gradient_reaches_the_error():
    dictionary, pre, _ = setting()
    error = random(8, BATCH, 6).requires_grad_()
    auxk_loss(dictionary, pre, error, some_dead(), 3).backward()
    assert error.grad is None


def test_the_loss_is_zero_where_no_feature_is_dead():
    dictionary, pre, error = setting()
    assert auxk_loss(dictionary, pre, error, NONE_DEAD, 3).item() == 0


def test_fewer_dead_than_k_aux_uses_all_of_them():
    dictionary, pre, error = setting()
    dead = NONE_DEAD.clone()
    dead[:2] = True
    assert auxk_loss(dictionary, pre, error, dead, 50).item() == auxk_loss(dictionary, pre, error, dead, 2).item()


def test_residuals_that_do_not_vary_give_zero_loss_and_no_gradient():
    for error in (torch.zeros(BATCH, 6), random(3, 6).expand(BATCH, 6), torch.full((BATCH, 6), 1e4 / 3)):
        dictionary, pre, _ = setting()
        loss = auxk_loss(dictionary, pre, error, some_dead(), 3)
        loss.backward()
        assert loss.item() == 0
        gradients = [p.grad for p in dictionary.parameters() if p.grad is not None]
        assert gradients
        assert all((gradient == 0).all() for gradient in gradients)


def test_an_error_that_does_not_vary_gives_no_loss():
    dictionary, pre, error = setting()
    assert auxk_loss(dictionary, pre[:1], error[:1], some_dead(), 3).item() == 0
