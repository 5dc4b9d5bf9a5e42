"""Who may talk to the server, and what its answers tell a browser."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from monosema.dashboard.page import content_policy

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("localhost", "127.0.0.1", "[::1]")


def host_allowed(header: str | None, hosts: Sequence[str] = ()) -> bool:
    """Whether a request's Host is this machine or one of `hosts`, at any port.

    A page of somebody else whose name was made to mean this machine (DNS rebinding) still sends its own name.
    """
    if header is None:
        return False
    name, _, port = header.rpartition(":")
    if not name or port.endswith("]"):  # no port
        name, port = header, ""
    if port and not (port.isascii() and port.isdigit()):
        return False
    allowed = {host_name(host) for host in (*LOCAL, *hosts)}
    return name.lower() in allowed


def host_name(host: str) -> str:
    """A host as a browser writes it: an IPv6 address is in brackets."""
    host = host.lower()
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


class Guard:
    """Refuses requests for other hosts, and adds the headers of security to every answer."""

    def __init__(self, app: "ASGIApp", hosts: Sequence[str]):
        self.app, self.hosts = app, hosts
        policy = content_policy(served=True) + "; frame-ancestors 'none'"
        self.headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        }

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answers one request."""
        from starlette.datastructures import Headers, MutableHeaders
        from starlette.responses import JSONResponse

        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: "Message") -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        host = Headers(scope=scope).get("host")
        if host_allowed(host, self.hosts):
            await self.app(scope, receive, guarded)
        else:
            refusal = {"error": f"the request is for host {host}, not for one that this server answers to"}
            await JSONResponse(refusal, status_code=421)(scope, receive, guarded)
