"""`monosema interpret` writes what features stand for, and says how well that tells where they fire."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from monosema.features.descriptions import DESCRIPTIONS
from tests.cli.conftest import Command
from tests.interpretation import planted
from tests.interpretation.fake_server import Raw, serving

FEW = ("--features", "0-2,8,10")


@pytest.fixture(scope="session")
def planted_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted.planted_store(tmp_path_factory.mktemp("planted") / "features").folder


@pytest.fixture
def store(planted_store: Path, finished: Path, tmp_path: Path) -> tuple[Path, ...]:
    """A run, and a store of planted features in the place of its own."""
    return (finished, "--out", shutil.copytree(planted_store, tmp_path / "features"))  # pyright: ignore[reportReturnType]


def answering(request: dict[str, Any], number: int) -> str:
    """Always says yes."""
    system, user = (message["content"] for message in request["messages"])
    if "EXPLANATION:" in system:
        return "EXPLANATION: on \x1b[1mself"
    return json.dumps([1] * sum(line[:1].isdigit() for line in user.splitlines()))


def test_rules_are_written_and_shown(store: tuple[Any, ...], monosema: Command):
    done = monosema("interpret", *store, *FEW)
    assert done.status == 0
    assert f"0: {planted.NAMES[0]}  (rules; score 1.00, 0." in done.out
    assert "1 of 5 features are without" in done.out
    assert "F1 of all tokens" in done.out
    assert (store[2] / DESCRIPTIONS).is_file()
    shown = monosema("features", "show", *store, 1)
    assert f"\n  {planted.NAMES[1]}  (rules; score 1.00" in shown.out
    values = json.loads(monosema("features", "show", *store, 1, "--json").out)
    assert values[0]["descriptions"][0]["text"] == planted.NAMES[1]


def test_json_holds_every_description(store: tuple[Any, ...], monosema: Command):
    values = json.loads(monosema("interpret", *store, "--json").out)
    assert [one["text"] for one in values["descriptions"]] == [*planted.TOLD, "no rule tells"]
    assert values["features"] == len(planted.FEATURES)
    assert values["usage"] is None


def test_a_language_model_is_asked_and_what_it_took_is_said(
    store: tuple[Any, ...], monosema: Command, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SOME_KEY", "secret")
    with serving(answering) as (address, asked):
        where = ("--endpoint", address, "--model", "judge", "--api-key-env", "SOME_KEY", "--scored", 6)
        done = monosema("interpret", *store, *FEW, *where, "--request", '{"max_tokens": null, "seed": 1}')
        first = len(asked.requests)
        again = monosema("interpret", *store, *FEW, *where, "--request", '{"max_tokens": null, "seed": 1}', "--json")
        assert len(asked.requests) == first
    assert done.status == 0
    assert "0: on ·[1mself  (judge; score 0.50" in done.out
    assert f"{first:,} questions asked, 0 answered from disk" in done.out
    assert f"{7 * first:,} tokens of prompts, {3 * first:,} of answers" in " ".join(done.out.split())
    assert {header["Authorization"] for header in asked.headers} == {"Bearer secret"}
    assert asked.requests[0].keys() == {"model", "messages", "temperature", "seed"}
    values = json.loads(again.out)
    assert values["usage"]["cached"] == first
    assert {one["method"] for one in values["descriptions"]} == {"judge"}
    assert (store[2].parent / "features.answers.jsonl").is_file()
    monosema("interpret", *store, *FEW)
    shown = monosema("features", "show", *store, 0).out
    assert shown.index("(judge;") < shown.index("(rules;")


def test_what_was_done_before_it_failed_is_kept(store: tuple[Any, ...], monosema: Command):
    def breaks(request: dict[str, Any], number: int) -> "str | Raw":
        return answering(request, number) if number < 10 else Raw(401)

    with serving(breaks) as (address, _):
        where = ("--endpoint", address, "--model", "judge", "--concurrency", 1, "--scored", 6)
        said = monosema("interpret", *store, "--features", "0,1,2", *where).refused()
    assert "answered 401" in said
    lines = (store[2] / DESCRIPTIONS).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["feature"] for line in lines] == [0]


def test_a_dry_run_asks_nothing_and_says_what_it_would_take(store: tuple[Any, ...], monosema: Command):
    with serving(answering) as (address, asked):
        where = ("--features", "0-3", "--endpoint", address, "--model", "judge")
        done = monosema("interpret", *store, *where, "--dry-run")
        assert asked.requests == []
        assert not (store[2] / DESCRIPTIONS).exists()
        monosema("interpret", *store, *where)
    assert done.out.count("--- system") == 3
    assert f"4 features: up to {len(asked.requests)} questions, about " in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--features", "11"), "features 11; expected from 0 to 10"),
        (("--features", "0", "--endpoint", "http://127.0.0.1:1/v1"), "without a model"),
        (("--endpoint", "http://127.0.0.1:1/v1", "--model", "m"), "--features, such as 0-99"),
        (("--features", "0", "--endpoint", "nowhere", "--model", "m"), "endpoint 'nowhere'"),
        (
            ("--features", "0", "--endpoint", "http://h/v1", "--model", "m", "--api-key-env", "NOT_SET_ANYWHERE"),
            "the variable NOT_SET_ANYWHERE, which is not set",
        ),
        (("--features", "0", "--endpoint", "http://h/v1", "--model", "m", "--request", "{"), "is not JSON"),
        (("--features", "0", "--endpoint", "http://h/v1", "--model", "m", "--request", "[1]"), "expected an object"),
        (("--dry-run",), "--features, such as 0-99"),
        (("--dry-run", "--features", "8"), "often enough"),
        (("--scored", "0"), "scored = 0"),
        (("--dictionary", "nobody"), "dictionary 'nobody'"),
    ],
)
def test_what_cannot_be_done_is_refused(
    store: tuple[Any, ...], monosema: Command, arguments: tuple[str, ...], message: str
):
    assert message in monosema("interpret", *store, *arguments).refused()
    assert not (store[2] / DESCRIPTIONS).exists()
