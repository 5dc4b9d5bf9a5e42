"""A chat endpoint on this machine that answers as a test says."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

Reply = Callable[[dict[str, Any], int], "str | Raw"]
"""The request and its number → what the model says, or all of a response."""


@dataclass
class Raw:
    """A response as it goes over the wire."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    """What came in."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    at_once: int = 0
    """The most requests that were under way together."""


def completion(text: str | None, usage: tuple[int, int] | None = (7, 3)) -> bytes:
    """A chat completion, as an endpoint sends it."""
    reply: dict[str, Any] = {"choices": [{"message": {"role": "assistant", "content": text}}]}
    if usage:
        reply["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return json.dumps(reply).encode()


@contextmanager
def serving(reply: Reply) -> Iterator[tuple[str, Asked]]:
    """The address of an endpoint, and what it was asked."""
    asked, lock, now = Asked(), Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(asked.requests)
                asked.requests.append(request)
                asked.headers.append(dict(self.headers))
                asked.paths.append(self.path)
                now[0] += 1
                asked.at_once = max(asked.at_once, now[0])
            try:
                said = reply(request, number)
            finally:
                with lock:
                    now[0] -= 1
            raw = said if isinstance(said, Raw) else Raw(body=completion(said))
            try:
                self.send_response(raw.status)
                for name, value in raw.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(raw.body)))
                self.end_headers()
                self.wfile.write(raw.body)
            except OSError:
                pass  # who asked has gone

        def log_message(self, format: str, *_: Any):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
