"""Bad input: status 2, one line that says what is wrong, and nothing written."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from monosema.recipes import recipes
from tests.cli.conftest import Command
from tests.runs.tiny_run import document, options, save_model

Refusal = Callable[..., str]


@pytest.fixture
def refusal(monosema: Command, tmp_path: Path) -> Refusal:
    """The line that refuses a run, which has written nothing."""

    def refuse(*arguments: object, **typed: object) -> str:
        out = tmp_path / "out"
        line = monosema("train", *arguments, *options(out=out, **typed)).refused()
        assert not out.exists()
        return line

    return refuse


@pytest.fixture
def with_model(refusal: Refusal, model: Path, corpus: Path) -> Refusal:
    return lambda **typed: refusal(**({"model": model, "text": corpus, "site": "resid_post.0"} | typed))


@pytest.fixture
def with_vectors(refusal: Refusal, vectors: Path) -> Refusal:
    return lambda **typed: refusal(**({"activations": vectors, "site": "activations"} | typed))


def broken_model(model: Path, folder: Path) -> Path:
    """A copy of a model with a weight in its last layer that is not a number."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, folder)
    weights = load_file(folder / "model.safetensors")
    weights["gpt_neox.layers.1.mlp.dense_4h_to_h.weight"][0, 0] = torch.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("site", "offered"),
    [("resid_pots.0", "resid_post.0"), ("gpt_neox.layers.0.mpl", "gpt_neox.layers.0.mlp"), ("resid_post.9", "0 to 1")],
)
def test_an_unknown_hook_point_is_refused_with_the_nearest(with_model: Refusal, site: str, offered: str):
    line = with_model(site=site)
    assert repr(site) in line
    assert offered in line


def test_an_unknown_hook_point_to_predict_is_refused(with_model: Refusal):
    assert "mlp_out.1" in with_model(target="mlp_uot.1")


def test_a_model_that_is_not_there_is_refused(with_model: Refusal, tmp_path: Path):
    assert "no folder" in with_model(model=tmp_path / "absent")
    line = with_model(model="nobody/nothing")
    assert "nobody/nothing" in line
    assert "local folder" in line


def test_a_text_that_is_not_there_is_refused(with_model: Refusal, tmp_path: Path):
    assert f"no text at {tmp_path / 'absent.txt'}" in with_model(text=tmp_path / "absent.txt")
    assert f"no text at {tmp_path / 'absent.txt'}" in with_model(heldout=tmp_path / "absent.txt")


def test_an_empty_corpus_is_refused(with_model: Refusal, tmp_path: Path):
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "blank.jsonl").write_text(json.dumps({"text": ""}) + "\n")
    (tmp_path / "folder").mkdir()
    assert "empty" in with_model(text=tmp_path / "empty.jsonl")
    assert "blank.jsonl" in with_model(text=tmp_path / "blank.jsonl")
    assert "no text in the folder" in with_model(text=tmp_path / "folder")


def test_fewer_tokens_than_one_batch_are_refused(
    with_model: Refusal, with_vectors: Refusal, corpus: Path, tmp_path: Path
):
    (tmp_path / "short.jsonl").write_text("".join(json.dumps({"text": document(i)}) + "\n" for i in range(3)))
    assert "at least one batch of 512" in with_model(
        text=tmp_path / "short.jsonl", heldout=corpus, batch_size=512, buffer=1024
    )
    assert "a batch of 512 rows from 380 rows" in with_vectors(batch_size=512)
    assert "tokens for at least one batch" in with_vectors(tokens=63)


def test_activations_in_a_file_that_are_not_finite_are_refused(with_vectors: Refusal, tmp_path: Path):
    rows = np.random.default_rng(0).normal(size=(400, 8)).astype("float32")
    for row, value in ((160, np.nan), (161, np.inf)):
        rows[row, 3] = value
        np.save(tmp_path / "bad.npy", rows)
        assert f"row {row} " in with_vectors(activations=tmp_path / "bad.npy")
        rows[row, 3] = 0


