"""Dictionaries of other libraries compute here what they compute there."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
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
        ("llama_scope_r1/L15R", None, "blocks.15.hook_resid_post", None),
        ("connor_rob/gpt2-small_L0_Hcat_z_lr1.20e-03_v9.pt", "gpt2", "blocks.0.attn.hook_z", None),
        ("qwen_scope/SAE-Res-Qwen3-1.7B-Base-W32K-L0_4/layer3.sae.pt", "Qwen/Qwen3-1.7B-Base", "resid_post.3", None),
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


def by_layers(folder: Path, x: Tensor, n: int, files: str) -> Tensor:
    """What the layers of a cross-layer transcoder, read one by one, write together."""
    total = torch.zeros_like(x)
    for layer, part in enumerate(x.chunk(n, 1)):
        total[:, layer * part.shape[1] :] += load(folder / files.format(layer))(part)
    return total


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("circuit_tracer/cross_layer", "W_enc_{}.safetensors"),
        ("circuit_tracer/across", "W_enc_{}.safetensors"),
        ("gemma_scope_2/clt", "params_layer_{}.safetensors"),
    ],
)
def test_a_cross_layer_transcoder_is_one_dictionary_and_its_layers_add_up_to_it(name: str, files: str):
    whole = load(FIXTURES / name)
    n = whole.spec.blocks
    assert (whole.spec.encoder, whole.spec.decoder) == ("block_diagonal", "triangular")
    assert whole.spec.writes == tuple(f"mlp_out.{layer}" for layer in range(n))
    assert list(load_all(FIXTURES / name)) == [Path(name).name]
    first = load(FIXTURES / name / files.format(0))
    assert (first.spec.reads, first.spec.writes) == (whole.spec.reads[:1], whole.spec.writes)
    x = torch.linspace(-3, 3, 5 * n * 8).reshape(n * 8, 5).T.contiguous()
    close(whole(x), by_layers(FIXTURES / name, x, n, files))


def test_a_list_of_transcoders_is_read_as_the_set_that_it_is(tmp_path: Path):
    folder = FIXTURES / "circuit_tracer" / "listed"
    every = load_all(folder)
    assert list(every) == ["layer_0", "layer_1"]
    for layer, file in enumerate(("early", "late")):
        x, codes, out = recorded(f"circuit_tracer/listed/{file}.safetensors")
        close(every[f"layer_{layer}"].encode(x), codes)
        close(every[f"layer_{layer}"](x), out)
        assert every[f"layer_{layer}"].spec.reads == (f"mlp_in.{layer}",)
    with pytest.raises(InputError, match=r"holds 2 dictionaries: layer_0, layer_1.*early\.safetensors"):
        load(folder)


CONFIG = "model_name: google/gemma-2-2b\nfeature_input_hook: hook_resid_mid\nfeature_output_hook: hook_mlp_out\n"


def test_a_list_may_name_files_of_gemma_scope_at_any_place(tmp_path: Path):
    places = [
        FIXTURES / "gemma_scope" / "layer_20" / "params.npz",
        FIXTURES / "gemma_scope_2" / "transcoder_affine" / "params.safetensors",
    ]
    (tmp_path / "config.yaml").write_text(f"{CONFIG}transcoders: {[str(place) for place in places]}\n")
    for layer, (dictionary, place) in enumerate(zip(load_all(tmp_path).values(), places, strict=True)):
        assert torch.equal(dictionary.W_enc, load(place).W_enc)
        assert (dictionary.spec.reads, dictionary.spec.writes) == ((f"resid_mid.{layer}",), (f"mlp_out.{layer}",))


def test_a_list_of_the_layers_of_gemma_scopes_cross_layer_transcoder_is_one_dictionary(tmp_path: Path):
    files = [str(FIXTURES / "gemma_scope_2" / "clt" / f"params_layer_{layer}.safetensors") for layer in range(3)]
    (tmp_path / "config.yaml").write_text(f"{CONFIG}model_kind: cross_layer_transcoder\ntranscoders: {files}\n")
    dictionary, (x, codes, out) = load(tmp_path), recorded("gemma_scope_2/clt")
    close(dictionary.encode(x), codes)
    close(dictionary(x), out)
    assert dictionary.spec.reads == ("resid_mid.0", "resid_mid.1", "resid_mid.2")
    assert list(load_all(tmp_path)) == [tmp_path.name]


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("hf://org/repo/layer_0.safetensors?revision=main", r"lies at hf://org/repo/layer_0\.safetensors@main"),
        ("no-such.safetensors", "no file .*no-such"),
    ],
)
def test_what_a_list_names_and_is_not_here_is_said(tmp_path: Path, listed: str, message: str):
    (tmp_path / "config.yaml").write_text(f"{CONFIG}transcoders: ['{listed}']\n")
    with pytest.raises(InputError, match=message):
        load_all(tmp_path)


@pytest.mark.parametrize("listed", ["7", "[]", "[1]", "[[x]]", "{a: b}", "['']"])
def test_what_lists_something_else_is_refused(tmp_path: Path, listed: str):
    (tmp_path / "config.yaml").write_text(f"{CONFIG}transcoders: {listed}\n")
    with pytest.raises(InputError, match=r"transcoders = .*a list of paths and addresses"):
        load_all(tmp_path)


def test_a_cross_layer_transcoder_with_a_layer_missing_is_refused(tmp_path: Path):
    for name in ("circuit_tracer/across", "gemma_scope_2/clt"):
        for removed, message in ((1, "has the layers 0, 2"), (2, "write to 3 layers; expected 2")):
            folder = shutil.copytree(FIXTURES / name, tmp_path / f"{removed}" / name)
            for path in folder.glob(f"*_{removed}.safetensors"):
                path.unlink()
            with pytest.raises(InputError, match=message):
                load(folder)


CROSSCODER = FIXTURES / "gemma_scope_2" / "crosscoder" / "layer_5_9_12_width_72"


def test_a_weakly_causal_crosscoder_is_one_dictionary_of_the_layers_that_it_names():
    whole, points = load(CROSSCODER), ("resid_post.5", "resid_post.9", "resid_post.12")
    assert place(whole) == ("google/gemma-3-270m", points, points)
    assert (whole.spec.encoder, whole.spec.decoder, whole.spec.blocks) == ("block_diagonal", "triangular", 3)
    assert (whole.spec.writes_what_it_reads, whole.spec.cross_layer) == (True, False)
    first, last = (load(CROSSCODER / f"params_layer_{layer}.safetensors") for layer in (0, 2))
    assert (first.spec.reads, first.spec.writes, first.spec.wiring) == (points[:1], points, "transcoder")
    assert (last.spec.reads, last.spec.writes, last.spec.wiring) == (points[2:], points[2:], "autoencoder")
    x = recorded("gemma_scope_2/crosscoder/layer_5_9_12_width_72").x
    close(whole(x), by_layers(CROSSCODER, x, 3, "params_layer_{}.safetensors"))


def test_a_crosscoder_whose_features_write_to_all_layers_is_read_with_all_of_that():
    folder = CROSSCODER.with_name(f"{CROSSCODER.name}_all")
    dictionary = load(folder)
    assert (dictionary.spec.encoder, dictionary.spec.decoder) == ("block_diagonal", "sites")
    assert dictionary.spec.reads == ("resid_post.5", "resid_post.9", "resid_post.12")  # its folder is called so
    with pytest.raises(InputError, match="write to earlier layers"):
        load(folder / "params_layer_1.safetensors")


def test_a_crosscoder_of_other_layers_than_it_has_files_is_refused(tmp_path: Path):
    folder = shutil.copytree(CROSSCODER, tmp_path / "it")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hf_hook_point_in": "model.layers.{5,9}.output"}))
    for path in (folder, folder / "params_layer_0.safetensors"):
        with pytest.raises(InputError, match=r"hf_hook_point_in = .*expected 3 layers"):
            load(path)


@pytest.mark.parametrize(
    ("where", "reads", "wiring"),
    [
        ("gemma-scope-2-1b-pt/resid_post_all/layer_7_width_16k_l0_small", "resid_post.7", "autoencoder"),
        ("gemma-scope-2-1b-pt/transcoder/layer_7_width_16k_l0_small", "mlp_in.7", "transcoder"),
        ("transcoders/layer_3/attn_out/layer_7_width_16k_l0_big", "attn_z.7", "autoencoder"),
    ],
)
def test_without_a_configuration_the_folders_of_gemma_scope_2_say_the_place(
    tmp_path: Path, where: str, reads: str, wiring: str
):
    (tmp_path / where).mkdir(parents=True)
    shutil.copy(FIXTURES / "gemma_scope_2" / "resid_post" / "params.safetensors", tmp_path / where)
    dictionary = load(tmp_path / where)
    assert (dictionary.spec.reads, dictionary.spec.wiring) == ((reads,), wiring)


def test_a_layer_of_gemma_scopes_cross_layer_transcoder_is_read_without_a_skip_too(tmp_path: Path):
    tensors = load_file(FIXTURES / "gemma_scope_2" / "clt" / "params_layer_1.safetensors")
    skip = tensors.pop("affine_skip_connection")
    save_file(tensors, tmp_path / "params_layer_1.safetensors")
    plain, x = load(tmp_path / "params_layer_1.safetensors"), recorded("gemma_scope_2/clt").x[:, 8:16].contiguous()
    affine = load(FIXTURES / "gemma_scope_2" / "clt" / "params_layer_1.safetensors")
    close(plain(x), affine(x) - torch.cat([x @ skip, torch.zeros(len(x), 8)], 1))


def test_a_checkpoint_is_read_with_the_configuration_above_it():
    folder = FIXTURES / "dictionary_learning" / "AutoEncoderTopK"
    checkpoint, whole = load(folder / "checkpoints" / "ae_100.pt"), load(folder)
    assert checkpoint.spec == whole.spec
    assert torch.equal(checkpoint.W_enc, whole.W_enc)
    assert list(load_all(folder / "checkpoints")) == ["ae_100"]
    assert torch.equal(load(folder / "ae.pt").W_dec, whole.W_dec)
