"""Which directions are alike against dense cosines, and what is said of features without a text."""

import numpy as np
import pytest
import torch

from monosema.analysis import head_norms, logit_effects
from monosema.analysis.vectors import decoder_rows
from monosema.features import directions as module
from monosema.features.directions import describe, directions, moved_logits, neighbour_column, similar, similar_between
from monosema.models import LoadedModel
from tests.analysis.dictionaries import autoencoder, cross_layer, crosscoder
from tests.features.stores import POINT, WIDTH, D
from tests.features.stores import autoencoder as with_a_dead_feature


def rows(count: int, seed: int = 0, d: int = 8) -> torch.Tensor:
    return torch.randn(count, d, generator=torch.Generator().manual_seed(seed))


def cosines(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    x, y = a.double().numpy(), b.double().numpy()
    return (x @ y.T) / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(y, axis=1)


@pytest.fixture(params=[1, 7, 1024])
def _cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FEATURES", request.param)


@pytest.mark.usefixtures("_cut")
@pytest.mark.parametrize("n", [1, 5, 19, 40])
def test_similar_are_the_largest_cosines_with_others(n: int):
    given = rows(20)
    exact = cosines(given, given)
    np.fill_diagonal(exact, -np.inf)
    found = similar(given, n)
    assert found.features.shape == (20, min(n, 19))
    np.testing.assert_array_equal(found.features, np.argsort(-exact, axis=1)[:, : min(n, 19)])
    np.testing.assert_allclose(found.figures, np.take_along_axis(exact, found.features, 1), atol=1e-6)


@pytest.mark.usefixtures("_cut")
@pytest.mark.parametrize("n", [1, 3, 40])
def test_between_dictionaries_every_direction_may_be_the_nearest(n: int):
    one, other = rows(11), torch.cat([rows(11)[3:4], rows(13, seed=1)])
    exact = cosines(one, other)
    found = similar_between(one, other, n)
    np.testing.assert_array_equal(found.features, np.argsort(-exact, axis=1)[:, : min(n, 14)])
    np.testing.assert_allclose(found.figures, np.take_along_axis(exact, found.features, 1), atol=1e-6)
    assert found.features[3, 0] == 0
    assert found.figures[3, 0] == pytest.approx(1)


def test_a_single_feature_is_like_no_other():
    assert similar(rows(1), 10).features.shape == (1, 0)


@pytest.mark.parametrize(
    "made",
    [
        autoencoder("resid_post.0", 12, encoder="block_diagonal", decoder="block_diagonal", blocks=3),
        crosscoder(("resid_post.0", "resid_post.1"), 12),
        cross_layer((("mlp_in.0", "mlp_in.1"), ("mlp_out.0", "mlp_out.1")), 12),
    ],
    ids=["blocks", "sites", "layers"],
)
def test_directions_are_what_a_unit_of_each_code_adds(made):
    found = directions(made)
    expected = made.decode_features(torch.eye(made.spec.width).double())
    torch.testing.assert_close(found.double(), expected.detach())


def test_columns_hold_norms_neighbours_and_logits(model: LoadedModel):
    made = with_a_dead_feature()
    columns = describe(made, model, neighbours=3, logits=4)
    exact = made.W_dec.detach().numpy()
    np.testing.assert_allclose(columns["norm"], np.linalg.norm(exact, axis=1), rtol=1e-6)
    logits = logit_effects(made, model, range(WIDTH), 4)
    assert logits is not None
    assert len(columns["similar"]) == WIDTH
    for own in range(WIDTH):
        assert [pair["feature"] for pair in columns["similar"][own]] == similar(made.W_dec.detach(), 3).features[
            own
        ].tolist()
        assert [token["token"] for token in columns["promotes"][own]] == logits.top_tokens[own].tolist()
        assert [token["value"] for token in columns["suppresses"][own]] == logits.bottom_values[own].tolist()
        up, down = columns["promotes"][own], columns["suppresses"][own]
        assert moved_logits(columns)[own] == [token["text"] for token in [*up, *down]]
        assert columns["promoted"][own] == up[0]["text"]
        assert model.tokenizer is not None
        assert up[0]["text"] == model.tokenizer.decode([up[0]["token"]])


def test_where_logits_are_not_known_their_columns_are_empty(model: LoadedModel):
    made = autoencoder("mlp_in.1", D, WIDTH)  # what an MLP is given reaches no logit by itself
    assert logit_effects(made, model, range(WIDTH), 4) is None
    columns = describe(made, model, neighbours=3, logits=4)
    assert columns["promotes"] == columns["skewness"] == [None] * WIDTH
    assert moved_logits(columns) == [[]] * WIDTH


def test_a_neighbour_that_is_missing_is_left_out():
    near = similar(rows(3), 2)
    near.features[1, 1] = -1
    column = neighbour_column(near)
    assert [len(entry) for entry in column] == [2, 1, 2]
    assert column[0][0] == {"feature": int(near.features[0, 0]), "figure": float(near.figures[0, 0])}


def test_rows_of_the_decoder_are_the_directions(model: LoadedModel):
    made = autoencoder(POINT, D, WIDTH)
    torch.testing.assert_close(directions(made), decoder_rows(made, torch.arange(WIDTH)))


def test_the_column_of_heads_holds_norms_where_heads_are_written(model: LoadedModel):
    made = autoencoder("attn_z.1", D, width=WIDTH)
    exact = made.W_dec.detach().unflatten(1, (2, D // 2)).norm(dim=2)
    norms = head_norms(made, model, range(WIDTH))
    assert norms is not None
    torch.testing.assert_close(norms, exact)
    np.testing.assert_allclose(np.stack(describe(made, model, 2, 2)["head_norms"]), exact, rtol=1e-6)
    assert describe(with_a_dead_feature(), model, 2, 2)["head_norms"] == [None] * WIDTH
