"""A gateway's record of a task as an observation: its own fields, and what the model behind it has left in `data`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from exporter import tasks
from exporter.client.reasons import code_of, reason_of
from exporter.tasks import Observation, Reason, State
from exporter.vendors.builtin._gateway.words import CODES, STATES, TELLING, plain
from exporter.vendors.declared.reading.words import Words
from exporter.vendors.fields import Length, Percent, TaskId, Timestamp, Wire, observation

RESULTS = ("result_url", "video_url", "url")

_OTHER_NAMES = (
    ("task_id", ("id",)),
    ("status", ("state", "task_status")),
    ("submit_time", ("created_at",)),
    ("finish_time", ("completed_at",)),
    ("fail_reason", ("error",)),
)
"""The gateway's fields, and what the OpenAI video object and other models call them."""

NESTED = 5
"""How deep `data` is searched for the words of a failure: gateways wrap the answer of a model that wraps its own."""

PLACES = 200
"""Most objects and lists of one level that are searched."""

FAILURES = (
    *("error", "fail_reason", "failure_reason", "failure_code", "failureCode", "failure", "failure_msg"),
    *("task_status_msg", "status_msg", "err_code", "err_msg", "error_code", "error_msg", "error_message"),
)
"""Fields in which models say why a task failed."""

GOOD_CODES = frozenset(("", "0", "200", "success", "succeed", "ok", "none", "null"))


class Moderation(BaseModel):
    type: str | None = None
    is_output_rejection: bool | None = None


class GatewaySource(BaseModel):
    duration_secs: Length = None


class Encodings(BaseModel):
    source: GatewaySource | None = None


class Generation(BaseModel):
    encodings: Encodings | None = None


class Upstream(BaseModel):
    """The object of the model behind the gateway: not documented, so nothing in it is relied on."""

    moderation_result: Moderation | None = None
    num_unsafe_generations: int | None = None
    generations: list[Generation] | None = Field(default=None, max_length=1000, fail_fast=True)

    @property
    def moderated(self) -> bool:
        result = self.moderation_result or Moderation()
        return result.type not in (None, "", "passed") or bool(
            result.is_output_rejection or self.num_unsafe_generations
        )

    @property
    def output_seconds(self) -> float | None:
        sources = [one.encodings.source for one in self.generations or [] if one.encodings and one.encodings.source]
        return sum(source.duration_secs or 0.0 for source in sources) or None


def _words(value: Any) -> tuple[str, ...]:
    """What a failure says: a text, or an object with a code and a message, as models behind the gateway write it."""
    if value == "":  # as nearly all rows have it
        return ()
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = opened(value)
    if isinstance(value, dict):
        inner = value["error"] if isinstance(value.get("error"), dict) else value
        parts = [inner.get(name) for name in ("code", "type", "message", "msg", "reason")]
        return tuple(str(part) for part in parts if isinstance(part, str | int) and part)
    if value is None:
        return ()
    if not isinstance(value, str):
        raise ValueError("not a text")
    return (value,)


Said = Annotated[tuple[str, ...], BeforeValidator(_words)]


class Metadata(BaseModel):
    duration: Length = None


class GatewayRow(Wire):
    task_id: TaskId
    status: Annotated[str | None, tasks.Field.STATE] = None
    fail_reason: Annotated[Said, tasks.Field.REASON] = ()
    progress: Annotated[Percent, tasks.Field.PROGRESS] = None
    submit_time: Annotated[Timestamp, tasks.Field.SUBMITTED] = None
    start_time: Annotated[Timestamp, tasks.Field.STARTED] = None
    finish_time: Annotated[Timestamp, tasks.Field.ENDED] = None
    seconds: Annotated[Length, tasks.Field.OUTPUT] = None
    metadata: Metadata | None = None
    properties: Any = None
    model: Any = None
    data: Any = None

    @property
    def model_name(self) -> str:
        """The model that was asked for; where only that is known, the upstream's model."""
        name = self.model
        if isinstance(given := self.properties, dict):
            name = given.get("origin_model_name") or given.get("upstream_model_name") or name
        return name if isinstance(name, str) else ""

    @property
    def upstream(self) -> Upstream:
        try:
            return Upstream.model_validate(opened(self.data))
        except ValidationError:
            return Upstream()


