"""Single features' vectors are the rows and columns of the whole matrices."""

import pytest
import torch

from monosema.analysis import vectors
from monosema.analysis.vectors import chosen_of, decoder_rows, encoder_columns
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from tests.analysis.dictionaries import autoencoder, cross_layer, crosscoder

D = 6
MADE = {
    "dense": lambda: autoencoder("x", D),
    "blocks": lambda: autoencoder("x", D, encoder="block_diagonal", decoder="block_diagonal", blocks=2),
    "sites": lambda: crosscoder(("x", "y"), D),
    "triangular": lambda: cross_layer((("a", "b", "c"), ("x", "y", "z")), D),
}


@pytest.fixture(params=MADE)
def dictionary(request: pytest.FixtureRequest) -> Dictionary:
    return MADE[request.param]()


@pytest.mark.parametrize("at_once", [2, 256])
def test_rows_are_what_one_features_code_decodes_to(
    dictionary: Dictionary, at_once: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(vectors, "_ROWS", at_once)
    features = torch.tensor([7, 0, 7, 19, 23])
    codes = torch.eye(dictionary.spec.width).double()[features]
    torch.testing.assert_close(decoder_rows(dictionary, features), dictionary.decode_features(codes).detach())


def test_columns_are_what_a_preactivation_is_made_with(dictionary: Dictionary):
    x = torch.randn(5, dictionary.spec.d_in).double()
    features = torch.tensor([7, 0, 7, 19, 23])
    pre = (dictionary.preactivations(x) - dictionary.b_enc)[:, features].detach()
    torch.testing.assert_close(x @ encoder_columns(dictionary, features).mT, pre)


def test_vectors_have_at_least_float32():
    made = autoencoder("x", D).to(torch.bfloat16)
    assert (
        decoder_rows(made, torch.tensor([0])).dtype == encoder_columns(made, torch.tensor([0])).dtype == torch.float32
    )


@pytest.mark.parametrize("features", [[24], [-1, 0], [], [[0]]])
def test_features_that_are_not_there_are_refused(features: list[int]):
    with pytest.raises(InputError, match="features from 0 to 23"):
        chosen_of(autoencoder("x", D), features)
