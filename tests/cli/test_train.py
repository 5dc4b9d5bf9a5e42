"""`monosema train` and `demo`: what is typed reaches the run."""

import json
import re
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import fields, replace
from io import StringIO
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from monosema.activations import Keep
from monosema.cli.arguments import DEFAULT_RECIPE, changed, field_docs
from monosema.cli.main import main
from monosema.config import load_yaml
from monosema.formats import load
from monosema.recipes import recipes
from monosema.runs import DictionaryConfig, RunConfig
from monosema.runs.demo import demo_config
from monosema.runs.parallel import Parallel
from tests.cli.conftest import Command
from tests.runs.tiny_run import options, recipe, small_run


def written(folder: Path) -> RunConfig:
    return load_yaml(RunConfig, folder / "config.yaml")


def squeezed(text: str) -> str:
    """Without the spaces, lines and boxes of a help text."""
    return re.sub(r"[\s│╭╮╰╯─]", "", text)


def documented() -> Iterable[type]:
    return (RunConfig, DictionaryConfig, Keep, *recipes.values())


@pytest.mark.parametrize("cls", documented(), ids=lambda cls: cls.__name__)
def test_every_field_has_a_docstring(cls: type):
    docs = field_docs(cls)
    assert all(docs[f.name] for f in fields(cls))


@pytest.fixture(scope="module")
def train_help() -> str:
    """What `monosema train --help` prints."""
    with redirect_stdout(StringIO()) as out, pytest.raises(SystemExit) as ended:
        main(["train", "--help"])
    assert ended.value.code == 0
    return out.getvalue()


def test_every_field_of_a_run_is_in_the_help_with_its_docstring(train_help: str):
    shown = squeezed(train_help)
    for cls in (RunConfig, DictionaryConfig):
        for f in fields(cls):
            if f.name not in ("dictionaries", "recipe", "keep"):
                assert squeezed(f"--{f.name.replace('_', '-')}") in shown
                assert squeezed(field_docs(cls)[f.name]) in shown
    for f in fields(Keep):
        assert f"--keep.{f.name.replace('_', '-')}" in shown
        assert squeezed(field_docs(Keep)[f.name]) in shown


@pytest.mark.parametrize("name", recipes)
def test_every_hyper_parameter_is_in_the_help_with_each_recipes_default(train_help: str, name: str):
    shown = re.sub(r"[│╭╮╰╯─\s]+", " ", train_help).split("recipe options")[1]
    for f in fields(recipes[name]):
        option = shown.split(f"--{f.name.replace('_', '-')} ")[1].split(" --")[0]
        about, _, defaults = option.rpartition(" (")
        by_recipe = {
            owner: default
            for group in defaults.split("; ")
            for owners, _, default in [group.rstrip(") ").partition(": ")]
            for owner in owners.split(", ")
        }
        default = " ".join(map(str, f.default)) or "none" if isinstance(f.default, tuple) else str(f.default)
        assert by_recipe.get(name, by_recipe.get("default")) == default
        assert any(field_docs(r)[f.name].split(".")[0] in about for r in recipes.values() if f.name in field_docs(r))


def test_no_option_means_two_things():
    of_run = {f.name for cls in (RunConfig, DictionaryConfig) for f in fields(cls)} | {"config", "out", "overwrite"}
    assert not of_run & {f.name for r in recipes.values() for f in fields(r)}
    assert not {f.name for f in fields(RunConfig)} & {f.name for f in fields(DictionaryConfig)}


def test_what_is_typed_is_what_runs(monosema: Command, vectors: Path, tmp_path: Path):
    typed = options(activations=vectors, site="activations", out=tmp_path / "out", tokens=128, seed=7)
    rest = ["--recipe", "jumprelu", "--target-l0", "20", "--betas", "0.1", "0.9", "--keep.max-norm=None", "--name=j"]
    ended = monosema("train", *typed, *rest)
    assert ended.status == 0
    assert str(tmp_path / "out" / "report.html") in ended.out
    assert "Variance Explained" in ended.out
    config = written(tmp_path / "out")
    (only,) = config.dictionaries
    assert only.recipe == recipe("jumprelu", target_l0=20.0, betas=(0.1, 0.9), lr=only.recipe.lr)
    assert isinstance(only.recipe.lr, float)  # chosen, and written down
    assert (only.name, only.width, only.site, only.skip) == ("j", 32, "activations", False)
    assert (config.tokens, config.seed, config.keep) == (128, 7, Keep(max_norm=None))


