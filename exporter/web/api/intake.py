"""Ids from outside: tasks to follow, asked for over HTTP, and vendors' callbacks.

Whatever comes in is at most a reason to look a task up: only what the vendor answers counts.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from exporter.config.mistakes.faults import beyond_limits
from exporter.tasks import ID_LENGTH, why_no_task_id
from exporter.web.source import CallbackTaker, Source

CALLBACKS = "/api/v1/callbacks/"
"""What begins so has secrets of its own, and no user."""

IDS_AT_ONCE = 10_000
CALLBACK_IDS = 100
"""Ids that one callback may name; the rest of them is left to the sweeps."""

NOBODYS_SECRET = secrets.token_hex()
"""What is compared where there is no secret, so that the time of an answer reveals nothing."""


TaskId = Annotated[Any, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": ID_LENGTH})]
"""What ought to be an id. Each is looked at by itself: one bad id costs no other."""


class _IdsBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class TasksAskedFor(_IdsBody):
    """Tasks of one feed to follow until their ends are counted."""

    provider: str = Field(description="the name of a provider of the configuration")
    kind: str = Field(description="one of its feeds")
    ids: list[TaskId] = Field(min_length=1, max_length=IDS_AT_ONCE, description="the tasks' ids at the vendor")


class RefusedId(_IdsBody):
    """An id that was not accepted."""

    index: int = Field(description="its place in `ids`, from 0")
    error: str = Field(description="why it is invalid, and what is allowed")


class TasksTaken(_IdsBody):
    """The result for the ids, without repeats. Accepted ids are on disk."""

    new: int = Field(description="ids that are followed from now on")
    known: int = Field(description="ids that were followed already")
    ended: int = Field(description="ids of tasks that have ended and are counted")
    refused: list[RefusedId] = Field(description="ids that are invalid")


class Refusal(_IdsBody):
    """Why a request was refused; nothing of it was done."""

    error: str = Field(description="what is wrong, and what is allowed")


class Refused(Exception):
    """A request that is not done, with the status that says so; what else an endpoint here raises is refused too."""

    def __init__(self, status: int, error: str, **headers: str) -> None:
        super().__init__(error)
        self.status = status
        self.headers = headers


def routes(source: Source, allowed: Callable[[], bool]) -> list[Route]:
    """The endpoints; `allowed` is called at each request, and returns whether tasks may be asked for.

    The one for callbacks goes by a secret of each provider instead.
    """

    async def ask(request: Request) -> Response:
        if not allowed():
            raise Refused(
                403, "not allowed; configure users in --web.config.file, or start with --web.enable-watch-api"
            )
        if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
            # Of all types, this is one that no page of another site may send without being allowed to.
            raise Refused(415, "not JSON by its Content-Type; send application/json", Accept="application/json")
        wanted = _asked_for(await request.body())
        ids, refused = _parted(wanted.ids)
        verdict = await source.follow(wanted.provider, wanted.kind, ids)
        if verdict is None:
            raise Refused(400, f"provider, kind: no such feed; allowed: {(await source.everything()).names}")
        taken = TasksTaken(new=verdict.new, known=verdict.known, ended=verdict.ended, refused=refused)
        return JSONResponse(taken.model_dump())

    async def call_back(request: Request) -> Response:
        callbacks = source.callbacks(request.path_params["provider"], request.path_params["kind"])
        if not _is_secret(callbacks, request) or callbacks is None:
            raise Refused(403, "not accepted; check provider, kind and secret, and watch.callback_secret")
        try:
            body = json.loads(await request.body())
        except (ValueError, RecursionError):
            raise Refused(400, "the body is not JSON") from None
        ids = callbacks.ids_in(body)
        if not ids:
            raise Refused(400, f"the body names no task; it is looked for as {callbacks.id_key}, also inside of data")
        await callbacks.hint(ids[:CALLBACK_IDS])
        return Response(status_code=204)

    return [
        Route("/api/v1/tasks", ask, methods=["POST"]),
        Route(CALLBACKS + "{provider}/{kind:path}", call_back, methods=["POST"]),
    ]


def _is_secret(callbacks: CallbackTaker | None, request: Request) -> bool:
    """Whether a callback brings the provider's secret. What is no feed, or has no secret, takes as long to refuse."""
    bearer = request.headers.get("Authorization", "")
    header = request.headers.get("X-Callback-Secret") or (bearer[7:].strip() if bearer[:7].lower() == "bearer " else "")
    # Headers come as Latin-1, whatever their bytes mean.
    given = header.encode("latin-1") if header else request.query_params.get("secret", "").encode()
    secret = callbacks.secret if callbacks else None
    expected = (secret.reveal() if secret else NOBODYS_SECRET).encode()
    # Digests, whose lengths are the same: a comparison may reveal the length of what it compares.
    return hmac.compare_digest(*(hashlib.sha256(one).digest() for one in (given, expected))) and secret is not None


def _parted(values: Sequence[object]) -> tuple[list[str], list[RefusedId]]:
    """The ids, without blanks and line ends around them, and those that are none. Raises Refused if none is one."""
    ids, refused = [], []
    for index, value in enumerate(values):
        one = value.strip() if isinstance(value, str) else value
        if why := why_no_task_id(one):
            refused.append(RefusedId(index=index, error=f"not a task id: {why}"))
        else:
            ids.append(str(one))
    if not ids:
        raise Refused(400, f"ids[{refused[0].index}]: {refused[0].error}")
    return ids, refused


def _asked_for(body: bytes) -> TasksAskedFor:
    try:
        return TasksAskedFor.model_validate_json(body)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
    where = "".join(f"[{step}]" if isinstance(step, int) else step for step in detail["loc"])
    match detail["type"]:
        case "json_invalid":
            raise Refused(400, "the body is not JSON")
        case "model_type":
            raise Refused(400, 'not of the form {"provider": "...", "kind": "...", "ids": ["..."]}')
        case "extra_forbidden":
            raise Refused(400, f"unknown key; allowed: {', '.join(TasksAskedFor.model_fields)}")
        case "missing":
            message = "missing"
        case "list_type":
            message = 'not a list; write ["...", "..."]'
        case _:
            message = beyond_limits(detail) or "not a text"
    raise Refused(400, f"{where}: {message}")
