import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from monosema.errors import InputError
from monosema.models import HookPoint, LoadedModel, load_model, read, width_of
from tests.models.tiny_families import build

PATHS = st.from_regex(r"[a-z_0-9]+(\.[a-z_0-9]+)*", fullmatch=True)


@settings(max_examples=25, deadline=None)
@given(PATHS, st.sampled_from(["in", "out"]))
def test_a_hook_point_is_read_back_as_it_is_printed(path: str, side):
    point = HookPoint(path, side)
    assert HookPoint.parse(str(point)) == point
    assert HookPoint.parse(f"{path}:{side}") == point


@pytest.mark.parametrize("text", ["", "mlp:inside", "mlp:", "a:in:out"])
def test_what_is_no_hook_point_is_refused(text: str):
    with pytest.raises(InputError, match="expected a module path"):
        HookPoint.parse(text)


def test_a_module_path_means_itself(model: LoadedModel):
    for path, _ in model.module.named_modules():
        if path:
            assert model.point(path) == HookPoint(path)
            assert model.point(f"{path}:in") == HookPoint(path, "in")


def test_the_module_itself_is_a_place_too():
    model = load_model(nn.Linear(3, 5))
    assert model.point(":in") == HookPoint("", "in")
    assert model.point(":out") == HookPoint("", "out")
    assert str(HookPoint("", "out")) == ":out"


@pytest.mark.parametrize("name", ["resid_post.3", "blocks.3.hook_resid_post", "attn_z.77"])
def test_a_layer_out_of_range_is_refused_with_the_range(name: str, model: LoadedModel):
    with pytest.raises(InputError, match="3 layers; expected a layer from 0 to 2"):
        model.point(name)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("resid_pots.1", "resid_post.1"),
        ("residpost.1", "resid_post.1"),
        ("embeds", "embed"),
        ("embed.1", "embed"),
        ("mlp_out", "mlp_out.0"),
        ("blocks.1.hook_resid_pst", "blocks.1.hook_resid_post"),
        ("blocks.1.hook_z", "blocks.1.attn.hook_z"),
        ("model.layers.1.mpl", "model.layers.1.mlp"),
        ("model.layers.1.self_attn.oproj:in", "model.layers.1.self_attn.o_proj"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_ones(wrong: str, right: str):
    with pytest.raises(InputError) as error:
        build("llama").point(wrong)
    assert error.value.hint is not None
    assert right in error.value.hint.removesuffix("?").split()
    assert "a short name (embed, resid_pre.L," in str(error.value)


def test_no_name_that_does_not_exist_is_offered():
    with pytest.raises(InputError) as error:
        build("phi").point("resid_middle.1")
    assert "resid_mid." not in (error.value.hint or "")


@pytest.mark.parametrize("name", ["resid_post.0", "embed", "blocks.0.hook_resid_post"])
def test_a_module_of_no_known_family_has_only_module_paths(name: str):
    model = load_model(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
    assert model.family is None
    with pytest.raises(InputError, match="family is not known; expected the path of one of its modules"):
        model.point(name)


def test_a_module_whose_path_looks_like_another_name_is_meant_by_it():
    module = nn.ModuleDict({"embed": nn.Embedding(4, 2)})
    assert load_model(module).point("embed") == HookPoint("embed")


def test_the_stream_between_attention_and_mlp_is_the_same_place_as_the_norms_input():
    model = build("llama")
    assert model.point("resid_mid.1") == model.point("model.layers.1.post_attention_layernorm:in")
    assert torch.nn.Module.get_submodule(model.module, model.point("resid_mid.1").path) is not None


def test_a_head_is_a_part_of_its_layers_heads(model: LoadedModel):
    whole, heads = model.point("attn_z.1"), [model.point(f"attn_z.1.{head}") for head in range(model.heads or 0)]
    assert [(head.path, head.side) for head in heads] == [(whole.path, whole.side)] * len(heads)
    ids = torch.arange(12).reshape(2, 6)
    found = read(model, ids, ["attn_z.1", *(f"attn_z.1.{head}" for head in range(len(heads)))])
    assert torch.equal(found.pop("attn_z.1"), torch.cat(list(found.values()), dim=-1))
    with pytest.raises(InputError, match=rf"with {len(heads)} heads; expected a head from 0 to {len(heads) - 1}"):
        model.point(f"attn_z.1.{len(heads)}")


def test_heads_lie_side_by_side_at_attn_z_alone(model: LoadedModel):
    assert model.heads_at("attn_z.2") == model.heads == 4  # those of queries, where keys and values are shared
    place = model.point("attn_z.2")
    assert model.heads_at(str(place)) == 4
    assert model.heads_at("resid_post.2") is None
    assert model.heads_at("attn_z.2.0") is None
    assert width_of(model, "attn_z.2") % 4 == 0
