"""The product of sparse codes with a decoder, in values and gradients, against the dense product in float64."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from monosema.kernels import SparseCodes, decode_parts, sparse_decode, to_sparse, topk
from tests.kernels.strategies import assert_product_close, normal_like, preactivations_and_k, quick


@quick
@given(preactivations_and_k(), st.integers(1, 6))
def test_sparse_decode_is_the_dense_product_in_values_and_in_all_gradients(case: tuple[Tensor, int], d: int):
    pre, k = case
    pre.requires_grad_()
    weight = normal_like(pre, pre.shape[1], d, seed=1).requires_grad_()
    upstream = normal_like(pre, len(pre), d, seed=2)

    codes = topk(pre, k)
    codes.values.retain_grad()
    out = sparse_decode(codes, weight)
    (out * upstream).sum().backward()

    dense = codes.to_dense().detach()
    assert pre.grad is not None
    assert weight.grad is not None
    assert codes.values.grad is not None
    assert_product_close(out.detach(), dense, weight.detach())
    assert_product_close(weight.grad, dense.T, upstream)
    grad_dense = torch.zeros_like(pre).scatter(1, codes.indices, codes.values.grad)
    stored = torch.zeros_like(pre, dtype=torch.bool).scatter(1, codes.indices, True)
    exact = upstream.double() @ weight.detach().double().T
    bound = (d + 2) * torch.finfo(pre.dtype).eps * (upstream.double().abs() @ weight.detach().double().abs().T)
    assert ((grad_dense.double() - exact * stored).abs() <= bound).all()
    assert torch.equal(pre.grad, torch.where(dense > 0, grad_dense, 0))


@pytest.mark.parametrize(("values_need", "weight_needs"), [(True, True), (True, False), (False, True)])
def test_its_gradients_pass_a_numerical_check(values_need: bool, weight_needs: bool):
    indices = torch.tensor([[0, 3], [2, 1], [3, 2]])
    values = normal_like(torch.zeros(1).double(), 3, 2).requires_grad_(values_need)
    weight = normal_like(torch.zeros(1).double(), 4, 3, seed=1).requires_grad_(weight_needs)
    assert torch.autograd.gradcheck(lambda v, w: sparse_decode(SparseCodes(indices, v, 4), w), (values, weight))


def test_under_autocast_gradients_are_those_of_the_dense_product_to_its_rounding():
    codes = to_sparse(normal_like(torch.zeros(1), 6, 20).relu())
    values = codes.values.requires_grad_()
    weight = normal_like(torch.zeros(1), 20, 8, seed=1).requires_grad_()
    upstream = normal_like(torch.zeros(1), 6, 8, seed=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = sparse_decode(codes, weight)
    of_values, of_weight = torch.autograd.grad((out * upstream).sum(), (values, weight))
    assert of_values.dtype == of_weight.dtype == torch.float32
    exact = torch.autograd.grad(((codes.to_dense() @ weight) * upstream).sum(), (values, weight))
    scale = torch.finfo(torch.bfloat16).eps * 20
    torch.testing.assert_close((of_values, of_weight), exact, rtol=scale, atol=scale)


def test_codes_of_lower_precision_than_the_decoder_keep_their_own_in_the_gradient():
    codes = torch.tensor([[0.5, 0.0, 2.0]], dtype=torch.bfloat16).requires_grad_()
    weight = normal_like(torch.zeros(1), 3, 4).requires_grad_()
    out = sparse_decode(to_sparse(codes), weight)
    assert torch.equal(out, codes.float() @ weight)
    out.sum().backward()
    assert codes.grad is not None
    assert codes.grad.dtype == torch.bfloat16
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32


def test_an_empty_batch_decodes_to_nothing():
    assert sparse_decode(to_sparse(torch.zeros(0, 5)), torch.zeros(5, 3)).shape == (0, 3)


@quick
@given(preactivations_and_k(), st.integers(1, 6), st.data())
def test_decode_parts_are_the_dense_products_of_ranges_of_features(
    case: tuple[Tensor, int], d: int, data: st.DataObject
):
    pre, k = case
    width = pre.shape[1]
    ends = sorted(data.draw(st.sets(st.integers(1, width), min_size=1)))
    codes = topk(pre.float(), k).ragged()
    values = codes.values.detach().requires_grad_()
    weight = normal_like(values, width, d, seed=1).requires_grad_()
    given_codes, bounds = codes._replace(values=values), list(pairwise((0, *ends)))

    parts = torch.stack(decode_parts(given_codes, weight, ends))
    dense = given_codes.to_dense()
    expected = torch.stack([dense[:, start:end] @ weight[start:end] for start, end in bounds])
    upstream = normal_like(parts, *parts.shape, seed=2)
    torch.testing.assert_close(parts, expected)
    own, other = (torch.autograd.grad((out * upstream).sum(), (values, weight)) for out in (parts, expected))
    torch.testing.assert_close(own, other)
