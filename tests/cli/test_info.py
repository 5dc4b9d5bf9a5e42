"""`monosema info` reads the registries."""

import json
from collections.abc import Iterator
from importlib.metadata import version

import pytest

from monosema.dictionaries import activation_functions, wirings
from monosema.formats import formats
from monosema.models import families
from monosema.recipes import recipes
from monosema.registry import Registry
from tests.cli.conftest import Command

REGISTRIES = {
    "recipes": recipes,
    "activation_functions": activation_functions,
    "wirings": wirings,
    "model_families": families,
    "formats": formats,
}


@pytest.fixture(params=REGISTRIES)
def thrown_away(request: pytest.FixtureRequest) -> Iterator[str]:
    """The kind of a registry that holds one thing more for the time of a test."""
    registry: Registry = REGISTRIES[request.param]
    registry.register("throwaway")(next(iter(registry.values())))
    yield request.param
    del registry._things["throwaway"]


def test_info_is_what_the_registries_hold(monosema: Command):
    found = json.loads(monosema("info", "--json").out)
    assert set(found) == {"version", "device", "precision", *REGISTRIES}
    assert found["version"] == version("monosema")
    assert found["device"] in ("cpu", "cuda", "mps")
    assert found["precision"] in ("float32", "bfloat16")
    assert {kind: found[kind] for kind in REGISTRIES} == {kind: sorted(known) for kind, known in REGISTRIES.items()}
    assert all(found[kind] for kind in REGISTRIES)


def test_what_is_registered_appears(monosema: Command, thrown_away: str):
    found = json.loads(monosema("info", "--json").out)
    assert [kind for kind in REGISTRIES if "throwaway" in found[kind]] == [thrown_away]
    assert "throwaway" in monosema("info").out


def test_info_for_a_reader_holds_the_same(monosema: Command):
    found, shown = json.loads(monosema("info", "--json").out), monosema("info").out
    for key, value in found.items():
        assert key.replace("_", " ") in shown
        assert (", ".join(value) if isinstance(value, list) else value) in shown
