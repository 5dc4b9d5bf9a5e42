"""The client asks again where that helps, keeps what it is told, and never makes up an answer."""

import json
import socket
import time
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from monosema.errors import InputError
from monosema.interpretation import Chat, ChatOptions, Unavailable
from monosema.interpretation.answers import Answer, AnswerCache
from tests.interpretation.fake_server import Raw, Reply, completion, serving

HELLO = [{"role": "user", "content": "hello"}]


def chat(address: str, folder: Path, **options: Any) -> Chat:
    quick = {"wait": 0.001, "timeout": 10.0, **options}
    return Chat(ChatOptions(address, "judge", **quick), AnswerCache(folder / "answers.jsonl"))


def asked_once(reply: Reply, folder: Path, **options: Any) -> tuple[str, Chat]:
    with serving(reply) as (address, _):
        client = chat(address, folder, **options)
        return client.ask(HELLO), client


def test_an_answer_is_what_the_endpoint_says(tmp_path: Path):
    with serving(lambda request, number: "good day") as (address, asked):
        client = chat(address + "/", tmp_path, key="secret", request={"temperature": 0.5})
        assert client.ask(HELLO) == "good day"
    assert asked.requests == [{"model": "judge", "messages": HELLO, "temperature": 0.5}]
    assert asked.paths == ["/v1/chat/completions"]
    assert asked.headers[0]["Authorization"] == "Bearer secret"
    usage = client.usage
    assert (usage.asked, usage.cached, usage.again, usage.prompt_tokens, usage.answer_tokens) == (1, 0, 0, 7, 3)
    assert "secret" not in client.cache.path.read_text() + repr(client.options)


def test_without_a_key_none_is_sent(tmp_path: Path):
    with serving(lambda request, number: "good day") as (address, asked):
        chat(address, tmp_path).ask(HELLO)
    assert "Authorization" not in asked.headers[0]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_it_asks_again_where_the_endpoint_may_answer_later(tmp_path: Path, status: int):
    answer, client = asked_once(lambda _, number: Raw(status) if number < 3 else "at last", tmp_path)
    assert answer == "at last"
    assert client.usage.again == 3
    assert client.usage.asked == 1


@pytest.mark.parametrize(
    "body",
    [
        b"<html>busy</html>",
        b"",
        b"[]",
        b"null",
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": 3}}]}',
        b"\xff",
    ],
)
def test_what_is_no_chat_completion_is_asked_for_again(tmp_path: Path, body: bytes):
    answer, client = asked_once(lambda _, number: Raw(body=body) if number == 0 else "sorry", tmp_path)
    assert answer == "sorry"
    assert client.usage.again == 1


def test_a_slow_answer_is_not_waited_for_longer_than_asked(tmp_path: Path):
    def reply(request: Any, number: int) -> str:
        time.sleep(2 * (number == 0))
        return "quick"

    answer, client = asked_once(reply, tmp_path, timeout=0.2)
    assert answer == "quick"
    assert client.usage.again == 1


def test_it_waits_as_long_as_the_endpoint_wants_but_not_for_ever(tmp_path: Path):
    client = chat("http://127.0.0.1:1", tmp_path, wait=2.0, longest_wait=9.0)
    assert client._pause(0, "5") == 5
    assert client._pause(0, "5000") == 9
    for attempt, most in enumerate((2, 4, 8, 9, 9)):
        assert most / 2 <= client._pause(attempt, None) <= most
        assert most / 2 <= client._pause(attempt, "Wed, 21 Oct 2026 07:28:00 GMT") <= most


@pytest.mark.parametrize(("status", "hint"), [(400, "--request"), (401, "--api-key-env"), (404, "/v1")])
def test_a_refusal_is_said_once_and_not_tried_again(tmp_path: Path, status: int, hint: str):
    with serving(lambda *_: Raw(status, b'{"error": {"message": "no such\\nthing"}}')) as (address, asked):
        with pytest.raises(InputError, match=f"answered {status}: .*no such") as error:
            chat(address, tmp_path).ask(HELLO)
        assert hint in str(error.value)
        assert len(asked.requests) == 1
    assert not (tmp_path / "answers.jsonl").exists()


def test_a_redirection_is_not_followed_with_the_key(tmp_path: Path):
    with (
        serving(lambda *_: "stolen") as (elsewhere, other),
        serving(lambda *_: Raw(307, headers={"Location": elsewhere + "/chat/completions"})) as (address, _),
        pytest.raises(InputError, match="answered 307"),
    ):
        chat(address, tmp_path, key="secret").ask(HELLO)
    assert other.requests == []


def test_an_endpoint_that_is_not_there_is_given_up(tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    client = chat(address, tmp_path, attempts=3)
    with pytest.raises(Unavailable, match="gave no answer"):
        client.ask(HELLO)
    assert client.usage.again == 3


def test_waiting_ends_when_it_is_told_to_stop(tmp_path: Path):
    with serving(lambda *_: Raw(503)) as (address, asked):
        client = chat(address, tmp_path, wait=1000.0, longest_wait=1000.0)
        Timer(0.1, client.stop).start()
        with pytest.raises(Unavailable):
            client.ask(HELLO)
        assert len(asked.requests) == 1


def test_an_answer_without_words_or_without_a_count_is_taken_as_it_is(tmp_path: Path):
    answer, client = asked_once(lambda *_: Raw(body=completion(None, usage=None)), tmp_path)
    assert answer == ""
    assert client.usage.uncounted == 1


def test_nothing_is_asked_twice_not_even_by_another_process(tmp_path: Path):
    with serving(lambda request, number: f"answer {number}") as (address, asked):
        assert [chat(address, tmp_path).ask(HELLO) for _ in range(3)] == ["answer 0"] * 3
        client = chat(address, tmp_path)
        assert client.ask([*HELLO, *HELLO]) == "answer 1"
        assert client.ask(HELLO) == "answer 0"
        assert (client.usage.asked, client.usage.cached, client.usage.prompt_tokens) == (1, 1, 7)
        assert chat(address, tmp_path, request={"temperature": 1}).ask(HELLO) == "answer 2"
        assert len(asked.requests) == 3


@pytest.mark.parametrize("kept", [0, 1, 30, 90])
def test_an_answer_that_was_cut_off_is_asked_for_again_and_spoils_no_other(tmp_path: Path, kept: int):
    path = tmp_path / "answers.jsonl"
    whole = AnswerCache(path)
    whole.add("first", Answer("one\n", 1, 2))
    size = path.stat().st_size
    whole.add("second", Answer("two"))
    path.write_bytes(path.read_bytes()[: size + kept])
    found = AnswerCache(path)
    assert len(found) == 1
    assert found.get("first") == Answer("one\n", 1, 2)
    assert found.get("second") is None
    found.add("third", Answer("three"))
    again = AnswerCache(path)
    assert again.get("first") == Answer("one\n", 1, 2)
    assert again.get("third") == Answer("three")
    assert len(again) == 2


def test_a_file_of_something_else_is_refused(tmp_path: Path):
    path = tmp_path / "answers.jsonl"
    for line in ("not json", "[]", '{"asked": "x"}', json.dumps({"asked": "x", "answer": {"text": 3}})):
        path.write_text(line + "\n")
        with pytest.raises(InputError, match="line 1, holds no answer"):
            AnswerCache(path)


@pytest.mark.parametrize("endpoint", ["127.0.0.1:8000/v1", "ftp://host/v1", "file:///etc/passwd", ""])
def test_an_address_that_is_none_is_refused(endpoint: str):
    with pytest.raises(InputError, match="an address such as"):
        ChatOptions(endpoint, "judge")
