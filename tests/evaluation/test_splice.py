import pytest
import torch
from torch import Tensor

from monosema.dictionaries import Dictionary, ReLU, Spec
from monosema.errors import InputError
from monosema.evaluation import splice
from monosema.models import LoadedModel, read, replacing
from tests.evaluation.helpers import (
    MLP_IN,
    MLP_OUT,
    POINT,
    D,
    random_contexts,
    random_dictionary,
    random_model,
    scaling,
)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return random_model()


@torch.no_grad()
def spliced_logits(model: LoadedModel, *args, **options) -> Tensor:
    with replacing(model, splice(*args, **options)):
        return model.logits(random_contexts())


@torch.no_grad()
def clean_logits(model: LoadedModel) -> Tensor:
    return model.logits(random_contexts())


def transcoder() -> Dictionary:
    return random_dictionary(reads=MLP_IN, writes=MLP_OUT)


def test_identity_changes_nothing(model: LoadedModel):
    assert torch.equal(spliced_logits(model, scaling(1.0)), clean_logits(model))


def test_autoencoder_splice_equals_a_hand_made_hook(model: LoadedModel):
    dictionary = random_dictionary()
    hook = model.module.get_submodule("gpt_neox.layers.0").register_forward_hook(
        lambda _module, _args, out: (dictionary(out[0]), *out[1:]) if isinstance(out, tuple) else dictionary(out)
    )
    by_hand = clean_logits(model)
    hook.remove()
    torch.testing.assert_close(spliced_logits(model, dictionary), by_hand)
    assert not torch.allclose(by_hand, clean_logits(model), atol=1e-2)


def test_transcoder_splice_equals_a_hand_made_hook(model: LoadedModel):
    dictionary = transcoder()
    hook = model.module.get_submodule(MLP_OUT).register_forward_hook(lambda _module, args, _out: dictionary(args[0]))
    by_hand = clean_logits(model)
    hook.remove()
    torch.testing.assert_close(spliced_logits(model, dictionary), by_hand)
    assert not torch.allclose(by_hand, clean_logits(model), atol=1e-2)


@pytest.mark.parametrize("dictionary", [random_dictionary(), transcoder()], ids=["autoencoder", "transcoder"])
def test_with_the_error_kept_only_the_edit_changes_anything(model: LoadedModel, dictionary: Dictionary):
    torch.testing.assert_close(spliced_logits(model, dictionary, keep_error=True), clean_logits(model))
    edited = spliced_logits(model, dictionary, edit=lambda codes: 0 * codes, keep_error=True)
    assert not torch.allclose(edited, clean_logits(model), atol=1e-2)


@pytest.mark.parametrize("keep_error", [True, False])
def test_an_edit_moves_the_activation_along_the_features_direction(model: LoadedModel, keep_error: bool):
    dictionary = random_dictionary()
    x = read(model, random_contexts(), [POINT])[POINT]

    def add_two(codes: Tensor) -> Tensor:
        return codes + 2 * torch.eye(codes.shape[-1])[3]

    out = splice(dictionary, edit=add_two, keep_error=keep_error)[0].function(x)
    start = x if keep_error else dictionary(x)
    torch.testing.assert_close(out - start, (2 * dictionary.W_dec[3]).expand(x.shape))


def test_untouched_positions_keep_the_models_own_activation(model: LoadedModel):
    dictionary = random_dictionary()
    x = read(model, random_contexts(), [POINT])[POINT]
    untouched = random_contexts() % 2 == 0
    out = splice(dictionary, untouched=untouched)[0].function(x)
    assert torch.equal(out[untouched], x[untouched])
    torch.testing.assert_close(out[~untouched], dictionary(x[~untouched]))


@pytest.mark.parametrize(
    ("points", "expected"), [((), "hook points on each side"), ((POINT, MLP_OUT), "one that writes one")]
)
def test_a_dictionary_of_no_or_several_hook_points_is_refused(points: tuple[str, ...], expected: str):
    with pytest.raises(InputError, match=expected):
        splice(Dictionary(Spec(D, D, 4, points, points), ReLU(4)))
