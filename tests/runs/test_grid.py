"""A grid stands for every combination of what it lists."""

import math
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monosema.config import dump_yaml, from_dict, load_yaml, to_dict
from monosema.errors import InputError
from monosema.recipes import recipes
from monosema.runs import grid
from monosema.runs.config import DictionaryConfig, RunConfig
from monosema.runs.naming import folder_name, settings_of, suffixes
from monosema.runs.resolve import resolve
from tests.runs.tiny_run import recipe, small_run

WIDTHS = {"resid_post.0": 16, "mlp_out.1": 24, "a:in/b": 8}
Plain = dict[str, Any]


def one_or_several(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return values | st.lists(values, min_size=1, max_size=3, unique=True)


_entries = st.fixed_dictionaries(
    {
        "site": one_or_several(st.sampled_from(sorted(WIDTHS))),
        "recipe": st.fixed_dictionaries(
            {"name": st.just("topk")},
            optional={
                "k": one_or_several(st.integers(1, 64)),
                "lr": one_or_several(st.floats(1e-6, 1)),
                "bias_init": one_or_several(st.sampled_from(["mean", "geometric_median", "zero"])),
                "betas": st.sampled_from([[0.9, 0.99], [[0.9, 0.99], [0.0, 0.9]]]),
            },
        ),
    },
    optional={
        "width": one_or_several(st.integers(64, 128)),
        "skip": one_or_several(st.booleans()),
        "name": st.just("mine"),
    },
)


def run_of(*entries: object) -> RunConfig:
    return from_dict(RunConfig, {**to_dict(small_run()), "dictionaries": list(entries)}, "run.yaml")


def resolved(*entries: object) -> list[DictionaryConfig]:
    return list(resolve(run_of(*entries), WIDTHS, "float32").dictionaries)


def listed(entry: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What an entry asks for, setting by setting."""
    lists = {"betas"}
    return {
        key: value if isinstance(value, list) and (key not in lists or isinstance(value[0], list)) else [value]
        for key, value in settings_of(entry).items()
    }


@given(_entries)
def test_a_grid_is_every_combination_once(entry: Plain):
    points, asked = grid.dictionaries(entry), listed(entry)
    assert len(points) == math.prod(len(values) for values in asked.values())
    found = [settings_of(point) for point in points]
    assert len({repr(settings) for settings in found}) == len(points)
    for settings in found:
        assert settings.keys() == asked.keys()
        assert all(value in asked[key] for key, value in settings.items())


@given(_entries)
def test_combinations_come_in_the_order_of_their_lists_the_last_key_fastest(entry: Plain):
    asked = listed(entry)
    order = [key for key in entry if key not in ("recipe", "name")] + [key for key in entry["recipe"] if key != "name"]
    places = [
        [asked[key].index(settings[key]) for key in order] for settings in map(settings_of, grid.dictionaries(entry))
    ]
    assert places == sorted(places)


@given(_entries)
def test_what_a_grid_stands_for_lists_nothing(entry: Plain):
    for point in grid.dictionaries(entry):
        assert grid.dictionaries(point) == [point]


@given(_entries)
def test_a_grid_is_the_dictionaries_that_one_would_write_out(entry: Plain):
    assert run_of(entry) == run_of(*grid.dictionaries(entry))


@given(_entries)
def test_the_dictionaries_of_a_grid_get_names_that_are_folders_and_differ(entry: Plain):
    names = [str(d.name) for d in resolved(entry)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9._+-]*", name) for name in names)


@pytest.mark.parametrize("name", recipes)
def test_every_hyper_parameter_can_be_a_list(name: str):
    plain = to_dict(recipe(name))
    for f in fields(recipes[name]):
        grid_of_it = {"name": name, f.name: [plain[f.name]]}
        (only,) = run_of({"site": "a", "width": 64, "recipe": grid_of_it}).dictionaries
        assert only.recipe == recipe(name)
        (only,) = run_of({"site": "a", "width": 64, "recipe": plain}).dictionaries
        assert only.recipe == recipe(name), "a list that is one value is no grid"


def test_recipes_can_be_listed_by_name_and_each_takes_what_it_has():
    names = {"name": ["topk", "jumprelu"], "k": [4, 8], "target_l0": 5, "lr": [0.1, 0.2]}
    found = [d.recipe for d in run_of({"site": "a", "recipe": names}).dictionaries]
    assert found == [
        *(recipe("topk", k=k, lr=lr) for k in (4, 8) for lr in (0.1, 0.2)),
        *(recipe("jumprelu", target_l0=5.0, lr=lr) for lr in (0.1, 0.2)),
    ]


def test_whole_recipes_can_be_listed_and_be_grids_themselves():
    both = [{"name": "topk", "k": [4, 8]}, {"name": "jumprelu", "target_l0": 5}]
    found = run_of({"site": ["a", "b"], "recipe": both}).dictionaries
    assert [(d.site, d.recipe) for d in found] == [
        (site, r)
        for site in "ab"
        for r in (recipe("topk", k=4), recipe("topk", k=8), recipe("jumprelu", target_l0=5.0))
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"site": "a", "recipe": {"name": "topk", "k": []}}, "dictionaries[1]: recipe.k is an empty list"),
        ({"site": [], "recipe": {"name": "topk"}}, "dictionaries[1]: site is an empty list"),
        ({"site": "a", "recipe": []}, "dictionaries[1]: recipe is an empty list"),
        ({"site": "a", "recipe": {"name": []}}, "dictionaries[1]: recipe.name is an empty list"),
        (
            {"site": "a", "recipe": {"name": "topk", "k": [2, 3, 2]}},
            "recipe.k holds 2 twice; expected different values",
        ),
        ({"site": "a", "recipe": {"name": "topk", "k": [2, "x"]}}, "dictionaries[1].recipe.k is 'x'; expected a whole"),
        ({"site": "a", "recipe": {"name": "topk", "k": [2, [3]]}}, "dictionaries[1].recipe.k is [3]; expected a whole"),
        ({"site": "a", "recipe": {"name": "topk", "k": [2, 0]}}, "dictionaries[1].recipe: k = 0 for recipe topk"),
        ({"site": "a", "recipe": {"name": "topk", "kk": [2, 3]}}, "unknown key dictionaries[1].recipe.kk"),
        ({"site": "a", "recipe": {"name": ["topk", "batch_topk"], "kk": 3}}, "unknown key dictionaries[1].recipe.kk"),
        (
            {"site": "a", "recipe": {"name": ["topk", "tpok"], "k": 3}},
            "dictionaries[1].recipe.name is 'tpok'; expected",
        ),
        ({"site": "a", "widht": [2, 3], "recipe": {"name": "topk"}}, "unknown key dictionaries[1].widht"),
        (
            {"site": "a", "recipe": {"name": "topk", "betas": [0.1]}},
            "dictionaries[1].recipe.betas is [0.1]; expected a",
        ),
        ({"site": "a", "recipe": ["topk", "jumprelu"]}, "dictionaries[1].recipe is 'topk'; expected a mapping"),
        ({"site": "a", "name": ["x", "y"], "recipe": {"name": "topk"}}, "dictionaries[1].name is ['x', 'y']; expected"),
        ({"site": ["a", "b"]}, "dictionaries[1].recipe is missing"),
        (["a"], "dictionaries[1] is ['a']; expected a mapping"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused_by_its_place(entry: object, message: str):
    with pytest.raises(InputError) as refused:
        run_of({"site": "a", "recipe": {"name": "topk"}}, entry)
    assert str(refused.value).startswith("run.yaml: ")
    assert message in str(refused.value)


def test_a_run_of_a_grid_is_repeated_by_its_written_out_configuration(tmp_path: Path):
    entry = {"site": "resid_post.0", "width": [32, 64], "recipe": {"name": "topk", "k": [4, 8]}}
    config = resolve(run_of(entry), WIDTHS, "float32")
    dump_yaml(config, tmp_path / "config.yaml")
    assert load_yaml(RunConfig, tmp_path / "config.yaml") == config
    assert len(config.dictionaries) == 4


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        ({"recipe": {"name": "topk", "k": [4, 8]}}, ["topk-resid_post.0-k4", "topk-resid_post.0-k8"]),
        ({"recipe": {"name": "topk", "k": [4]}}, ["topk-resid_post.0"]),
        (
            {"site": ["resid_post.0", "a:in/b"], "expansion": [2, 4], "recipe": {"name": "topk"}},
            [f"topk-{site}-width{w}" for site, d in (("resid_post.0", 16), ("a_in_b", 8)) for w in (2 * d, 4 * d)],
        ),
        ({"recipe": {"name": ["topk", "jumprelu"], "k": 4}}, ["topk-resid_post.0", "jumprelu-resid_post.0"]),
        ({"skip": [False, True], "recipe": {"name": "topk"}}, ["topk-resid_post.0", "topk-resid_post.0-skip"]),
        (
            {"recipe": {"name": "topk", "lr": [1e-3, 1e-5], "bias_init": ["mean", "zero"]}},
            [f"topk-resid_post.0-lr{lr}-bias_init-{bias}" for lr in ("0.001", "1e-05") for bias in ("mean", "zero")],
        ),
        (
            {"recipe": {"name": "jumprelu", "target_l0": [8, 16.5], "betas": [[0.0, 0.9], [0.5, 0.9]]}},
            [
                f"jumprelu-resid_post.0-{words}"
                for words in (
                    *("target_l0_8-betas0_0.9", "target_l0_8-betas0.5_0.9"),
                    *("target_l0_16.5-betas0_0.9", "target_l0_16.5-betas0.5_0.9"),
                )
            ],
        ),
        ({"name": "mine", "recipe": {"name": "topk", "k": [4, 8]}}, ["mine-k4", "mine-k8"]),
        ({"name": "mine", "recipe": {"name": ["topk", "jumprelu"]}}, ["mine-topk", "mine-jumprelu"]),
        ({"name": "mine", "recipe": {"name": "topk"}}, ["mine"]),
    ],
)
def test_names_say_what_varies(entry: Plain, names: list[str]):
    def words(name: str) -> set[str]:
        return set(name.split("-"))

    found = [str(d.name) for d in resolved({"site": "resid_post.0", **entry})]
    assert [words(name) for name in found] == [words(name) for name in names], "the order of words is the fields'"


def test_dictionaries_that_were_written_one_by_one_are_named_like_a_grid():
    each = [{"site": "resid_post.0", "recipe": {"name": "topk", "k": k}} for k in (4, 8)]
    named = {"site": "resid_post.0", "name": "x", "recipe": {"name": "topk", "lr": 0.5}}
    assert [d.name for d in resolved(*each, named)] == ["topk-resid_post.0-k4", "topk-resid_post.0-k8", "x"]


def test_two_grids_of_one_name_are_refused_where_their_names_meet():
    one = {"site": "resid_post.0", "name": "x", "recipe": {"name": "topk", "k": [4, 8]}}
    other = {"site": "resid_post.0", "name": "x", "recipe": {"name": "batch_topk", "k": [8, 16]}}
    with pytest.raises(InputError, match="a different name for each"):
        run_of(one, other)


def test_names_are_no_longer_than_a_file_system_takes():
    assert len(folder_name("topk", "a.very.deep.module.path" * 30)) <= 120
    found = resolved({"site": "resid_post.0", "recipe": {"name": "topk", "lr": [0.1, 0.2]}})
    assert suffixes([settings_of(to_dict(d)) for d in found]) == ["lr0.1", "lr0.2"]
