"""Takes a path off the addresses of requests: the one that the exporter is served below, or that a proxy names."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.web.server.place import PATH


class Prefixed:
    """Takes the prefix off the paths of requests, so that all behind it knows nothing of it.

    A proxy that leaves its own path in the address may also name it, in X-Forwarded-Prefix. That decides nothing but
    how much of the request's own path is left out: links are relative, so no answer repeats the header.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app, self._prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        prefix = self._prefix or _forwarded(scope)
        if path.startswith(f"{prefix}/"):
            await self._app(_without(scope, prefix) if prefix else scope, receive, send)
        elif path in ("/", prefix):  # as Prometheus does
            await RedirectResponse(f"{prefix}/", 302)(scope, receive, send)
        elif self._prefix:
            told = f"There is nothing at this address; the exporter answers below {prefix}/.\n"
            await PlainTextResponse(told, 404)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _forwarded(scope: Scope) -> str:
    """The path of the proxy, where it says so and has left it in the address."""
    named = Headers(scope=scope).get("x-forwarded-prefix", "").partition(",")[0].strip().rstrip("/")
    path: str = scope["path"]
    return named if named and PATH.fullmatch(named) and (path == named or path.startswith(f"{named}/")) else ""


def _without(scope: Scope, prefix: str) -> Scope:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    rest = raw.split(b"/", prefix.count("/") + 1)[-1]  # by its slashes: the rest of it may be written in percents
    return {**scope, "path": scope["path"][len(prefix) :], "raw_path": b"/" + rest}
