"""A client for chat endpoints in OpenAI's form (POST …/chat/completions), with nothing but the standard library."""

import json
import random
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPException
from threading import Event, Lock
from typing import Any
from urllib.parse import urlsplit

from monosema.errors import InputError
from monosema.interpretation.answers import Answer, AnswerCache

AGAIN = frozenset({408, 409, 425, 429})
"""What an endpoint answers where the same request may do later; so may all that is its own fault (5xx)."""
SHOWN = 300
"""Characters of an error's text that are shown."""


class Unavailable(OSError):
    """The endpoint did not answer, however often it was asked; what it has answered is kept."""


@dataclass(frozen=True)
class ChatOptions:
    """Where to ask, and how patiently."""

    endpoint: str
    """Address that /chat/completions is below: http://127.0.0.1:8000/v1."""
    model: str
    key: str | None = field(default=None, repr=False)
    """Sent as a bearer token, written nowhere."""
    timeout: float = 120.0
    """Seconds to wait for an answer."""
    attempts: int = 6
    wait: float = 1.0
    """Seconds before the second attempt; twice as long before each further one, unless the endpoint says how long."""
    longest_wait: float = 60.0
    request: dict[str, Any] = field(default_factory=lambda: {"temperature": 0, "max_tokens": 1000})
    """What else is sent."""

    def __post_init__(self):
        if urlsplit(self.endpoint).scheme not in ("http", "https") or not urlsplit(self.endpoint).netloc:
            raise InputError(f"endpoint {self.endpoint!r}", expected="an address such as http://127.0.0.1:8000/v1")
        if self.attempts < 1 or self.timeout <= 0:
            raise InputError(f"{self.attempts} attempts of {self.timeout} s", expected="at least one, of some seconds")


@dataclass
class Usage:
    """What was asked, and the tokens that it took."""

    asked: int = 0
    """Requests that were answered by the endpoint."""
    cached: int = 0
    """Answered from the disk."""
    again: int = 0
    """Attempts that failed."""
    prompt_tokens: int = 0
    answer_tokens: int = 0
    uncounted: int = 0
    """Answers without a count of tokens."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirection would take the key to another place."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> None:
        return None


class Chat:
    """Asks, again if need be, and keeps what is answered; threads may share it.

    Args:
        options: where and how.
        cache: of answers.
    """

    def __init__(self, options: ChatOptions, cache: AnswerCache):
        self.options, self.cache, self.usage = options, cache, Usage()
        self._lock, self._stopped = Lock(), Event()
        self._open = urllib.request.build_opener(_NoRedirect).open

    def stop(self) -> None:
        """Ends all waiting for further attempts."""
        self._stopped.set()

    def ask(self, messages: list[dict[str, str]]) -> str:
        """The answer to a conversation.

        Raises:
            InputError: the endpoint refuses the request.
            Unavailable: it did not answer.
        """
        request = {"model": self.options.model, "messages": messages, **self.options.request}
        known = self.cache.get(request)
        if known is not None:
            with self._lock:
                self.usage.cached += 1
            return known.text
        answer = self._asked(request)
        self.cache.add(request, answer)
        with self._lock:
            self.usage.asked += 1
            self.usage.prompt_tokens += answer.prompt_tokens or 0
            self.usage.answer_tokens += answer.answer_tokens or 0
            self.usage.uncounted += answer.prompt_tokens is None
        return answer.text

    def _asked(self, request: dict[str, Any]) -> Answer:
        problem = "was not asked"
        for attempt in range(self.options.attempts):
            wanted = None
            try:
                return self._once(request)
            except urllib.error.HTTPError as error:
                problem, wanted = f"answered {error.code}: {_text_of(error)}", error.headers.get("Retry-After")
                if error.code not in AGAIN and error.code < 500:
                    raise InputError(f"{self.options.endpoint} {problem}", hint=_advice(error.code)) from None
            except (OSError, HTTPException, ValueError) as error:
                problem = f"gave no answer ({getattr(error, 'reason', None) or error or type(error).__name__})"
            with self._lock:
                self.usage.again += 1
            if attempt + 1 < self.options.attempts and self._stopped.wait(self._pause(attempt, wanted)):
                break
        raise Unavailable(f"{self.options.endpoint} {problem}; what was answered is kept, and is not asked again")

    def _pause(self, attempt: int, wanted: str | None) -> float:
        """Seconds to wait: what the endpoint wants, or more and more; by chance, so that not all come back at once."""
        if wanted is not None and wanted.isdigit():
            return min(float(wanted), self.options.longest_wait)
        return min(self.options.wait * 2**attempt, self.options.longest_wait) * random.uniform(0.5, 1)

    def _once(self, request: dict[str, Any]) -> Answer:
        headers = {"Content-Type": "application/json"}
        if self.options.key:
            headers["Authorization"] = f"Bearer {self.options.key}"
        address = self.options.endpoint.rstrip("/") + "/chat/completions"
        body = json.dumps(request).encode()
        with self._open(urllib.request.Request(address, body, headers), timeout=self.options.timeout) as response:
            return _answer(json.loads(response.read()))


def _answer(reply: Any) -> Answer:
    """The answer in a reply.

    Raises:
        ValueError: it is not a chat completion.
    """
    try:
        text = reply["choices"][0]["message"]["content"]
        usage = reply.get("usage") or {}
        counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
    except (TypeError, KeyError, IndexError, AttributeError):
        raise ValueError("what came is no chat completion") from None
    if text is not None and not isinstance(text, str):
        raise ValueError("the answer is no text")
    known = [count if isinstance(count, int) else None for count in counts]
    return Answer(text or "", *known)  # a model that has thought until its tokens were used up says nothing


def _text_of(error: urllib.error.HTTPError) -> str:
    try:
        text = error.read(2**16).decode(errors="replace")
    except OSError:
        text = ""
    return " ".join(text.split())[:SHOWN] or str(error.reason)


def _advice(code: int) -> str | None:
    return {
        401: "--api-key-env names the variable with its key",
        403: "--api-key-env names the variable with its key",
        404: "is the model's name right, and does the address end in /v1?",
        400: "--request changes what is sent",
        422: "--request changes what is sent",
    }.get(code)
