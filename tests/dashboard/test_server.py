import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from monosema.dashboard import application, serve
from monosema.dashboard.contract import Feature
from monosema.dashboard.guard import host_allowed
from monosema.dashboard.server import LONGEST
from monosema.errors import InputError
from tests.dashboard.conftest import serving
from tests.dashboard.made_up import OTHERS, MadeUp


def client(provider: MadeUp, host: str = "localhost", **options: Any) -> Any:
    from starlette.testclient import TestClient

    return TestClient(application(provider, **options), base_url=f"http://{host}")


def test_every_endpoint_answers_with_what_the_provider_says(provider: MadeUp):
    asking = client(provider)
    assert asking.get("/").text.startswith("<!doctype html>")
    assert asking.get("/api/overview").json()["width"] == 512
    assert asking.get("/api/feature/12").json()["feature"] == 12
    assert asking.get("/api/search", params={"text": " queen"}).json() == provider.search(" queen")
    assert asking.post("/api/prompt", json={"text": "a b"}).json()["tokens"] == ["a", " b"]
    for name in OTHERS:
        assert asking.get(f"/api/compare/{quote(name, safe='')}").json()["name"] == name
        assert asking.get(f"/api/other/{quote(name, safe='')}/7").json()["feature"] == 7


def test_the_overview_is_asked_for_once(provider: MadeUp):
    asking = client(provider)
    assert asking.get("/api/overview").text == asking.get("/api/overview").text
    assert provider.asked.count("overview") == 1


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/api/feature/512", 400, "feature 512; expected 0 to 511"),
        ("/api/feature/twelve", 404, "Not Found"),
        ("/api/feature/-1", 404, "Not Found"),
        ("/api/search", 400, "a search without text"),
        ("/api/compare/none", 400, "no dictionary none"),
        ("/api/other/none/3", 400, "no dictionary none"),
        ("/api/prompt", 405, "Method Not Allowed"),
        ("/../pyproject.toml", 404, "Not Found"),
        ("/elsewhere", 404, "Not Found"),
    ],
)
def test_bad_requests_get_a_message(provider: MadeUp, path: str, status: int, says: str):
    answer = client(provider).get(path)
    assert answer.status_code == status
    assert says in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (b'{"text": "unreadable"}', "application/json", "9,999 tokens"),
        (b'{"text": ""}', "application/json", "a prompt without text"),
        (b'{"text": 3}', "application/json", "a prompt without text"),
        (b"[1]", "application/json", "a prompt without text"),
        (b"{", "application/json", "cannot be read"),
        (b"[" * 100_000, "application/json", "cannot be read"),
        (b"\xff", "application/json", "cannot be read"),
        (b"text=a", "application/x-www-form-urlencoded", "not JSON"),
        (b'{"text": "a"}', "text/plain", "not JSON"),
        (b"a" * (LONGEST + 1), "application/json", "too long"),
    ],
)
def test_bad_prompts_get_a_message(provider: MadeUp, body: bytes, kind: str, says: str):
    answer = client(provider).post("/api/prompt", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert says in answer.json()["error"]


STEER = {"prompt": "a b", "steers": [{"feature": 3, "mode": "clamp", "value": 2}], "tokens": 5}


def test_steering_and_doses_are_answered(provider: MadeUp):
    asking = client(provider)
    assert asking.post("/api/steer", json=STEER).json()["features"] == [3]
    assert provider.asked[-1][1].steers[0].value == 2
    doses = asking.post("/api/dose", json={"feature": 3, "strengths": [2, -1.5]}).json()
    assert [one["strength"] for one in doses["responses"]] == [-1.5, 2]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"steers": []}, "0 features to steer; expected 1 to 8"),
        ({"steers": [{"feature": 3}] * 9}, "9 features"),
        ({"steers": [3]}, "feature None"),
        ({"steers": [{"feature": True}]}, "feature True"),
        ({"steers": [{"feature": 3, "mode": "push"}]}, "mode 'push'"),
        ({"steers": [{"feature": 3, "value": 1e7}]}, "at most 1e"),
        ({"steers": [{"feature": 3, "value": 10**400}]}, "at most 1e"),
        ({"steers": [{"feature": 3, "value": "4"}]}, "value '4'"),
        ({"prompt": 3}, "prompt 3"),
        ({"tokens": 0}, "0 tokens to write; expected 1 to 200"),
        ({"tokens": 201}, "201 tokens"),
        ({"tokens": 2.5}, "tokens 2.5"),
        ({"temperature": 1e-9}, "temperature 1e-09"),
        ({"temperature": -1}, "temperature -1"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 2**64}, "seed 1844"),
    ],
)
def test_what_may_not_be_asked_of_steering_is_refused(provider: MadeUp, changed: dict[str, Any], says: str):
    answer = client(provider).post("/api/steer", json={**STEER, **changed})
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert provider.asked == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"feature": 3, "strengths": []}', "0 strengths"),
        (b'{"feature": 3, "strengths": [1,2,3,4,5,6,7,8,9,10,11,12,13]}', "13 strengths"),
        (b'{"feature": 3, "strengths": [NaN]}', "strength nan"),
        (b'{"strengths": [1]}', "feature None"),
        (b"[]", "strengths None"),
        (b"3", "strengths None"),
    ],
)
def test_what_may_not_be_asked_of_doses_is_refused(provider: MadeUp, body: bytes, says: str):
    answer = client(provider).post("/api/dose", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert says in answer.json()["error"]


@pytest.mark.parametrize("path", ["/api/steer", "/api/dose"])
def test_steering_is_asked_for_by_this_page_alone(provider: MadeUp, path: str):
    assert client(provider).get(path).status_code == 405
    form = client(provider).post(path, content=b"{}", headers={"Content-Type": "text/plain"})
    assert "not JSON" in form.json()["error"]
    assert client(provider, "evil.example").post(path, json=STEER).status_code == 421


def test_a_fault_of_the_providers_is_an_error_without_its_details(caplog: pytest.LogCaptureFixture):
    class Broken(MadeUp):
        def feature(self, i: int) -> Feature:
            raise RuntimeError("secret")

    answer = client(Broken()).get("/api/feature/1")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "its log says why" in answer.json()["error"]
    assert "secret" in caplog.text


@pytest.mark.parametrize("path", ["/", "/api/overview", "/api/feature/512", "/elsewhere"])
def test_every_answer_has_the_headers_of_security(provider: MadeUp, path: str):
    headers = client(provider).get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        *[("localhost", True), ("localhost:8430", True), ("127.0.0.1:1", True), ("[::1]:8430", True), ("[::1]", True)],
        *[("LOCALHOST:80", True), ("lab.example:80", True), ("[fe80::1]:80", True)],
        *[("evil.example", False), ("evil.example:8430", False), ("localhost.evil.example", False), ("", False)],
        *[("127.0.0.1.evil.example:80", False), ("localhost:80:80", False), ("localhost:a", False), (":80", False)],
        *[(None, False), ("::1", False), ("localhost@evil.example", False), ("[::1]:٣", False)],
    ],
)
def test_only_hosts_of_this_machine_and_those_named_are_answered(header: str | None, allowed: bool):
    assert host_allowed(header, ["lab.example", "fe80::1"]) is allowed


