"""The page from a server, which can do what a file cannot: any feature, prompts, comparisons."""

import json
import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from monosema.dashboard.contract import Provider
from monosema.dashboard.embed import compact_json
from monosema.dashboard.guard import Guard, host_name
from monosema.dashboard.page import served_page
from monosema.dashboard.steer_contract import SteerRequest, dose_request
from monosema.errors import InputError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

LONGEST = 1_000_000  # bytes of a request
PORT = 8430
_log = logging.getLogger(__name__)


def application(provider: Provider, hosts: Sequence[str] = ()) -> "Starlette":
    """The page and its data as an ASGI application.

    Args:
        provider: what the page shows; it is asked for one thing at a time.
        hosts: names besides this machine's own under which requests may come.

    Raises:
        InputError: starlette is not installed.
    """
    _need("starlette")
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.responses import HTMLResponse
    from starlette.routing import Route

    page, answers = served_page(), _Answers(provider)

    async def html(request: "Request") -> "Response":
        return HTMLResponse(page)

    return Starlette(
        routes=[
            Route("/", html),
            Route("/api/overview", answers.overview),
            Route("/api/feature/{feature:int}", answers.feature),
            Route("/api/effects/{feature:int}", answers.effects),
            Route("/api/search", answers.search),
            Route("/api/prompt", answers.prompt, methods=["POST"]),
            Route("/api/steer", answers.steer, methods=["POST"]),
            Route("/api/dose", answers.dose, methods=["POST"]),
            Route("/api/compare/{name:path}", answers.compare),
            Route("/api/other/{name:path}/{feature:int}", answers.other),
        ],
        middleware=[Middleware(Guard, hosts=tuple(hosts))],
        exception_handlers={InputError: _refused, HTTPException: _failed},
    )


def serve(
    provider: Provider,
    host: str = "127.0.0.1",
    port: int = PORT,
    *,
    hosts: Sequence[str] = (),
    ready: Callable[[str], object] | None = None,
) -> None:
    """Serves the page until it is interrupted.

    Args:
        provider: what the page shows.
        host: the address to listen at; the default is for this machine alone.
        port: 0 for any that is free.
        hosts: further names under which requests may come.
        ready: called with the page's address as soon as it can be opened.

    Raises:
        InputError: starlette or uvicorn is not installed, or the address cannot be used.
    """
    app = application(provider, (host, *hosts))
    _need("uvicorn")
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    with _listening(host, port) as listening:
        if ready:
            ready(f"http://{host_name(host)}:{listening.getsockname()[1]}/")
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"{host}:{port} cannot be listened at ({error})", hint="choose another port, or 0 for any that is free"
        ) from None


def _need(package: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise InputError(f"no package {package}", expected="it, to serve pages", hint="pip install monosema[serve]")


class _Answers:
    """The endpoints. The provider works in a thread, so that the server goes on answering."""

    def __init__(self, provider: Provider):
        from asyncio import Lock

        self.provider, self.one_at_a_time = provider, Lock()
        self.overview_text: str | None = None

    async def overview(self, request: "Request") -> "Response":
        if self.overview_text is None:
            self.overview_text = await self._text(self.provider.overview)
        return _json(self.overview_text)

    async def feature(self, request: "Request") -> "Response":
        return _json(await self._text(self.provider.feature, request.path_params["feature"]))

    async def effects(self, request: "Request") -> "Response":
        return _json(await self._text(self.provider.effects, request.path_params["feature"]))

    async def search(self, request: "Request") -> "Response":
        if not (text := request.query_params.get("text")):
            raise InputError("a search without text", expected="?text=")
        return _json(await self._text(self.provider.search, text))

    async def prompt(self, request: "Request") -> "Response":
        return _json(await self._text(self.provider.prompt, await _prompt_of(request)))

    async def steer(self, request: "Request") -> "Response":
        return _json(await self._text(self.provider.steer, SteerRequest.of(await _json_of(request))))

    async def dose(self, request: "Request") -> "Response":
        return _json(await self._text(self.provider.dose, *dose_request(await _json_of(request))))

    async def compare(self, request: "Request") -> "Response":
        return _json(await self._text(self.provider.compare, request.path_params["name"]))

    async def other(self, request: "Request") -> "Response":
        asked = request.path_params
        return _json(await self._text(self.provider.other_feature, asked["name"], asked["feature"]))

    async def _text(self, ask: Callable[..., Any], *arguments: Any) -> str:
        from starlette.concurrency import run_in_threadpool
        from starlette.exceptions import HTTPException

        try:
            async with self.one_at_a_time:
                return await run_in_threadpool(lambda: compact_json(ask(*arguments)))
        except InputError:
            raise
        except Exception:
            _log.exception("the page asked for %s%s", ask.__name__, arguments)
            raise HTTPException(500, "the server failed at this; its log says why") from None


async def _prompt_of(request: "Request") -> str:
    """The text in a prompt's request."""
    given = await _json_of(request)
    text = given.get("text") if isinstance(given, dict) else None
    if not isinstance(text, str) or not text:
        raise InputError("a prompt without text", expected='{"text": "…"}')
    return text


async def _json_of(request: "Request") -> Any:
    """What a request holds. Only JSON is taken: a page of another site cannot send it unasked."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise InputError("a request that is not JSON", expected="content type application/json")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST:
            raise InputError("a request that is too long", expected=f"at most {LONGEST:,} bytes")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InputError("a request that cannot be read", expected="JSON") from None


def _json(text: str, status: int = 200) -> "Response":
    from starlette.responses import Response

    return Response(text, status_code=status, media_type="application/json")


async def _refused(request: "Request", error: Exception) -> "Response":
    return _json(compact_json({"error": str(error)}), 400)


async def _failed(request: "Request", error: Exception) -> "Response":
    status, detail = getattr(error, "status_code", 500), getattr(error, "detail", "")
    return _json(compact_json({"error": f"{request.method} {request.url.path}: {detail}"}), status)
