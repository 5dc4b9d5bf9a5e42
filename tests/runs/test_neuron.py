"""A neuron of a run is taken apart on the text that the run held out."""

import json
from pathlib import Path
from typing import Any

import pytest

from monosema.errors import InputError
from monosema.runs import run
from monosema.runs.evaluate import evaluate_folder
from monosema.runs.neuron import as_json, neuron_of_folder, neuron_table
from tests.runs.tiny_run import save_model, small_run


@pytest.mark.parametrize(("point", "name"), [("resid_post.1", "jump"), ("mlp_out.1", "transcoder")])
def test_shares_of_a_runs_neuron_sum_to_what_is_explained(finished: Path, point: str, name: str):
    found = neuron_of_folder(finished, 3, point=point, device="cpu")
    assert list(found) == [name]
    parts = found[name]
    assert parts.shares.sum().item() == pytest.approx(parts.explained, abs=1e-9)
    assert parts.rows == evaluate_folder(finished, device="cpu")[name].tokens


def test_the_neurons_together_have_the_fve_of_the_dictionary(finished: Path):
    folder = finished / "dictionaries" / "jump"
    parts = [neuron_of_folder(folder, neuron, device="cpu")["jump"] for neuron in range(16)]
    total = sum(p.variance for p in parts)
    fve = sum((p.explained - p.offset) * p.variance for p in parts) / total
    assert fve == pytest.approx(evaluate_folder(folder, device="cpu")["jump"].fve, abs=1e-4)


def test_a_run_on_a_file_is_read_from_the_file(vectors: Path, tmp_path: Path):
    run(small_run(activations=str(vectors)), tmp_path / "run")
    (parts,) = neuron_of_folder(tmp_path / "run", 2, device="cpu").values()
    assert parts.rows == 400 // 20
    (everywhere,) = neuron_of_folder(tmp_path / "run", 2, activations=str(vectors), device="cpu").values()
    assert everywhere.rows == 400


def test_figures_and_table_show_the_same_features(finished: Path):
    parts = neuron_of_folder(finished, 3, point="resid_post.1", device="cpu")["jump"]
    figures: Any = json.loads(json.dumps(as_json(parts, 4)))
    table = neuron_table("jump", parts, 4)
    assert [row[0] for row in table.rows] == [f"feature {each['feature']}" for each in figures["features"]]
    shares = [each["share"] for each in figures["features"]]
    assert len(shares) == 4
    assert shares == sorted(shares, reverse=True)


def test_a_model_that_the_dictionary_does_not_fit_is_refused(finished: Path, tmp_path: Path):
    wider = save_model(tmp_path / "wider", d=24)
    with pytest.raises(InputError, match="expected size 24, as 'resid_post\\.1'"):
        neuron_of_folder(finished / "dictionaries" / "jump", 3, model=str(wider), device="cpu")


@pytest.mark.parametrize(
    ("neuron", "point", "message"),
    [(16, "resid_post.1", "it has 16"), (0, None, "no hook point"), (0, "mlp_in.1", "mlp_out.1, ")],
)
def test_what_is_not_there_is_refused(finished: Path, neuron: int, point: str | None, message: str):
    with pytest.raises(InputError, match=message):
        neuron_of_folder(finished, neuron, point=point, device="cpu")
