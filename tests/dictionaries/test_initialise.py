"""Starting weights."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from monosema.dictionaries import Dictionary, Spec, initialise_
from tests.dictionaries.strategies import build, quick, specs


def initialised(spec: Spec, seed: int, decoder_norm: float = 1.0) -> Dictionary:
    dictionary = build(spec, "relu")  # whose weights are not zero, so that what initialising leaves would show
    initialise_(dictionary, torch.Generator().manual_seed(seed), decoder_norm)
    return dictionary


@quick
@given(specs(), st.sampled_from([0.1, 1.0, 3.0]))
def test_decoder_rows_have_the_norm_asked_for_and_biases_are_zero(spec: Spec, norm: float):
    d = initialised(spec, 0, norm)
    torch.testing.assert_close(d.decoder_norms(), torch.full((spec.width,), norm).double())
    for bias in (d.b_enc, d.b_dec, d.b_in):
        assert bias is None or not bias.any()


@quick
@given(specs())
def test_the_encoder_of_an_autoencoder_is_tied_and_any_other_has_unit_directions(spec: Spec):
    d = initialised(spec, 0)
    if spec.wiring == "autoencoder":
        assert torch.equal(d.W_enc, d.W_dec.T)
        assert d.W_enc.data_ptr() != d.W_dec.data_ptr()
    torch.testing.assert_close(d.W_enc.norm(dim=0), torch.ones(spec.width).double())


@quick
@given(specs(), st.sampled_from([0.25, 2.0]), st.sampled_from([0.5, 1.0]))
def test_the_encoder_s_scale_is_relative_to_the_decoder(spec: Spec, scale: float, norm: float):
    d, plain = build(spec, "relu"), initialised(spec, 0, norm)
    initialise_(d, torch.Generator().manual_seed(0), norm, scale)
    torch.testing.assert_close(d.W_enc, scale * plain.W_enc)
    assert torch.equal(d.W_dec, plain.W_dec)


@quick
@given(specs())
def test_the_seed_decides_the_directions(spec: Spec):
    assert torch.equal(initialised(spec, 1).W_dec, initialised(spec, 1).W_dec)
    assert not torch.equal(initialised(spec, 1).W_dec, initialised(spec, 2).W_dec)
