"""Directions are gradients of the model's own computation, and what they and their constants say adds up."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from monosema.analysis.linearise import agreement, feature_direction, through_mlp, through_norm
from monosema.analysis.pullback import Direction
from monosema.analysis.stream_parts import at_part, stream_parts
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.models import PREPROCESSING, LoadedModel, ModelPair, Replacement, load_model, read, replacing
from tests.analysis.dictionaries import autoencoder, cross_layer, crosscoder, transcoder
from tests.evaluation.helpers import D, random_model
from tests.models import tiny_lens
from tests.models.tiny_families import BUILDERS, build

FEATURE, POSITION = 5, 6
IDS = torch.randint(1, 50, (9,), generator=torch.Generator().manual_seed(3))
FAMILIES = pytest.mark.parametrize("family", list(BUILDERS))


def double(family: str) -> LoadedModel:
    return load_model(build(family).module.double())


def made_for(model: LoadedModel, point: str, **options: Any) -> Dictionary:
    return autoencoder(point, at(model, point).shape[0], **options)


def at(model: LoadedModel, point: str, position: int = POSITION) -> Tensor:
    return read(model, IDS[None], [point])[point][0, position]


def preactivation(made: Dictionary, model: LoadedModel) -> float:
    name = " & ".join(made.spec.reads)
    return made.preactivations(read(model, IDS[None], [name])[name][0, POSITION])[FEATURE].item()


def with_change(model: LoadedModel, origin: Direction, point: str, change: Tensor) -> float:
    """What the origin's vector multiplies to, when something is added at an earlier point of the same token."""

    def add(x: Tensor) -> Tensor:
        x[0, origin.position] += change
        return x

    with replacing(model, [Replacement(point, add)]):
        x = read(model, IDS[None], [origin.point])[origin.point][0, origin.position]
    return (x @ origin.vector).item()


def assert_gradient(model: LoadedModel, origin: Direction, direction: Direction) -> None:
    """The direction is the derivative of the origin's product, by finite differences in float64.

    Norms of Hugging Face that divide by the root mean square compute in float32, whatever they are given.
    """
    assert model.family is not None
    root_mean_square = model.family.name.startswith(("llama", "mistral", "qwen", "gemma"))
    rounded = root_mean_square and (direction.via == "norm" or "gemma" in model.family.name)
    size, precision = (3e-3, 3e-3) if rounded else (1e-5, 1e-6)
    for seed in range(3):
        step = torch.randn(len(direction.vector), generator=torch.Generator().manual_seed(seed)).double()
        up, down = (with_change(model, origin, direction.point, s * size * step) for s in (1, -1))
        expected = pytest.approx((direction.vector @ step).item(), rel=precision, abs=precision * 0.1)
        assert (up - down) / (2 * size) == expected


@pytest.mark.parametrize("options", [{}, {"subtracts_input_bias": True}])
@pytest.mark.parametrize("point", ["embed", "resid_pre.1", "resid_mid.0", "resid_post.0", "mlp_in.1", "mlp_out.1"])
def test_a_features_value_is_its_preactivation(point: str, options: Any):
    model = double("llama")
    made = made_for(model, point, **options)
    owner, direction = feature_direction(made, model, IDS, POSITION, FEATURE)
    assert owner is model
    assert (direction.point, direction.position, direction.via) == (point, POSITION, "feature")
    assert direction.value == pytest.approx(preactivation(made, model), rel=1e-9)
    assert direction.linear == pytest.approx((made.W_enc[:, FEATURE] @ at(model, point)).item(), rel=1e-9)


