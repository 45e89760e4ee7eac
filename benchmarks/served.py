"""Serves on one event loop, for a client in another process: our /metrics, and what it is compared with.

    python -m benchmarks.served FEEDS TASKS MODELS      writes its port

/metrics is ours. /fixed answers for ever what /metrics answered to the first request with the same headers, in the same
pieces. /peer is prometheus-client's own application with the same samples, in families that are made already: it only
renders.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Metric, make_asgi_app
from prometheus_client.openmetrics import parser
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.scraper import OPENMETRICS
from benchmarks.standing import Standing
from exporter.commands.run import tune
from exporter.metrics.exposition import Exposition
from exporter.snapshot import Reloads
from exporter.web import app as web
from exporter.web.server.server import Server, listen

families_of: Callable[[str], Iterable[Metric]] = parser.text_string_to_metric_families


class Fixed:
    """Answers for ever what another application answered first, in the same pieces."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._answers: dict[tuple[tuple[bytes, bytes], ...], list[Message]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = tuple(sorted(header for header in scope["headers"] if header[0].startswith(b"accept")))
        if asked not in self._answers:
            messages = self._answers[asked] = []

            async def keep(message: Message) -> None:
                messages.append(message)

            await self._app({**scope, "path": "/metrics", "raw_path": b"/metrics"}, receive, keep)
        for message in self._answers[asked]:
            await send(message)


class Ready(Collector):
    """Families that are there already, so that nothing but their rendering takes time."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def peer(body: bytes) -> ASGIApp:
    """prometheus-client's application, with the samples of an OpenMetrics body."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Ready(families_of(body.decode())))
    app: ASGIApp = make_asgi_app(registry)
    return app


async def main(feeds: int, tasks: int, models: int) -> None:
    standing = Standing(feeds, tasks, models)
    await standing.fill()
    polled = standing.polled
    exposition = Exposition(polled.snapshot, Reloads, time.time, polled.awaited, take_in_turns=polled.snapshot_in_turns)
    ours = web.create(standing.polled, exposition)
    answer = await exposition.answer(OPENMETRICS)
    paths: dict[str, ASGIApp] = {"/fixed": Fixed(ours), "/peer": peer(b"".join(answer.pieces))}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await paths.get(scope["path"], ours)(scope, receive, send)

    sockets = listen(["127.0.0.1:0"])
    fresh = asyncio.create_task(exposition.keep_fresh(standing.news))
    print(sockets[0].getsockname()[1], flush=True)
    await Server(app).serve(sockets)
    fresh.cancel()


if __name__ == "__main__":
    tune()
    asyncio.run(main(*map(int, sys.argv[1:4])))
