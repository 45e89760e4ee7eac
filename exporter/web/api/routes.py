"""The JSON API's endpoints that read; `openapi.py` describes them, `intake.py` has those that take something in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import cache

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exporter.ledger.errors import StoreError, TooMany
from exporter.tasks import is_task_id
from exporter.web.access.turns import Busy
from exporter.web.api import openapi, schemas
from exporter.web.api.intake import Refusal, Refused
from exporter.web.query import FoundTask, QueryError, find, parse
from exporter.web.search import Searches
from exporter.web.source import Source

PREFIX = "/api/"


def routes(source: Source, wall_clock: Callable[[], float], searches: Searches, external_url: str = "") -> list[Route]:
    """The endpoints that read. Their description names the address under which all of them are reached, if known."""

    @cache
    def description() -> bytes:
        """The description of the API: not made before it is asked for, since that takes as long as a start may take."""
        return json.dumps(openapi.document(external_url)).encode()

    async def providers(request: Request) -> Response:
        _refuse_parameters(request)
        snapshot, now = await source.everything(), wall_clock()
        return await searches.run(lambda: answer(schemas.providers(snapshot, now)), _address(request))

    async def tasks(request: Request) -> Response:
        query = parse(request.query_params, strict=True)
        snapshot, now = await source.everything(), wall_clock()
        return await searches.run(lambda: answer(schemas.tasks(find(snapshot, query, now))), _address(request))

    async def task(request: Request) -> Response:
        _refuse_parameters(request)
        snapshot = await source.everything()
        feed, task_id = snapshot.feed_at(*(request.path_params[name] for name in ("provider", "kind", "id")))
        if feed is None:
            return error_answer(404, f"no such feed; there are: {snapshot.names}")
        known = await source.find(feed.provider, feed.kind, task_id) if is_task_id(task_id) else None
        if known is None:
            return error_answer(404, "the ledger knows no such task: it was never seen, or has been forgotten")
        found, steps = known
        stale = not found.state.is_end and feed.is_stale(wall_clock())
        row = FoundTask(feed, found, stale)
        return await searches.run(lambda: answer(schemas.story(row, steps)), _address(request))

    async def describe(request: Request) -> Response:
        _refuse_parameters(request)
        return Response(await asyncio.to_thread(description), media_type="application/json")

    return [
        Route("/api/v1/providers", providers),
        Route("/api/v1/tasks", tasks),
        Route("/api/v1/tasks/{provider}/{kind}/{id:path}", task),
        Route(openapi.PATH, describe),
    ]


def answer(model: BaseModel, status: int = 200, **headers: str) -> Response:
    """A body of the API."""
    return Response(model.model_dump_json(), status, headers, media_type="application/json")


def error_answer(status: int, why: str, **headers: str) -> Response:
    """The answer to what is not done; `why` says what is wrong and what is allowed."""
    return answer(Refusal(error=why), status, **headers)


def refused(request: Request, error: Exception) -> Response:
    """The answer to a request whose endpoint raised one of `REFUSED`."""
    match error:
        case Refused():
            return error_answer(error.status, str(error), **error.headers)
        case Busy():
            return error_answer(503, "too many searches at once; try again later", **{"Retry-After": "1"})
        case StoreError() if request.method == "POST":
            return error_answer(503, "the ledger cannot be written now; try again later", **{"Retry-After": "10"})
        case StoreError():
            return error_answer(503, "the ledger cannot be read now; try again later")
    return error_answer(409 if isinstance(error, TooMany) else 400, str(error))


REFUSED = (Busy, QueryError, Refused, StoreError, TooMany)
"""What endpoints raise of requests that cannot be answered, or not now."""


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _refuse_parameters(request: Request) -> None:
    if request.query_params:
        raise QueryError("unknown parameter; none is allowed here")
