"""Steering changes codes as it says, leaves all else as it is, and ends with its context."""

import pytest
import torch

from monosema.analysis.dose import dose_response
from monosema.analysis.logits import logit_effects
from monosema.analysis.removal import removal_effects
from monosema.analysis.steering import Steer, generate, steering, steering_edit
from monosema.errors import InputError
from monosema.evaluation.cross_entropy import next_token_loss
from monosema.models import LoadedModel, Replacement, replacing
from tests.analysis.dictionaries import autoencoder, cross_layer, crosscoder, transcoder
from tests.evaluation.helpers import SPECIAL, D, random_contexts, random_model


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return random_model()


@pytest.fixture(scope="module")
def ids() -> torch.Tensor:
    return random_contexts(3)


def logits_with(model: LoadedModel, ids: torch.Tensor, *replacements: Replacement) -> torch.Tensor:
    with torch.no_grad(), replacing(model, list(replacements)):
        return model.logits(ids)


def steered(model: LoadedModel, ids: torch.Tensor, made, *steers: Steer) -> torch.Tensor:
    with torch.no_grad(), steering(model, made, list(steers)):
        return model.logits(ids)


def test_each_mode_does_to_one_code_what_it_says():
    codes = torch.tensor([[1.0, 2.0, 0.0]])
    assert steering_edit([Steer(1, 3.0)])(codes).tolist() == [[1, 5, 0]]
    assert steering_edit([Steer(2, 3.0, "clamp")])(codes).tolist() == [[1, 2, 3]]
    assert steering_edit([Steer(1, 0.5, "scale")])(codes).tolist() == [[1, 1, 0]]
    assert steering_edit([Steer(0, mode="ablate"), Steer(0, 4.0)])(codes).tolist() == [[4, 2, 0]]
    assert codes.tolist() == [[1, 2, 0]]


@pytest.mark.parametrize("made", [autoencoder("resid_post.0", D), transcoder("mlp_in.0", "mlp_out.0", D)])
def test_to_add_is_to_add_the_direction_at_every_token(model: LoadedModel, ids: torch.Tensor, made):
    point = made.spec.writes[0]
    wanted = logits_with(model, ids, Replacement(point, lambda x: x + 2.5 * made.W_dec[3]))
    torch.testing.assert_close(steered(model, ids, made, Steer(3, 2.5)), wanted)


def test_a_scale_of_one_is_the_model_itself(model: LoadedModel, ids: torch.Tensor):
    made = autoencoder("resid_post.0", D)
    torch.testing.assert_close(steered(model, ids, made, Steer(3, 1.0, "scale")), logits_with(model, ids))


def test_to_ablate_is_to_remove(model: LoadedModel):
    made, ids = autoencoder("resid_post.0", D), random_contexts(3)
    ids[ids == SPECIAL] = SPECIAL + 1  # where removal does nothing
    logs = steered(model, ids, made, Steer(7, mode="ablate")).log_softmax(-1)
    found = logs[:, :-1].gather(2, ids[:, 1:, None]).squeeze(2)
    torch.testing.assert_close(found, removal_effects(made, model, ids, [7] * len(ids)).total[:, :-1])


def test_cross_layer_features_are_steered_in_all_layers_that_they_write(model: LoadedModel, ids: torch.Tensor):
    points = (("mlp_in.0", "mlp_in.1"), ("mlp_out.0", "mlp_out.1"))
    made = cross_layer(points, D)
    early = made.decode_features(torch.eye(made.spec.width).double()[[2]])[0].split(D)
    wanted = logits_with(
        model, ids, *(Replacement(p, lambda x, d=d: x + 1.5 * d) for p, d in zip(points[1], early, strict=True))
    )
    # What later layers' features make of it is kept with the error, and cancels.
    torch.testing.assert_close(steered(model, ids, made, Steer(2, 1.5)), wanted)


def test_steering_ends_with_its_context(model: LoadedModel, ids: torch.Tensor):
    before = logits_with(model, ids)
    steered(model, ids, autoencoder("resid_post.0", D), Steer(3, 5.0))
    assert torch.equal(logits_with(model, ids), before)


def test_the_most_probable_tokens_are_written_one_by_one(model: LoadedModel):
    prompt = [5, 9, 3]
    written = generate(model, prompt, 4)
    for i, token in enumerate(written):
        logits = logits_with(model, torch.tensor([[*prompt, *written[:i]]]))
        assert token == int(logits[0, -1].argmax())


def test_a_seed_decides_what_is_sampled(model: LoadedModel):
    first, again, other = (generate(model, [5], 8, temperature=1.0, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_nothing_is_written_beyond_the_models_context(model: LoadedModel):
    assert model.max_context is not None
    assert len(generate(model, [5] * (model.max_context - 2), 10)) == 2


def test_a_dose_of_zero_changes_nothing_and_others_what_hooks_do(model: LoadedModel, ids: torch.Tensor):
    made = autoencoder("resid_post.0", D)
    zero, two = dose_response(made, model, ids, 4, [0.0, 2.0], controls=2)
    assert (zero.tokens, zero.cross_entropy, zero.random_tokens, zero.random_cross_entropy) == (0, 0, 0, 0)
    effects = logit_effects(made, model, [4])
    assert effects is not None

    def measured(logits: torch.Tensor) -> tuple[float, float]:
        logs = logits.log_softmax(-1)[..., effects.top_tokens[0]].logsumexp(-1).mean().item()
        return logs, next_token_loss(logits, ids) / ids[:, 1:].numel()

    plain = measured(logits_with(model, ids))
    moved = measured(logits_with(model, ids, Replacement("resid_post.0", lambda x: x + 2 * made.W_dec[4])))
    assert two.tokens == pytest.approx(moved[0] - plain[0], rel=1e-5)
    assert two.cross_entropy == pytest.approx(moved[1] - plain[1], rel=1e-5, abs=1e-7)
    assert two.random_tokens != two.tokens


def test_what_cannot_be_steered_is_refused(model: LoadedModel, ids: torch.Tensor):
    made = autoencoder("resid_post.0", D)
    with pytest.raises(InputError, match="feature 24"), steering(model, made, [Steer(24)]):
        pass
    points = ("resid_post.0", "resid_post.1")
    with pytest.raises(InputError, match="model that runs"), steering(model, crosscoder(points, D), [Steer(0)]):
        pass
    with pytest.raises(InputError, match="finite"):
        Steer(0, float("nan"))
    with pytest.raises(InputError, match="mode"):
        Steer(0, 1.0, "push")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="prompt"):
        generate(model, [], 3)
    with pytest.raises(InputError, match="control"):
        dose_response(made, model, ids, 4, [1.0], controls=0)
