"""What a specification refuses."""

from dataclasses import replace

import pytest

from monosema.dictionaries import Spec
from monosema.errors import InputError


def test_an_autoencoder_writes_what_it_reads():
    with pytest.raises(InputError, match="use wiring 'transcoder'"):
        Spec(4, 4, 8, reads=("mlp_in.0",), writes=("mlp_out.0",))
    with pytest.raises(InputError, match="same hook points and sizes"):
        Spec(4, 5, 8)


def test_a_transcoder_may_write_elsewhere_and_in_another_size():
    spec = Spec(4, 5, 8, reads=("mlp_in.0",), writes=("mlp_out.0",), wiring="transcoder")
    assert (spec.d_in, spec.d_out) == (4, 5)


def test_the_usual_specs_have_short_forms():
    assert Spec.transcoder("mlp_in.0", "mlp_out.0", 4, 5, 8, skip=True) == Spec(
        d_in=4, d_out=5, width=8, reads=("mlp_in.0",), writes=("mlp_out.0",), wiring="transcoder", skip=True
    )
    plain = Spec(d_in=4, d_out=4, width=8, reads=("attn_z.0",), writes=("attn_z.0",))
    assert Spec.autoencoder("attn_z.0", 4, 8) == plain
    assert Spec.autoencoder("attn_z.0", 4, 8, blocks=2) == replace(
        plain, encoder="block_diagonal", decoder="block_diagonal", blocks=2
    )


@pytest.mark.parametrize("blocks", [0, 3])
def test_blocks_divide_what_they_cut(blocks: int):
    with pytest.raises(InputError, match=f"{blocks} blocks of"):
        Spec.autoencoder("attn_z.0", 4, 8, blocks=blocks)


@pytest.mark.parametrize("sizes", [(0, 0, 8), (4, 4, 0), (-1, -1, 8)])
def test_sizes_are_positive(sizes: tuple[int, int, int]):
    with pytest.raises(InputError, match="a positive size"):
        Spec(*sizes)


def test_an_unknown_wiring_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"unknown wiring 'trancoder'.*did you mean transcoder"):
        Spec(4, 4, 8, wiring="trancoder")


def test_a_normalisation_is_a_known_one_of_enough_coordinates():
    with pytest.raises(InputError, match=r"unknown normalisation 'layernorm'.*did you mean layer_norm"):
        Spec(4, 4, 8, normalisation="layernorm")
    with pytest.raises(InputError, match="layer_norm of d_in = 1; expected at least 2"):
        Spec(1, 1, 8, normalisation="layer_norm")


@pytest.mark.parametrize(
    ("wiring", "subtracts", "bias"),
    [
        ("autoencoder", False, "none"),
        ("autoencoder", True, "b_dec"),
        ("transcoder", False, "none"),
        ("transcoder", True, "b_in"),
    ],
)
def test_the_input_bias_is_the_decoders_where_both_sides_are_one_space(wiring: str, subtracts: bool, bias: str):
    assert Spec(4, 4, 8, wiring=wiring, subtracts_input_bias=subtracts).input_bias == bias
