"""The ASGI application: /metrics, the landing page, health."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from exporter import __version__
from exporter.collector import FeedLoop
from exporter.config import ConfigError
from exporter.exposition import Exposition, Polled
from exporter.store import StoreError
from exporter.tasks import IN_FLIGHT
from exporter.views import FeedView

_PAGES = Environment(loader=PackageLoader("exporter.web"), autoescape=True, trim_blocks=True, lstrip_blocks=True)


@dataclass(frozen=True)
class FeedRow:
    """One feed as a page shows it."""

    provider: str
    kind: str
    type: str
    up: bool | None
    age: str
    in_flight: dict[str, int | None]
    """By state; None where what is known is too old to be shown, or nothing is."""
    error: str


def create(
    polled: Polled,
    exposition: Exposition,
    clock: Callable[[], float] = time.time,
    reload: Callable[[], Awaitable[None]] | None = None,
) -> Starlette:
    """The application on top of what is polled. With `reload`, POST /-/reload calls it.

    `reload` raises ConfigError, StoreError.
    """

    async def metrics(request: Request) -> Response:
        body, content_type = exposition.render(request.headers.get("Accept", ""))
        return Response(body, headers={"Content-Type": content_type, "Vary": "Accept"})

    async def index(request: Request) -> Response:
        rows = [_row(loop, clock()) for loop in polled.loops]
        return HTMLResponse(_PAGES.get_template("index.html").render(version=__version__, feeds=rows))

    async def healthy(request: Request) -> Response:
        now = time.monotonic()
        stuck = [f"{loop.provider.name}/{loop.feed.kind}" for loop in polled.loops if loop.pulse.is_stuck(now)]
        if stuck:
            return PlainTextResponse(f"Started anew in vain, does not come round: {', '.join(stuck)}.\n", 503)
        return PlainTextResponse("The exporter is healthy.\n")

    async def ready(request: Request) -> Response:
        waiting = [f"{loop.provider.name}/{loop.feed.kind}" for loop in polled.loops if loop.status.up is None]
        if waiting:
            return PlainTextResponse(f"Waiting for the first sweep of {', '.join(waiting)}.\n", 503)
        return PlainTextResponse("The exporter is ready.\n")

    async def reload_config(request: Request) -> Response:
        if reload is None:
            return PlainTextResponse("Start the exporter with --web.enable-lifecycle to allow this.\n", 403)
        try:
            await reload()
        except (ConfigError, StoreError) as error:
            return PlainTextResponse(f"The configuration was not reloaded.\n{error}\n", 500)
        return PlainTextResponse("The configuration was reloaded.\n")

    return Starlette(
        routes=[
            Route("/", index),
            Route("/metrics", metrics),
            Route("/-/healthy", healthy),
            Route("/-/ready", ready),
            Route("/-/reload", reload_config, methods=["POST"]),
        ],
        middleware=[Middleware(GZipMiddleware, minimum_size=1000, compresslevel=1)],
    )


def _row(loop: FeedLoop, now: float) -> FeedRow:
    tasks = FeedView(loop, now).in_flight
    return FeedRow(
        provider=loop.provider.name,
        kind=loop.feed.kind,
        type=loop.provider.settings.type,
        up=loop.status.up,
        age=_age(now - loop.book.polled) if loop.book.polled is not None else "never",
        in_flight={state.value: len(tasks[state]) if tasks else None for state in IN_FLIGHT},
        error=loop.status.error,
    )


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
