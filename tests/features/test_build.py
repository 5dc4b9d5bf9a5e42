"""A store holds what `encode` says of the same text, however it was made; its files say so to any reader."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from monosema.activations import Contexts, MixedContexts
from monosema.analysis import TokenTexts
from monosema.dictionaries import Dictionary, Spec
from monosema.errors import InputError
from monosema.features import FeatureStore, build_features
from monosema.features import build as module
from monosema.features.summary import ExampleOptions
from monosema.models import LoadedModel
from tests.analysis.dictionaries import random_weights, transcoder
from tests.features.stores import (
    LENGTH,
    WIDTH,
    D,
    all_codes,
    autoencoder,
    built,
    contexts,
    documents_of,
    signed,
    sparse,
    thresholded,
)

Expected = tuple[Tensor, np.ndarray]
FILES = ("tokens", "activations", "features")


def frame(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(folder / f"{name}.parquet")


def dense(folder: Path, length: int = LENGTH, width: int = WIDTH) -> np.ndarray:
    """All activations in the file, put where they say that they belong."""
    table, tokens = frame(folder, "activations"), frame(folder, "tokens")
    found = np.zeros((len(tokens), width))
    found[table.context * length + table.position, table.feature] = table.value
    assert np.count_nonzero(found) == len(table)
    return found


DICTIONARIES: dict[str, Callable[[], Dictionary]] = {
    "relu": autoencoder,
    "abs_topk": signed,
    "batch_topk in training mode": thresholded,
    "transcoder": lambda: sparse(transcoder("mlp_in.1", "mlp_out.1", D, WIDTH)),
    "several points": lambda: sparse(random_weights(Spec(2 * D, D, WIDTH, POINTS, ("mlp_out.1",), "transcoder"))),
    "a head": lambda: random_weights(Spec(D // 2, D // 2, WIDTH, ("attn_z.1.1",), ("attn_z.1.1",))),
}
POINTS = ("resid_post.0", "mlp_in.1")


@pytest.mark.parametrize("name", DICTIONARIES)
def test_every_activation_is_that_of_encode(model: LoadedModel, tmp_path: Path, name: str):
    made = DICTIONARIES[name]()
    training = made.training
    store = built(made, model, tmp_path / "store")
    assert made.training == training
    _, codes = all_codes(made, model)
    assert 0 < np.count_nonzero(codes) == store.index.activations < codes.size
    np.testing.assert_allclose(dense(tmp_path / "store"), codes, rtol=1e-6)


def test_activations_are_sorted_by_feature_and_then_by_token(folder: Path):
    table = frame(folder, "activations")
    order = np.lexsort((table.position, table.context, table.feature))
    assert order.tolist() == list(range(len(table)))


def test_tokens_are_those_of_the_text_with_document_and_text(folder: Path, model: LoadedModel, expected: Expected):
    ids, _ = expected
    tokens = frame(folder, "tokens")
    assert tokens.id.tolist() == ids.flatten().tolist()
    assert tokens.context.tolist() == np.repeat(np.arange(len(ids)), LENGTH).tolist()
    assert tokens.position.tolist() == np.tile(np.arange(LENGTH), len(ids)).tolist()
    assert tokens.document.tolist() == documents_of(model).tolist()
    assert model.tokenizer is not None
    texts = tokens.text.to_numpy().reshape(len(ids), LENGTH)
    assert ["".join(row) for row in texts] == [model.tokenizer.decode(row) for row in ids.tolist()]
    assert (tokens.text == "").any()  # a character that was cut
    activations = frame(folder, "activations")
    of = tokens.document.to_numpy()[activations.context * LENGTH + activations.position]
    assert activations.document.tolist() == of.tolist()


def test_figures_are_those_of_the_activations_alone(folder: Path, store: FeatureStore, expected: Expected):
    features = frame(folder, "features").set_index("feature")
    groups = frame(folder, "activations").groupby("feature").value
    every = features.index
    assert features.activations.tolist() == groups.size().reindex(every, fill_value=0).tolist()
    assert features.first_row.tolist() == [0, *features.activations.cumsum()[:-1]]
    np.testing.assert_allclose(features.high, groups.max().reindex(every, fill_value=0))
    np.testing.assert_allclose(features["mean"], groups.mean().reindex(every, fill_value=0), rtol=1e-5)
    ids, codes = expected
    counted = int((~torch.isin(ids, torch.tensor([0]))).sum())
    assert store.index.counted == counted < ids.numel()
    np.testing.assert_allclose(features.density, (codes != 0).sum(0) / counted)
    live = features.activations > 0
    assert not live[5]
    np.testing.assert_allclose(features.log10_density[live], np.log10(features.density[live]))
    assert features.log10_density[~live].isna().all()
    assert [sum(counts) for counts in features.histogram] == features.activations.tolist()


def test_examples_are_activations_of_the_feature(folder: Path, expected: Expected):
    _, codes = expected
    for feature, examples in enumerate(frame(folder, "features").examples):
        for pick in examples:
            assert pick["value"] == pytest.approx(codes[pick["token"], feature], rel=1e-6)
        strongest = [pick["value"] for pick in examples if pick["group"] == 0]
        by_context = codes[:, feature].reshape(-1, LENGTH).max(1)
        best = np.sort(by_context[by_context > 0])[::-1]
        np.testing.assert_allclose(strongest, best[:20], rtol=1e-6)


def test_who_fires_together_is_counted_on_all_tokens_of_a_small_text(folder: Path, store: FeatureStore, expected):
    ids, codes = expected
    kept = ~torch.isin(ids.flatten(), torch.tensor([0])).numpy()
    assert store.index.cofiring_tokens == kept.sum()
    with np.errstate(all="ignore"):
        phi = np.nan_to_num(np.corrcoef((codes[kept] != 0).T))
    np.fill_diagonal(phi, 0)
    features = frame(folder, "features")
    for own, pairs in enumerate(features.together):
        assert [p["figure"] for p in pairs] == pytest.approx(sorted(phi[own][phi[own] > 1e-9])[::-1][:10], rel=1e-4)
        assert all(phi[own, p["feature"]] == pytest.approx(p["figure"], rel=1e-4) for p in pairs)
    for own, pairs in enumerate(features.apart):
        assert all(phi[own, p["feature"]] == pytest.approx(p["figure"], rel=1e-4) for p in pairs)
        assert all(p["figure"] < 0 for p in pairs)


def test_each_feature_is_strongest_on_a_token_and_found_by_its_text(folder: Path, model: LoadedModel, expected):
    ids, codes = expected
    texts, features = TokenTexts(model.tokenizer), frame(folder, "features")
    for feature, (token, words) in enumerate(zip(features.strongest_token, features.words, strict=True)):
        if not codes[:, feature].any():
            assert token == ""
            continue
        at = int(codes[:, feature].argmax())
        assert token == texts([int(ids.flatten()[at])])[0]
        around = ids.flatten()[max(at - 8, at // LENGTH * LENGTH) : min(at + 5, at // LENGTH * LENGTH + LENGTH)]
        assert "".join(texts(around.tolist())) in words
        assert all(pair["text"] in words for pair in features.promotes[feature])


def same(one: Path, other: Path) -> None:
    for name in FILES:
        a, b = frame(one, name), frame(other, name)
        assert list(a.columns) == list(b.columns)
        for column in a.columns:
            left, right = a[column].tolist(), b[column].tolist()
            assert json.dumps(plain(left)) == json.dumps(plain(right)), (name, column)


def plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return float(f"{value:.4g}")  # batches of another size round differently
    if isinstance(value, np.ndarray | list):
        return [plain(entry) for entry in value]
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return value


@pytest.mark.parametrize("options", [{"entries": 50}, {"entries": 1, "context_batch": 5}, {"context_batch": 1}])
def test_a_store_is_the_same_however_much_is_held_at_once(
    folder: Path, model: LoadedModel, dictionary: Dictionary, tmp_path: Path, options: dict
):
    again = built(dictionary, model, tmp_path / "again", **options).folder
    same(folder, again)
    assert json.loads((folder / "index.json").read_text()) == json.loads((again / "index.json").read_text())


@pytest.mark.parametrize("rows", [1, 7, 33])
def test_a_store_is_the_same_however_its_rows_are_grouped(
    folder: Path, model: LoadedModel, dictionary: Dictionary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
):
    monkeypatch.setattr(module, "_ROWS", rows)
    monkeypatch.setattr("monosema.features.sorting.AT_ONCE", 5)
    for name in ("TOKEN_ROWS", "ACTIVATION_ROWS", "FEATURE_ROWS"):
        monkeypatch.setattr(f"monosema.features.writing.{name}", rows)
    same(folder, built(dictionary, model, tmp_path / "again").folder)


def test_of_a_long_text_cofiring_is_counted_on_a_part_that_is_spread(
    model: LoadedModel, dictionary: Dictionary, tmp_path: Path
):
    store = built(dictionary, model, tmp_path / "store", cofiring_tokens=200, context_batch=1)
    assert 100 <= store.index.cofiring_tokens <= 200


def test_examples_are_as_many_as_was_asked_for(model: LoadedModel, dictionary: Dictionary, tmp_path: Path):
    store = built(dictionary, model, tmp_path / "store", examples=ExampleOptions(2, 3, 1, 8), neighbours=2, logits=3)
    for row in store.features(0, WIDTH):
        groups = [pick["group"] for pick in row.examples]
        assert groups.count(0) <= 2
        assert max(groups, default=0) <= 3
        assert len(row.histogram) == 8
        assert len(row.similar) == 2
        assert len(row.promotes) == len(row.suppresses) == 3


def test_mixed_contexts_have_their_own_documents(model: LoadedModel, dictionary: Dictionary, tmp_path: Path):
    mixed = MixedContexts(contexts(model), 300)
    store = build_features(dictionary, model, mixed, tmp_path / "store", tokens=10**6)
    tokens = frame(store.folder, "tokens")
    found = sorted(zip(tokens.document, tokens.id, strict=True))
    in_order = torch.cat(list(contexts(model))).tolist()
    assert found == sorted(zip(documents_of(model), in_order, strict=True))


def test_as_many_tokens_are_read_as_were_asked_for(model: LoadedModel, dictionary: Dictionary, tmp_path: Path):
    store = build_features(dictionary, model, contexts(model), tmp_path / "store", tokens=2 * LENGTH + 1)
    assert store.index.contexts == 3
    assert store.index.tokens == len(frame(store.folder, "tokens")) == 3 * LENGTH


def test_a_dictionary_that_never_fires_has_a_store_too(model: LoadedModel, tmp_path: Path):
    store = built(sparse(autoencoder(), 1e6), model, tmp_path / "store")
    assert store.index.activations == len(frame(store.folder, "activations")) == 0
    for i in (0, WIDTH - 1):
        assert len(store.activations(i).tokens) == 0
        assert store.feature(i).examples == []
    assert len(store.activations_between(0, WIDTH)) == 0


def test_the_index_says_what_was_read(store: FeatureStore, dictionary: Dictionary, model: LoadedModel):
    index = store.index
    assert index.text == "some documents"
    assert index.model == model.name
    assert index.dictionary["activation"] == "relu"
    assert index.dictionary["spec"]["reads"] == ["resid_post.0"]
    assert index.width == len(store) == dictionary.spec.width


@pytest.mark.parametrize("where", ["reading", "sorting", "describing"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_build_that_was_interrupted_leaves_nothing(
    model: LoadedModel, dictionary: Dictionary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, error: Any
):
    name = {"reading": "active_blocks", "sorting": "summarise", "describing": "describe"}[where]
    calls = 0

    def stop(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > (where != "describing"):
            raise error
        return real(*arguments, **options)

    real = getattr(module, name)
    monkeypatch.setattr(module, name, stop)
    with pytest.raises(error):
        built(dictionary, model, tmp_path / "store", context_batch=2)
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_replaced_by_one_that_is_whole(model: LoadedModel, dictionary: Dictionary, tmp_path: Path):
    out = tmp_path / "store"
    build_features(dictionary, model, contexts(model), out, tokens=LENGTH)
    build_features(dictionary, model, contexts(model), out, tokens=2 * LENGTH, replace=True)
    assert FeatureStore(out).index.contexts == 2
    assert list(tmp_path.iterdir()) == [out]


def test_what_cannot_be_built_is_refused(model: LoadedModel, dictionary: Dictionary, tmp_path: Path):
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="exists; expected a folder that does not"):
        built(dictionary, model, tmp_path / "there")
    with pytest.raises(InputError, match="names no hook point"):
        built(random_weights(Spec(D, D, 4)), model, tmp_path / "store")
    short = Contexts(model.tokenizer, ["a"], LENGTH)
    with pytest.raises(InputError, match="less than one context"):
        build_features(dictionary, model, short, tmp_path / "store", tokens=100)
    with pytest.raises(InputError, match="0 tokens"):
        build_features(dictionary, model, contexts(model), tmp_path / "store", tokens=0)
    with pytest.raises(InputError, match=f"size {D}"):
        built(random_weights(Spec(D + 1, D + 1, 4, ("resid_post.0",), ("resid_post.0",))), model, tmp_path / "store")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
