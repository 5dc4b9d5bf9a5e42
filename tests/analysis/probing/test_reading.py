"""Rows are those of each text read by itself, codes those of the dictionary, and pooling is pooling."""

import numpy as np
import pytest
import torch

from monosema.analysis.probing import encoded, pooled, read_rows, untrained_like
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.models import LoadedModel, read
from tests.analysis.dictionaries import autoencoder, crosscoder, transcoder
from tests.evaluation.helpers import VOCABULARY, D, random_model

POINT = "resid_post.0"


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return random_model()


def texts(n: int = 40) -> tuple[list[list[int]], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    pieces = [rng.integers(0, VOCABULARY, int(length)).tolist() for length in rng.integers(1, 9, n)]
    return pieces, [np.flatnonzero(rng.random(len(piece)) < 0.7) for piece in pieces]


def test_rows_are_those_of_each_text_by_itself(model: LoadedModel):
    pieces, keep = texts()
    each = (read(model, torch.tensor([ids]), [POINT])[POINT][0] for ids in pieces)
    alone = [x[positions] for x, positions in zip(each, keep, strict=True)]
    torch.testing.assert_close(read_rows(model, POINT, pieces, keep), torch.cat(alone).float())


def test_nothing_to_read_is_refused(model: LoadedModel):
    with pytest.raises(InputError, match="no tokens"):
        read_rows(model, POINT, [[1, 2]], [np.array([], int)])


@pytest.mark.parametrize("made", [autoencoder(POINT, D), transcoder("mlp_in.0", "mlp_out.0", D)])
def test_codes_are_the_dictionarys_in_the_size_of_what_they_write(made: Dictionary):
    x = torch.randn(50, D)
    wanted = made.encode(x.double()) * made.decoder_norms()
    np.testing.assert_allclose(encoded(made, x).toarray(), wanted.detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_a_document_is_the_mean_or_the_largest_of_its_tokens(model: LoadedModel, pool):
    pieces, keep = texts(150)
    keep = [positions if len(positions) else np.array([0]) for positions in keep]
    made = autoencoder(POINT, D)
    x, (codes, other) = pooled(model, POINT, pieces, keep, [made, autoencoder(POINT, D, width=7)], pool)
    assert codes.shape == (150, 24)
    assert other.shape == (150, 7)
    for i in (0, 70, 149):
        rows = read_rows(model, POINT, [pieces[i]], [keep[i]])
        dense = encoded(made, rows).toarray()
        for found, all_tokens in ((x[i], rows.numpy()), (codes[[i]].toarray()[0], dense)):
            wanted = all_tokens.mean(0) if pool == "mean" else all_tokens.max(0)
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "made",
    [
        autoencoder(POINT, D),
        autoencoder(POINT, D, encoder="block_diagonal", decoder="block_diagonal", blocks=2),
        transcoder("mlp_in.0", "mlp_out.0", D, normalisation="layer_norm"),
        crosscoder((POINT, "resid_post.1"), D),
    ],
)
def test_an_untrained_dictionary_is_as_wide_and_sparse_and_knows_nothing(made: Dictionary):
    x = torch.randn(400, made.spec.d_in) + 3
    gate = made.preactivations(x.double())
    made.b_enc.data -= gate.quantile(0.8, dim=0)  # each feature fires on a fifth
    chance = untrained_like(made, x)
    assert (chance.spec.width, chance.spec.reads) == (made.spec.width, made.spec.reads)
    own, others = encoded(made, x), encoded(chance, x)
    assert others.nnz / len(x) == pytest.approx(own.nnz / len(x), abs=0.51)
    assert chance.preactivations(x).mean(0).abs().max() < 1e-4
    again, other = untrained_like(made, x), untrained_like(made, x, seed=1)
    assert torch.equal(chance.W_enc, again.W_enc)
    assert not torch.equal(chance.W_enc, other.W_enc)
    with pytest.raises(InputError, match="no activations"):
        untrained_like(made, x[:0])