def test_a_model_that_yields_nan_is_refused_with_the_place(with_model: Refusal, model: Path, tmp_path: Path):
    line = with_model(model=broken_model(model, tmp_path / "broken"), site="resid_post.1")
    assert "NaN or infinite activations at 'resid_post.1'" in line
    assert "position" in line


@pytest.mark.parametrize("recipe", ["topk", "batch_topk"])
def test_more_active_features_than_there_are_features_are_refused(with_vectors: Refusal, recipe: str):
    line = with_vectors(recipe=recipe, k=33)
    assert "k = 33" in line
    assert "32" in line


def test_an_unknown_recipe_is_refused(with_vectors: Refusal):
    line = with_vectors(recipe="jumprleu")
    assert "did you mean jumprelu" in line
    assert f"one of {', '.join(sorted(recipes))}" in line


def test_an_option_of_another_recipe_is_refused(with_vectors: Refusal):
    line = with_vectors(recipe="jumprelu", k=4)
    assert "--k with recipe jumprelu" in line
    assert "target_l0" in line
    assert "what takes --k: --recipe batch_topk, hierarchical_topk, matryoshka, topk" in line


def test_options_that_no_recipe_has_all_of_are_refused_without_advice(with_vectors: Refusal):
    assert with_vectors(k=4, step_kernel="gaussian", decoder_norm=1).count("--recipe") == 0


def test_a_hyper_parameter_that_none_of_several_recipes_has_is_refused(refusal: Refusal, vectors: Path):
    typed = ("--activations", vectors, "--site", "activations", "--recipe", "topk", "jumprelu")
    assert "--decoder-norm with recipe topk, jumprelu" in refusal("--decoder-norm", 0.5, *typed)


def test_an_option_without_its_values_is_refused(refusal: Refusal, vectors: Path):
    typed = ("--activations", vectors, "--site", "activations")
    assert "--k without a value" in refusal("--k", *typed)
    assert "--site without a value" in refusal(*typed[:2], "--site")


def test_a_value_that_is_there_twice_is_refused(refusal: Refusal, vectors: Path):
    typed = ("--activations", vectors, "--site", "activations")
    assert "recipe.k holds 4 twice" in refusal("--k", 4, 8, 4, *typed)


