"""The largest pre-activations, against the definition."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from monosema.kernels import abs_topk, batch_topk, group_max, topk
from tests.kernels.strategies import normal_like, preactivations_and_k, quick


@quick
@given(preactivations_and_k())
def test_topk_is_relu_times_a_mask_of_k_largest_entries_of_each_row(case: tuple[Tensor, int]):
    pre, k = case
    codes = topk(pre, k)
    mask = torch.zeros_like(pre, dtype=torch.bool).scatter(1, codes.indices, True)
    assert (mask.sum(1) == k).all()  # so the indices of a row are distinct
    assert torch.equal(codes.to_dense(), pre.relu() * mask)
    for row, kept in zip(pre, mask, strict=True):
        assert kept.all() or row[kept].min() >= row[~kept].max()


@quick
@given(preactivations_and_k())
def test_abs_topk_keeps_the_k_entries_farthest_from_zero_with_their_signs_and_gradients(case: tuple[Tensor, int]):
    pre, k = case
    codes = abs_topk(pre.requires_grad_(), k)
    mask = torch.zeros_like(pre, dtype=torch.bool).scatter(1, codes.indices, True)
    assert (mask.sum(1) == k).all()
    assert torch.equal(codes.to_dense(), pre * mask)
    for row, kept in zip(pre.detach().abs(), mask, strict=True):
        assert kept.all() or row[kept].min() >= row[~kept].max()
    upstream = normal_like(pre, *pre.shape)
    (codes.to_dense() * upstream).sum().backward()
    assert pre.grad is not None
    assert torch.equal(pre.grad, upstream * mask)


@quick
@given(preactivations_and_k(), st.data())
def test_group_max_keeps_the_largest_positive_entry_of_each_group(case: tuple[Tensor, int], data: st.DataObject):
    pre = case[0].requires_grad_()
    groups = data.draw(st.sampled_from([g for g in range(1, pre.shape[1] + 1) if pre.shape[1] % g == 0]))
    codes = group_max(pre, groups)
    parts = pre.detach().relu().unflatten(1, (groups, -1))
    assert torch.equal(codes.values.detach(), parts.amax(2))
    assert torch.equal(codes.indices // parts.shape[2], torch.arange(groups).expand(len(pre), groups))
    assert torch.equal(pre.detach().gather(1, codes.indices).relu(), codes.values.detach())
    upstream = normal_like(pre, *pre.shape)
    (codes.to_dense() * upstream).sum().backward()
    assert pre.grad is not None
    assert torch.equal(pre.grad, torch.where(codes.to_dense() > 0, upstream, 0))


@quick
@given(preactivations_and_k())
def test_topk_passes_gradients_to_the_positive_entries_it_keeps_and_to_no_other(case: tuple[Tensor, int]):
    pre, k = case
    pre.requires_grad_()
    codes = topk(pre, k)
    upstream = normal_like(pre, *pre.shape)
    (codes.to_dense() * upstream).sum().backward()
    assert pre.grad is not None
    assert torch.equal(pre.grad, torch.where(codes.to_dense() > 0, upstream, 0))


@quick
@given(preactivations_and_k())
def test_batch_topk_keeps_as_many_positive_entries_as_it_may_and_none_smaller_than_one_dropped(
    case: tuple[Tensor, int],
):
    pre, k = case
    codes = batch_topk(pre, k)
    kept = codes != 0
    assert kept.sum() == min(k * len(pre), int((pre > 0).sum()))
    assert torch.equal(codes, pre.relu() * kept)
    assert not kept.any() or kept.all() or codes[kept].min() >= pre[~kept].max()


@quick
@given(preactivations_and_k())
def test_batch_topk_passes_gradients_to_what_it_keeps_and_to_no_other(case: tuple[Tensor, int]):
    pre, k = case
    pre.requires_grad_()
    codes = batch_topk(pre, k)
    upstream = normal_like(pre, *pre.shape)
    (codes * upstream).sum().backward()
    assert pre.grad is not None
    assert torch.equal(pre.grad, torch.where(codes > 0, upstream, 0))


def test_batch_topk_lets_one_row_take_what_another_leaves():
    pre = torch.tensor([[4.0, 3.0, 2.0], [1.0, -1.0, 0.5]])
    assert batch_topk(pre, 1).tolist() == [[4.0, 3.0, 0.0], [0.0, 0.0, 0.0]]


def test_batch_topk_of_one_row_is_topk():
    pre = normal_like(torch.zeros(1), 1, 40)
    assert torch.equal(batch_topk(pre, 7), topk(pre, 7).to_dense())


@given(st.integers(0, 2**31), st.integers(1, 40), st.floats(0.05, 4.0))
@settings(max_examples=25, deadline=None)
def test_batch_topk_of_many_groups_equals_sorting_everything(seed: int, k: int, spread: float):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(24, 1, generator=generator).mul(spread).exp()  # rows of very different sizes
    pre = torch.randn(24, 331, generator=generator) * rows
    threshold = pre.relu().flatten().sort(descending=True).values[k * 24 - 1]
    assert torch.equal(batch_topk(pre, k), pre.relu() * (pre >= threshold))


@given(st.integers(0, 2**31), st.integers(1, 40), st.sampled_from([640, 661]))
@settings(max_examples=25, deadline=None)
def test_topk_of_many_groups_equals_sorting_every_row(seed: int, k: int, width: int):
    pre = torch.randn(24, width, generator=torch.Generator().manual_seed(seed))
    threshold = pre.sort(dim=1, descending=True).values[:, k - 1, None]
    assert torch.equal(topk(pre, k).to_dense(), pre.relu() * (pre >= threshold))


def test_an_empty_batch_has_empty_codes():
    pre = torch.zeros(0, 5)
    assert topk(pre, 2).to_dense().shape == batch_topk(pre, 2).shape == (0, 5)


def test_none_of_no_features_are_the_largest():
    codes = topk(torch.zeros(3, 0, requires_grad=True), 0)
    assert codes.to_dense().shape == (3, 0)
