"""Dictionaries of other libraries compute here what they compute there."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.formats import formats, load, load_all
from tests.formats.recorded import FIXTURES, names, recorded


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", names())
def test_codes_and_reconstructions_are_those_of_the_library(name: str):
    dictionary, (x, codes, out) = load(FIXTURES / name), recorded(name)
    assert codes.any()
    close(dictionary.encode(x), codes)
    close(dictionary.encode_sparse(x).to_dense(), codes)
    close(dictionary.decode(codes, x), out)
    close(dictionary(x), out)
    assert not dictionary.training


@pytest.mark.parametrize("name", names())
def test_exactly_one_format_recognises_each(name: str):
    fitting = [kind for kind, known in formats.items() if known.recognises(FIXTURES / name)]
    assert fitting == [name.split("/")[0]]


def test_there_is_a_fixture_of_every_format():
    assert {name.split("/")[0] for name in names()} == set(formats) - {"monosema"}


def place(dictionary: Dictionary) -> tuple[str | None, tuple[str, ...], tuple[str, ...]]:
    return dictionary.metadata.get("model"), dictionary.spec.reads, dictionary.spec.writes


@pytest.mark.parametrize(
    ("name", "model", "reads", "writes"),
    [
        ("saelens/standard", "EleutherAI/pythia-70m-deduped", "blocks.3.hook_resid_post", None),
        (
            "saelens/transcoder",
            "EleutherAI/pythia-70m-deduped",
            "blocks.3.ln2.hook_normalized",
            "blocks.3.hook_mlp_out",
        ),
        ("saelens/old_relu", "gpt2", "blocks.5.hook_resid_pre", None),
        ("saelens/old_topk", "gpt2", "blocks.5.attn.hook_z", None),
        ("dictionary_learning/AutoEncoder", "gpt2", "resid_post.3", None),
        ("dictionary_learning/AutoEncoderNew", "gpt2", "mlp_out.3", None),
        ("sparsify/layers.3", None, "resid_post.3", None),
        ("sparsify/layers.4.mlp", None, "mlp_in.4", "mlp_out.4"),
        ("gemma_scope_2/resid_post", "google/gemma-3-1b-pt", "resid_post.7", None),
        ("gemma_scope_2/transcoder", "google/gemma-3-1b-pt", "mlp_in.7", "mlp_out.7"),
        ("llama_scope/L15R-8x", "meta-llama/Llama-3.1-8B", "blocks.15.hook_resid_post", None),
        ("circuit_tracer/per_layer/layer_1.safetensors", "google/gemma-2-2b", "mlp_in.1", "mlp_out.1"),
    ],
)
def test_model_and_hook_points_are_those_of_the_configuration(
    name: str, model: str | None, reads: str, writes: str | None
):
    assert place(load(FIXTURES / name)) == (model, (reads,), (writes or reads,))


def test_the_path_of_gemma_scope_says_where_it_belongs(tmp_path: Path):
    weights = (FIXTURES / "gemma_scope" / "layer_20" / "params.npz").read_bytes()
    for repository, below, expected in (
        ("gemma-scope-2b-pt-res", "layer_20/width_16k/average_l0_71", ("google/gemma-2-2b", "resid_post.20", None)),
        ("gemma-scope-9b-it-res", "layer_9/width_16k/average_l0_47", ("google/gemma-2-9b-it", "resid_post.9", None)),
        ("gemma-scope-2b-pt-att", "layer_3/width_16k/average_l0_99", ("google/gemma-2-2b", "attn_z.3", None)),
        ("gemma-scope-2b-pt-transcoders", "layer_4/width_16k/l0_8", ("google/gemma-2-2b", "mlp_in.4", "mlp_out.4")),
    ):
        folder = tmp_path / f"models--google--{repository}" / "snapshots" / "abc" / below
        folder.mkdir(parents=True)
        (folder / "params.npz").write_bytes(weights)
        model, reads, writes = expected
        dictionary = load(folder)
        assert place(dictionary) == (model, (reads,), (writes or reads,))
        assert dictionary.spec.wiring == ("transcoder" if writes else "autoencoder")
        assert load(folder / "params.npz").spec == dictionary.spec


def test_what_a_library_measured_comes_along():
    density = load(FIXTURES / "saelens" / "old_relu").metadata["log10_density"]
    assert len(density) == 24
    assert max(density) < 0
    assert load(FIXTURES / "dictionary_learning" / "MatryoshkaBatchTopKSAE").metadata["group_sizes"] == [6, 8, 10]
    assert load(FIXTURES / "saelens" / "standard").metadata["context"] == 128


def test_a_set_is_read_layer_by_layer_or_all_at_once():
    folder = FIXTURES / "circuit_tracer" / "per_layer"
    every = load_all(folder)
    assert list(every) == ["layer_0", "layer_1"]
    assert torch.equal(every["layer_1"].W_enc, load(folder / "layer_1.safetensors").W_enc)
    with pytest.raises(InputError, match=r"holds 2 dictionaries: layer_0, layer_1.*layer_0\.safetensors.*load_all"):
        load(folder)
    assert list(load_all(FIXTURES / "saelens" / "topk")) == ["topk"]
    with pytest.raises(InputError, match="holds no dictionary"):
        load_all(FIXTURES)


def test_members_of_a_set_are_in_the_order_of_their_numbers(tmp_path: Path):
    weights = (FIXTURES / "circuit_tracer" / "per_layer" / "layer_0.safetensors").read_bytes()
    for layer in (10, 2, 1):
        (tmp_path / f"layer_{layer}.safetensors").write_bytes(weights)
    assert list(load_all(tmp_path)) == ["layer_1", "layer_2", "layer_10"]


def test_what_the_layers_of_a_cross_layer_transcoder_write_adds_up():
    """At layer 1 the features of layers 0 and 1 add to each other, and to the bias and skip of layer 1."""
    first, second = load_all(FIXTURES / "circuit_tracer" / "cross_layer").values()
    x = recorded("circuit_tracer/cross_layer/W_enc_0.safetensors").x
    assert first.spec.writes == ("mlp_out.0", "mlp_out.1")
    assert second.spec.writes == ("mlp_out.1",)
    at_one = first(x)[:, 8:] + second(x)
    expected = first.encode(x) @ first.W_dec[:, 8:] + second(x)
    torch.testing.assert_close(at_one, expected)


def test_a_checkpoint_is_read_with_the_configuration_above_it():
    folder = FIXTURES / "dictionary_learning" / "AutoEncoderTopK"
    checkpoint, whole = load(folder / "checkpoints" / "ae_100.pt"), load(folder)
    assert checkpoint.spec == whole.spec
    assert torch.equal(checkpoint.W_enc, whole.W_enc)
    assert list(load_all(folder / "checkpoints")) == ["ae_100"]
    assert torch.equal(load(folder / "ae.pt").W_dec, whole.W_dec)