def test_typing_none_is_not_the_same_as_typing_nothing(monosema: Command, vectors: Path, tmp_path: Path):
    typed = options(activations=vectors, site="activations", out=tmp_path / "out", tokens=64, recipe="jumprelu")
    assert monosema("train", *typed, "--lr", "1e-3", "--target-l0", "None").status == 0
    assert written(tmp_path / "out").dictionaries[0].recipe == recipe("jumprelu", target_l0=None, lr=1e-3)


def test_options_with_several_values_are_a_grid(monosema: Command, tmp_path: Path):
    torch.manual_seed(0)
    save_file({"a": torch.randn(300, 6), "b": torch.randn(300, 5)}, tmp_path / "x.safetensors")
    typed = options(activations=tmp_path / "x.safetensors", out=tmp_path / "out", tokens=64, batch_size=64)
    of_dictionary = ("--site", "a", "b", "--width", 8, "--recipe", "topk", "jumprelu")
    of_recipe = ("--k", 2, 4, "--target-l0", None, 3, "--lr", "1e-3", "--betas", 0.5, 0.9)
    assert monosema("train", *typed, *of_dictionary, *of_recipe).status == 0
    common = {"lr": 1e-3, "betas": (0.5, 0.9)}
    each = [recipe("topk", k=2, **common), recipe("topk", k=4, **common)]
    each += [recipe("jumprelu", target_l0=target, **common) for target in (None, 3.0)]
    config = written(tmp_path / "out")
    assert [(d.site, d.width, d.recipe) for d in config.dictionaries] == [(s, 8, r) for s in "ab" for r in each]
    names = ["topk-a-k2", "topk-a-k4", "jumprelu-a", "jumprelu-a-target_l0_3"]
    assert [d.name for d in config.dictionaries] == names + [name.replace("-a", "-b") for name in names]
    assert sorted(p.name for p in (tmp_path / "out" / "dictionaries").iterdir()) == sorted(
        str(d.name) for d in config.dictionaries
    )


def test_one_value_each_is_one_dictionary_of_the_name_that_was_typed(monosema: Command, vectors: Path, tmp_path: Path):
    typed = options(activations=vectors, site="activations", out=tmp_path / "out", tokens=64, name="mine", k=4)
    assert monosema("train", *typed, "--skip").status == 0
    (only,) = written(tmp_path / "out").dictionaries
    assert (only.name, only.skip) == ("mine", True)


def test_where_no_recipe_is_named_it_is_the_default_and_the_help_names_it(
    monosema: Command, vectors: Path, tmp_path: Path, train_help: str
):
    typed = options(activations=vectors, site="activations", out=tmp_path / "out", tokens=64)
    assert monosema("train", *typed, "--k", 8).status == 0
    (only,) = written(tmp_path / "out").dictionaries
    assert only.recipe == recipe(DEFAULT_RECIPE, k=8, lr=only.recipe.lr)
    assert squeezed(f"(default: {DEFAULT_RECIPE})") in squeezed(train_help)


def test_of_a_part_only_what_was_typed_is_changed():
    config = replace(small_run(), parallel=Parallel(feature=2), keep=Keep(first_position=3))
    typed = {"parallel": Parallel(spread=4), "keep": Keep(special_tokens=True), "seed": 5}
    found = changed(config, typed, {"parallel.spread", "keep.special_tokens"})
    assert found.parallel == Parallel(feature=2, spread=4)
    assert found.keep == Keep(first_position=3, special_tokens=True)
    assert found.seed == config.seed


