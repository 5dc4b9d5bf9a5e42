"""What is written for other libraries comes back as it was, and what they cannot express is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monosema.dictionaries import BatchTopK, Dictionary, JumpReLU, Spec, load, save
from monosema.errors import InputError
from monosema.formats import formats, save_as
from monosema.formats import load as load_any
from tests.dictionaries.strategies import ACTIVATIONS, build, random, specs
from tests.formats.recorded import FIXTURES, names, recorded
from tests.same import same

WRITTEN = ("dictionary_learning", "saelens", "sparsify")
AUTOENCODER = Spec(6, 6, 12, ("resid_post.2",), ("resid_post.2",), subtracts_input_bias=True)
TRANSCODER = Spec(6, 4, 12, ("mlp_in.2",), ("mlp_out.2",), "transcoder")


def made(spec: Spec, activation: str) -> Dictionary:
    dictionary = build(spec, activation).float().eval()
    dictionary.metadata = {"model": "gpt2", "context": 64, "name": "x", "recipe": {"name": activation, "k": [1, 2]}}
    if dictionary.activation.owns_biases:
        dictionary.b_enc.data.zero_()
    if isinstance(dictionary.activation, JumpReLU):
        dictionary.activation.bandwidth.fill_(0.001)
    return dictionary


LOSSLESS = [
    *[("saelens", AUTOENCODER, activation) for activation in ("relu", "topk", "abs_topk", "gated", "jumprelu")],
    *[("saelens", replace(AUTOENCODER, subtracts_input_bias=False), activation) for activation in ("relu", "topk")],
    ("saelens", replace(AUTOENCODER, normalisation="layer_norm"), "topk"),
    ("saelens", replace(AUTOENCODER, normalisation="length"), "relu"),
    *[("saelens", TRANSCODER, activation) for activation in ("relu", "jumprelu")],
    *[("saelens", replace(TRANSCODER, skip=True), activation) for activation in ("relu", "jumprelu")],
    *[("dictionary_learning", AUTOENCODER, activation) for activation in ("relu", "topk", "batch_topk", "gated")],
    *[
        ("dictionary_learning", replace(AUTOENCODER, subtracts_input_bias=False), activation)
        for activation in ("relu", "jumprelu")
    ],
    ("dictionary_learning", replace(TRANSCODER, d_out=6), "relu"),
    *[("sparsify", AUTOENCODER, activation) for activation in ("topk", "groupmax")],
    ("sparsify", replace(AUTOENCODER, skip=True), "topk"),
    ("sparsify", replace(TRANSCODER, d_out=6, skip=True), "topk"),
]


@pytest.mark.parametrize(("to", "spec", "activation"), LOSSLESS)
def test_what_a_format_can_express_comes_back_bit_for_bit(tmp_path: Path, to: str, spec: Spec, activation: str):
    dictionary = made(spec, activation)
    save_as(dictionary, tmp_path / "theirs", to)
    back = load_any(tmp_path / "theirs")
    assert formats[to].recognises(tmp_path / "theirs")
    assert same(back, dictionary)
    assert back.spec == spec
    assert back.activation.options() == dictionary.activation.options()
    assert {key: back.metadata[key] for key in dictionary.metadata} == dictionary.metadata
    again = tmp_path / "ours"
    save(back, again)
    assert same(load(again), dictionary)


@pytest.mark.parametrize("name", [name for name in names() if name.split("/")[0] in WRITTEN])
def test_what_a_library_wrote_is_written_again_as_it_was(tmp_path: Path, name: str):
    """The same tensors, but for those that an equal form of the weights replaces: those with norms folded."""
    kind, dictionary = name.split("/")[0], load_any(FIXTURES / name)
    save_as(dictionary, tmp_path / "again", kind)
    assert same(load_any(tmp_path / "again"), dictionary)
    x, codes, out = recorded(name)
    back = load_any(tmp_path / "again")
    torch.testing.assert_close(back.encode(x), codes, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(back(x), out, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=150)
@given(specs(), st.sampled_from(sorted(ACTIVATIONS)), st.sampled_from(WRITTEN), st.integers(0, 999))
def test_any_dictionary_is_written_as_an_equal_one_or_refused(
    tmp_path_factory: pytest.TempPathFactory, spec: Spec, activation: str, to: str, seed: int
):
    dictionary, folder = build(spec, activation, seed).eval(), tmp_path_factory.mktemp("written")
    if dictionary.activation.owns_biases:
        dictionary.b_enc.data.zero_()
    x = random(seed, 4, spec.d_in)
    try:
        save_as(dictionary, folder, to)
    except InputError:
        assert list(folder.iterdir()) == []
        return
    back = load_any(folder)
    torch.testing.assert_close(back.encode(x), dictionary.encode(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(back(x), dictionary(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("to", WRITTEN)
@pytest.mark.parametrize("sides", [("block_diagonal", "block_diagonal"), ("dense", "block_diagonal")])
def test_blocks_are_written_with_the_zeros_beside_them(tmp_path: Path, to: str, sides: tuple[str, str]):
    encoder, decoder = sides
    dictionary = made(replace(AUTOENCODER, encoder=encoder, decoder=decoder, blocks=3), "topk")
    save_as(dictionary, tmp_path, to)
    back, x = load_any(tmp_path), random(3, 5, 6).float()
    assert back.spec.blocks == 1
    torch.testing.assert_close(back.encode(x), dictionary.encode(x))
    torch.testing.assert_close(back(x), dictionary(x))


def test_batch_topk_becomes_jumprelu_for_saelens_as_saelens_itself_saves_it(tmp_path: Path):
    dictionary = made(AUTOENCODER, "batch_topk")
    save_as(dictionary, tmp_path, "saelens")
    back, x = load_any(tmp_path), random(3, 50, 6).float()
    assert back.activation.name == "jumprelu"
    assert torch.equal(back.encode(x), dictionary.encode(x))


def test_a_threshold_that_was_never_set_is_not_written(tmp_path: Path):
    dictionary = made(AUTOENCODER, "batch_topk")
    assert isinstance(dictionary.activation, BatchTopK)
    dictionary.activation.threshold.fill_(-1)
    for to in ("saelens", "dictionary_learning"):
        with pytest.raises(InputError, match="threshold was never set"):
            save_as(dictionary, tmp_path / to, to)


@pytest.mark.parametrize(
    ("to", "spec", "activation", "message"),
    [
        ("saelens", AUTOENCODER, "groupmax", "SAELens has no autoencoders with groupmax"),
        ("saelens", TRANSCODER, "topk", "SAELens has no transcoders with topk"),
        ("saelens", TRANSCODER, "gated", "SAELens has no transcoders with gated"),
        ("saelens", replace(AUTOENCODER, reads=("a", "b"), writes=("a", "b")), "relu", "reads a and b"),
        ("dictionary_learning", TRANSCODER, "relu", "from 6 to 4 numbers"),
        ("dictionary_learning", AUTOENCODER, "groupmax", "dictionary_learning has no autoencoder with groupmax"),
        ("dictionary_learning", replace(TRANSCODER, d_out=6), "topk", "no transcoder with topk"),
        ("dictionary_learning", replace(AUTOENCODER, skip=True), "relu", "with a skip connection"),
        ("dictionary_learning", replace(AUTOENCODER, normalisation="layer_norm"), "relu", "after layer_norm"),
        ("sparsify", AUTOENCODER, "relu", "sparsify has no relu"),
        ("sparsify", AUTOENCODER, "abs_topk", "sparsify has no abs_topk"),
        ("sparsify", replace(AUTOENCODER, normalisation="length"), "topk", "after length"),
        ("openai", AUTOENCODER, "relu", "'openai' is read, not written; expected dictionary_learning or monosema or"),
        ("safelens", AUTOENCODER, "relu", "unknown format 'safelens'.*did you mean saelens"),
    ],
)
def test_what_a_format_cannot_express_is_refused_with_the_reason(
    tmp_path: Path, to: str, spec: Spec, activation: str, message: str
):
    with pytest.raises(InputError, match=message):
        save_as(made(spec, activation), tmp_path / "out", to)
    assert not (tmp_path / "out").exists()


def test_hook_points_are_called_what_the_library_calls_them(tmp_path: Path):
    save_as(made(AUTOENCODER, "relu"), tmp_path / "a", "saelens")
    config = json.loads((tmp_path / "a" / "cfg.json").read_text())
    assert config["metadata"]["hook_name"] == "blocks.2.hook_resid_post"
    save_as(made(replace(AUTOENCODER, subtracts_input_bias=False), "relu"), tmp_path / "b", "dictionary_learning")
    trainer = json.loads((tmp_path / "b" / "config.json").read_text())["trainer"]
    assert (trainer["layer"], trainer["submodule_name"]) == (2, "resid_post_layer_2")
    assert trainer["dict_class"] == "AutoEncoderNew"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("to", WRITTEN)
def test_the_precision_stays(tmp_path: Path, to: str, dtype: torch.dtype):
    dictionary = made(AUTOENCODER, "topk").to(dtype)
    save_as(dictionary, tmp_path, to)
    back = load_any(tmp_path)
    assert back.W_enc.dtype == dtype
    assert same(back, dictionary)


@pytest.mark.parametrize("kind", ["crosscoder", "cross-layer"])
def test_dictionaries_of_several_hook_points_have_a_dense_equal(kind: str):
    from monosema.formats.equal import dense
    from tests.dictionaries.strategies import build, random
    from tests.dictionaries.test_sites import cross_layer, crosscoder

    made = crosscoder("jumprelu") if kind == "crosscoder" else build(cross_layer(3), "jumprelu")
    equal = dense(made.eval()).eval()
    assert (equal.spec.encoder, equal.spec.decoder) == ("dense", "dense")
    x = random(0, 5, made.spec.d_in)
    torch.testing.assert_close(equal(x), made(x))
    torch.testing.assert_close(equal.encode(x), made.encode(x))
