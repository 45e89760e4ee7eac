"""The JSON API's endpoints that read; `openapi.py` describes them, `intake.py` has those that take something in."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exporter.ledger.errors import StoreError
from exporter.tasks import is_task_id
from exporter.web.access.turns import Busy
from exporter.web.api import openapi, schemas
from exporter.web.api.intake import Refusal
from exporter.web.query import QueryError, Row, find, parse
from exporter.web.search import Searches
from exporter.web.source import Source

PREFIX = "/api/"


def routes(source: Source, clock: Callable[[], float], searches: Searches, external_url: str = "") -> list[Route]:
    """The endpoints that read. Their description names the address under which all of them are reached, if known."""
    description = json.dumps(openapi.document(external_url)).encode()

    async def providers(request: Request) -> Response:
        _refuse_parameters(request)
        return answer(schemas.providers(source.snapshot(), clock()))

    async def tasks(request: Request) -> Response:
        query = parse(request.query_params, strict=True)
        snapshot, now = source.snapshot(), clock()
        address = request.client.host if request.client else ""
        try:
            return await searches.run(lambda: answer(schemas.tasks(find(snapshot, query, now))), address)
        except Busy:
            return _json(
                Refusal(error="too many searches at once; try again later").model_dump_json().encode(),
                503,
                {"Retry-After": "1"},
            )

    async def task(request: Request) -> Response:
        _refuse_parameters(request)
        provider, kind, task_id = (request.path_params[name] for name in ("provider", "kind", "id"))
        feed = source.snapshot().feed(provider, kind)
        if feed is None:
            return refusal(404, f"no such feed; there are: {source.snapshot().names}")
        try:
            known = await source.find(provider, kind, task_id) if is_task_id(task_id) else None
        except StoreError:
            return refusal(503, "the ledger cannot be read now; try again later")
        if known is None:
            return refusal(404, "the ledger knows no such task: it was never seen, or has been forgotten")
        found, steps = known
        stale = not found.state.is_end and feed.is_stale(clock())
        return answer(schemas.story(Row(feed, found, stale), steps))

    async def describe(request: Request) -> Response:
        _refuse_parameters(request)
        return _json(description, 200)

    return [
        Route("/api/v1/providers", _answered(providers)),
        Route("/api/v1/tasks", _answered(tasks)),
        Route("/api/v1/tasks/{provider}/{kind}/{id:path}", _answered(task)),
        Route(openapi.PATH, _answered(describe)),
    ]


def answer(model: BaseModel, status: int = 200) -> Response:
    """A body of the API."""
    return _json(model.model_dump_json().encode(), status)


def refusal(status: int, why: str) -> Response:
    """The answer to what is not done; `why` says what is wrong and what is allowed."""
    return answer(Refusal(error=why), status)


def _json(body: bytes, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, media_type="application/json")


def _answered(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that answers a wrong query with the reason."""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except QueryError as error:
            return refusal(400, str(error))

    return answered


def _refuse_parameters(request: Request) -> None:
    if request.query_params:
        raise QueryError("unknown parameter; none is allowed here")