def test_a_yaml_file_trains_many_dictionaries_and_options_change_its_run(monosema: Command, tmp_path: Path):
    torch.manual_seed(0)
    save_file({"a": torch.randn(300, 6), "b": torch.randn(300, 5)}, tmp_path / "x.safetensors")
    (tmp_path / "run.yaml").write_text(
        f"activations: {tmp_path / 'x.safetensors'}\n"
        "tokens: 1e3\nbatch_size: 50\ndevice: cpu\nlog_every: 2\n"
        "keep: {first_position: 2, max_norm: null}\n"
        "dictionaries:\n"
        "  - {site: a, width: [16, 24], recipe: {name: topk, k: 2}}\n"
        "  - {site: b, expansion: 3, name: of-b, recipe: {name: april_l1, decoder_norm: 0.5}}\n"
        "  - {site: a, target: b, width: 16, name: a-to-b, skip: true, recipe: {name: batch_topk, k: 2}}\n"
    )
    changes = ("--tokens", "100", "--seed=5", "--keep.special-tokens", "--out", tmp_path / "out")
    assert monosema("train", "--config", tmp_path / "run.yaml", *changes).status == 0
    config = written(tmp_path / "out")
    assert (config.tokens, config.seed, config.batch_size, config.log_every) == (100, 5, 50, 2)
    assert config.keep == Keep(first_position=2, max_norm=None, special_tokens=True)
    names = ["a-to-b", "of-b", "topk-a-width16", "topk-a-width24"]
    found = {name: load(tmp_path / "out" / "dictionaries" / name).spec for name in names}
    sizes = {name: (spec.d_in, spec.d_out, spec.width) for name, spec in found.items()}
    expected = [(6, 5, 16), (5, 5, 15), (6, 6, 16), (6, 6, 24)]
    assert sizes == dict(zip(names, expected, strict=True))
    assert [spec.wiring for spec in found.values()] == ["transcoder", *["autoencoder"] * 3]
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert sorted(figures["dictionaries"]) == names


def test_the_configuration_in_a_runs_folder_repeats_it(monosema: Command, finished: Path, tmp_path: Path):
    again = tmp_path / "again"
    assert monosema("train", "--config", finished / "config.yaml", "--out", again).status == 0
    for name in ("dictionaries/only/dictionary.safetensors", "config.yaml"):
        assert (again / name).read_bytes() == (finished / name).read_bytes()
    figures = [json.loads((folder / "metrics.json").read_text())["dictionaries"] for folder in (finished, again)]
    assert figures[0] == figures[1]


def test_training_on_a_model_shows_features_in_context(
    monosema: Command, model: Path, corpus: Path, finished: Path, tmp_path: Path
):
    typed = ("--config", finished / "config.yaml", "--tokens", "64", "--out", tmp_path / "out")
    shown = monosema("train", *typed).out
    assert len(re.findall(r"^feature \d+ ", shown, re.MULTILINE)) == 5
    assert "«" in shown


def test_the_demo_is_its_configuration_and_replaces_an_earlier_one(
    monosema: Command, vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    small = small_run(activations=str(vectors), tokens=64)
    monkeypatch.setattr("monosema.cli.demo.demo_config", lambda: small)
    monkeypatch.setattr("monosema.cli.demo.demo_page", lambda out: out)  # which needs a model
    out = tmp_path / "demo"
    assert [monosema("demo", "--out", out).status for _ in range(2)] == [0, 0]
    ran = written(out).dictionaries[0].recipe
    assert ran == replace(small.dictionaries[0].recipe, lr=ran.lr)
    assert "already holds a run" in monosema("demo", "--out", out, "--no-overwrite").refused()


def test_the_demo_trains_two_dictionaries_on_the_embedded_model():
    config = demo_config()
    assert [d.name for d in config.dictionaries] == ["topk", "batch_topk"]
    assert {(d.site, d.width, getattr(d.recipe, "k", None)) for d in config.dictionaries} == {
        ("resid_post.2", 4096, 32)
    }
    assert (config.model, config.text) == ("tiny", "tiny:train")


def test_training_that_diverges_says_so_and_fails(monosema: Command, vectors: Path, tmp_path: Path):
    typed = options(activations=vectors, site="activations", out=tmp_path / "out", recipe="april_l1", lr=1e38)
    ended = monosema("train", *typed)
    assert ended.status == 1
    assert re.fullmatch(r"monosema: loss .* is not finite: lower the learning rate .*\n", ended.err)
