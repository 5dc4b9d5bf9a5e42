"""Feature stores and pages of a run's dictionaries."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from monosema import load
from monosema.errors import InputError
from monosema.features import FeatureStore, feature_text
from monosema.models import load_model, read
from monosema.runs.feature_page import ensure_store, parse_features, provider_of, spread, write_folder_page
from monosema.runs.features import (
    build_folder,
    export_folder,
    feature_values,
    open_features,
    open_store,
    store_places,
)

SMALL: dict[str, Any] = {"tokens": 800, "device": "cpu"}


@pytest.fixture(scope="module")
def built(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run with a store of each dictionary."""
    folder = tmp_path_factory.mktemp("built") / "run"
    shutil.copytree(finished, folder)
    build_folder(folder, **SMALL)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "dictionaries").iterdir())


def test_each_dictionary_of_a_run_gets_its_store(built: Path, model: Path, corpus: Path):
    for one in open_features(built, device="cpu"):
        assert one.store.folder == built / "dictionaries" / one.name / "features"
        index = one.store.index
        assert index.dictionary["name"] == one.name
        assert index.text == str(corpus)
        assert index.context == 32
        assert index.tokens == 800
        assert index.model == load_model(str(model), device="cpu").name
        ids = np.concatenate(list(one.store.ids())).reshape(-1, 32)
        point = one.dictionary.spec.reads[0]
        x = torch.cat([read(one.model, torch.from_numpy(row[None]).long(), [point])[point][0] for row in ids])
        with torch.no_grad():
            codes = one.dictionary.encode(x)
        codes[torch.isin(torch.from_numpy(ids.flatten()), torch.tensor(sorted(one.model.special_ids)))] = 0
        for feature in range(0, len(one.store), 7):
            found = one.store.activations(feature)
            expected = codes[:, feature].numpy()
            assert (np.abs(found.on(0, len(expected)) - expected) <= 1e-4 * (1 + np.abs(expected))).all()


def test_a_dictionarys_own_folder_gets_its_store(finished: Path, tmp_path: Path):
    folder = tmp_path / "alone"
    shutil.copytree(finished / "dictionaries" / "jump", folder)
    (one,) = build_folder(folder, **SMALL)
    assert one.store.folder == folder / "features"
    assert open_store(folder).index == one.store.index
    # The store beside its files does not keep the dictionary from being loaded.
    assert load(folder).spec == one.dictionary.spec


def test_other_texts_places_and_numbers(finished: Path, tmp_path: Path):
    text = tmp_path / "text.txt"
    text.write_text("a little text of another kind. " * 40, encoding="utf-8")
    found = build_folder(
        finished, out=tmp_path / "stores", text=str(text), context=16, strongest=2, each=1, tokens=160, device="cpu"
    )
    assert {one.name: one.store.folder for one in found} == {n: tmp_path / "stores" / n for n in names(finished)}
    for one in found:
        assert one.store.index.text == str(text)
        assert one.store.index.context == 16
        assert one.store.index.tokens == 160
        groups = [pick["group"] for pick in one.store.feature(0).examples]
        assert groups.count(0) <= 2
        assert all(groups.count(number) <= 1 for number in range(1, 6))
    assert not list(finished.rglob("features"))
    again = build_folder(finished / "dictionaries" / "jump", out=tmp_path / "one", tokens=64, device="cpu")
    assert again[0].store.folder == tmp_path / "one"


def test_what_is_there_is_replaced_only_if_asked(built: Path, tmp_path: Path):
    folder = tmp_path / "run"
    shutil.copytree(built, folder)
    store = folder / "dictionaries" / "jump" / "features"
    before = (store / "index.json").read_bytes()
    with pytest.raises(InputError, match=r"is there already; --overwrite replaces it"):
        build_folder(folder, **SMALL)
    assert (store / "index.json").read_bytes() == before
    build_folder(folder, **{**SMALL, "tokens": 64}, overwrite=True)
    assert {one.store.index.tokens for one in open_features(folder, device="cpu")} == {64}


