"""Tokens along a direction are dense products, and so are the connections of earlier features."""

from typing import Any

import pytest
import torch

from monosema.analysis.deembed import de_embedding, effective_embeddings
from monosema.analysis.feeding import comes_before, feeding_features, through_dictionary
from monosema.analysis.linearise import feature_direction, through_norm
from monosema.analysis.pullback import Direction
from monosema.dictionaries import Dictionary, JumpReLU, Spec, TopK
from monosema.errors import InputError
from monosema.models import LoadedModel
from tests.analysis.dictionaries import autoencoder, random_weights, transcoder
from tests.analysis.test_linearise import FEATURE, IDS, POSITION, at, double, made_for
from tests.evaluation.helpers import VOCABULARY, D, random_model
from tests.models.tiny_families import BUILDERS, build


def direction_of(model: LoadedModel, point: str) -> Direction:
    return feature_direction(made_for(model, point), model, IDS, POSITION, FEATURE)[1]


@pytest.mark.parametrize("family", ["gpt_neox", "llama"])
def test_tokens_are_those_of_the_product_with_all_embeddings(family: str):
    model = double(family)
    module: Any = model.module
    direction = through_norm(model, IDS, direction_of(model, "mlp_in.1"))
    found = de_embedding(model, direction, 5)
    products = module.get_input_embeddings().weight.detach() @ direction.vector
    torch.testing.assert_close(found.top_values[0], products.topk(5).values)
    assert torch.equal(found.bottom_tokens[0], products.topk(5, largest=False).indices)


def test_effective_embeddings_are_those_and_what_the_first_mlp_makes_of_them():
    model = double("gpt_neox")
    module: Any = model.module
    found, stored = effective_embeddings(model), module.get_input_embeddings().weight.detach()
    layer = module.gpt_neox.layers[0]
    torch.testing.assert_close(found, (stored + layer.mlp(layer.post_attention_layernorm(stored))).detach())
    direction = direction_of(model, "resid_post.1")
    top = de_embedding(model, direction, 3, effective=True)
    torch.testing.assert_close(top.top_values[0], (found @ direction.vector).topk(3).values)


@pytest.mark.parametrize("family", list(BUILDERS))
def test_they_are_there_in_every_family(family: str):
    model = build(family)
    assert effective_embeddings(model).shape == (64, 32)


def test_only_directions_in_the_stream_have_tokens():
    model = random_model()
    with pytest.raises(InputError, match="one in the residual stream"):
        de_embedding(model, direction_of(model, "mlp_out.1"))
    with pytest.raises(InputError, match=f"from 1 to {VOCABULARY}"):
        de_embedding(model, direction_of(model, "resid_pre.1"), VOCABULARY + 1)


def test_connections_of_transcoders_are_decoder_times_encoder():
    model = random_model()
    earlier, later = transcoder("mlp_in.0", "mlp_out.0", D), transcoder("mlp_in.1", "mlp_out.1", D)
    _, own = feature_direction(later, model, IDS, POSITION, FEATURE)
    direction = through_norm(model, IDS, own)
    found = feeding_features(earlier, model, IDS, direction)
    torch.testing.assert_close(found.connections, (earlier.W_dec @ direction.vector).detach())
    torch.testing.assert_close(found.codes, earlier.encode(at(model, "mlp_in.0")).detach())
    torch.testing.assert_close(found.contributions, found.codes * found.connections)
    # What the transcoder predicts of the MLP's part is its features' contributions and its bias.
    predicted = earlier(at(model, "mlp_in.0")) @ direction.vector
    assert found.contributions.sum().item() + (earlier.b_dec @ direction.vector).item() == pytest.approx(
        predicted.item()
    )


def test_features_at_the_same_place_count_by_their_directions_alone():
    model = random_model()
    _, direction = feature_direction(autoencoder("attn_z.1", D), model, IDS, POSITION, FEATURE)
    earlier = autoencoder("attn_z.1", D)
    found = feeding_features(earlier, model, IDS, direction)
    torch.testing.assert_close(found.connections, (earlier.W_dec @ direction.vector).detach())


@pytest.mark.parametrize(
    ("writes", "point", "before"),
    [
        ("mlp_out.0", "resid_mid.1", True),
        ("mlp_out.1", "resid_mid.1", False),
        ("mlp_out.1", "resid_post.1", True),
        ("attn_out.1", "resid_mid.1", True),
        ("attn_z.1", "resid_mid.1", True),
        ("attn_z.2", "resid_mid.1", False),
        ("resid_post.0", "resid_pre.1", True),
        ("resid_post.1", "resid_pre.1", False),
        ("resid_pre.1", "resid_pre.1", True),
        ("mlp_out.1", "mlp_out.1", True),
        ("mlp_out.0", "mlp_out.1", False),
        ("mlp_in.0", "resid_mid.1", False),
        ("attn_z.0.1", "resid_mid.1", False),
        ("attn_out.0 + mlp_out.0", "resid_mid.1", False),
        ("model.layers.0.mlp.act_fn", "resid_mid.1", False),
    ],
)
def test_what_is_written_before_a_direction_feeds_it(writes: str, point: str, before: bool):
    model = build("llama")
    earlier = transcoder("resid_pre.0", writes, 32)
    assert comes_before(earlier, model, Direction(point, 0, torch.zeros(32), 0.0, 0.0, "feature")) == before


def activated(name: str) -> Dictionary:
    made = transcoder("mlp_in.1", "mlp_out.1", D, skip=True)
    if name == "topk":
        made.activation = TopK(24, 4)
    if name == "jumprelu":
        made.activation = JumpReLU(24, threshold=1.5)
    return made.eval()


@pytest.mark.parametrize("name", ["relu", "topk", "jumprelu"])
def test_through_a_transcoder_it_is_the_sum_of_its_active_features(name: str):
    model, made = random_model(), activated(name)
    own = direction_of(model, "mlp_out.1")
    back = through_dictionary(made, model, IDS, own)
    x = at(model, "mlp_in.1")
    active = made.encode(x) != 0
    assert 0 < active.sum() < 24
    assert made.W_skip is not None
    expected = made.W_enc[:, active] @ (made.W_dec[active] @ own.vector) + made.W_skip @ own.vector
    torch.testing.assert_close(back.vector, expected.detach())
    assert back.linear == pytest.approx((back.vector @ x).item())
    assert (back.point, back.via, back.value) == ("mlp_in.1", "dictionary", pytest.approx(own.value))


def test_what_feeds_nothing_is_refused():
    model = random_model()
    direction = direction_of(model, "mlp_out.1")
    with pytest.raises(InputError, match="what is added to the stream up to there"):
        feeding_features(autoencoder("mlp_out.0", D), model, IDS, direction)
    with pytest.raises(InputError, match="codes in the units of x"):
        feeding_features(autoencoder("mlp_out.1", D, normalisation="layer_norm"), model, IDS, direction)
    with pytest.raises(InputError, match=r"writes mlp_out\.1"):
        through_dictionary(transcoder("mlp_in.0", "mlp_out.0", D), model, IDS, direction)
    several = random_weights(Spec(2 * D, D, 24, ("mlp_in.1", "mlp_in.0"), ("mlp_out.1",), "transcoder"))
    with pytest.raises(InputError, match="reads one hook point"):
        through_dictionary(several, model, IDS, direction)
