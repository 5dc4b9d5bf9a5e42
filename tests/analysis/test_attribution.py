"""First-order effects are derivatives, and what removal does where the model is linear behind the features."""

import pytest
import torch
from torch import Tensor

from monosema.analysis.attribution import agreement, attribute, logit_of, loss_of, removal_of_each
from monosema.circuits import held_at
from monosema.dictionaries import Dictionary, Spec
from monosema.errors import InputError
from monosema.models import LoadedModel, Replacement, load_model, read, replacing
from tests.analysis.dictionaries import autoencoder, cross_layer, crosscoder, random_weights, transcoder
from tests.evaluation.helpers import D, random_model
from tests.models.tiny_families import build

IDS = [5, 17, 3, 40, 22, 9, 31]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return random_model()


KINDS = {
    "autoencoder": lambda: autoencoder("resid_post.0", D),
    "attention": lambda: autoencoder("attn_out.1", D),
    "heads": lambda: autoencoder("attn_z.1", D, encoder="block_diagonal", decoder="block_diagonal", blocks=2),
    "normalised": lambda: autoencoder("resid_post.0", D, normalisation="layer_norm"),
    "transcoder": lambda: transcoder("mlp_in.0", "mlp_out.0", D),
    "skip": lambda: transcoder("mlp_in.0", "mlp_out.0", D, skip=True),
    "cross-layer": lambda: cross_layer((("mlp_in.0", "mlp_in.1"), ("mlp_out.0", "mlp_out.1")), D),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("measure", [logit_of(7), logit_of(7, against=3, position=4), loss_of(IDS)])
def test_effects_are_the_derivative_by_the_size_of_a_feature(kind: str, measure, model: LoadedModel):
    made, small = KINDS[kind](), 1e-5
    found = attribute(model, {"own": made}, IDS, measure)["own"]
    whole = removal_of_each(model, made, IDS, measure, found, torch.arange(len(found.values)))
    for entry in range(0, len(found.values), 17):
        part = type(found)(found.positions, found.features, found.values * small, found.effects, found.error)
        change = removal_of_each(model, made, IDS, measure, part, torch.tensor([entry]))[0] / small
        assert float(change) == pytest.approx(float(found.effects[entry]), rel=1e-3, abs=1e-6)
    assert whole.shape == found.effects.shape


@pytest.mark.parametrize("family", ["gpt_neox", "llama", "gpt2"])
def test_with_norms_held_effects_behind_which_there_is_no_mlp_are_what_removal_does(family: str):
    model = load_model(build(family).module.double())
    held, measure = held_at(model, IDS), logit_of(7)
    torch.testing.assert_close(held.logits(torch.tensor([IDS])), model.logits(torch.tensor([IDS])))
    for made in (autoencoder("resid_post.2", 32), transcoder("mlp_in.2", "mlp_out.2", 32)):
        found = attribute(held, {"own": made}, IDS, measure)["own"]
        removed = removal_of_each(held, made, IDS, measure, found, torch.arange(len(found.values)))
        torch.testing.assert_close(found.effects, removed, rtol=1e-4, atol=1e-6)
        assert agreement(found.effects, removed) > 0.999
        free = attribute(model, {"own": made}, IDS, measure)["own"]
        whole = removal_of_each(model, made, IDS, measure, free, torch.arange(len(free.values)))
        assert agreement(free.effects, whole) < 0.999  # the norm makes the difference


def test_effects_of_features_and_error_are_that_of_the_activation_less_the_biases(model: LoadedModel):
    made, measure = autoencoder("resid_post.0", D), logit_of(7)
    found = attribute(model, {"own": made}, IDS, measure)["own"]
    x = read(model, torch.tensor([IDS]), ["resid_post.0"])["resid_post.0"]

    def bent(share: Tensor) -> Tensor:
        less = Replacement("resid_post.0", lambda y: y + share * (x - made.b_dec))
        with replacing(model, [less]):
            return measure(model.logits(torch.tensor([IDS])))[0]

    share = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(bent(share), share)
    features = sum_of(found.effects) if len(found.effects) else 0.0
    special = [at for at, token in enumerate(IDS) if token in model.special_ids]
    assert not special
    assert features + sum_of(found.error) == pytest.approx(float(slope), rel=1e-8)


def sum_of(x: Tensor) -> float:
    return float(x.detach().sum())


def test_several_dictionaries_are_looked_at_in_one_pass(model: LoadedModel):
    both = {"a": autoencoder("resid_post.0", D), "b": transcoder("mlp_in.1", "mlp_out.1", D)}
    found = attribute(model, both, IDS, logit_of(7))
    for name, made in both.items():
        alone = attribute(model, {name: made}, IDS, logit_of(7))[name]
        torch.testing.assert_close(found[name].effects, alone.effects)


def test_what_cannot_be_attributed_is_refused(model: LoadedModel):
    with pytest.raises(InputError, match="hook points"):
        attribute(model, {"own": nameless()}, IDS, logit_of(7))
    with pytest.raises(InputError, match="at least 2"):
        loss_of([3])
    with pytest.raises(InputError, match="correlation of 1"):
        agreement(torch.ones(1), torch.ones(1))
    made = crosscoder(("resid_post.0", "resid_post.1"), D)
    found = attribute(model, {"own": made}, IDS, logit_of(7))["own"]
    with pytest.raises(InputError, match="one hook point"):
        removal_of_each(model, made, IDS, logit_of(7), found, torch.tensor([0]))


def nameless() -> Dictionary:
    return random_weights(Spec(D, D, 24))
