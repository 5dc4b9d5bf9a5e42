"""A configuration means the same as Python, as YAML, and with every choice made."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monosema.config import dump_yaml, load_yaml
from monosema.errors import InputError
from monosema.recipes import recipes
from monosema.runs.config import DictionaryConfig, RunConfig
from monosema.runs.resolve import resolve, spec_of
from tests.runs.tiny_run import recipe, small_run

WIDTHS = {"resid_post.0": 16, "mlp_out.1": 24, "layers.1.mlp:in": 8}


def dictionary(protocol: str = "topk", site: str = "resid_post.0", **options: Any) -> DictionaryConfig:
    return DictionaryConfig(recipe(protocol), site=site, **options)


def resolved(*dictionaries: DictionaryConfig, **changes: Any) -> RunConfig:
    return resolve(small_run(*dictionaries, **changes), WIDTHS, "float32")


def test_a_run_of_every_recipe_comes_back_from_its_yaml(tmp_path: Path):
    config = small_run(*(dictionary(name, name=f"a {name}") for name in recipes), heldout="x.txt", seed=3)
    dump_yaml(config, tmp_path / "run.yaml")
    assert load_yaml(RunConfig, tmp_path / "run.yaml") == config
    dump_yaml(resolve(config, WIDTHS, "float32"), tmp_path / "resolved.yaml")
    assert load_yaml(RunConfig, tmp_path / "resolved.yaml") == resolve(config, WIDTHS, "float32")


def test_resolving_again_changes_nothing():
    config = resolved(dictionary(), dictionary("jumprelu", expansion=1.5), device="auto")
    assert resolve(config, WIDTHS, "float32") == config


def test_nothing_is_left_to_choose():
    config = resolved(dictionary(), device="auto")
    (only,) = config.dictionaries
    assert "auto" not in (config.device, config.precision, config.dtype)
    assert only.width
    assert only.name


@pytest.mark.parametrize(
    ("options", "width"), [({}, 16 * 16), ({"width": 7}, 7), ({"expansion": 2.5}, 40), ({"expansion": 0.01}, 1)]
)
def test_the_width_is_given_or_a_multiple_of_the_site(options: dict[str, Any], width: int):
    (only,) = resolved(dictionary(**options)).dictionaries
    assert only.width == width
    assert spec_of(only, WIDTHS).width == width


def test_unnamed_dictionaries_get_names_that_are_folders_and_differ():
    taken = dictionary(name="topk-resid_post.0")
    config = resolved(taken, dictionary(), dictionary(), dictionary("jumprelu", "layers.1.mlp:in"))
    names = [str(d.name) for d in config.dictionaries]
    assert names[0] == "topk-resid_post.0"
    assert len(set(names)) == 4
    assert not any(set(name) & set("/:\\") for name in names)


def test_a_dictionary_with_a_target_is_a_transcoder_of_both_sizes():
    spec = spec_of(resolved(dictionary(target="mlp_out.1", skip=True)).dictionaries[0], WIDTHS)
    assert (spec.wiring, spec.d_in, spec.d_out, spec.skip) == ("transcoder", 16, 24, True)
    assert (spec.reads, spec.writes) == (("resid_post.0",), ("mlp_out.1",))
    itself = spec_of(resolved(dictionary(target="resid_post.0")).dictionaries[0], WIDTHS)
    assert itself.wiring == "autoencoder"


def test_points_are_what_is_read_and_written_once_each():
    config = small_run(dictionary(), dictionary(target="mlp_out.1"), dictionary("jumprelu", "mlp_out.1"))
    assert config.points == ("resid_post.0", "mlp_out.1")


def test_steps_are_whole_batches():
    assert small_run(tokens=1000, batch_size=64).steps == 15
    assert small_run(tokens=64, batch_size=64).steps == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": 63, "batch_size": 64}, "63 tokens in batches of 64"),
        ({"tokens": 0}, "tokens = 0; expected at least 1"),
        ({"context": 1}, "context = 1; expected at least 2"),
        ({"evaluate_every": 0}, "evaluate_every = 0; expected at least 1"),
        ({"log_every": -1}, "log_every = -1"),
        ({"dictionaries": ()}, "without dictionaries"),
        ({"dictionaries": (dictionary(name="a"), dictionary(name="a"))}, "a different name for each"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(changes: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        replace(small_run(), **changes)


@pytest.mark.parametrize(
    "options", [{"width": 0}, {"expansion": -1.0}, {"width": 4, "expansion": 2.0}, {"name": "../up"}, {"name": ""}]
)
def test_a_dictionary_that_makes_no_sense_is_refused(options: dict[str, Any]):
    with pytest.raises(InputError):
        dictionary(**options)
