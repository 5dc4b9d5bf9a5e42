"""How often features of two dictionaries fire together, against dense codes of both."""

from pathlib import Path

import numpy as np
import pytest
import torch

from monosema.dictionaries import Dictionary
from monosema.features import FeatureStore
from monosema.features import pairs as module
from monosema.features.pairs import firing_of_both, spread_contexts
from monosema.models import LoadedModel
from tests.features.stores import LENGTH, WIDTH, all_codes, autoencoder, built

OTHER = 17


@pytest.fixture(scope="module")
def other() -> Dictionary:
    return autoencoder(OTHER, dead=3, seed=7).eval()


@pytest.fixture(scope="module")
def beside(other: Dictionary, model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return built(other, model, tmp_path_factory.mktemp("pairs") / "beside")


def phi(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of two columns of zeros and ones."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.corrcoef(a, b)[0, 1] if a.std() * b.std() > 0 else np.nan


def expected(one: Dictionary, other: Dictionary, model: LoadedModel, contexts: list[int]) -> np.ndarray:
    ids, codes = all_codes(one, model)
    _, others = all_codes(other, model)
    rows = (np.array(contexts)[:, None] * LENGTH + np.arange(LENGTH)).ravel()
    rows = rows[~torch.isin(ids.flatten()[rows], torch.tensor(sorted(model.special_ids))).numpy()]
    fires, too = codes[rows] != 0, others[rows] != 0
    return np.array([[phi(fires[:, i], too[:, j]) for j in range(OTHER)] for i in range(WIDTH)])


ALL = [column.ravel() for column in np.divmod(np.arange(WIDTH * OTHER), OTHER)]


@pytest.mark.parametrize("tokens", [10**6, 7 * LENGTH], ids=["all", "some"])
@pytest.mark.parametrize("of_stores", [True, False], ids=["read", "run"])
def test_pairs_have_the_correlation_of_dense_codes(
    store: FeatureStore,
    beside: FeatureStore,
    dictionary: Dictionary,
    other: Dictionary,
    model: LoadedModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tokens: int,
    of_stores: bool,
):
    monkeypatch.setattr(module, "READ_TOKENS", tokens)
    monkeypatch.setattr(module, "RUN_TOKENS", tokens)
    if of_stores:
        monkeypatch.setattr(module, "_run", None)  # nothing is run
    given = beside if of_stores else built(other, model, tmp_path / "longer", length=LENGTH + 3)
    one, two = firing_of_both(store, given, (dictionary.eval(), other), (model, model))
    exact = expected(dictionary, other, model, spread_contexts(store, tokens))
    np.testing.assert_allclose(one.correlation(two, *ALL), exact.ravel(), atol=1e-9)
    assert np.isnan(exact).any()  # of features that never fire
    assert np.nanmax(exact) > 0.2


def test_a_feature_always_fires_together_with_itself(store: FeatureStore, dictionary: Dictionary, model: LoadedModel):
    one, same = firing_of_both(store, store, (dictionary, dictionary), (model, model))
    live = np.flatnonzero(store.column("activations") > 0)
    np.testing.assert_allclose(one.correlation(same, live, live), 1)


def test_stores_of_other_tokens_are_not_joined(
    store: FeatureStore,
    dictionary: Dictionary,
    model: LoadedModel,
    beside: FeatureStore,
    monkeypatch: pytest.MonkeyPatch,
):
    assert module._have_both(store, beside, [0, 3])
    moved = beside.contexts_ids
    monkeypatch.setattr(beside, "contexts_ids", lambda contexts: moved(contexts) + 1)
    assert not module._have_both(store, beside, [0, 3])


@pytest.mark.parametrize("tokens", [1, LENGTH, 5 * LENGTH, 10**9])
def test_contexts_are_spread_over_the_text(store: FeatureStore, tokens: int):
    found = spread_contexts(store, tokens)
    steps = np.diff([*found, store.index.contexts])
    assert len(found) == min(max(tokens // LENGTH, 1), store.index.contexts)
    assert found[0] == 0
    assert steps.max() - steps.min() <= 1
