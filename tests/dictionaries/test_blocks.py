"""A dictionary in blocks is the dense one whose matrices are block-diagonal, with that many fewer parameters."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monosema.dictionaries import Dictionary, Spec, initialise_, load, save
from monosema.dictionaries.dictionary import feature_major
from monosema.errors import InputError
from tests.dictionaries.strategies import ACTIVATIONS, WIDTH, build, quick, random

KINDS = st.sampled_from(
    [("block_diagonal", "block_diagonal"), ("block_diagonal", "dense"), ("dense", "block_diagonal")]
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Dictionary, Dictionary]:
    """A dictionary in blocks, and the dense one with the same weights and zeros."""
    blocks, (encoder, decoder) = draw(st.sampled_from([2, 3, 4])), draw(KINDS)
    spec = Spec(
        d_in=blocks * draw(st.integers(1, 3)),
        d_out=blocks * draw(st.integers(1, 3)),
        width=WIDTH,
        wiring="transcoder",
        subtracts_input_bias=draw(st.booleans()),
        skip=draw(st.booleans()),
        encoder=encoder,
        decoder=decoder,
        blocks=blocks,
    )
    d = build(spec, draw(st.sampled_from(sorted(ACTIVATIONS))), draw(st.integers(0, 10**6)))
    twin = Dictionary(replace(spec, encoder="dense", decoder="dense", blocks=1), copy.deepcopy(d.activation)).double()
    state = {name: torch.block_diag(*t) if t.ndim == 3 else t for name, t in d.state_dict().items()}
    twin.load_state_dict(state)
    training = draw(st.booleans())
    return d.train(training), twin.train(training)


@quick
@given(pairs(), st.integers(0, 10**6), st.integers(1, 5))
def test_it_computes_what_the_dense_one_computes(pair: tuple[Dictionary, Dictionary], seed: int, batch: int):
    d, twin = pair
    x = random(seed, batch, d.spec.d_in)
    torch.testing.assert_close(d.encode(x), twin.encode(x))
    torch.testing.assert_close(d(x), twin(x))
    torch.testing.assert_close(d.encode_sparse(x).to_dense(), twin.encode(x))
    torch.testing.assert_close(d.decode(d.encode_sparse(x), x), twin(x))
    torch.testing.assert_close(d.decoder_norms(), twin.decoder_norms())
    torch.testing.assert_close(d(x.expand(2, *x.shape))[1], twin(x))


@quick
@given(pairs(), st.sets(st.integers(0, WIDTH - 1), min_size=1), st.integers(0, 10**6))
def test_some_features_are_those_of_the_dense_one_in_any_order(pair, chosen: set[int], seed: int):
    d, twin = pair
    features = torch.tensor(sorted(chosen, key=lambda feature: (feature * 7) % 11))
    x, codes = random(seed, 4, d.spec.d_in), random(seed + 1, 4, len(features))
    pre = [one.lazy_preactivations(x).of(features) for one in (d, twin)]
    torch.testing.assert_close(*pre)
    made = [one.decoder.apply_some(codes, one.W_dec, features) for one in (d, twin)]
    torch.testing.assert_close(*made)


@quick
@given(pairs(), st.floats(0.1, 10), st.floats(0.1, 10))
def test_scales_fold_as_in_the_dense_one(pair: tuple[Dictionary, Dictionary], scale_in: float, scale_out: float):
    x = random(3, 4, pair[0].spec.d_in)
    for one in pair:
        one.fold_scale_([scale_in], [scale_out])
    torch.testing.assert_close(pair[0](x), pair[1](x))


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_it_comes_back_from_its_folder(activation: str, tmp_path: Path):
    d = build(Spec(6, 6, WIDTH, encoder="block_diagonal", decoder="block_diagonal", blocks=3), activation).eval()
    save(d, tmp_path)
    again = load(tmp_path)
    assert again.spec == d.spec
    assert again.W_enc.stride() == feature_major(d.W_enc).stride()
    assert torch.equal(again(random(0, 5, 6)), d(random(0, 5, 6)))


@pytest.mark.parametrize("blocks", [2, 4, 8])
def test_its_matrices_have_one_nth_of_the_parameters(blocks: int):
    dense = build(Spec(16, 16, 32), "relu")
    d = build(replace(dense.spec, encoder="block_diagonal", decoder="block_diagonal", blocks=blocks), "relu")
    assert d.W_enc.numel() * blocks == dense.W_enc.numel()
    assert d.W_dec.numel() * blocks == dense.W_dec.numel()


def test_a_step_makes_one_nth_of_the_products():
    """What PyTorch counts as floating-point operations of the dense path, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    counts = []
    for blocks in (1, 8):
        kind = "dense" if blocks == 1 else "block_diagonal"
        d = build(Spec(64, 64, 256, encoder=kind, decoder=kind, blocks=blocks), "relu")
        with FlopCounterMode(display=False) as counter:
            d(random(0, 32, 64)).sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == 8 * counts[1]


def test_features_start_in_their_blocks_tied_to_the_decoder():
    d = build(Spec(6, 6, WIDTH, encoder="block_diagonal", decoder="block_diagonal", blocks=3), "relu")
    initialise_(d, torch.Generator().manual_seed(0), decoder_norm=0.5, encoder_scale=0.3)
    torch.testing.assert_close(d.decoder_norms(), torch.full((WIDTH,), 0.5).double())
    torch.testing.assert_close(d.W_enc, 0.3 * d.W_dec.mT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": 5}, "5 blocks of d_in = 12; expected a multiple of 5"),
        ({"blocks": 5, "encoder": "dense"}, "5 blocks of d_out = 12; expected a multiple of 5"),
        ({"blocks": 4, "width": 30}, "4 blocks of width = 30"),
        ({"blocks": 0}, "0 blocks"),
        ({"blocks": 3, "encoder": "dense", "decoder": "dense"}, "3 blocks of a dense encoder"),
    ],
)
def test_what_cannot_be_cut_is_refused(change: dict, message: str):
    good = Spec(12, 12, 24, encoder="block_diagonal", decoder="block_diagonal", blocks=3)
    with pytest.raises(InputError, match=message):
        replace(good, **change)