def test_features_of_one_head_of_a_second_model_and_of_one_layer_of_several_have_one_hook_point():
    model = random_model()
    made = autoencoder("second.attn_z.1.1", D // 2)
    owner, direction = feature_direction(made, ModelPair(model, model), IDS, POSITION, FEATURE)
    assert (owner, direction.point) == (model, "attn_z.1")
    assert not direction.vector[: D // 2].any()
    x = at(model, "attn_z.1.1")
    assert direction.value == pytest.approx(made.preactivations(x)[FEATURE].item())
    made = cross_layer((("mlp_in.0", "mlp_in.1"), ("mlp_out.0", "mlp_out.1")), D)
    _, direction = feature_direction(made, model, IDS, POSITION, 8 + FEATURE)
    assert direction.point == "mlp_in.1"
    x = read(model, IDS[None], ["mlp_in.0 & mlp_in.1"])["mlp_in.0 & mlp_in.1"][0, POSITION]
    assert direction.value == pytest.approx(made.preactivations(x)[8 + FEATURE].item())


@FAMILIES
def test_through_an_mlp_it_is_the_gradient(family: str):
    model = double(family)
    _, own = feature_direction(made_for(model, "mlp_out.1"), model, IDS, POSITION, FEATURE)
    back = through_mlp(model, IDS, own)
    assert (back.point, back.position, back.via) == ("mlp_in.1", POSITION, "mlp")
    assert back.value == pytest.approx(own.value)
    assert back.linear == pytest.approx((back.vector @ at(model, "mlp_in.1")).item())
    assert_gradient(model, own, back)


@FAMILIES
def test_through_a_norm_with_its_scale_fixed_it_is_all_but_the_bias(family: str):
    model = double(family)
    _, own = feature_direction(made_for(model, "mlp_in.1"), model, IDS, POSITION, FEATURE)
    back = through_norm(model, IDS, own)
    assert back.point == ("resid_pre.1" if family in ("gpt_neox_parallel", "phi") else "resid_mid.1")
    zeros = -at(model, back.point)
    assert back.linear == pytest.approx(own.linear - with_change(model, own, back.point, zeros), rel=1e-6)
    assert back.linear == pytest.approx((back.vector @ at(model, back.point)).item())
    assert back.value == pytest.approx(own.value)


@FAMILIES
def test_through_a_norm_as_it_is_it_is_the_gradient(family: str):
    model = double(family)
    _, own = feature_direction(made_for(model, "mlp_in.1"), model, IDS, POSITION, FEATURE)
    assert_gradient(model, own, through_norm(model, IDS, own, frozen=False))


def test_a_fixed_scale_is_gamma_over_sigma():
    model = double("gpt_neox")
    _, own = feature_direction(made_for(model, "mlp_in.1"), model, IDS, POSITION, FEATURE)
    layer: Any = model.module.get_submodule("gpt_neox.layers.1")
    x, norm = at(model, "resid_mid.1"), layer.post_attention_layernorm
    scaled = own.vector * norm.weight.detach() / (x.var(correction=0) + norm.eps).sqrt()
    torch.testing.assert_close(through_norm(model, IDS, own).vector, scaled - scaled.mean())
    model = double("llama")
    _, own = feature_direction(made_for(model, "mlp_in.1"), model, IDS, POSITION, FEATURE)
    layer = model.module.get_submodule("model.layers.1")
    x, norm = at(model, "resid_mid.1"), layer.post_attention_layernorm
    scale = (x.square().mean() + norm.variance_epsilon).sqrt()
    torch.testing.assert_close(through_norm(model, IDS, own).vector, own.vector * norm.weight.detach() / scale)


def test_of_a_linear_mlp_all_but_the_biases_is_linear_at_every_token():
    model = random_model()
    mlp: Any = model.module.get_submodule("gpt_neox.layers.1.mlp")
    mlp.act = nn.Identity()
    _, own = feature_direction(made_for(model, "mlp_out.1"), model, IDS, POSITION, FEATURE)
    back = through_mlp(model, IDS, own)
    matrix = mlp.dense_4h_to_h.weight @ mlp.dense_h_to_4h.weight
    torch.testing.assert_close(back.vector, (own.vector @ matrix).detach())
    biases = mlp(torch.zeros(D).double()) @ own.vector
    assert own.linear - back.linear == pytest.approx(biases.item())
    rows = {name: x[0] for name, x in read(model, IDS[None], ["mlp_in.1", "mlp_out.1"]).items()}
    found = agreement(own, back, rows)
    assert (found.tokens, found.correlation, found.explained) == (9, pytest.approx(1), pytest.approx(1))


def test_agreement_is_numpys_correlation_and_the_squared_error():
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(50, 4, generator=generator) for _ in range(2))
    v, w = (torch.randn(4, generator=generator) for _ in range(2))
    origin, back = Direction("a", 0, v, 3.0, 1.0, "feature"), Direction("b", 0, w, 2.0, 2.0, "mlp")
    found = agreement(origin, back, {"a": x, "b": y})
    truth, predicted = x @ v, y @ w + 1
    assert found.correlation == pytest.approx(torch.corrcoef(torch.stack([truth, predicted]))[0, 1].item(), abs=1e-5)
    explained = 1 - (truth - predicted).square().mean() / truth.var(correction=0)
    assert found.explained == pytest.approx(explained.item(), abs=1e-5)
    for few in (0, 1):
        assert str(agreement(origin, back, {"a": x[:few], "b": y[:few]}).correlation) == "nan"
    assert str(agreement(origin, back, {"a": x, "b": torch.ones(50, 4)}).explained) == "nan"


@pytest.mark.parametrize("family", [name for name in BUILDERS if name != "bert"])
@pytest.mark.parametrize("point", ["resid_pre.0", "resid_pre.2", "resid_mid.1", "resid_post.1"])
def test_parts_of_the_stream_add_up(family: str, point: str):
    if "mid" in point and family in ("gpt_neox_parallel", "phi"):
        return
    model = double(family)
    _, own = feature_direction(made_for(model, point), model, IDS, POSITION, FEATURE)
    parts = stream_parts(model, IDS, own)
    assert sum(parts.values()) == pytest.approx(own.linear, rel=1e-5, abs=1e-6)
    layers = {"resid_pre.0": 0, "resid_pre.2": 4, "resid_mid.1": 3, "resid_post.1": 4}
    assert len(parts) == 1 + layers[point]
    for part, share in parts.items():
        there = at_part(model, IDS, own, part)
        assert (there.point, there.via, there.linear) == (part, "part", share)
        assert share == pytest.approx((own.vector @ at(model, part)).item())
        assert there.value == pytest.approx(own.value)


def test_from_the_stream_back_through_an_earlier_mlp_it_is_the_gradient_of_that_part():
    model = double("llama")
    _, own = feature_direction(made_for(model, "resid_post.2"), model, IDS, POSITION, FEATURE)
    part = at_part(model, IDS, own, "mlp_out.0")
    back = through_norm(model, IDS, through_mlp(model, IDS, part))
    assert back.point == "resid_mid.0"
    assert back.value == pytest.approx(own.value)
    assert_gradient(model, part, through_norm(model, IDS, through_mlp(model, IDS, part), frozen=False))


def test_a_model_of_transformer_lens_has_the_same_directions():
    theirs = tiny_lens.gpt2().double()
    models = load_model(theirs), load_model(tiny_lens.StandIn(theirs).double())
    made = autoencoder("mlp_out.1", 32)
    found = []
    for model in models:
        _, own = feature_direction(made, model, IDS, POSITION, FEATURE)
        found.append(through_norm(model, IDS, through_mlp(model, IDS, own)))
        assert sum(stream_parts(model, IDS, found[-1]).values()) == pytest.approx(found[-1].linear)
    torch.testing.assert_close(found[0].vector, found[1].vector)
    assert found[0].linear == pytest.approx(found[1].linear)


def test_the_models_weights_get_no_gradients_and_its_hooks_go():
    model = random_model()
    _, own = feature_direction(made_for(model, "mlp_out.1"), model, IDS, POSITION, FEATURE)
    through_norm(model, IDS, through_mlp(model, IDS, own))
    assert all(weight.grad is None for weight in model.module.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.module.modules())


class UnknownNorm(nn.Module):
    """Divides by the largest entry, which is no root."""

    def forward(self, x: Tensor) -> Tensor:
        return x / x.abs().amax(-1, keepdim=True).clamp_min(1e-6)


def test_a_norm_whose_scale_cannot_be_held_fixed_is_refused_but_for_its_gradient():
    model = random_model()
    layer: Any = model.module.get_submodule("gpt_neox.layers.1")
    layer.post_attention_layernorm = UnknownNorm()
    _, own = feature_direction(made_for(model, "mlp_in.1"), model, IDS, POSITION, FEATURE)
    with pytest.raises(InputError, match="does not become linear"):
        through_norm(model, IDS, own)
    assert through_norm(model, IDS, own, frozen=False).vector.any()


def test_a_stream_that_is_no_sum_has_no_parts():
    model = double("bert")
    _, own = feature_direction(made_for(model, "resid_post.1"), model, IDS, POSITION, FEATURE)
    with pytest.raises(InputError, match="not the sum of what was added"):
        stream_parts(model, IDS, own)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: autoencoder("resid_mid.0 + mlp_out.0", D), "one hook point"),
        (lambda: crosscoder(("resid_post.0", "resid_post.1"), D), "one hook point"),
        (lambda: transcoder("attn_out.0 & mlp_out.0", "resid_post.1", 2 * D), "one hook point"),
        (lambda: autoencoder("gpt_neox.layers.0.mlp.act", 24), "a short name"),
        (lambda: autoencoder("mlp_out.0", D, normalisation="layer_norm"), "linear in what it reads"),
        (lambda: autoencoder("mlp_out.0", 8), "expected size 8"),
        (lambda: autoencoder("mlp_out.0", D, width=3), "feature 5"),
    ],
)
def test_features_that_are_no_linear_function_of_one_hook_point_are_refused(made: Any, message: str):
    with pytest.raises(InputError, match=message):
        feature_direction(made(), random_model(), IDS, POSITION, FEATURE)


def test_what_does_not_fit_is_refused():
    model, made = random_model(), autoencoder("mlp_out.1", D)
    with pytest.raises(InputError, match="position 9"):
        feature_direction(made, model, IDS, 9, FEATURE)
    _, own = feature_direction(made, model, IDS, POSITION, FEATURE)
    with pytest.raises(InputError, match=r"mlp_out\.1; expected one at mlp_in\.L"):
        through_norm(model, IDS, own)
    with pytest.raises(InputError, match=r"mlp_in\.1; expected one at mlp_out\.L"):
        through_mlp(model, IDS, through_mlp(model, IDS, own))
    with pytest.raises(InputError, match="resid_mid"):
        stream_parts(model, IDS, own)
    _, own = feature_direction(autoencoder("resid_pre.1", D), model, IDS, POSITION, FEATURE)
    with pytest.raises(InputError, match="as a part of"):
        at_part(model, IDS, own, "mlp_out.1")
    made.metadata[PREPROCESSING] = ["fold_ln", "center_writing_weights"]
    with pytest.raises(InputError, match="not those that it knows"):
        feature_direction(made, model, IDS, POSITION, FEATURE)
