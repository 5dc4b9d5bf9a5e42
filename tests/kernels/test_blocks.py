"""Products with blocks against those with the block-diagonal matrix that has all the zeros, in float64."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from monosema.kernels import (
    RaggedCodes,
    SparseCodes,
    batch_topk,
    block_decode,
    block_decode_parts,
    block_prefix_decode,
    encode_above,
    encode_batch_topk,
    encode_topk,
    topk,
)
from monosema.kernels.blocks import cut_rows

quick = settings(deadline=None, max_examples=30)
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(3, 20), st.integers(1, 7))


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(shape: tuple[int, int, int, int], seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x, a stack of encoder blocks, a bias and an input bias."""
    n, d, own, batch = shape
    return random(seed, batch, n * d), random(seed + 1, n, d, own), random(seed + 2, n * own), random(seed + 3, n * d)


def assert_same_gradients(found: Tensor, expected: Tensor, *leaves: Tensor) -> None:
    torch.testing.assert_close(found, expected)
    upstream = random(77, *expected.shape)
    pair = [
        torch.autograd.grad(
            (out * upstream).sum(), leaves, materialize_grads=True, allow_unused=True, retain_graph=True
        )
        for out in (found, expected)
    ]
    torch.testing.assert_close(*pair)


@quick
@given(SHAPES, st.integers(0, 10**6), st.booleans())
def test_the_largest_entries_are_those_of_the_whole_matrix(shape, seed: int, shifted: bool):
    leaves = [leaf.requires_grad_() for leaf in problem(shape, seed)]
    x, weight, bias, shift = leaves
    pre = (x - shift if shifted else x) @ torch.block_diag(*weight) + bias
    k = min(3, pre.shape[1])
    given_shift = shift if shifted else None
    assert_same_gradients(encode_topk(x, weight, bias, k, given_shift).to_dense(), topk(pre, k).to_dense(), *leaves)
    of_batch = encode_batch_topk(x, weight, bias, k, given_shift, guess=0.7)
    assert_same_gradients(of_batch.to_dense(), batch_topk(pre, k), *leaves)
    above = encode_above(x, weight, bias, torch.tensor(0.3, dtype=torch.float64), given_shift)
    assert_same_gradients(above.to_dense(), pre * (pre > 0.3), *leaves)


@st.composite
def codes_and_blocks(draw: st.DrawFn) -> tuple[SparseCodes, Tensor]:
    n, d, own, batch = draw(SHAPES)
    seed = draw(st.integers(0, 10**6))
    width = n * own
    k = draw(st.integers(1, width))
    generator = torch.Generator().manual_seed(seed)
    indices = torch.stack([torch.randperm(width, generator=generator)[:k] for _ in range(batch)])
    return SparseCodes(indices, random(seed, batch, k).requires_grad_(), width), random(seed + 1, n, own, d)


@quick
@given(codes_and_blocks())
def test_decoding_is_that_of_the_whole_matrix(case: tuple[SparseCodes, Tensor]):
    codes, weight = case
    weight.requires_grad_()
    whole = codes.to_dense() @ torch.block_diag(*weight)
    assert_same_gradients(block_decode(codes, weight), whole, codes.values, weight)
    assert_same_gradients(block_decode(codes.ragged(), weight), whole, codes.values, weight)


@quick
@given(codes_and_blocks(), st.data())
def test_prefixes_are_first_entries_of_rows_or_first_features_of_blocks(case, data: st.DataObject):
    codes, weight = case
    weight.requires_grad_()
    dense, (n, own, _), k = torch.block_diag(*weight), weight.shape, codes.indices.shape[1]
    ends = sorted(data.draw(st.sets(st.integers(1, k), min_size=1)))
    prefixes = block_prefix_decode(codes, weight, ends)
    for end, found in zip(ends, prefixes.unbind(1), strict=True):
        part = SparseCodes(codes.indices[:, :end], codes.values[:, :end], codes.width)
        assert_same_gradients(found, part.to_dense() @ dense, codes.values, weight)
    ends = sorted(data.draw(st.sets(st.integers(1, codes.width), min_size=1)))
    place = n * (torch.arange(codes.width) % own)
    parts = block_decode_parts(codes.ragged(), weight, ends)
    for start, end, found in zip((0, *ends), ends, parts, strict=False):
        inside = (place >= start) & (place < end)
        assert_same_gradients(found, (codes.to_dense() * inside) @ dense, codes.values, weight)


@quick
@given(codes_and_blocks())
def test_cut_rows_have_their_blocks_features_alone_and_every_entry_once(case: tuple[SparseCodes, Tensor]):
    codes, weight = case
    n, own = len(weight), weight.shape[1]
    cut, order = cut_rows(codes.ragged(), n)
    assert (cut.rows() % n == cut.columns // own).all()
    assert sorted(order.tolist()) == list(range(codes.values.numel()))
    dense = cut.to_dense().view(-1, n, codes.width).sum(1)
    assert torch.equal(dense, codes.to_dense())


def test_no_entries_decode_to_nothing():
    empty = torch.zeros(0, dtype=torch.long)
    codes = RaggedCodes(torch.zeros(4, dtype=torch.long), empty, torch.zeros(0, dtype=torch.float64), 6)
    assert torch.equal(block_decode(codes, random(0, 2, 3, 5)), torch.zeros(3, 10, dtype=torch.float64))
