"""Shares of heads and entries, tokens read and cosines, against the dense matrices."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monosema.analysis import composition
from monosema.analysis.composition import encoder_decoder_cosines, head_shares, largest_entries, tokens_read
from monosema.dictionaries import Dictionary, Spec
from monosema.errors import InputError
from monosema.models import LoadedModel, load_model
from tests.analysis.dictionaries import autoencoder, cross_layer, crosscoder, random_weights, transcoder
from tests.evaluation.helpers import VOCABULARY, D, random_model
from tests.models import tiny_lens
from tests.models.tiny_families import build

FEATURES = [5, 0, 11, 11]
BLOCKS: dict[str, Any] = {"encoder": "block_diagonal", "decoder": "block_diagonal", "blocks": 2}


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return random_model()


@pytest.fixture(autouse=True, params=[1 << 24, 30])
def _cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing depends on how many features are in memory at once."""
    monkeypatch.setattr(composition, "_ENTRIES", request.param)


def dense(made: Dictionary) -> tuple[Tensor, Tensor]:
    """Encoder columns and decoder rows of the chosen features."""
    rows = made.decode_features(torch.eye(made.spec.width).double())
    columns = made.encoder.apply(torch.eye(made.spec.d_in).double(), made.W_enc).mT
    return columns[FEATURES].detach(), rows[FEATURES].detach()


def test_heads_share_the_norms_of_a_direction(model: LoadedModel):
    made = autoencoder("attn_z.1", D)
    shares = head_shares(made, model, FEATURES)
    assert shares is not None
    first, second = made.W_dec[FEATURES, : D // 2].norm(dim=1), made.W_dec[FEATURES, D // 2 :].norm(dim=1)
    torch.testing.assert_close(shares, torch.stack([first, second], 1).detach() / (first + second)[:, None].detach())
    made.W_dec.data[0] = 0
    assert head_shares(made, model, [0]).sum() == 0  # pyright: ignore[reportOptionalMemberAccess]


def test_a_feature_of_a_block_has_one_head(model: LoadedModel):
    shares = head_shares(autoencoder("attn_z.1", D, **BLOCKS), model, range(24))
    assert torch.equal(shares, F.one_hot(torch.arange(24) // 12, 2).double())  # pyright: ignore[reportArgumentType]


def test_of_shared_keys_and_values_there_are_as_many_shares_as_queries():
    shares = head_shares(autoencoder("attn_z.1", 32), build("llama"), FEATURES)
    assert shares is not None
    assert shares.shape == (4, 4)


@pytest.mark.parametrize("point", ["attn_out.1", "resid_post.0", "attn_z.1.0"])
def test_elsewhere_there_are_no_heads(model: LoadedModel, point: str):
    assert head_shares(autoencoder(point, D), model, FEATURES) is None


@pytest.mark.parametrize(
    "made",
    [autoencoder("x", D), autoencoder("x", D, **BLOCKS), crosscoder(("x", "y"), D), transcoder("x", "y", D)],
    ids=["dense", "blocks", "crosscoder", "transcoder"],
)
def test_the_largest_entries_are_those_of_the_dense_rows(made: Dictionary):
    _, rows = dense(made)
    entries = largest_entries(made, torch.tensor(FEATURES), n=4)
    order = rows.abs().argsort(1, descending=True)[:, :4]
    assert torch.equal(entries.weights, rows.gather(1, order))
    assert torch.equal(entries.indices, order)
    torch.testing.assert_close(entries.shares, entries.weights.abs() / rows.abs().sum(1, keepdim=True))
    everything = largest_entries(made, FEATURES, n=made.spec.d_out)
    torch.testing.assert_close(everything.shares.sum(1), torch.ones(4).double())


@pytest.mark.parametrize("reads", ["mlp_in.0", "resid_pre.1", "attn_out.0 + mlp_out.0"])
def test_tokens_are_those_whose_embeddings_the_encoder_multiplies(model: LoadedModel, reads: str):
    module: Any = model.module
    made = transcoder(reads, "mlp_out.1", D)
    found = tokens_read(made, model, FEATURES, n=5)
    assert found is not None
    products = made.W_enc.mT[FEATURES].detach() @ module.get_input_embeddings().weight.detach().T
    for tokens, values, largest in (
        (found.top_tokens, found.top_values, True),
        (found.bottom_tokens, found.bottom_values, False),
    ):
        expected = products.topk(5, largest=largest)
        torch.testing.assert_close(values, expected.values)
        assert torch.equal(tokens, expected.indices)


def test_in_a_model_of_transformer_lens_they_are_its_own_embeddings():
    theirs = tiny_lens.gpt2()
    made = transcoder("mlp_in.0", "mlp_out.0", 32)
    ours = tokens_read(made, load_model(tiny_lens.StandIn(theirs)), FEATURES)
    same = tokens_read(made, load_model(theirs), FEATURES)
    assert ours is not None
    assert same is not None
    for name, value in vars(ours).items():
        torch.testing.assert_close(value, vars(same)[name])


def test_where_embeddings_have_no_meaning_no_tokens_are_read(model: LoadedModel):
    assert tokens_read(autoencoder("attn_z.0", D), model, FEATURES) is None
    assert tokens_read(autoencoder("gpt_neox.layers.0.mlp.act", 24), model, FEATURES) is None
    assert tokens_read(crosscoder(("resid_post.0", "resid_post.1"), D), model, FEATURES) is None
    assert tokens_read(autoencoder("resid_post.0", 7), model, FEATURES) is None
    bare = load_model(nn.Sequential(nn.Embedding(9, D), nn.Linear(D, D)))
    assert tokens_read(autoencoder("1", D), bare, FEATURES) is None


@pytest.mark.parametrize(
    "made",
    [
        autoencoder("x", D),
        autoencoder("x", D, **BLOCKS),
        transcoder("x", "y", D),
        cross_layer((("a", "b"), ("x", "y")), D),
    ],
    ids=["dense", "blocks", "transcoder", "cross-layer"],
)
def test_cosines_are_those_of_the_dense_matrices(made: Dictionary):
    columns, rows = dense(made)
    expected = F.cosine_similarity(columns, rows)
    torch.testing.assert_close(encoder_decoder_cosines(made, FEATURES), expected)


def test_vectors_of_two_sizes_have_no_cosine():
    assert encoder_decoder_cosines(random_weights(Spec(D, 7, 24, ("x",), ("y",), "transcoder")), FEATURES) is None


def test_a_tied_dictionary_reads_what_it_writes():
    made = autoencoder("x", D)
    made.W_enc.data.copy_(2 * made.W_dec.mT)
    torch.testing.assert_close(encoder_decoder_cosines(made, FEATURES), torch.ones(4).double())


@pytest.mark.parametrize("n", [0, VOCABULARY + 1])
def test_numbers_that_are_not_there_are_refused(model: LoadedModel, n: int):
    made = autoencoder("resid_post.0", D)
    with pytest.raises(InputError, match=f"from 1 to {D}"):
        largest_entries(made, FEATURES, n)
    with pytest.raises(InputError, match=f"from 1 to {VOCABULARY}"):
        tokens_read(made, model, FEATURES, n)
    with pytest.raises(InputError, match="feature 24"):
        encoder_decoder_cosines(made, [24])
