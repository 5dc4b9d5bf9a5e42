"""Every short name against what the model really computes, worked out from its modules and weights by hand."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from monosema.errors import InputError
from monosema.models import LoadedModel, families, load_model, read
from monosema.models.names import base_prefix
from tests.models.tiny_families import BUILDERS, LAYERS, build

# family: layer, output projection, what is added after attention, norm before the MLP, MLP, what is added after it
GPT2 = ("h.{}", "attn.c_proj", None, "ln_2", "mlp", None)
LLAMA = ("layers.{}", "self_attn.o_proj", None, "post_attention_layernorm", "mlp", None)
NEOX = ("layers.{}", "attention.dense", None, "post_attention_layernorm", "mlp", None)
GEMMA = (
    "layers.{}",
    "self_attn.o_proj",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "mlp",
    "post_feedforward_layernorm",
)
PARTS = {
    "gpt2": GPT2,
    "gpt_neo": ("h.{}", "attn.attention.out_proj", None, "ln_2", "mlp", None),
    "gpt_neox": NEOX,
    "gpt_neox_parallel": NEOX,
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "gemma2": GEMMA,
    "gemma3_text": GEMMA,
    "gemma3": ("language_model.layers.{}", *GEMMA[1:]),
    "phi": ("layers.{}", "self_attn.dense", None, "input_layernorm", "mlp", None),
}
DECODERS = list(PARTS)
PARALLEL = ["gpt_neox_parallel", "phi"]
SEQUENTIAL = [name for name in DECODERS if name not in PARALLEL]
FINAL_NORMS = {"gpt2": "ln_f", "gpt_neo": "ln_f", "gpt_neox": "final_layer_norm", "phi": "final_layernorm"}


def base_of(model: LoadedModel) -> nn.Module:
    return model.module.get_submodule(base_prefix(model.module).rstrip("."))


def all_names(model: LoadedModel) -> list[str]:
    assert model.family is not None
    kinds = ["resid_pre", "resid_post", "attn_z", "attn_out", "mlp_in", "mlp_out"]
    kinds += [] if model.family.parallel(model.module.config) else ["resid_mid"]
    return ["embed", *(f"{kind}.{layer}" for kind in kinds for layer in range(LAYERS))]


@torch.no_grad()
def act(module: nn.Module, path: str | None, x: Tensor) -> Tensor:
    return module.get_submodule(path)(x) if path else x


def close(a: Tensor, b: Tensor) -> None:
    assert a.shape == b.shape
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", DECODERS)
def test_attention_projects_attn_z_and_the_mlp_maps_mlp_in(name: str, ids: Tensor):
    model = build(name)
    at = read(model, ids, all_names(model))
    layer, projection, after_attention, norm, mlp, after_mlp = PARTS[name]
    for i in range(LAYERS):
        block = base_of(model).get_submodule(layer.format(i))
        close(at[f"attn_out.{i}"], act(block, after_attention, act(block, projection, at[f"attn_z.{i}"])))
        stream = at[f"resid_pre.{i}" if name in PARALLEL else f"resid_mid.{i}"]
        close(at[f"mlp_in.{i}"], act(block, norm, stream))
        close(at[f"mlp_out.{i}"], act(block, after_mlp, act(block, mlp, at[f"mlp_in.{i}"])))


@pytest.mark.parametrize("name", DECODERS)
def test_the_stream_is_the_sum_of_what_is_added_to_it(name: str, ids: Tensor):
    model = build(name)
    at = read(model, ids, all_names(model))
    for i in range(LAYERS):
        mid = at[f"resid_pre.{i}"] + at[f"attn_out.{i}"]
        close(at[f"resid_post.{i}"], mid + at[f"mlp_out.{i}"])
        if name in SEQUENTIAL:
            close(at[f"resid_mid.{i}"], mid)
        if i:
            assert torch.equal(at[f"resid_pre.{i}"], at[f"resid_post.{i - 1}"])


def test_the_stream_is_what_the_model_calls_its_hidden_states(model: LoadedModel, ids: Tensor):
    at = read(model, ids, all_names(model))
    with torch.no_grad():
        hidden = model.module(ids, output_hidden_states=True).hidden_states
    assert len(hidden) == LAYERS + 1
    for i in range(LAYERS):
        close(at[f"resid_pre.{i}"], hidden[i])
    assert model.family is not None
    last = at[f"resid_post.{LAYERS - 1}"]
    norm = None if model.family.name == "bert" else FINAL_NORMS.get(model.family.name, "norm")
    norm = f"language_model.{norm}" if model.family.name == "gemma3" else norm
    close(act(base_of(model), norm, last), hidden[LAYERS])


def test_embed_is_the_row_of_the_token_in_the_embedding_matrix(model: LoadedModel, ids: Tensor):
    assert model.family is not None
    rows = embedding(ids, model.module.get_parameter(model.point("embed").path + ".weight"))
    scale = 32**0.5 if model.family.name.startswith("gemma") else 1.0  # Gemma's embedding module scales its rows
    close(read(model, ids, ["embed"])["embed"], rows * scale)


def test_attn_z_holds_the_heads_side_by_side(ids: Tensor):
    model = build("gpt2")
    at = read(
        model, ids, ["attn_z.1", "h.1.attn.c_attn" if not base_prefix(model.module) else "transformer.h.1.attn.c_attn"]
    )
    q, k, v = at["transformer.h.1.attn.c_attn"].split(32, dim=-1)
    causal = torch.ones(7, 7).tril().bool()
    for head in range(4):
        rows = slice(8 * head, 8 * head + 8)
        scores = (q[..., rows] @ k[..., rows].mT / 8**0.5).masked_fill(~causal, -torch.inf)
        close(at["attn_z.1"][..., rows], scores.softmax(-1) @ v[..., rows])


def test_berts_stream_is_normalised_after_each_addition(ids: Tensor):
    model = build("bert")
    at = read(model, ids, all_names(model))
    for i in range(LAYERS):
        block = base_of(model).get_submodule(f"encoder.layer.{i}")
        close(at[f"attn_out.{i}"], act(block, "attention.output.dense", at[f"attn_z.{i}"]))
        mid = at[f"resid_pre.{i}"] + at[f"attn_out.{i}"]
        close(at[f"resid_mid.{i}"], act(block, "attention.output.LayerNorm", mid))
        assert torch.equal(at[f"mlp_in.{i}"], at[f"resid_mid.{i}"])
        close(at[f"mlp_out.{i}"], act(block, "output.dense", act(block, "intermediate", at[f"mlp_in.{i}"])))
        close(at[f"resid_post.{i}"], act(block, "output.LayerNorm", at[f"resid_mid.{i}"] + at[f"mlp_out.{i}"]))


@pytest.mark.parametrize("kind", ["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"])
def test_transformer_lens_names_mean_the_short_names(kind: str, model: LoadedModel):
    assert model.family is not None
    if kind == "resid_mid" and model.family.parallel(model.module.config):
        return
    if model.family.name != "bert" or kind not in ("resid_mid", "resid_post"):
        assert model.point(f"blocks.2.hook_{kind}") == model.point(f"{kind}.2")
    assert model.point("blocks.1.attn.hook_z") == model.point("attn_z.1")
    assert model.point("hook_embed") == model.point("embed")


def test_transformer_lens_hooks_berts_sums_before_the_norm(ids: Tensor):
    model = build("bert")
    names = [*all_names(model), "blocks.1.hook_resid_mid", "blocks.1.hook_resid_post"]
    at = read(model, ids, names)
    close(at["blocks.1.hook_resid_mid"], at["resid_pre.1"] + at["attn_out.1"])
    close(at["blocks.1.hook_resid_post"], at["resid_mid.1"] + at["mlp_out.1"])


def test_a_bare_base_model_has_the_same_places_as_the_model_with_a_head(model: LoadedModel, ids: Tensor):
    base = base_of(model)
    assert base is not model.module
    bare = load_model(base, device="cpu")
    assert bare.family is model.family
    whole, part = read(model, ids, all_names(model)), read(bare, ids, all_names(bare))
    assert all(torch.equal(whole[name], part[name]) for name in whole)


@pytest.mark.parametrize("name", PARALLEL)
@pytest.mark.parametrize("asked", ["resid_mid.1", "blocks.1.hook_resid_mid"])
def test_a_parallel_model_has_no_middle_of_the_stream_and_says_what_to_use(name: str, asked: str):
    with pytest.raises(InputError, match=r"side by side.*resid_pre\.1 or resid_post\.1"):
        build(name).point(asked)


def test_transformer_lens_mlp_in_is_refused_because_it_is_the_stream(model: LoadedModel):
    assert model.family is not None
    stream = "resid_pre" if model.family.parallel(model.module.config) else "resid_mid"
    with pytest.raises(InputError, match=rf"before the norm.*{stream}\.2.*mlp_in\.2"):
        model.point("blocks.2.hook_mlp_in")


def test_every_registered_family_is_checked_here():
    assert {build(name).family for name in BUILDERS} == set(families.values())