def observe(raw: object, states: Words[State], reasons: Words[Reason]) -> Observation:
    """One row or detail as an observation. Raises ValueError where it shows no task.

    `states` and `reasons` are the words that a provider adds; they go before the gateway's.
    """
    row, broken = GatewayRow.read(_as_task(raw))
    status = plain((row.status or "")[:64])
    state = states.meaning(row.status) or STATES.get(status)
    words: tuple[str, ...] = ()
    reason, fault, length = None, None, None
    is_unknown = state in (None, State.UNKNOWN)
    # On a success, fail_reason may hold the URL of the result.
    if state is State.FAILED or (is_unknown and not any(map(_is_url, row.fail_reason))):
        upstream = row.upstream
        words = tuple(dict.fromkeys((*row.fail_reason, *_inner_words(opened(row.data)))))
        reason = next(filter(None, map(reasons.meaning, (*words, " ".join(words).strip()))), None)
        reason = reason or (Reason.MODERATION if upstream.moderated else _reason(words))
        said = any(map(str.strip, words))
        fault = reason or (Reason.UNKNOWN if said else None)
        if state is State.FAILED and not said:
            reason = reason or TELLING.get(status)
    if state is State.SUCCEEDED or is_unknown:
        length = row.upstream.output_seconds or row.seconds or (row.metadata and row.metadata.duration) or None
    made = observation(
        row.task_id,
        state,
        broken,
        reason=reason,
        words=words,
        raw=raw,
        word=row.status,
        result=is_unknown and _shows_result(raw),
        fault=fault,
        progress=None if state is State.FAILED else row.progress,  # each end is 100% there, a bad one too
        submitted=row.submit_time,
        started=row.start_time,
        ended=row.finish_time,
        output_seconds=length,
    )
    made.model = row.model_name
    return made


def id_of(row: object) -> object:
    """What a row calls its task, whatever that is."""
    return row.get("task_id") or row.get("id") if isinstance(row, dict) else None


def opened(data: Any) -> Any:
    """What is inside of `data`: some gateways write it as JSON in a text."""
    if not isinstance(data, str):
        return data
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data


def _reason(words: Sequence[str]) -> Reason | None:
    """Why a task failed, by all that is said of it.

    "task failed" and the like are what the gateway says of anything: any other word goes before that.
    """
    whole = reason_of(text=" ".join(words).strip(), codes=CODES)
    if whole not in (None, Reason.PROVIDER_INTERNAL):
        return whole
    each = [found for one in words if (found := reason_of(code=one, text=one, codes=CODES))]
    return next((one for one in each if one is not Reason.PROVIDER_INTERNAL), each[0] if each else whole)


def _inner_words(data: Any) -> Iterator[str]:
    """What the model behind the gateway says of a failure, wherever in its answer."""
    level = [data]
    for _ in range(NESTED):
        for one in (one for one in level if isinstance(one, dict)):
            for name in FAILURES:
                yield from _told(one.get(name))
            if code_of(one.get("code")) not in GOOD_CODES:
                yield from _told({name: one.get(name) for name in ("code", "message", "msg")})
        level = list(islice((value for one in level if isinstance(one, dict | list) for value in _inside(one)), PLACES))


def _inside(one: dict[str, Any] | list[Any]) -> Iterator[Any]:
    if isinstance(one, dict):
        return (value for name, value in one.items() if name != "error" and isinstance(value, dict | list))
    return (value for value in one if isinstance(value, dict | list))


def _told(value: Any) -> Iterator[str]:
    """The words of one field about a failure; neither a code that means none nor an address is one."""
    try:
        found = _words(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)
    except ValueError:
        return
    yield from (one for one in found if one.strip().lower() not in GOOD_CODES and not _is_url(one))


def _is_url(value: object) -> bool:
    return isinstance(value, str) and value.lstrip()[:8].lower().startswith(("http://", "https://"))


def _shows_result(raw: object) -> bool:
    """Whether a row holds the address of a clip: in its own fields, the upstream's, or where older gateways put it."""
    if not isinstance(raw, dict):
        return False
    places = [raw, *(raw[name] for name in ("data", "metadata", "content") if isinstance(raw.get(name), dict))]
    made = any(place.get("generations") for place in places)
    return made or _is_url(raw.get("fail_reason")) or any(_is_url(place.get(n)) for place in places for n in RESULTS)


def _as_task(raw: object) -> object:
    """A row, with other models' fields where the gateway's own are empty.

    A number as `id` is the gateway's row, no task.
    """
    if not isinstance(raw, dict):
        return raw
    has = raw.get
    if has("task_id") and has("status") and has("submit_time") and not (has("completed_at") or has("error")):
        return raw  # as nearly all rows are: a list has hundreds
    given = {}
    for name, others in _OTHER_NAMES:
        if not raw.get(name):
            for other in others:
                if raw.get(other):
                    given[name] = raw[other]
                    break
    if not given:
        return raw
    if not isinstance(given.get("task_id", ""), str):
        del given["task_id"]
    return raw | given
