"""Logit effects are the directions through the last norm's weights and the head's, whatever the model."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from monosema.analysis import logits
from monosema.analysis.logits import LogitEffects, logit_effects
from monosema.dictionaries import Dictionary, initialise_
from monosema.errors import InputError
from monosema.models import LoadedModel, load_model
from tests.analysis.dictionaries import autoencoder, crosscoder, transcoder
from tests.evaluation.helpers import D, random_model
from tests.models import tiny_lens
from tests.models.tiny_families import build

FEATURES = [3, 17, 0, 5]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return random_model()


def effects_of(made: Dictionary, model: LoadedModel, features: Any = FEATURES, n: int = 6) -> LogitEffects:
    effects = logit_effects(made, model, features, n)
    assert effects is not None
    return effects


def head_of(model: LoadedModel) -> Any:
    module: Any = model.module
    return module.get_output_embeddings()


def by_hand(rows: Tensor, norm: Any, head: Any, *, centres: bool, offset: float = 0.0) -> Tensor:
    """The effects in float64, from the weights."""
    rows = rows.detach().double()
    rows = rows - rows.mean(1, keepdim=True) if centres else rows
    effects = (rows * (norm.weight.detach().double() + offset)) @ head.weight.detach().double().T
    return effects - effects.mean(1, keepdim=True)


def check(found: LogitEffects, exact: Tensor, atol: float = 1e-9) -> None:
    n = found.top_tokens.shape[1]
    for largest, tokens, values in (
        (True, found.top_tokens, found.top_values),
        (False, found.bottom_tokens, found.bottom_values),
    ):
        expected = exact.topk(n, largest=largest)
        torch.testing.assert_close(values.double(), expected.values, atol=atol, rtol=1e-4)
        torch.testing.assert_close(exact.gather(1, tokens), expected.values, atol=atol, rtol=1e-4)
    standard = (exact / exact.std(1, correction=0, keepdim=True)).numpy()
    np.testing.assert_allclose(found.skewness, (standard**3).mean(1), atol=max(atol, 1e-5))
    np.testing.assert_allclose(found.kurtosis, (standard**4).mean(1) - 3, atol=max(atol, 1e-5))


def neox() -> tuple[LoadedModel, Callable[[Tensor], Tensor]]:
    model = random_model()
    for weight in model.module.get_submodule("gpt_neox.final_layer_norm").parameters():
        nn.init.normal_(weight)
    parts = model.module.get_submodule("gpt_neox.final_layer_norm"), head_of(model)
    return model, lambda rows: by_hand(rows, *parts, centres=True)


def gpt2() -> tuple[LoadedModel, Callable[[Tensor], Tensor]]:
    model = load_model(build("gpt2").module.double())
    parts = model.module.get_submodule("transformer.ln_f"), head_of(model)
    return model, lambda rows: by_hand(rows, *parts, centres=True)


def llama() -> tuple[LoadedModel, Callable[[Tensor], Tensor]]:
    model = load_model(build("llama").module.double())
    parts = model.module.get_submodule("model.norm"), head_of(model)
    return model, lambda rows: by_hand(rows, *parts, centres=False)


def gemma2() -> tuple[LoadedModel, Callable[[Tensor], Tensor]]:
    """Its norm's weights are less one, and its logits are capped."""
    model = load_model(build("gemma2").module.double())
    assert model.module.config.final_logit_softcapping  # pyright: ignore
    parts = model.module.get_submodule("model.norm"), head_of(model)
    return model, lambda rows: by_hand(rows, *parts, centres=False, offset=1.0)


def lens() -> tuple[LoadedModel, Callable[[Tensor], Tensor]]:
    module = tiny_lens.StandIn(tiny_lens.gpt2()).double().eval()
    return load_model(module), lambda rows: by_hand(rows, module.ln_final, module.unembed, centres=True)


def without_norm() -> tuple[LoadedModel, Callable[[Tensor], Tensor]]:
    module = tiny_lens.StandIn(tiny_lens.gpt2()).double().eval()
    module.ln_final = nn.Identity()
    ones = nn.LayerNorm(tiny_lens.D)
    return load_model(module), lambda rows: by_hand(rows, ones, module.unembed, centres=False)


