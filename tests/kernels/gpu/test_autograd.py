"""What is made of the kernels, in values and all gradients, against the dense product in float64."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from monosema.kernels import (
    RaggedCodes,
    decode_parts,
    entries,
    sparse_decode,
)
from monosema.kernels.entries import products_at, transposed
from tests.kernels import test_encode
from tests.kernels.gpu.setup import DEVICE
from tests.kernels.strategies import Entries
from tests.kernels.strategies import entries as matrices
from tests.kernels.test_encode import Case, check_above, check_batch_topk, check_topk
from tests.training.setup import batches, learner, recipe

few = settings(deadline=None, max_examples=8)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    x, weight, bias, shift = draw(test_encode.cases(batch=4, width=24))
    return x.to(DEVICE), weight.to(DEVICE), bias.to(DEVICE), shift.to(DEVICE)


@few
@given(cases(), st.data())
def test_encode_topk_is_the_largest_of_the_dense_product(case: Case, data: st.DataObject):
    check_topk(case, data.draw(st.integers(1, len(case[2]))))


@few
@given(cases(), st.booleans())
def test_encode_above_is_what_exceeds_the_bound(case: Case, one_for_all: bool):
    check_above(case, one_for_all)


@few
@given(cases(), st.data(), st.sampled_from([0.0, 1.0, 100.0]))
def test_encode_batch_topk_is_the_largest_of_the_batch(case: Case, data: st.DataObject, guess: float):
    check_batch_topk(case, data.draw(st.integers(1, len(case[2]))), guess)


@few
@given(matrices(), st.integers(1, 20), st.sampled_from([0.0, 2.0]), st.sampled_from([0, entries.WAIT]))
def test_decoding_and_both_its_gradients_are_those_of_the_dense_product(case: Entries, d: int, share: float, wait: int):
    codes, weight = leaves(case, d)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entries, "MANY", dict.fromkeys(entries.MANY, share))
        patch.setattr(entries, "WAIT", wait)
        assert torch.equal(codes.fired(), (codes.to_dense() != 0).sum(0))
        own = gradients(sparse_decode(codes, weight), codes, weight)
    torch.testing.assert_close(own, gradients(codes.to_dense() @ weight, codes, weight))


@few
@given(matrices(), st.integers(1, 20), st.data())
def test_decode_parts_are_the_dense_products_of_ranges_of_features(case: Entries, d: int, data: st.DataObject):
    codes, weight = leaves(case, d)
    ends = sorted(data.draw(st.sets(st.integers(1, codes.width), min_size=1)))
    dense = codes.to_dense()
    expected = [dense[:, start:end] @ weight[start:end] for start, end in pairwise((0, *ends))]
    own = gradients(torch.stack(decode_parts(codes, weight, ends)), codes, weight)
    torch.testing.assert_close(own, gradients(torch.stack(expected), codes, weight))


def leaves(case: Entries, d: int) -> tuple[RaggedCodes, Tensor]:
    offsets, columns, values, dense = (tensor.to(DEVICE) for tensor in case)
    weight = torch.randn(dense.shape[1], d, dtype=torch.float64, device=DEVICE)
    codes = RaggedCodes(offsets, columns, values.double().requires_grad_(), dense.shape[1])
    return codes, weight.requires_grad_()


def gradients(out: Tensor, codes: RaggedCodes, weight: Tensor) -> tuple[Tensor, ...]:
    """The result, and both gradients from one upstream."""
    upstream = torch.linspace(-1, 1, out.numel(), dtype=out.dtype, device=DEVICE).view_as(out)
    return out.detach(), *torch.autograd.grad((out * upstream).sum(), (codes.values, weight))


@few
@given(matrices())
def test_transposed_holds_the_same_entries_column_after_column(case: Entries):
    offsets, columns, values, dense = (tensor.to(DEVICE) for tensor in case)
    found = transposed(offsets, columns, dense.shape[1])
    there = dense.T.nonzero()
    assert torch.equal(found.rows, there[:, 1])
    assert torch.equal(found.offsets.diff(), (dense != 0).sum(0))
    assert torch.equal(values[found.order], dense.T[there[:, 0], there[:, 1]])


@pytest.mark.parametrize("share", [0.0, 2.0])
def test_the_precision_asked_for_is_that_of_all_products(share: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(entries, "MANY", dict.fromkeys(entries.MANY, share))
    left, right = torch.randn(3, 40, device=DEVICE), torch.randn(5, 40, device=DEVICE)
    offsets, columns = torch.tensor([0, 2, 2, 4], device=DEVICE), torch.tensor([1, 4, 0, 2], device=DEVICE)
    found = products_at(offsets, columns, left, right, torch.bfloat16)
    exact = (left @ right.T)[[0, 0, 2, 2], columns]
    torch.testing.assert_close(found.float(), exact, rtol=0, atol=0.2 if share == 0 else 1e-5)
    assert found.dtype == (torch.bfloat16 if share == 0 else torch.float32)


@pytest.mark.parametrize("name", ["topk", "batch_topk", "jumprelu", "matryoshka"])
def test_a_learner_steps_as_it_does_on_a_cpu(name: str, monkeypatch: pytest.MonkeyPatch):
    options = {"device": DEVICE, "autocast": False}
    own = [learner(recipe(name), **options).step({"x": batches(1)[0]["x"][:8]})]
    monkeypatch.undo()
    own += [learner(recipe(name)).step({"x": batches(1)[0]["x"][:8]})]
    assert own[0] == pytest.approx(own[1], rel=1e-4)
