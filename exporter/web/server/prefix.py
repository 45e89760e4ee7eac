"""Takes a path off the addresses of requests: the one that the exporter is served below, or that a proxy names."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.web.server.place import PATH


def prefixed(app: ASGIApp, own: str) -> ASGIApp:
    """The application for requests whose paths begin with a prefix, which it never sees.

    A proxy that leaves its own path in the address may also name it, in X-Forwarded-Prefix. That decides nothing but
    how much of the request's own path is left out: links are relative, so no answer repeats the header.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        prefix = own or _forwarded(scope)
        allowed = app
        if path.startswith(f"{prefix}/"):
            scope = _without(scope, prefix) if prefix else scope
        elif path in ("/", prefix):  # as Prometheus does
            allowed = RedirectResponse(f"{prefix}/", 302)
        elif own:
            allowed = PlainTextResponse(f"There is nothing at this address; the exporter answers below {own}/.\n", 404)
        await allowed(scope, receive, send)

    return answer


def _forwarded(scope: Scope) -> str:
    """The path of the proxy, where it says so and has left it in the address."""
    named = Headers(scope=scope).get("x-forwarded-prefix", "").partition(",")[0].strip().rstrip("/")
    path: str = scope["path"]
    return named if named and PATH.fullmatch(named) and (path == named or path.startswith(f"{named}/")) else ""


def _without(scope: Scope, prefix: str) -> Scope:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    rest = raw.split(b"/", prefix.count("/") + 1)[-1]  # by its slashes: the rest of it may be written in percents
    return {**scope, "path": scope["path"][len(prefix) :], "raw_path": b"/" + rest}
