"""`monosema pretrained` on the command line: the registry, and downloads of whole sets from a hub on this machine."""

import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from monosema.hub import releases, search
from tests.cli.conftest import Command
from tests.hub.conftest import REPO, hub
from tests.hub.fake_hub import FakeHub
from tests.hub.test_registry import publish

__all__ = ["hub"]


def test_search_has_a_line_for_each_dictionary_that_ends_in_its_address(monosema: Command):
    first, *lines = monosema("pretrained", "search", "gpt2", "resid_pre", "--limit", 1000).out.splitlines()
    assert first.split() == ["model", "hook", "point", "width", "L0", "format", "address"]
    assert [line.split()[-1] for line in lines] == [one.address for one in search(["gpt2", "resid_pre"])]
    assert all("gpt2" in line and "resid_pre." in line for line in lines)


def test_more_than_the_limit_is_counted(monosema: Command):
    *lines, last = monosema("pretrained", "search", "gpt2", "--limit", 5).out.splitlines()
    assert len(lines) == 6
    assert last.startswith(f"{len(search(['gpt2'])) - 5:,} more")


def test_without_words_all_releases_are_listed(monosema: Command):
    out = monosema("pretrained", "search").out
    assert [line.split()[-1] for line in out.splitlines()[1:-1]] == list(releases())


def test_json_has_every_fact(monosema: Command):
    found = json.loads(monosema("pretrained", "search", "gemma-2-2b", "resid_post.12", "16384", "--json").out)
    assert [one["address"] for one in found] == [
        one.address for one in search(["gemma-2-2b", "resid_post.12", "16384"])
    ]
    assert {"release", "model", "reads", "writes", "width", "l0", "format", "repo", "path"} <= found[0].keys()


def test_nothing_found_is_said_with_the_nearest(monosema: Command):
    assert "did you mean gpt2?" in monosema("pretrained", "search", "gpt-2").refused()
    assert "--limit 0" in monosema("pretrained", "search", "gpt2", "--limit", 0).refused()


def test_a_whole_release_is_downloaded_and_its_places_are_printed(monosema: Command, hub: FakeHub, tmp_path: Path):
    for one in releases()["gpt2-small-res-jb"]:
        publish(hub, one.address, tmp_path)
    ended = monosema("pretrained", "download", "gpt2-small-res-jb")
    assert ended.status == 0, ended.err
    places = dict(line.split("\t") for line in ended.out.splitlines())
    assert list(places) == [one.address for one in releases()["gpt2-small-res-jb"]]
    assert all((Path(place) / "dictionary.safetensors").is_file() for place in places.values())
    only = monosema("pretrained", "download", "gpt2-small-res-jb", "--only", "resid_post", f"hf://{REPO}")
    assert only.status == 2  # the address would be a word
    only = monosema("pretrained", "download", f"hf://{REPO}", "gpt2-small-res-jb", "--only", "resid_post")
    assert [line.split("\t")[0] for line in only.out.splitlines()] == [f"hf://{REPO}", list(places)[-1]]
    assert json.loads(monosema("pretrained", "download", "gpt2-small-res-jb", "--json").out) == places


def test_what_cannot_be_downloaded_is_one_line(monosema: Command, hub: FakeHub, monkeypatch: pytest.MonkeyPatch):
    assert "nothing to download" in monosema("pretrained", "download").refused()
    assert "did you mean gpt2-small-res-jb" in monosema("pretrained", "download", "gpt2-small-res-jp").refused()
    assert (
        "no dictionary of release" in monosema("pretrained", "download", "gpt2-small-res-jb", "--only", "x").refused()
    )
    assert "no repository jbloom" in monosema("pretrained", "download", "gpt2-small-res-jb").refused()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    line = monosema("pretrained", "download", "gpt2-small-res-jb").refused()
    assert "HF_HUB_OFFLINE is set" in line
    assert str(Path(constants.HF_HUB_CACHE) / "models--jbloom--GPT2-Small-SAEs-Reformatted") in line


def test_a_connection_that_breaks_ends_with_one(monosema: Command, hub: FakeHub):
    hub.cut["wide/dictionary.safetensors"] = [0] * 20
    ended = monosema("pretrained", "download", f"hf://{REPO}/wide")
    assert ended.status == 1
    assert "the same command goes on with it" in ended.err.splitlines()[-1]


def test_push_publishes_and_says_where(monosema: Command, hub: FakeHub, finished: Path, tmp_path: Path):
    ended = monosema("push", finished, "me/mine")
    assert ended.status == 0, ended.err
    assert ended.out == f"hf://me/mine@{hub.commits['me/mine'][-1][0]}\n"
    assert monosema("push", finished, "me/mine", "--dry-run", tmp_path / "dry").out.endswith(f"{tmp_path / 'dry'}\n")
    assert "org/repo" in monosema("push", finished, "mine").refused()
    said = json.loads(monosema("push", finished, "me/mine", "--json").out)
    assert said == {"address": f"hf://me/mine@{hub.commits['me/mine'][-1][0]}"}
