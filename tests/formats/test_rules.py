"""The conversion rules that no fixture of a library has: factors beside the weights, and older options."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from monosema.dictionaries import Dictionary, JumpReLU
from monosema.errors import InputError
from monosema.formats import load, save_as
from tests.formats.hostile import files_of, write
from tests.formats.recorded import FIXTURES, recorded


def changed(name: str, folder: Path, **config: Any) -> Path:
    """A fixture with values of its configuration changed."""
    files = dict(files_of(name))
    file = next(file for file in files if file.endswith(".json"))
    files[file] = json.dumps({**json.loads(files[file]), **config}).encode()
    return write(files, name, folder)


def add(path: Path, **tensors: torch.Tensor) -> None:
    save_file({**load_file(path), **tensors}, path)


def takes_raw(raw: Dictionary, scaled: Dictionary, factor: float) -> None:
    """Whether one does to x what the other does to x times the factor, with the same codes."""
    x = recorded("saelens/standard").x
    torch.testing.assert_close(raw.encode(x), scaled.encode(x * factor))
    torch.testing.assert_close(raw(x), scaled(x * factor) / factor)


@pytest.mark.parametrize("name", ["standard", "topk", "jumprelu", "gated", "topk_rescaled"])
@pytest.mark.parametrize("given", ["expected_average_only_in", True])
def test_the_factor_of_saelens_training_is_folded_into_the_weights(tmp_path: Path, name: str, given: str | bool):
    path = changed(f"saelens/{name}", tmp_path / "a", normalize_activations=given)
    (path / "activation_scaler.json").write_text('{"scaling_factor": 0.3, "has_whitening": false}')
    scaled = load(changed(f"saelens/{name}", tmp_path / "b"))
    if name == "topk_rescaled":  # the norms of the folded rows are those that count
        x = recorded("saelens/standard").x
        torch.testing.assert_close(load(path)(x), scaled(x * 0.3) / 0.3)
        return
    takes_raw(load(path), scaled, 0.3)
    beside = changed(
        f"saelens/{name}", tmp_path / "c", normalize_activations="expected_average_only_in", norm_scaling_factor=0.3
    )
    assert torch.equal(load(beside).W_enc, load(path).W_enc)


@pytest.mark.parametrize("rescaled", [True, False])
def test_the_one_threshold_of_a_checkpoint_follows_the_units_of_the_codes(tmp_path: Path, rescaled: bool):
    """Pre-activations keep theirs; times the norms of decoder rows, they have those of activations."""
    name, options = "saelens/checkpoint_batchtopk", {"rescale_acts_by_decoder_norm": rescaled}
    path = changed(name, tmp_path / "a", normalize_activations="expected_average_only_in", **options)
    (path / "activation_scaler.json").write_text('{"scaling_factor": 0.3}')
    raw, scaled, x = load(path), load(changed(name, tmp_path / "b", **options)), recorded(name).x
    torch.testing.assert_close(raw.encode(x), scaled.encode(x * 0.3) / (0.3 if rescaled else 1))
    torch.testing.assert_close(raw(x), scaled(x * 0.3) / 0.3)
    assert raw.encode(x).any()


@pytest.mark.parametrize("factor", [0, -0.3])
def test_a_factor_that_is_none_is_refused(tmp_path: Path, factor: float):
    config = {"normalize_activations": "expected_average_only_in", "norm_scaling_factor": factor}
    for name in ("standard", "checkpoint_batchtopk"):
        with pytest.raises(InputError, match="expected a number above zero"):
            load(changed(f"saelens/{name}", tmp_path / name, **config))


def test_a_threshold_beyond_the_precision_of_the_weights_is_refused(tmp_path: Path):
    path = changed("saelens/checkpoint_batchtopk", tmp_path)
    add(path / "sae_weights.safetensors", topk_threshold=torch.tensor(1e300, dtype=torch.float64))
    with pytest.raises(InputError, match=r"'threshold'.*not finite"):
        load(path)


def test_matching_pursuit_takes_raw_activations_as_saelens_has_it(tmp_path: Path):
    """Directions stay, so that codes, bias and residual are those of training over the factor."""
    x, scaled = recorded("saelens/matching_pursuit").x, load(changed("saelens/matching_pursuit", tmp_path / "a"))
    path = changed(
        "saelens/matching_pursuit",
        tmp_path / "b",
        normalize_activations="expected_average_only_in",
        norm_scaling_factor=0.3,
    )
    raw = load(path)
    assert torch.equal(raw.W_dec, scaled.W_dec)
    torch.testing.assert_close(raw.encode(x), scaled.encode(x * 0.3) / 0.3)
    torch.testing.assert_close(raw(x), scaled(x * 0.3) / 0.3)


def test_matching_pursuit_without_an_input_bias_has_no_bias_at_all():
    assert not load(FIXTURES / "saelens" / "matching_pursuit_no_input_bias").b_dec.any()


def test_matching_pursuit_that_saelens_could_not_express_is_not_written(tmp_path: Path):
    dictionary = load(FIXTURES / "saelens" / "matching_pursuit_no_input_bias")
    dictionary.b_dec.data.fill_(1)
    with pytest.raises(InputError, match="b_dec that is added alone"):
        save_as(dictionary, tmp_path / "bias", "saelens")
    dictionary.W_dec.data.mul_(2)
    with pytest.raises(InputError, match="other directions than the decoder's"):
        save_as(dictionary, tmp_path / "tied", "saelens")


def test_whitening_that_nothing_says_is_refused(tmp_path: Path):
    path = changed("saelens/whitened_standard", tmp_path)
    (path / "activation_whitening.safetensors").unlink()
    with pytest.raises(InputError, match=r"nothing says which.*activation_whitening\.safetensors.*to none"):
        load(path)
    for name in ("transcoder", "matching_pursuit"):
        with pytest.raises(InputError, match=f"whitens no {name}"):
            load(changed(f"saelens/{name}", tmp_path / name, normalize_activations="covariance_whitening"))


def test_temporal_dictionaries_are_refused_with_the_reason(tmp_path: Path):
    with pytest.raises(InputError, match=r"a temporal dictionary.*attention.*every token before"):
        load(changed("saelens/standard", tmp_path, architecture="temporal"))


@pytest.mark.parametrize(
    "content", ["{}", "[]", *(f'{{"scaling_factor": {value}}}' for value in ("null", "0", "true"))]
)
def test_without_a_factor_it_is_refused(tmp_path: Path, content: str):
    path = changed("saelens/standard", tmp_path, normalize_activations="expected_average_only_in")
    (path / "activation_scaler.json").write_text(content)
    with pytest.raises(InputError, match=r"nothing says by which factor.*activation_scaler\.json.*to none"):
        load(path)


def test_finetuned_scales_multiply_codes_before_they_are_decoded(tmp_path: Path):
    plain, scale = load(changed("saelens/standard", tmp_path / "a")), torch.linspace(0.5, 2, 24)
    path = changed("saelens/standard", tmp_path / "b", finetuning_scaling_factor=True)
    add(path / "sae_weights.safetensors", scaling_factor=scale)
    found, x = load(path), recorded("saelens/standard").x
    assert torch.equal(found.encode(x), plain.encode(x))
    torch.testing.assert_close(found(x), plain.decode(plain.encode(x) * scale))
    for contradicting, message in (({"finetuning_scaling_factor": False}, "not true in"), ({"d_sae": 25}, "shape")):
        path = changed("saelens/standard", tmp_path / message, **contradicting)
        add(path / "sae_weights.safetensors", scaling_factor=scale)
        with pytest.raises(InputError, match=f"'scaling_factor'.*{message}"):
            load(path)


def test_one_head_is_a_hook_point_of_its_own(tmp_path: Path):
    place = {"hook_name": "blocks.3.attn.hook_z", "hook_head_index": 2, "sae_lens_version": "6.0.0"}
    dictionary = load(changed("saelens/standard", tmp_path, metadata=place))
    assert dictionary.spec.reads == ("attn_z.3.2",)
    save_as(dictionary, tmp_path / "again", "saelens")
    written = json.loads((tmp_path / "again" / "cfg.json").read_text())
    assert (written["metadata"]["hook_name"], written["metadata"]["hook_head_index"]) == ("blocks.3.attn.hook_z", 2)
    assert written["reshape_activations"] == "none"
    assert load(tmp_path / "again").spec == dictionary.spec


def test_a_feature_without_a_direction_stays_silent_when_norms_are_folded(tmp_path: Path):
    path = changed("saelens/topk_rescaled", tmp_path)
    weights = load_file(path / "sae_weights.safetensors")
    weights["W_dec"][5] = 0
    add(path / "sae_weights.safetensors", W_dec=weights["W_dec"])
    dictionary, x = load(path), recorded("saelens/standard").x
    assert not dictionary.encode(x)[:, 5].any()
    assert dictionary(x).isfinite().all()


def test_what_is_below_zero_is_no_code_whatever_the_threshold(tmp_path: Path):
    path = changed("saelens/jumprelu", tmp_path)
    add(path / "sae_weights.safetensors", threshold=torch.full((24,), -0.5))
    dictionary, x = load(path), recorded("saelens/standard").x
    assert torch.equal(dictionary.encode(x), dictionary.preactivations(x).relu())


def test_signed_codes_of_older_sparsify_are_the_largest_by_absolute_value(tmp_path: Path):
    dictionary = load(changed("sparsify/layers.3", tmp_path, signed=True))
    assert dictionary.activation.name == "abs_topk"
    x = recorded("sparsify/layers.3").x
    pre = dictionary.preactivations(x)
    kept = torch.zeros_like(pre).scatter(1, pre.abs().topk(4).indices, 1)
    torch.testing.assert_close(dictionary.encode(x), pre * kept)


def test_a_skip_of_older_sparsify_tells_a_transcoder_whose_bias_serves_both_sides(tmp_path: Path):
    path = changed("sparsify/skip", tmp_path).rename(tmp_path / "layers.5.mlp")
    config = json.loads((path / "cfg.json").read_text())
    del config["transcode"]
    (path / "cfg.json").write_text(json.dumps(config))
    dictionary, (x, codes, out) = load(path), recorded("sparsify/skip")
    assert (dictionary.spec.reads, dictionary.spec.writes) == (("mlp_in.5",), ("mlp_out.5",))
    assert (dictionary.spec.wiring, dictionary.spec.input_bias) == ("transcoder", "b_in")
    torch.testing.assert_close(dictionary.encode(x), codes)
    torch.testing.assert_close(dictionary(x), out)
    save_as(dictionary, tmp_path / "again", "sparsify")
    torch.testing.assert_close(load(tmp_path / "again")(x), out)


def test_top_k_of_the_batch_without_a_threshold_is_refused(tmp_path: Path):
    path = changed("dictionary_learning/BatchTopKSAE", tmp_path)
    tensors = torch.load(path / "ae.pt", weights_only=True)
    torch.save({name: t for name, t in tensors.items() if name not in ("k", "threshold")}, path / "ae.pt")
    with pytest.raises(InputError, match="whose codes depend on the batch"):
        load(path)


def test_a_threshold_that_training_never_set_is_refused(tmp_path: Path):
    path = changed("dictionary_learning/BatchTopKSAE", tmp_path)
    tensors = torch.load(path / "ae.pt", weights_only=True)
    torch.save({**tensors, "threshold": torch.tensor(-1.0)}, path / "ae.pt")
    with pytest.raises(InputError, match="before threshold_start_step"):
        load(path)


@pytest.mark.parametrize("name", ["AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "JumpReluAutoEncoder"])
def test_weights_alone_are_read_where_their_names_tell_the_class(tmp_path: Path, name: str):
    path = write(files_of(f"dictionary_learning/{name}"), f"dictionary_learning/{name}", tmp_path)
    (path / "config.json").unlink()
    dictionary, (x, codes, _) = load(path), recorded(f"dictionary_learning/{name}")
    torch.testing.assert_close(dictionary.encode(x), codes)
    assert dictionary.spec.reads == ()


def test_a_transcoder_of_llama_scope_is_scaled_on_each_side_by_its_own_norm(tmp_path: Path):
    norms, place = {"in": 5.5, "out": 2.0}, "blocks.15.hook_mlp_out"
    path = changed("llama_scope/L15R-8x", tmp_path, dataset_average_activation_norm=norms, hook_point_out=place)
    found, (x, codes, out) = load(path), recorded("llama_scope/L15R-8x")
    assert found.spec.wiring == "transcoder"
    torch.testing.assert_close(found.encode(x), codes)
    torch.testing.assert_close(found(x), out * 2.0 / 5.5)


def test_thresholds_of_codes_times_decoder_norms_are_divided_by_them(tmp_path: Path):
    """As Language-Model-SAEs encodes: what is compared is the pre-activation times the norm, what is given is not."""
    plain = load(changed("llama_scope_r1/L15R", tmp_path / "a"))
    found = load(changed("llama_scope_r1/L15R", tmp_path / "b", sparsity_include_decoder_norm=True))
    assert isinstance(plain.activation, JumpReLU)
    x, _, _ = recorded("llama_scope_r1/L15R")
    pre, norms = plain.preactivations(x), plain.decoder_norms() * 8**0.5 / 5.5  # as before the factor was folded
    expected = pre.relu() * (pre * norms > plain.activation.threshold)
    torch.testing.assert_close(found.encode(x), expected)
    assert not torch.equal(found.encode(x), plain.encode(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm_activation": "token-wise"}, "expected dataset-wise"),
        ({"act_fn": "topk"}, "expected jumprelu"),
        ({"use_glu_encoder": True}, "use_glu_encoder = True"),
        ({"hook_point_in": "blocks.1.hook_resid_post"}, r"no number as 'dataset_average_activation_norm\.blocks\.1\."),
    ],
)
def test_what_llama_scope_r1_never_has_is_refused(tmp_path: Path, change: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        load(changed("llama_scope_r1/L15R", tmp_path, **change))


def test_without_the_name_of_its_repository_qwen_scope_does_not_say_k(tmp_path: Path):
    name = "qwen_scope/SAE-Res-Qwen3-1.7B-Base-W32K-L0_4/layer3.sae.pt"
    (tmp_path / "layer3.sae.pt").write_bytes(files_of(name)["layer3.sae.pt"])
    with pytest.raises(InputError, match=r"how many features .*such as SAE-Res-Qwen3"):
        load(tmp_path / "layer3.sae.pt")
    assert load(FIXTURES / name).activation.options() == {"k": 4}


def test_the_configuration_of_qwen_scope_says_k_too(tmp_path: Path):
    name = "qwen_scope/SAE-Res-Qwen3-1.7B-Base-W32K-L0_4/layer3.sae.pt"
    config = {"model_type": "topk_sae", "base_model": "Qwen/Qwen3-1.7B-Base", "k": 4, "hook_point": "resid_post"}
    for folder in ("it", "SAE-Res-Qwen3-8B-Base-W64K-L0_50"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "layer3.sae.pt").write_bytes(files_of(name)["layer3.sae.pt"])
        (tmp_path / folder / "config.json").write_text(json.dumps(config))
    found = load(tmp_path / "it" / "layer3.sae.pt")
    assert (found.activation.options(), found.metadata["model"]) == ({"k": 4}, "Qwen/Qwen3-1.7B-Base")
    with pytest.raises(InputError, match=r"k = 4 in .*expected 50"):
        load(tmp_path / folder / "layer3.sae.pt")
    (tmp_path / "it" / "config.json").write_text(json.dumps(config | {"hook_point": "mlp_out"}))
    with pytest.raises(InputError, match="expected resid_post"):
        load(tmp_path / "it" / "layer3.sae.pt")
