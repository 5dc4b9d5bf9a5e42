"""The chosen entries of the encoder's product, in values and gradients, against the dense product in float64."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from monosema.kernels import RaggedCodes, SparseCodes, encode_above, encode_batch_topk, encode_topk, parts
from monosema.kernels.encode import enough_entries
from tests.kernels.strategies import quick

Case = tuple[Tensor, Tensor, Tensor, Tensor]


@st.composite
def cases(draw: st.DrawFn, batch: int = 7, width: int = 40) -> Case:
    """x, W, b and a shift, in float64, so that no two entries are equal and rounding decides nothing.

    Args:
        draw: of hypothesis.
        batch, width: up to these.
    """
    batch, d, width = draw(st.integers(1, batch)), draw(st.integers(1, 5)), draw(st.integers(1, width))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shapes = ((batch, d), (d, width), (width,), (d,))
    x, weight, bias, shift = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return x.requires_grad_(), weight.requires_grad_(), bias.requires_grad_(), shift.requires_grad_()


@pytest.fixture(autouse=True)
def several_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows of 40 at a time, so that a batch takes several parts."""
    monkeypatch.setattr(parts, "BUFFER", 80)
    monkeypatch.setattr(parts, "ROWS", 1)


def check(codes: SparseCodes | RaggedCodes, dense: Tensor, case: Case, upstream: Tensor) -> None:
    torch.testing.assert_close(codes.to_dense(), dense, rtol=1e-12, atol=1e-12)
    given_grads = torch.autograd.grad((codes.to_dense() * upstream).sum(), case)
    for own, other in zip(given_grads, torch.autograd.grad((dense * upstream).sum(), case), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-10, atol=1e-10)


def check_topk(case: Case, k: int) -> None:
    """The `k` largest of each row of the dense product, and its gradients."""
    x, weight, bias, shift = case
    pre = (x - shift) @ weight + bias
    kept = torch.zeros_like(pre).scatter(1, pre.topk(k, dim=1).indices, 1.0)
    codes = encode_topk(x, weight, bias, k, shift)
    assert codes.indices.shape == (len(x), k)
    assert all(len(set(row)) == k for row in codes.indices.tolist())
    check(codes, pre.relu() * kept, case, torch.randn_like(pre))


def check_above(case: Case, one_for_all: bool) -> None:
    """What exceeds one bound for all, or one for each feature, and its gradients."""
    x, weight, bias, shift = case
    pre = (x - shift) @ weight + bias
    bound = torch.full_like(bias[0], 0.5) if one_for_all else torch.randn_like(bias)
    codes = encode_above(x, weight, bias, bound.detach(), shift)
    assert len(codes.values) == (pre > bound).sum()
    check(codes, pre * (pre > bound), case, torch.randn_like(pre))
    assert torch.equal(codes.fired(), ((pre > bound) & (pre != 0)).sum(0))


def check_batch_topk(case: Case, k: int, guess: float) -> None:
    """The largest of the batch, `k` a row on average, whatever the guess, and its gradients."""
    x, weight, bias, shift = case
    pre = (x - shift) @ weight + bias
    kept = torch.zeros_like(pre).flatten().index_fill(0, pre.flatten().topk(k * len(x)).indices, 1.0)
    codes = encode_batch_topk(x, weight, bias, k, shift, guess)
    check(codes, pre.relu() * kept.view_as(pre), case, torch.randn_like(pre))


@quick
@given(cases(), st.data())
def test_encode_topk_is_the_largest_of_the_dense_product(case: Case, data: st.DataObject):
    check_topk(case, data.draw(st.integers(1, len(case[2]))))


@quick
@given(cases(), st.booleans())
def test_encode_above_is_what_exceeds_the_bound(case: Case, one_for_all: bool):
    check_above(case, one_for_all)


@quick
@given(cases(), st.data(), st.sampled_from([-1.0, 0.0, 0.3, 1.0, 100.0]))
def test_encode_batch_topk_is_the_largest_of_the_batch_whatever_the_guess(
    case: Case, data: st.DataObject, guess: float
):
    check_batch_topk(case, data.draw(st.integers(1, len(case[2]))), guess)


@pytest.mark.parametrize("guess", [0.4, 0.5, 0.52])
def test_a_guess_that_is_about_right_costs_one_product(guess: float):
    values = torch.linspace(0, 1, 101)
    bounds = []

    def look(bound: float) -> tuple[RaggedCodes, int]:
        bounds.append(bound)
        kept = values[values > bound]
        return RaggedCodes(torch.tensor([0, len(kept)]), torch.arange(len(kept)), kept, 101), len(kept)

    codes, count = enough_entries(look, 51, guess)
    assert len(bounds) == 1
    assert count == len(codes.values) >= 51


def test_without_a_shift_the_input_is_taken_as_it_is():
    x, weight, bias = torch.randn(3, 4), torch.randn(4, 20), torch.randn(20)
    zero = torch.zeros(4)
    assert torch.equal(encode_topk(x, weight, bias, 5).to_dense(), encode_topk(x, weight, bias, 5, zero).to_dense())


def test_a_batch_of_nothing_has_no_entries():
    x, weight, bias = torch.zeros(0, 4), torch.randn(4, 20), torch.randn(20)
    assert encode_topk(x, weight, bias, 5).to_dense().shape == (0, 20)
    assert encode_above(x, weight, bias, torch.tensor(0.0)).to_dense().shape == (0, 20)


def test_under_autocast_the_product_is_bfloat16_and_its_gradients_are_those_of_the_dense_product_to_its_rounding():
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(64, 32, generator=generator), torch.randn(32, 256, generator=generator)
    above = x.bfloat16().float() @ weight.bfloat16().float() > 9  # before the sum is rounded
    grads = []
    for chosen in (True, False):
        leaves = weight.clone().requires_grad_(), torch.zeros(256, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16):
            if chosen:
                dense = encode_above(x, *leaves, torch.tensor(9.0)).to_dense()
            else:
                pre = torch.addmm(leaves[1], x, leaves[0])
                dense = pre * above
        assert dense.dtype == torch.bfloat16
        grads.append(torch.autograd.grad(dense.float().square().sum(), leaves))
    for own, other in zip(*grads, strict=True):
        assert own.dtype == torch.float32
        assert (own - other).norm() <= 0.02 * other.norm()
