"""Heads and source positions add up to what attention gives to a direction, and each is linear in the stream there."""

from typing import Any

import pytest
import torch
from torch import Tensor

from monosema.analysis.attended import at_heads, head_sources, through_head
from monosema.analysis.linearise import feature_direction
from monosema.analysis.pullback import Direction
from monosema.analysis.source_positions import source_attribution
from monosema.analysis.stream_parts import at_part
from monosema.errors import InputError
from monosema.models import LoadedModel, load_model
from tests.analysis.dictionaries import autoencoder
from tests.analysis.test_linearise import FEATURE, IDS, POSITION, at, double, made_for
from tests.analysis.test_source_positions import Mixing, WithPattern
from tests.evaluation.helpers import D, random_model
from tests.models import tiny_lens
from tests.models.tiny_families import BUILDERS, build

CAUSAL = pytest.mark.parametrize("family", [name for name in BUILDERS if name != "bert"])


def direction_at(model: LoadedModel, point: str) -> Direction:
    return feature_direction(made_for(model, point), model, IDS, POSITION, FEATURE)[1]


def biases_of(model: LoadedModel, direction: Direction) -> Tensor:
    """What each head's values have that is not linear in the stream, along a direction at `attn_z.1`, for GPT-NeoX."""
    layer: Any = model.module.get_submodule("gpt_neox.layers.1")
    values = layer.attention.query_key_value(layer.input_layernorm.bias).unflatten(0, (4, 3, 8))[:, 2]
    return (values * direction.vector.unflatten(0, (4, 8))).sum(1).detach()


@CAUSAL
def test_heads_and_sources_add_up_to_what_attention_gives(family: str):
    model = double(family)
    own = direction_at(model, "attn_out.1")
    found = head_sources(model, IDS, own)
    assert found.shape == (4, len(IDS))
    assert not found[:, POSITION + 1 :].any()
    z = at_heads(model, IDS, own)
    assert found.sum().item() == pytest.approx(z.linear, rel=1e-4, abs=1e-5)
    assert (z.value, z.point, z.via) == (pytest.approx(own.value), "attn_z.1", "output")
    assert z.linear == pytest.approx((z.vector @ at(model, "attn_z.1")).item())


@pytest.mark.parametrize("family", ["gpt_neox", "gpt_neox_parallel"])
def test_through_every_head_and_source_all_but_the_biases_is_linear(family: str):
    model = double(family)
    own = direction_at(model, "attn_out.1")
    z, sources = at_heads(model, IDS, own), head_sources(model, IDS, own)
    layer: Any = model.module.get_submodule("gpt_neox.layers.1")
    projection = layer.attention.dense
    assert own.linear - z.linear == pytest.approx((projection.bias @ own.vector).item())
    linear = 0.0
    for head in range(4):
        for source in range(len(IDS)):
            back = through_head(model, IDS, own, head, source)
            assert (back.point, back.position, back.via) == ("resid_pre.1", source, "head")
            assert back.linear == pytest.approx((back.vector @ at(model, "resid_pre.1", source)).item())
            assert back.value == pytest.approx(own.value)
            linear += back.linear
    # A head's attention adds up to one, so that it brings each of its biases once.
    assert linear + biases_of(model, z).sum().item() == pytest.approx(sources.sum().item())


@CAUSAL
def test_a_head_is_linear_in_the_stream_but_for_biases(family: str):
    model = double(family)
    own = direction_at(model, "attn_z.1")
    sources = head_sources(model, IDS, own)
    for head, source in ((0, POSITION), (3, POSITION - 1)):
        back = through_head(model, IDS, own, head, source)
        stream = at(model, "resid_pre.1", source)
        assert back.linear == pytest.approx((back.vector @ stream).item(), rel=1e-5)
        if family in ("llama", "mistral", "qwen3", "gemma2", "gemma3_text", "gemma3"):  # no biases anywhere
            assert back.linear == pytest.approx(sources[head, source].item(), rel=1e-4, abs=1e-5)