def test_a_folder_of_something_else_is_not_replaced(finished: Path, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(InputError, match="is no feature store"):
        build_folder(finished / "dictionaries" / "jump", out=tmp_path / "mine", overwrite=True, **SMALL)
    assert (tmp_path / "mine" / "thesis.txt").is_file()


def test_an_interrupted_replacement_keeps_what_was_there(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "jump"
    shutil.copytree(built / "dictionaries" / "jump", folder)
    before = sorted(path.name for path in folder.iterdir())

    def stop(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("monosema.features.build.describe", stop)
    with pytest.raises(KeyboardInterrupt):
        build_folder(folder, overwrite=True, **SMALL)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert FeatureStore(folder / "features").index.tokens == 800


@pytest.mark.parametrize(
    ("options", "message"),
    [({"tokens": 0}, "0 tokens"), ({"strongest": -1}, "strongest = -1"), ({"each": -2}, "each = -2")],
)
def test_impossible_numbers_are_refused(finished: Path, tmp_path: Path, options: dict, message: str):
    with pytest.raises(InputError, match=message):
        build_folder(finished, out=tmp_path / "stores", **{**SMALL, **options})
    assert not (tmp_path / "stores").exists()


@pytest.mark.parametrize("ask", [build_folder, open_features, open_store, lambda what: ensure_store(what, print)])
def test_an_address_without_a_place_for_its_store_is_refused_before_it_is_downloaded(ask: Callable[[str], object]):
    with pytest.raises(InputError, match=r"address hf://owner/name, .*expected --out, a folder"):
        ask("hf://owner/name")
    assert store_places("hf://owner/name", ["n"], Path("here")) == {"n": Path("here")}


def test_a_store_that_is_missing_is_said_to_be(finished: Path):
    with pytest.raises(InputError, match=r"no feature store in .*monosema features"):
        open_store(finished)
    with pytest.raises(InputError, match="no feature store"):
        open_features(finished, device="cpu")


def test_the_store_of_a_name_is_opened_or_the_first(built: Path):
    assert open_store(built).index.dictionary["name"] == names(built)[0]
    assert open_store(built, "transcoder").index.dictionary["name"] == "transcoder"
    with pytest.raises(InputError, match=r"dictionary 'nobody'; expected one of .*transcoder"):
        open_store(built, "nobody")


def test_values_and_text_of_a_feature(built: Path):
    store = open_store(built, "jump")
    feature = int(store.column("activations").argmax())
    values, row = feature_values(store, feature), store.feature(feature)
    json.dumps(values, allow_nan=False)
    assert values["activations"] == row.activations
    assert len(values["examples"]) == len(row.examples)
    for pick, example in zip(row.examples, values["examples"], strict=True):
        assert example["context"] == pick["token"] // 32
        assert store.place(pick["token"], 0, 0).texts[0] in example["text"]
    lines = feature_text(store, feature, examples=3).splitlines()
    assert f"feature {feature}: " in lines[0]
    assert f"{row.activations:,}" in lines[0]
    shown = [line for line in lines if "«" in line]
    assert len(shown) == 3
    assert float(shown[0].split()[0]) == pytest.approx(row.high, abs=6e-3)
    token = row.examples[0]["token"]
    alone = feature_text(store, feature, examples=1, window=(0, 0)).splitlines()[-1]
    assert alone.split("«")[1] == store.place(token, 0, 0).texts[0].replace("\n", "⏎") + "»"


def test_a_store_is_exported_by_name(built: Path, tmp_path: Path):
    assert export_folder(built, "delphi", tmp_path / "cache", name="jump") == tmp_path / "cache"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["resid_post.1"]
    (tmp_path / "empty").mkdir()
    export_folder(built, "neuronpedia", tmp_path / "empty")
    assert (tmp_path / "empty" / "batch-0.json").is_file()
    with pytest.raises(InputError, match="already holds something"):
        export_folder(built, "delphi", tmp_path / "cache")
    with pytest.raises(InputError, match="unknown form of a feature store 'nothing'"):
        export_folder(built, "nothing", tmp_path / "other")


def test_a_page_shows_live_features_of_all_densities(built: Path, tmp_path: Path):
    page = write_folder_page(built, name="jump", device="cpu")
    assert page == built / "dictionaries" / "jump" / "features.html"
    provider = provider_of(built, "jump", device="cpu")
    density = provider.store.column("density")
    for n in (1, 5, 1000):
        chosen = spread(provider, n)
        assert chosen == sorted(set(chosen))
        assert len(chosen) == min(n, int((density > 0).sum()))
        assert all(density[chosen] > 0)
    few = density[spread(provider, 5)]
    live = np.sort(density[density > 0])
    assert few.min() <= live[len(live) // 4]
    assert few.max() >= live[-len(live) // 4]
    assert write_folder_page(built, "0-2,7", page=tmp_path / "p.html", device="cpu") == tmp_path / "p.html"
    with pytest.raises(InputError, match="dictionary 'nobody'"):
        write_folder_page(built, name="nobody", device="cpu")


def test_dictionaries_of_one_size_are_compared(built: Path):
    provider = provider_of(built, "jump", device="cpu")
    assert list(provider.others) == [name for name in names(built) if name != "jump"]
    assert len(provider.compare("transcoder")["pairs"]) > 0


def test_only_missing_stores_are_made(built: Path, tmp_path: Path):
    folder, said = tmp_path / "run", []
    shutil.copytree(built, folder)
    ensure_store(folder, said.append, **SMALL)
    assert said == []
    shutil.rmtree(folder / "dictionaries" / "jump" / "features")
    kept = (folder / "dictionaries" / "transcoder" / "features" / "index.json").stat().st_mtime_ns
    ensure_store(folder, said.append, **SMALL)
    assert len(said) == 1
    assert "jump" in said[0]
    assert "transcoder" not in said[0]
    assert open_store(folder, "jump").index.tokens == 800
    assert (folder / "dictionaries" / "transcoder" / "features" / "index.json").stat().st_mtime_ns == kept


def test_a_page_needs_the_store_of_its_own_dictionary_alone(finished: Path, tmp_path: Path):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    with pytest.raises(InputError, match="dictionary 'nobody'; expected one of"):
        ensure_store(folder, print, name="nobody", alone=True, **SMALL)
    ensure_store(folder, print, name="transcoder", alone=True, **SMALL)
    assert [path.parent.name for path in folder.rglob("features")] == ["transcoder"]
    page = write_folder_page(folder, "0-3", name="transcoder", device="cpu")
    assert page == folder / "dictionaries" / "transcoder" / "features.html"
    assert "transcoder" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3", [3]), ("0-3,7", [0, 1, 2, 3, 7]), (" 7, 2-2 ,7", [7, 2]), ("9-9,0", [9, 0])],
)
def test_lists_of_features(text: str, expected: list[int]):
    assert parse_features(text, 10) == expected


@pytest.mark.parametrize("text", ["", "a", "3-", "-3", "1,,2", "10", "3-10", "4-2", "1.5"])
def test_lists_that_name_no_features_are_refused(text: str):
    with pytest.raises(InputError, match="features"):
        parse_features(text, 10)