def test_a_value_that_only_another_recipe_takes_is_refused(
    refusal: Refusal, vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    @dataclass(frozen=True)
    class Odd(recipes["topk"]):
        grad_clip: float | Literal["auto"] = "auto"  # pyright: ignore[reportIncompatibleVariableOverride]
        """Another type than everyone's."""

    monkeypatch.setitem(recipes._things, "odd", Odd)
    line = refusal("--grad-clip", "auto", activations=vectors, site="activations")
    assert "recipe.grad_clip is 'auto'; expected a number" in line


def test_a_hyper_parameter_out_of_range_is_refused(with_vectors: Refusal):
    assert "lr = -1.0 for recipe topk" in with_vectors(recipe="topk", lr=-1)


def test_a_run_without_a_site_is_refused(refusal: Refusal, vectors: Path):
    assert "--site" in refusal(activations=vectors)


def test_a_site_that_the_file_does_not_have_is_refused(with_vectors: Refusal, tmp_path: Path):
    save_file({"resid_post.1": torch.randn(100, 6)}, tmp_path / "named.safetensors")
    line = with_vectors(activations=tmp_path / "named.safetensors", site="resid_post.0")
    assert "site 'resid_post.0'" in line
    assert "named.safetensors: resid_post.1" in line


def test_width_and_expansion_at_once_are_refused(with_vectors: Refusal):
    assert "one of the two" in with_vectors(expansion=2)


def test_options_of_a_dictionary_beside_a_yaml_file_are_refused(monosema: Command, finished: Path, tmp_path: Path):
    typed = ("train", "--config", finished / "config.yaml", "--out", tmp_path / "out")
    line = monosema(*typed, "--k", "3", "--site=embed").refused()
    assert "--config together with --k --site" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dictionaries: [{site: a, widht: 3, recipe: {name: topk}}]", "unknown key dictionaries[0].widht"),
        ("tokesn: 3\ndictionaries: []", "did you mean tokens"),
        ("dictionaries: [{site: a, recipe: {name: topk, kk: 3}}]", "unknown key dictionaries[0].recipe.kk"),
        ("dictionaries: [{site: a, recipe: {name: tpok}}]", "did you mean topk"),
        ("dictionaries: [{site: a, recipe: {name: topk, k: []}}]", "dictionaries[0]: recipe.k is an empty list"),
        ("dictionaries: [{site: a, recipe: {name: topk, k: [2, x]}}]", "dictionaries[0].recipe.k is 'x'"),
        ("dictionaries: []", "at least one"),
        ("dictionaries: [", "line 2"),
    ],
)
def test_a_yaml_file_that_makes_no_sense_is_refused(monosema: Command, tmp_path: Path, text: str, says: str):
    (tmp_path / "run.yaml").write_text(text + "\n")
    line = monosema("train", "--config", tmp_path / "run.yaml", "--out", tmp_path / "out").refused()
    assert "run.yaml" in line
    assert says in line
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_folder_that_holds_a_run_or_something_else_is_refused_and_stays(
    monosema: Command, vectors: Path, tmp_path: Path
):
    typed = options(activations=vectors, site="activations", tokens=64, out=tmp_path / "out")
    assert monosema("train", *typed).status == 0
    before = (tmp_path / "out" / "config.yaml").stat().st_mtime_ns
    assert "--overwrite" in monosema("train", *typed).refused()
    assert (tmp_path / "out" / "config.yaml").stat().st_mtime_ns == before
    assert monosema("train", *typed, "--overwrite").status == 0
    (tmp_path / "out" / "config.yaml").unlink()
    assert "is not a run's folder" in monosema("train", *typed, "--overwrite").refused()
    assert (tmp_path / "out" / "metrics.json").is_file()
    (tmp_path / "file").write_text("mine")
    typed[typed.index(str(tmp_path / "out"))] = str(tmp_path / "file")
    assert "is not a run's folder" in monosema("train", *typed, "--overwrite").refused()
    assert (tmp_path / "file").read_text() == "mine"


def test_weights_that_are_corrupt_or_cut_short_are_refused(monosema: Command, finished: Path, tmp_path: Path):
    for name, spoil in {"cut": lambda data: data[:-100], "corrupt": lambda data: b"\xff" * len(data)}.items():
        shutil.copytree(finished, tmp_path / name)
        weights = tmp_path / name / "dictionaries" / "only" / "dictionary.safetensors"
        weights.write_bytes(spoil(weights.read_bytes()))
        line = monosema("evaluate", tmp_path / name).refused()
        assert str(weights) in line
        assert "corrupt or truncated" in line


def test_a_dictionary_that_does_not_fit_the_model_is_refused(monosema: Command, finished: Path, tmp_path: Path):
    other = save_model(tmp_path / "other", d=24)
    line = monosema("evaluate", finished, "--model", other, "--device", "cpu").refused()
    assert "activations of size 16 at 'resid_post.0'" in line
    assert "expected size 24" in line


@pytest.mark.parametrize("folder", ["absent", "."])
def test_a_folder_without_a_dictionary_is_refused(monosema: Command, tmp_path: Path, folder: str):
    assert "no dictionary" in monosema("evaluate", tmp_path / folder).refused()


def test_activations_that_do_not_fit_the_dictionary_are_refused(monosema: Command, vectors: Path, tmp_path: Path):
    typed = options(activations=vectors, site="activations", tokens=64, out=tmp_path / "out")
    assert monosema("train", *typed).status == 0
    np.save(tmp_path / "narrow.npy", np.ones((50, 3), "float32"))
    line = monosema("evaluate", tmp_path / "out", "--activations", tmp_path / "narrow.npy").refused()
    assert "[rows, 8]" in line