@pytest.mark.parametrize("make", [neox, gpt2, llama, gemma2, lens, without_norm])
def test_effects_are_directions_through_norm_and_head(make: Callable[[], Any]):
    model, exact = make()
    made = autoencoder("resid_post.0", D if make is neox else 32)
    check(effects_of(made, model), exact(made.W_dec[FEATURES]), atol=1e-6)


def test_of_the_embedded_model_they_are_what_its_weights_say():
    model = load_model("tiny", device="cpu", dtype="float32")
    made = autoencoder("mlp_out.2", 256, width=64).float()
    initialise_(made, torch.Generator().manual_seed(0))
    parts = model.module.get_submodule("gpt_neox.final_layer_norm"), head_of(model)
    check(effects_of(made, model), by_hand(made.W_dec[FEATURES], *parts, centres=True), atol=2e-5)


def test_attn_z_goes_through_the_output_projection():
    model, exact = neox()
    made = autoencoder("attn_z.1", D)
    project: Any = model.module.get_submodule("gpt_neox.layers.1.attention.dense")
    check(effects_of(made, model), exact(made.W_dec[FEATURES] @ project.weight.T))


def test_effects_are_linear_in_the_direction_and_their_shape_does_not_depend_on_its_length(model: LoadedModel):
    made = autoencoder("resid_post.0", D)
    once = effects_of(made, model)
    made.W_dec.data.mul_(-3)
    turned = effects_of(made, model)
    torch.testing.assert_close(turned.top_values, -3 * once.bottom_values)
    assert torch.equal(turned.top_tokens, once.bottom_tokens)
    torch.testing.assert_close(turned.skewness, -once.skewness)
    torch.testing.assert_close(turned.kurtosis, once.kurtosis)


def test_nothing_depends_on_the_cut_into_parts(model: LoadedModel, monkeypatch: pytest.MonkeyPatch):
    made = autoencoder("mlp_out.0", D)
    whole = effects_of(made, model, range(24))
    monkeypatch.setattr(logits, "_ENTRIES", 250)
    for name, value in vars(effects_of(made, model, torch.arange(24))).items():
        torch.testing.assert_close(value, vars(whole)[name])
    assert whole.features.tolist() == list(range(24))


def test_a_feature_without_a_direction_has_no_effect(model: LoadedModel):
    made = autoencoder("resid_post.0", D)
    made.W_dec.data[3] = 0
    effects = effects_of(made, model)
    for values in (effects.top_values, effects.bottom_values, effects.skewness, effects.kurtosis):
        assert not values[0].any()
        assert values[1].all()


def test_the_direction_that_the_head_reads_for_a_token_raises_it_most(model: LoadedModel):
    head = head_of(model)
    made = autoencoder("resid_post.1", D)
    made.W_dec.data[3] = head.weight[7]
    effects = effects_of(made, model, [3])
    assert effects.top_tokens[0, 0] == 7


def test_where_nothing_is_added_to_a_stream_with_a_head_there_are_none(model: LoadedModel):
    assert logit_effects(autoencoder("mlp_in.0", D), model, FEATURES) is None
    assert logit_effects(autoencoder("resid_post.0", 32), build("bert"), FEATURES) is None
    base = load_model(model.module.get_submodule("gpt_neox"))
    assert logit_effects(autoencoder("resid_post.0", D), base, FEATURES) is None
    assert logit_effects(autoencoder("gpt_neox.layers.0.mlp.act", 24), model, FEATURES) is None


def test_crosscoders_and_transcoders_have_effects(model: LoadedModel):
    both = crosscoder(("resid_post.0", "resid_post.1"), D)
    last = autoencoder("resid_post.1", D)
    last.W_dec.data.copy_(both.W_dec[:, D:])
    assert torch.equal(effects_of(both, model).top_values, effects_of(last, model).top_values)
    assert torch.isfinite(effects_of(transcoder("mlp_in.0", "mlp_out.0", D), model).kurtosis).all()


@pytest.mark.parametrize(("features", "n"), [([24], 3), ([0], 0), ([0], 51)])
def test_what_cannot_be_asked_for_is_refused(model: LoadedModel, features: list[int], n: int):
    with pytest.raises(InputError, match="expected"):
        logit_effects(autoencoder("resid_post.0", D), model, features, n)


def test_directions_of_another_models_size_are_refused(model: LoadedModel):
    with pytest.raises(InputError, match=f"directions of size 7 .*expected size {D}"):
        logit_effects(autoencoder("resid_post.0", 7), model, [0])
