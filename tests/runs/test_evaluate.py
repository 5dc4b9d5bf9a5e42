"""Measuring what lies on disk gives the figures that the run gave."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monosema.dictionaries import Dictionary, Spec, TopK, save
from monosema.errors import InputError
from monosema.evaluation import Metrics
from monosema.runs import DictionaryConfig, run
from monosema.runs.evaluate import evaluate_folder
from tests.runs.tiny_run import recipe, small_run


def figures_of(folder: Path) -> dict[str, dict[str, Any]]:
    return json.loads((folder / "metrics.json").read_text())["dictionaries"]


def same(found: Metrics, figures: dict[str, Any]) -> None:
    numbers = {key: value for key, value in found.as_json().items() if isinstance(value, float)}
    assert numbers == pytest.approx({key: figures[key] for key in numbers}, rel=1e-6, abs=1e-6)
    assert {**figures, **numbers} == {**json.loads(json.dumps(found.as_json())), **numbers}


def test_a_runs_dictionaries_measure_as_they_did_at_its_end(finished: Path):
    found, figures = evaluate_folder(finished, device="cpu"), figures_of(finished)
    assert found.keys() == figures.keys()
    for name in figures:
        same(found[name], figures[name])


def test_one_dictionarys_folder_measures_as_it_did_in_the_run(finished: Path):
    ((name, found),) = evaluate_folder(finished / "dictionaries" / "transcoder", device="cpu").items()
    assert name == "transcoder"
    same(found, figures_of(finished)["transcoder"])


def test_a_run_on_a_file_measures_the_rows_that_it_held_out(vectors: Path, tmp_path: Path):
    run(small_run(activations=str(vectors)), tmp_path / "run")
    (found,) = evaluate_folder(tmp_path / "run", device="cpu").values()
    assert found.tokens == 400 // 20
    same(found, figures_of(tmp_path / "run")["topk-activations"])
    (everywhere,) = evaluate_folder(tmp_path / "run", activations=str(vectors), device="cpu").values()
    assert everywhere.tokens == 400


def test_held_out_data_that_the_run_named_is_measured_again(model: Path, corpus: Path, vectors: Path, tmp_path: Path):
    (tmp_path / "other.txt").write_text("something else entirely\n" * 60)
    np.save(tmp_path / "other.npy", np.random.default_rng(1).normal(size=(50, 8)))
    site = DictionaryConfig(recipe("topk", k=2), site="embed", width=16, name="d")
    text = small_run(site, model=str(model), text=str(corpus), heldout=str(tmp_path / "other.txt"))
    rows = small_run(activations=str(vectors), heldout=str(tmp_path / "other.npy"))
    for number, config in enumerate((text, rows)):
        folder = tmp_path / str(number)
        run(config, folder)
        (found,) = evaluate_folder(folder, device="cpu").values()
        (figures,) = figures_of(folder).values()
        same(found, figures)


def test_what_is_measured_on_can_be_chosen(finished: Path, tmp_path: Path):
    (tmp_path / "other.txt").write_text("something else entirely\n" * 60)
    folder = finished / "dictionaries" / "jump"
    (own,) = evaluate_folder(folder, device="cpu").values()
    (fewer,) = evaluate_folder(folder, tokens=64, device="cpu").values()
    (other,) = evaluate_folder(folder, text=str(tmp_path / "other.txt"), context=16, tokens=64, device="cpu").values()
    assert fewer.tokens + fewer.left_out_tokens == 64
    assert other.predicted_tokens == 64 // 16 * 15
    assert other.fve != own.fve


def test_any_precision_of_activations_is_measured(vectors: Path, tmp_path: Path):
    run(small_run(activations=str(vectors)), tmp_path / "run")
    np.save(tmp_path / "wide.npy", np.load(vectors).astype("float64"))
    one, other = (
        evaluate_folder(tmp_path / "run", activations=str(path), device="cpu")["topk-activations"]
        for path in (vectors, tmp_path / "wide.npy")
    )
    assert one == other


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": 0}, "0 tokens to measure on"),
        ({"activations": "absent.npy"}, "no file absent.npy"),
        ({"text": "absent.txt"}, "no text at absent.txt"),
        ({"model": "./absent"}, "no folder ./absent"),
    ],
)
def test_what_cannot_be_measured_on_is_refused(finished: Path, options: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        evaluate_folder(finished, device="cpu", **options)


def test_a_dictionary_without_an_origin_needs_to_be_told(tmp_path: Path):
    save(Dictionary(Spec.autoencoder("embed", 16, 8), TopK(8, 2)), tmp_path)
    with pytest.raises(InputError, match="--model and --text, or --activations"):
        evaluate_folder(tmp_path, device="cpu")


@pytest.mark.parametrize("folder", ["absent", "empty", "unfinished"])
def test_a_folder_without_dictionaries_is_refused(tmp_path: Path, folder: str):
    (tmp_path / "empty").mkdir()
    (tmp_path / "unfinished" / "dictionaries").mkdir(parents=True)
    with pytest.raises(InputError, match="no dictionary"):
        evaluate_folder(tmp_path / folder, device="cpu")
