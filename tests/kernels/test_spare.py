"""Memory of gradients, used again."""

import gc

import torch

from monosema.kernels import spare
from monosema.kernels.spare import gradient_like, keep_gradient_


def test_the_memory_of_a_kept_gradient_is_that_of_the_next_one_and_of_no_other():
    weight = torch.zeros(3, 4).mT.requires_grad_()
    other = torch.zeros(3, 4).mT.requires_grad_()
    weight.sum().backward()
    assert weight.grad is not None
    place = weight.grad.data_ptr()
    keep_gradient_(weight)
    assert weight.grad is None
    assert gradient_like(other).data_ptr() != place
    again = gradient_like(weight)
    assert again.data_ptr() == place
    assert again.stride() == weight.stride()
    assert gradient_like(weight).data_ptr() != place  # it is in use


def test_a_gradient_of_another_layout_is_not_kept():
    weight = torch.zeros(3, 4).mT.requires_grad_()
    weight.grad = torch.ones(4, 3)
    keep_gradient_(weight)
    assert weight.grad is None
    assert gradient_like(weight).stride() == weight.stride()


def test_nothing_is_kept_longer_than_its_weight():
    weight = torch.zeros(3, 4, requires_grad=True)
    weight.sum().backward()
    keep_gradient_(weight)
    gc.collect()
    before = len(spare._spare)
    del weight
    gc.collect()
    assert len(spare._spare) == before - 1
