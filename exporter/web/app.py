"""The ASGI application: what answers at which address, and what every answer has in common."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import cache

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.config.load import ConfigError
from exporter.ledger.errors import StoreError
from exporter.metrics.exposition import Exposition
from exporter.snapshot import Reloads
from exporter.web.api import intake
from exporter.web.api import routes as api
from exporter.web.pages import routes as pages
from exporter.web.search import Searches
from exporter.web.server.coding import accepted, takes_gzip, weighed
from exporter.web.server.place import Place
from exporter.web.source import Source

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer that does not say otherwise: no browser makes anything else of it, or shows it in a frame."""


def create(
    source: Source,
    exposition: Exposition,
    wall_clock: Callable[[], float] = time.time,
    reload: Callable[[], Awaitable[None]] | None = None,
    *,
    reloads: Callable[[], Reloads] = Reloads,
    takes_tasks: Callable[[], bool] = lambda: False,
    web_trouble: Callable[[], str] = str,
    place: Place = Place(),  # noqa: B008
) -> Starlette:
    """The application on top of what is polled.

    With `reload`, which raises ConfigError and StoreError, POST /-/reload calls it; `reloads` says how the last one
    went. `takes_tasks` says at each POST /api/v1/tasks whether it is allowed, `web_trouble` what is wrong with the file
    of TLS and users, `place` under which address the exporter is reached and scraped.
    """
    scrapes, searches = Scrapes(exposition), Searches()
    app = Starlette(
        routes=[
            *pages.routes(source, reloads, wall_clock, web_trouble, searches),
            *api.routes(source, wall_clock, searches, place.external_url),
            *intake.routes(source, takes_tasks),
            *_operations(source, reload),
            Route(place.metrics, scrapes, methods=["GET"]),
        ],
        middleware=[
            Middleware(_shortened, scrapes=scrapes, path=place.metrics),
            Middleware(_framed),
            Middleware(weighed),
            Middleware(GZipMiddleware, minimum_size=1000, compresslevel=1),
        ],
        exception_handlers={404: _not_found, 405: _not_allowed, **dict.fromkeys(api.REFUSED, _refused)},
    )
    app.state.metrics = place.metrics.removeprefix("/")
    app.router.redirect_slashes = False  # else to an absolute address, made of a header that anybody can write
    return app


def _operations(source: Source, reload: Callable[[], Awaitable[None]] | None) -> list[Route]:
    """What the operator asks for: health, readiness, reload."""

    async def healthy(request: Request) -> Response:
        if stuck := source.stuck():
            return PlainTextResponse(f"Stuck even after a restart: {', '.join(stuck)}.\n", 503)
        return PlainTextResponse("The exporter is healthy.\n")

    async def ready(request: Request) -> Response:
        if unready := source.unready():
            return PlainTextResponse(f"{unready}\n", 503)
        feeds = [feed for feed in source.snapshot().feeds if feed.look_ups.unread]
        reading = [f"{feed.followed - feed.look_ups.unread} of {feed.followed} ids of {feed.name}" for feed in feeds]
        told = f"Read for the first time: {', '.join(reading)}.\n" if reading else ""
        return PlainTextResponse(f"The exporter is ready.\n{told}")

    async def reload_config(request: Request) -> Response:
        if reload is None:
            return PlainTextResponse("Start the exporter with --web.enable-lifecycle to allow this.\n", 403)
        if "Origin" in request.headers:  # browsers name the page that has them send a POST; no page of ours does
            return PlainTextResponse("Web pages may not request this. Send no Origin header, as curl does.\n", 403)
        try:
            await reload()
        except (ConfigError, StoreError) as error:
            return PlainTextResponse(f"The configuration was not reloaded.\n{error}\n", 500)
        return PlainTextResponse("The configuration was reloaded.\n")

    return [
        Route("/-/healthy", healthy),
        Route("/-/ready", ready),
        Route("/-/reload", reload_config, methods=["POST"]),
    ]


class Scrapes:
    """Answers scrapes with the body that is prepared."""

    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Headers(scope=scope)
        answer = await self._exposition.answer(",".join(asked.getlist("Accept")), takes_gzip(accepted(asked)))
        length = sum(map(len, answer.pieces))
        headers = [*_scrape_headers(answer.content_type, answer.packed), (b"content-length", b"%d" % length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number, piece in enumerate(answer.pieces, start=1):
            await send({"type": "http.response.body", "body": piece, "more_body": number < len(answer.pieces)})
            await asyncio.sleep(0)  # else all else would wait for all pieces


@cache
def _scrape_headers(content_type: str, packed: bool) -> tuple[tuple[bytes, bytes], ...]:
    """Those of every body in a format."""
    encoding = {"Content-Encoding": "gzip"} if packed else {}
    headers = HEADERS | {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"} | encoding
    return tuple((name.lower().encode(), value.encode()) for name, value in headers.items())


def _shortened(app: ASGIApp, scrapes: Scrapes, path: str) -> ASGIApp:
    """Lets scrapes pass by what is around the other answers, which takes longer than they do."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        is_scrape = scope["type"] == "http" and scope["path"] == path and scope["method"] in ("GET", "HEAD")
        await (scrapes if is_scrape else app)(scope, receive, send)

    return answer


async def _not_found(request: Request, error: Exception) -> Response:
    told = "The address may be mistyped, or no longer exist."
    if _is_api(request.scope):
        told = "/api/v1/openapi.json lists those that there are."
    return _error_page(request, 404, "There is nothing at this address", told)


async def _not_allowed(request: Request, error: Exception) -> Response:
    allowed = ", ".join(_methods_at(request))
    answer = _error_page(request, 405, "The method is not allowed here", f"Allowed: {allowed}.")
    answer.headers["Allow"] = allowed
    return answer


async def _refused(request: Request, error: Exception) -> Response:
    return api.refused(request, error) if _is_api(request.scope) else pages.refused(request, error)


def _is_api(scope: Scope) -> bool:
    """Whether programs read what is answered; not by the URL: its host is a header that anybody can write."""
    return str(scope["path"]).startswith(api.PREFIX)


def _error_page(request: Request, status: int, title: str, told: str) -> Response:
    """A page, or below the API's path what programs read."""
    if _is_api(request.scope):
        return api.error_answer(status, f"{title[0].lower()}{title[1:]}; {told[0].lower()}{told[1:].rstrip('.')}")
    return pages.problem(request, status, title, told)


def _methods_at(request: Request) -> list[str]:
    """All methods of the address, which may be several routes."""
    here = [one for one in request.app.routes if isinstance(one, Route)]
    return sorted(
        {name for one in here if one.matches(request.scope)[0] is not Match.NONE for name in one.methods or ()}
    )


def _framed(app: ASGIApp) -> ASGIApp:
    """What is around every answer: its headers, and an answer where the application has none."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if _is_api(scope):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await app(scope, receive, send_with_headers)
        except ClientDisconnect:
            raise
        except Exception as error:
            if started:  # it can only be cut off
                raise
            log.error("a request could not be answered; this is a bug in the exporter", exc_info=error)
            apology = PlainTextResponse("The exporter could not answer this. It is a bug; its log says where.\n", 500)
            await apology(scope, receive, send_with_headers)

    return answer