def test_the_vector_of_a_head_is_its_values_and_its_norm():
    model = double("llama")
    own = direction_at(model, "attn_z.1")
    layer: Any = model.module.get_submodule("model.layers.1")
    layer_norm, values = layer.input_layernorm, layer.self_attn.v_proj.weight.detach().unflatten(0, (2, 8))
    head, source = 3, 4
    x = at(model, "resid_pre.1", source)
    scale = (x.square().mean() + layer_norm.variance_epsilon).sqrt()
    read = own.vector.unflatten(0, (4, 8))[head] @ values[head // 2] * layer_norm.weight.detach() / scale
    pattern = head_sources(model, IDS, own)[head, source] / (read @ x)
    torch.testing.assert_close(through_head(model, IDS, own, head, source).vector, pattern * read, rtol=1e-5, atol=1e-7)


def test_of_a_dictionary_of_attention_they_are_its_source_positions():
    model = double("gpt_neox")
    made = made_for(model, "attn_z.1")
    _, own = feature_direction(made, model, IDS, POSITION, FEATURE)
    expected = source_attribution(made, model, IDS[None], [POSITION], [FEATURE]).heads[0]
    torch.testing.assert_close(head_sources(model, IDS, own), expected)


def test_a_dictionary_of_one_head_sees_that_head():
    model = double("llama")
    _, own = feature_direction(autoencoder("attn_z.1.2", 8), model, IDS, POSITION, FEATURE)
    found = head_sources(model, IDS, own)
    assert found[2].any()
    assert not found[[0, 1, 3]].any()


def test_from_the_stream_they_are_parts_of_an_earlier_attention():
    model = double("gpt_neox")
    own = direction_at(model, "resid_mid.2")
    part = at_part(model, IDS, own, "attn_out.0")
    back = through_head(model, IDS, part, 1, 2)
    assert back.point == "resid_pre.0"
    assert back.value == pytest.approx(own.value)


def test_an_encoder_sees_later_positions_too():
    model = double("bert")
    own = direction_at(model, "attn_z.1")
    found = head_sources(model, IDS, own)
    assert found.sum().item() == pytest.approx(own.linear)
    assert found[:, POSITION + 1 :].all()


def test_in_a_model_of_transformer_lens_the_hooks_of_values_are_gone_through():
    theirs = tiny_lens.gpt2()
    hooked = tiny_lens.StandIn(theirs)
    for block, own in zip(hooked.blocks, theirs.transformer.h, strict=True):
        setattr(block, "attn", WithPattern(own.attn))  # noqa: B010
    lens, plain = load_model(hooked.double()), load_model(theirs.double())
    one, other = (direction_at(model, "attn_out.1") for model in (lens, plain))
    torch.testing.assert_close(head_sources(lens, IDS, one), head_sources(plain, IDS, other))
    back, same = through_head(lens, IDS, one, 2, 3), through_head(plain, IDS, other, 2, 3)
    torch.testing.assert_close(back.vector, same.vector)


def test_of_the_embedded_model_in_16_bits_they_add_up_as_well():
    model = load_model("tiny", device="cpu", dtype="bfloat16")
    own = feature_direction(autoencoder("attn_out.2", 256), model, IDS, POSITION, FEATURE)[1]
    z = at_heads(model, IDS, own)
    assert head_sources(model, IDS, own).sum().item() == pytest.approx(z.linear, rel=0.05)
    assert through_head(model, IDS, own, 0, 3).vector.dtype == torch.float32


def test_what_is_no_attention_and_what_is_not_there_is_refused():
    model = double("gpt_neox")
    with pytest.raises(InputError, match=r"attn_out\.L or one at attn_z\.L"):
        head_sources(model, IDS, direction_at(model, "mlp_out.1"))
    own = direction_at(model, "attn_out.1")
    for head, source in ((4, 0), (-1, 0), (0, 9), (0, -1)):
        with pytest.raises(InputError, match="one of 4 heads, and of 9 positions"):
            through_head(model, IDS, own, head, source)
    broken = random_model()
    layer: Any = broken.module.get_submodule("gpt_neox.layers.1")
    layer.attention = Mixing(layer.attention.dense)
    with pytest.raises(InputError, match="attn_implementation='sdpa'"):
        head_sources(broken, IDS, feature_direction(autoencoder("attn_z.1", D), broken, IDS, POSITION, FEATURE)[1])


def test_heads_are_the_same_whatever_computes_attention():
    model = load_model(build("llama").module.double())
    module: Any = model.module
    own = direction_at(model, "attn_out.1")
    found = []
    for implementation in ("sdpa", "eager"):
        module.set_attn_implementation(implementation)
        found.append(through_head(model, IDS, own, 1, 4).vector)
    torch.testing.assert_close(*found)
