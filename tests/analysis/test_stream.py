"""What features add to the stream is what the model adds to it when their directions are added."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from monosema.analysis.stream import stream_directions
from monosema.dictionaries import Dictionary, Spec
from monosema.models import LoadedModel, ModelPair, Readable, Replacement, load_model, read, replacing
from tests.analysis.dictionaries import autoencoder, cross_layer, crosscoder, random_weights, transcoder
from tests.evaluation.helpers import D, random_model
from tests.models import tiny_lens
from tests.models.tiny_families import BUILDERS, build

FEATURES = [5, 0, 11]
NORMALISES = ("gemma2", "gemma3_text", "gemma3")
build_once = cache(build)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return random_model()


def lens() -> LoadedModel:
    return load_model(tiny_lens.StandIn(tiny_lens.gpt2()).double().eval(), device="cpu")


def directions_of(made: Dictionary, model: Readable) -> Tensor:
    directions = stream_directions(made, model, FEATURES)
    assert directions is not None
    return directions


def grown(model: LoadedModel, point: str, seen: str, row: Tensor) -> Tensor:
    """By how much the activation at `seen` grows when `row` is added at `point`."""
    ids = torch.randint(1, 40, (2, 5), generator=torch.Generator().manual_seed(0))
    before = read(model, ids, [seen])[seen]
    with replacing(model, [Replacement(point, lambda x: x + row.to(x))]):
        return (read(model, ids, [seen])[seen] - before).double()


@pytest.mark.parametrize("name", ["attn_z.1", "attn_z.1.2"])
@pytest.mark.parametrize("family", [*BUILDERS, "lens"])
def test_attn_z_adds_what_attention_then_returns(family: str, name: str):
    model = lens() if family == "lens" else build_once(family)
    d = read(model, torch.ones(1, 1, dtype=torch.long), [name])[name].shape[-1]
    made = autoencoder(name, d)
    directions = stream_directions(made, model, FEATURES)
    if family in NORMALISES:
        assert directions is None
        return
    assert directions is not None
    for feature, direction in zip(FEATURES, directions, strict=True):
        added = grown(model, name, "attn_out.1", made.W_dec[feature].detach())
        torch.testing.assert_close(direction.double().expand_as(added), added, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["block_diagonal", "dense"])
def test_attn_z_in_blocks_is_through_the_blocks_own_output_weights(model: LoadedModel, kind: str):
    blocks = 2 if kind == "block_diagonal" else 1
    made = autoencoder("attn_z.1", D, encoder=kind, decoder=kind, blocks=blocks)
    weight = model.module.get_submodule("gpt_neox.layers.1.attention.dense").weight
    assert isinstance(weight, Tensor)
    whole = made.decode_features(torch.eye(24).double()) @ weight.T
    torch.testing.assert_close(directions_of(made, model), whole[FEATURES].detach())


@pytest.mark.parametrize("name", ["embed", "resid_pre.1", "resid_post.0", "attn_out.1", "mlp_out.1"])
def test_other_places_add_the_decoders_row_itself(model: LoadedModel, name: str):
    made = autoencoder(name, D)
    assert torch.equal(directions_of(made, model), made.W_dec[FEATURES])


def test_sums_of_hook_points_are_places_in_the_stream(model: LoadedModel):
    made = autoencoder("attn_out.1 + mlp_out.1", D)
    assert torch.equal(directions_of(made, model), made.W_dec[FEATURES])


@pytest.mark.parametrize("name", ["mlp_in.1", "gpt_neox.layers.1.mlp.dense_h_to_4h:in", "attn_z.0 + attn_z.1"])
def test_elsewhere_nothing_is_added_to_the_stream(model: LoadedModel, name: str):
    assert stream_directions(autoencoder(name, D), model, FEATURES) is None


def test_a_model_of_no_known_family_has_no_stream():
    bare = load_model(torch.nn.Sequential(torch.nn.Embedding(9, D), torch.nn.Linear(D, D)))
    assert stream_directions(autoencoder("1", D), bare, FEATURES) is None


def test_cross_layer_features_add_all_that_they_write(model: LoadedModel):
    points = (("mlp_in.0", "mlp_in.1"), ("mlp_out.0", "mlp_out.1"))
    made = cross_layer(points, D)
    whole = made.decode_features(torch.eye(16).double())
    torch.testing.assert_close(directions_of(made, model), (whole[:, :D] + whole[:, D:])[FEATURES].detach())


def test_a_crosscoder_of_the_stream_writes_it_where_it_is_named_last(model: LoadedModel):
    made = crosscoder(("resid_post.0", "resid_post.1"), D)
    assert torch.equal(directions_of(made, model), made.W_dec[FEATURES, D:])
    assert stream_directions(crosscoder(("resid_post.0", "mlp_out.1"), D), model, FEATURES) is None


def test_of_two_models_all_that_is_written_is_in_one(model: LoadedModel):
    pair = ModelPair(model, replace(model))
    second = transcoder("resid_post.0", "second.mlp_out.1", D)
    assert torch.equal(directions_of(second, pair), second.W_dec[FEATURES])
    both = crosscoder(("resid_post.0", "second.resid_post.0"), D)
    assert stream_directions(both, pair, FEATURES) is None


def test_a_dictionary_of_no_hook_point_adds_nothing(model: LoadedModel):
    assert stream_directions(random_weights(Spec(D, D, 24)), model, FEATURES) is None


def test_the_bias_of_the_projection_does_not_round_directions_away():
    model = random_model(dtype=torch.bfloat16)
    made = autoencoder("attn_z.1", D)
    project = model.module.get_submodule("gpt_neox.layers.1.attention.dense")
    weight, bias = project.weight, project.bias
    assert isinstance(weight, Tensor)
    assert isinstance(bias, Tensor)
    bias.data.fill_(30.0)
    exact = made.W_dec[FEATURES] @ weight.double().T
    assert (directions_of(made, model) - exact).norm() < 0.02 * exact.norm()
