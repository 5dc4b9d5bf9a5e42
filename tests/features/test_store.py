"""A store is read a little at a time, from wherever that lies in its files."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.features import FeatureStore
from monosema.features import store as module
from monosema.models import LoadedModel
from tests.features.stores import LENGTH, WIDTH, built, documents_of

Expected = tuple[Tensor, np.ndarray]


@pytest.fixture(scope="module", params=[(1, 1, 1), (7, 9, 5), (LENGTH, 64, WIDTH), (33, 10**6, 100)], ids=str)
def cut(
    request: pytest.FixtureRequest,
    model: LoadedModel,
    dictionary: Dictionary,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[FeatureStore]:
    """The same store in row groups of other sizes; of tokens the last of some that are written together is smaller."""
    with pytest.MonkeyPatch.context() as patch:
        for name, rows in zip(("TOKEN_ROWS", "ACTIVATION_ROWS", "FEATURE_ROWS"), request.param, strict=True):
            patch.setattr(f"monosema.features.writing.{name}", rows)
        patch.setattr("monosema.features.sorting.Sorter.groups.__defaults__", (40,))
        patch.setattr(module, "_GROUPS", 3)
        out = tmp_path_factory.mktemp("cut") / "store"
        yield built(dictionary, model, out, context_batch=3)


def test_the_activations_of_each_feature_are_its_own(cut: FeatureStore, expected: Expected, model: LoadedModel):
    _, codes = expected
    documents = documents_of(model)
    for feature in range(WIDTH):
        found = cut.activations(feature)
        assert found.tokens.tolist() == np.flatnonzero(codes[:, feature]).tolist()
        np.testing.assert_allclose(found.values, codes[found.tokens, feature], rtol=1e-6)
        assert found.documents.tolist() == documents[found.tokens].tolist()
        assert len(found.tokens) == cut.feature(feature).activations


@pytest.mark.parametrize(("first", "last"), [(0, WIDTH), (0, 1), (4, 7), (5, 6), (WIDTH - 1, WIDTH), (3, 3)])
def test_activations_of_neighbouring_features(cut: FeatureStore, expected: Expected, first: int, last: int):
    _, codes = expected
    table = cut.activations_between(first, last).to_pandas()
    features, tokens = codes.T[first:last].nonzero()
    assert table.feature.tolist() == (features + first).tolist()
    assert (table.context * LENGTH + table.position).tolist() == tokens.tolist()
    np.testing.assert_allclose(table.value, codes[tokens, features + first], rtol=1e-6)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (3, 2), (LENGTH, LENGTH)])
def test_places_are_the_tokens_around_as_far_as_the_context_goes(
    cut: FeatureStore, expected: Expected, model: LoadedModel, before: int, after: int
):
    ids, documents = expected[0].numpy(), documents_of(model)
    all_ids, texts = ids.flatten(), cut._tokens.read(["text"]).column(0).to_pylist()
    tokens = [*range(0, ids.size, 7), ids.size - 1, 0, 5, 5]
    np.random.default_rng(0).shuffle(tokens)
    for token, place in zip(tokens, cut.places(tokens, before, after), strict=True):
        begin = token // LENGTH * LENGTH
        start, end = max(token - before, begin), min(token + after + 1, begin + LENGTH)
        assert (place.context, place.start) == (token // LENGTH, start - begin)
        assert place.document == documents[token]
        assert place.ids == all_ids[start:end].tolist()
        assert place.texts == texts[start:end]
        assert cut.place(token, before, after) == place
    assert cut.places([], before, after) == []


def test_contexts_have_their_ids(cut: FeatureStore, expected: Expected):
    ids = expected[0].numpy()
    some = [len(ids) - 1, 0, 3, 3]
    assert cut.contexts_ids(some).tolist() == ids[some].tolist()
    assert np.concatenate(list(cut.ids())).tolist() == ids.flatten().tolist()


def test_features_are_read_alone_and_together(cut: FeatureStore):
    table = cut._features.read().to_pylist()
    for i in (0, 4, 5, WIDTH - 1):
        assert cut.feature(i).columns == table[i]
        assert cut.feature(i).index == i
    assert [row.columns for row in cut.features(3, 12)] == table[3:12]


def test_a_feature_has_its_columns_as_attributes(store: FeatureStore):
    row = store.feature(2)
    assert row.activations == row.columns["activations"]
    with pytest.raises(AttributeError, match="nothing"):
        row.nothing  # noqa: B018


def test_what_numpy_counts_names_features_too(store: FeatureStore):
    feature: Any = store.column("activations").argmax()
    assert len(store.activations(feature).tokens) == store.feature(feature).activations


def test_values_on_tokens_are_zero_where_it_is_silent(store: FeatureStore, expected: Expected):
    _, codes = expected
    for feature in (0, 5, 7):
        found = store.activations(feature)
        np.testing.assert_allclose(found.on(0, len(codes)), codes[:, feature], rtol=1e-6)
        np.testing.assert_allclose(found.on(33, 9), codes[33:42, feature], rtol=1e-6)
        assert found.on(33, 0).tolist() == []


def test_columns_and_tables_are_of_all_features(store: FeatureStore, expected: Expected):
    _, codes = expected
    assert store.column("activations").tolist() == (codes != 0).sum(0).tolist()
    assert store.table(["feature", "high"]).column("feature").to_pylist() == list(range(WIDTH))


def test_a_search_finds_texts_in_whatever_case(store: FeatureStore):
    words = store.table(["words"]).column(0).to_pylist()
    for text in ("return", "RETURN", "漢字", "def f_1", "(x)", ".*"):
        expected = [i for i, own in enumerate(words) if text.lower() in own.lower()]
        assert store.search(text).tolist() == expected
    assert len(store.search("return")) > 0
    assert len(store.search("漢字")) > 0


@pytest.mark.parametrize("feature", [-1, WIDTH, 10**9])
def test_unknown_features_are_refused(store: FeatureStore, feature: int):
    with pytest.raises(InputError, match=f"feature {feature}; expected 0 to {WIDTH - 1}"):
        store.feature(feature)
    with pytest.raises(InputError, match=f"feature {feature}"):
        store.activations(feature)


def test_what_is_no_store_is_refused(folder: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"no feature store in .*monosema features"):
        FeatureStore(tmp_path)
    with pytest.raises(InputError, match="no feature store"):
        FeatureStore(tmp_path / "nowhere")
    for name in ("tokens", "activations", "features"):
        copy = tmp_path / name
        shutil.copytree(folder, copy)
        (copy / f"{name}.parquet").unlink()
        with pytest.raises(InputError, match=f"no file .*{name}.parquet.*make it again"):
            FeatureStore(copy)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"format": "monosema-features/2"}, "has format 'monosema-features/2'; expected 'monosema-features/1'"),
        ({"format": None}, "has format None"),
        ([1], "has format 'list'"),
        ({"width": "many"}, "width"),
    ],
)
def test_an_index_of_another_kind_is_refused(folder: Path, tmp_path: Path, index, message: str):
    shutil.copytree(folder, tmp_path / "store")
    path = tmp_path / "store" / "index.json"
    known = json.loads(path.read_text())
    path.write_text(json.dumps({**known, **index} if isinstance(index, dict) else index))
    with pytest.raises(InputError, match=message):
        FeatureStore(tmp_path / "store")
