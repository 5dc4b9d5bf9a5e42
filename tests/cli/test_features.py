"""The commands that build, show, export, write and serve features."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monosema.features import FeatureStore
from tests.cli.conftest import Command

SMALL = ("--device", "cpu", "--tokens", 800)
ONLY = Path("dictionaries") / "only"


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture(scope="module")
def store(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run with a store, which no test changes."""
    from monosema.runs.features import build_folder

    folder = shutil.copytree(finished, tmp_path_factory.mktemp("with store") / "run")
    build_folder(folder, tokens=800, device="cpu")
    return folder


def test_a_store_is_built_shown_and_built_again_if_asked(folder: Path, monosema: Command):
    done = monosema("features", "build", folder, *SMALL)
    assert done.status == 0
    built = FeatureStore(folder / ONLY / "features")
    assert done.out.startswith(
        f"only: {built.index.activations:,} activations of 32 features on {built.index.counted:,} "
    )
    assert str(built.folder) in done.out
    assert "is there already; --overwrite" in monosema("features", "build", folder, *SMALL).refused()
    again = monosema("features", "build", folder, "--overwrite", "--device", "cpu", "--tokens", 64)
    assert again.status == 0
    assert FeatureStore(folder / ONLY / "features").index.tokens == 64


def test_a_store_elsewhere(finished: Path, tmp_path: Path, monosema: Command):
    out = tmp_path / "elsewhere"
    done = monosema("features", "build", finished / ONLY, "--out", out, "--strongest", 3, "--each", 1, *SMALL)
    assert done.status == 0
    assert monosema("features", "show", finished / ONLY, 3, "--out", out).status == 0
    assert "no feature store" in monosema("features", "show", finished / ONLY, 3).refused()


def test_features_are_printed(store: Path, monosema: Command):
    found = FeatureStore(store / ONLY / "features")
    one, other = np.argsort(-found.column("activations"))[:2].tolist()
    text = monosema("features", "show", store, one, other).out
    assert text.count("\nfeature ") == 1
    assert f"feature {one}: fires on" in text
    values: Any = json.loads(monosema("features", "show", store, one, "--json").out)
    assert values[0]["feature"] == one
    assert values[0]["activations"] == found.feature(one).activations
    assert "feature 32; expected 0 to 31" in monosema("features", "show", store, 32).refused()
    assert "dictionary 'nobody'" in monosema("features", "show", store, 1, "--dictionary", "nobody").refused()


@pytest.mark.parametrize(("to", "file"), [("delphi", "resid_post.0/config.json"), ("neuronpedia", "batch-0.json")])
def test_a_store_is_exported(store: Path, tmp_path: Path, monosema: Command, to: str, file: str):
    done = monosema("features", "export", store, "--to", to, "--into", tmp_path / "out")
    assert done.out == f"{tmp_path / 'out'}\n"
    assert (tmp_path / "out" / file).is_file()
    again = monosema("features", "export", store, "--to", to, "--into", tmp_path / "out")
    assert "already holds something" in again.refused()


def test_a_page_makes_the_store_that_it_needs(folder: Path, monosema: Command):
    done = monosema("dashboard", folder, "--features", "0-3,7", *SMALL)
    assert done.status == 0
    page = folder / ONLY / "features.html"
    assert done.out == f"{page}\n"
    assert "no feature store of only yet" in done.err
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    again = monosema("dashboard", folder, "--page", folder / "other.html", "--device", "cpu")
    assert again.out == f"{folder / 'other.html'}\n"
    assert again.err == ""


def test_a_page_is_where_out_says(finished: Path, tmp_path: Path, monosema: Command):
    out = tmp_path / "elsewhere"
    done = monosema("dashboard", finished, "--features", "0-3", "--out", out, *SMALL)
    assert done.out == f"{out / 'features.html'}\n"
    assert (out / "features.html").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]
    assert FeatureStore(out).index.tokens == 800


def test_an_out_that_names_a_file_is_the_page(store: Path, tmp_path: Path, monosema: Command):
    page = tmp_path / "some" / "page.html"
    assert monosema("dashboard", store, "--features", "0-3", "--out", page, "--device", "cpu").out == f"{page}\n"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    both = monosema("dashboard", store, "--out", page, "--page", tmp_path / "other.html", "--device", "cpu")
    assert "one file to write" in both.refused()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--features", "32"), "features 32; expected from 0 to 31"),
        (("--features", "some"), "numbers and ranges"),
        (("--dictionary", "nobody"), "dictionary 'nobody'; expected one of only"),
    ],
)
def test_a_page_of_what_is_not_there_is_refused(store: Path, monosema: Command, arguments: tuple, message: str):
    assert message in monosema("dashboard", store, *arguments, "--device", "cpu").refused()


@pytest.mark.parametrize("command", [("features", "build"), ("features", "show"), ("dashboard",), ("serve",)])
def test_an_address_without_a_place_is_refused(monosema: Command, command: tuple[str, ...]):
    feature = (1,) if command[-1] == "show" else ()
    assert "expected --out, a folder" in monosema(*command, "hf://owner/name", *feature).refused()


def test_serving_a_dictionary_that_is_not_there_is_refused(store: Path, monosema: Command):
    said = monosema("serve", store, "--dictionary", "nobody", "--port", 0, "--device", "cpu").refused()
    assert "dictionary 'nobody'; expected one of only" in said


@pytest.mark.slow
def test_a_page_is_served_until_it_is_interrupted(store: Path):
    command = [sys.executable, "-m", "monosema", "serve", str(store), "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, env=dict(os.environ), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("Ctrl-C ends it; http://127.0.0.1:")
        with urllib.request.urlopen(f"{said.split()[-1]}api/feature/3", timeout=120) as answer:
            assert json.load(answer)["feature"] == 3
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