def test_a_request_for_another_host_reaches_nothing(provider: MadeUp):
    answer = client(provider, "evil.example").get("/api/overview")
    assert answer.status_code == 421
    assert "evil.example" in answer.json()["error"]
    assert provider.asked == []
    assert client(provider, "lab.example", hosts=["lab.example"]).get("/api/overview").status_code == 200


def test_the_provider_is_asked_for_one_thing_at_a_time():
    class Alone(MadeUp):
        inside = 0

        def feature(self, i: int) -> Feature:
            self.inside += 1
            assert self.inside == 1
            found = super().feature(i)
            self.inside -= 1
            return found

    with serving(Alone()) as address, ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(urllib.request.urlopen, f"{address}api/feature/{i}", timeout=60) for i in range(12)]
        assert [json.load(one.result())["feature"] for one in asked] == list(range(12))


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_a_missing_package_is_named(provider: MadeUp, monkeypatch: pytest.MonkeyPatch, package: str):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    with pytest.raises(InputError, match=rf"no package {package}.*pip install monosema\[serve\]"):
        serve(provider, port=0)


def test_a_port_that_is_taken_is_an_input_error(provider: MadeUp):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InputError, match="choose another port"):
        serve(provider, port=taken.getsockname()[1])


def test_an_address_that_is_not_one_is_an_input_error(provider: MadeUp):
    with pytest.raises(InputError, match="cannot be listened at"):
        serve(provider, host="no.such.host.invalid", port=0)
    with pytest.raises(InputError, match="cannot be listened at"):
        serve(provider, port=99999)


SERVING = """
from monosema.dashboard import serve
from tests.dashboard.made_up import MadeUp
serve(MadeUp(), port=0, ready=lambda address: print(address, flush=True))
"""


@pytest.mark.slow
def test_serve_says_where_it_is_and_ends_when_interrupted():
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", SERVING]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{address}api/feature/3", timeout=60) as answer:
            assert json.load(answer)["feature"] == 3
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_importing_the_room_loads_no_server():
    code = "import sys, monosema.dashboard; print(*({'starlette', 'uvicorn', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert set(done.stdout.split()) <= {"torch"}
