"""What docs/migrating.md says to write is there."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import torch

import monosema as ms
from monosema.activations.filters import Keep
from monosema.cli.train import Train
from monosema.dictionaries import Spec
from monosema.formats import formats
from monosema.recipes import recipes
from monosema.runs import DictionaryConfig, RunConfig
from monosema.runs.parallel import Parallel
from tests.dictionaries.strategies import build

PAGE = (Path(__file__).parents[1] / "docs" / "migrating.md").read_text(encoding="utf-8")
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ") and "---" not in line]
OURS = "\n".join(row[1] for row in ROWS)


def test_every_option_that_is_named_exists():
    of_classes = {f.name for owner in (RunConfig, DictionaryConfig, Train, *recipes.values()) for f in fields(owner)}
    nested = {"keep": Keep, "parallel": Parallel}
    known = of_classes | {f"{name}.{f.name}" for name, owner in nested.items() for f in fields(owner)}
    named = {option.replace("-", "_") for option in re.findall(r"--([a-z][a-z0-9.-]*)", OURS)}
    assert len(named) > 25
    assert named - known == set()


def test_every_recipe_that_is_named_exists_and_has_the_options_beside_it():
    found = re.findall(r"`--recipe (\w+)([^`]*)`", OURS)
    assert len(found) > 12
    for name, options in found:
        own = {f.name for f in fields(recipes[name])}
        assert {option.replace("-", "_") for option in re.findall(r"--([a-z0-9-]+)", options)} <= own


def test_every_public_name_that_is_used_exists():
    named = set(re.findall(r"ms\.(\w+)", PAGE))
    assert len(named) >= 8
    assert named <= set(ms.__all__)


@pytest.mark.parametrize("code", sorted(set(re.findall(r"`((?:\w+ = )?dictionary[.(][^`]*)`", OURS))))
def test_every_expression_runs(code: str):
    spec = Spec(4, 4, 12, ("resid_post.2",), ("resid_post.2",), skip="W_skip" in code)
    dictionary = build(spec, "jumprelu").eval()
    x = torch.randn(3, 4)
    names = {"dictionary": dictionary, "x": x, "f": dictionary.encode(x), "codes": dictionary.encode_sparse(x)}
    exec(code, names)


@pytest.mark.parametrize("to", ["saelens", "dictionary_learning", "sparsify"])
def test_every_format_that_is_written_is_one(to: str):
    assert f'ms.save_as(dictionary, path, "{to}")' in OURS
    assert formats[to].save is not None
