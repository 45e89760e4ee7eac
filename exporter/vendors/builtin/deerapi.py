"""DeerAPI: Sora tasks behind a gateway of the new-api family.

Document: "查询视频任务" (GET /sora/v1/videos/{task_id}). The gateway's list of a user's own tasks (GET
/api/task/self) is not in DeerAPI's documents: it takes a user token instead of the API key and exists in three
dialects. Without that token the feed follows the ids under `watch`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache, partial
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, ValidationError, model_validator

from exporter import tasks
from exporter.client.answers import Answer
from exporter.client.client import Client
from exporter.client.errors import AuthRefused, ContractBroken, TaskNotFound, refusal
from exporter.client.reasons import code_of, reason_of
from exporter.client.tokens import TokenStore
from exporter.config.models import ProviderSettings, Secret
from exporter.config.values import BaseUrl, Rate, fault
from exporter.tasks import Cause, Clock, Observation, Reason, State
from exporter.vendors.fields import (
    Length,
    Percent,
    TaskId,
    Timestamp,
    UsersWords,
    Wire,
    observation,
    read_page,
    read_task,
    segment,
    shaped,
)
from exporter.vendors.vendor import START, Document, Feed, Page, Position, Tells, Vendor

STATES = {
    word: state
    for state, words in {
        State.QUEUED: (
            "not_start not_started submitted submitting queued queueing queuing queue in_queue pending waiting wait "
            "preparing created scheduled starting initializing throttled"
        ),
        State.RUNNING: (
            "in_progress processing running generating rendering progress executing working started dreaming "
            "post_processing"
        ),
        State.SUCCEEDED: "success succeed succeeded successful completed complete done finished finish",
        State.FAILED: "failure failed fail error errored expired timeout timed_out rejected",
        State.CANCELLED: "cancel cancelled canceled aborted terminated",
        State.UNKNOWN: "unknown",
    }.items()
    for word in words.split()
}
"""By lower-case status: the gateway's own words, and those of the models behind it, which some gateways pass on."""

ENDED_LATE = frozenset({"expired", "timeout", "timed_out"})
"""Words of a failure that say why."""

CODES = {
    "task_channel_disable": Reason.PROVIDER_INTERNAL,
    "channel_not_found": Reason.PROVIDER_INTERNAL,
    "get_task_failed": Reason.PROVIDER_INTERNAL,
    "do_request_failed": Reason.PROVIDER_INTERNAL,
    "build_request_failed": Reason.PROVIDER_INTERNAL,
    "insert_task_failed": Reason.PROVIDER_INTERNAL,
    "fail_to_fetch_task": Reason.PROVIDER_INTERNAL,
    "invalid_request": Reason.INVALID_INPUT,
    "invalid_api_platform": Reason.INVALID_INPUT,
    "invalid_relay_mode": Reason.INVALID_INPUT,
    "quota_not_enough": Reason.INSUFFICIENT_BALANCE,
    "insufficient_quota": Reason.INSUFFICIENT_BALANCE,
    "rix_api_error": Reason.INSUFFICIENT_BALANCE,
    "auth_unauthorized": Reason.AUTH,
    "auth_token_expired": Reason.AUTH,
    "auth_insufficient_privilege": Reason.AUTH,
}

RELAYED = frozenset(
    ("get_task_failed", "do_request_failed", "build_request_failed", "insert_task_failed", "fail_to_fetch_task")
)
"""Codes under which the gateway passes on what it got, with the HTTP status that tells whose fault it is."""

NOT_FOUND = frozenset({"task_not_exist", "task_not_found"})
_USER = re.compile(r"\b\w+(-Api)?-User\b", re.IGNORECASE)
"""The header that wants the user's number, as a refusal names it: `New-Api-User`, `Rix-Api-User`, `Veloera-User`."""
RESULTS = ("result_url", "video_url", "url")
OPENAI = {"task_id": "id", "submit_time": "created_at", "finish_time": "completed_at", "fail_reason": "error"}
"""The gateway's fields, and those of the OpenAI video object that some gateways answer."""

OTHER_MEDIA = frozenset({"suno", "mj", "midjourney"})
"""Platforms whose tasks the gateway lists beside the videos."""


class Settings(ProviderSettings):
    """A DeerAPI key and, where the gateway lets its users list their tasks, the user's own token."""

    added: ClassVar = ("sora", "api/task")
    type: Literal["deerapi"]
    base_url: BaseUrl = Field(default="https://api.deerapi.com", description="where the vendor's API starts")
    rate_limit: Rate = Field(default=3.0, description="the gateway allows 180 list pages in 180 s from one address")
    page_size: int = Field(default=100, ge=1, le=500, description="tasks asked for on one list page")
    api_key: Secret = Field(description="the API key, for single tasks")
    user_token: Secret | None = Field(default=None, description="the user's system access token, for the list")
    user_id: str | None = Field(default=None, description="the user's number, required by most gateways")

    @model_validator(mode="after")
    def _numbers_a_token(self) -> Self:
        if self.user_id is not None and "user_token" not in self.model_fields_set:
            told = "without effect, since no user_token is given; write user_token too, or leave user_id out"
            raise fault(told, "user_id")
        return self


class UserRefused(AuthRefused):
    """The gateway takes the user token, but not without the number of its user."""

    cause = Cause.USER_ID


class Moderation(BaseModel):
    type: str | None = None
    is_output_rejection: bool | None = None


class Source(BaseModel):
    duration_secs: Length = None


class Encodings(BaseModel):
    source: Source | None = None


class Generation(BaseModel):
    encodings: Encodings | None = None


class Upstream(BaseModel):
    """The object of the model behind the gateway: not documented, so nothing in it is relied on."""

    failure_reason: str | None = None
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
    if isinstance(value, dict):
        inner = value["error"] if isinstance(value.get("error"), dict) else value
        parts = [inner.get(name) for name in ("code", "type", "message", "msg", "reason")]
        return tuple(str(part) for part in parts if isinstance(part, str | int) and part)
    if value is None:
        return ()
    if not isinstance(value, str):
        raise ValueError("not a text")
    return (value,)


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]


class Row(Wire):
    task_id: TaskId
    status: Annotated[str | None, tasks.Field.STATE] = None
    fail_reason: Annotated[Words, tasks.Field.REASON] = ()
    progress: Annotated[Percent, tasks.Field.PROGRESS] = None
    submit_time: Annotated[Timestamp, tasks.Field.SUBMITTED] = None
    start_time: Annotated[Timestamp, tasks.Field.STARTED] = None
    finish_time: Annotated[Timestamp, tasks.Field.ENDED] = None
    seconds: Annotated[Length, tasks.Field.OUTPUT] = None
    data: Any = None

    @property
    def upstream(self) -> Upstream:
        try:
            return Upstream.model_validate(self.data)
        except ValidationError:
            return Upstream()


class NumberedPage(BaseModel):
    """A list page of the newer gateways, or of the one-hub branch; the older ones answer the bare rows."""

    page_size: int | None = Field(default=None, validation_alias=AliasChoices("page_size", "size"))
    total: int | None = Field(default=None, validation_alias=AliasChoices("total", "total_count"))
    items: list[Any] | None = Field(validation_alias=AliasChoices("items", "data"))


class Dialect(Enum):
    """How a gateway's list is asked for."""

    NEW = "p={page}&page_size={size}"
    OLD = "p={index}&page_size={size}"  # it counts pages from 0
    ONE_HUB = "p={page}&page_size={size}&page={page}&size={size}"

    def query(self, index: int, size: int) -> str:
        size = min(size, 100) if self is Dialect.ONE_HUB else size  # one-hub refuses larger pages
        return self.value.format(index=index, page=index + 1, size=size)


class Sora(Feed):
    kind = "sora"
    clock = Clock.PROVIDER
    document = Document("Querying a video task (查询视频任务)", "https://apidoc.deerapi.com/api-284896330")
    id_key = "task_id"

    def __init__(self, settings: Settings, client: Client) -> None:
        self._settings = settings
        self._client = client
        self._users_words = UsersWords.of(settings, self.kind)
        self.lists = settings.user_token is not None
        self._dialect = Dialect.NEW
        self._prefix = ""  # older gateways want the bare user token, newer ones also take a Bearer

    async def list_page(self, at: Position = START, *, in_flight: bool = False) -> Page:
        page, dialect = await self._list(at.index, at.rows)
        if dialect is not self._dialect:
            self._dialect = dialect
            page, _ = await self._list(at.index, at.rows)
        return page

    def _page(self, received: int, answer: Answer) -> tuple[Page, Dialect]:
        """A list page, and the dialect that the gateway speaks."""
        data, dialect = _listing(answer)
        rows, total = (data, None) if isinstance(data, list) else (data.items or [], data.total)
        asked = self._settings.page_size
        page = read_page(rows, self.observe, asked=asked, received=received, total=total, is_other=_is_other_media)
        return page, dialect

    async def look_up(self, task_id: str) -> Sequence[Observation]:
        headers = {"Authorization": f"Bearer {self._settings.api_key.reveal()}"}
        url = f"/sora/v1/videos/{segment(task_id)}"
        read = partial(self._detail, task_id)
        return [await self._client.call("detail", "GET", url, headers=headers, read=read)]

    def _detail(self, task_id: str, answer: Answer) -> Observation:
        raw = answer.json()
        if isinstance(raw, dict):
            if code_of(_refused_with(raw)) in NOT_FOUND:
                raise TaskNotFound
            if answer.status < 400 and _is_bare(raw, task_id):
                return read_task(raw, self.observe)
        data = _opened(_data(answer, Reason.UNKNOWN))
        if not data:
            raise TaskNotFound
        if isinstance(data, list):
            data = next((row for row in data if _id_of(row) == task_id), data[0] if len(data) == 1 else None)
        return read_task(data, self.observe)

    async def _list(self, index: int, received: int) -> tuple[Page, Dialect]:
        url = f"/api/task/self?{self._dialect.query(index, self._settings.page_size)}"
        token = self._settings.user_token.reveal() if self._settings.user_token else ""
        other_prefix = "" if self._prefix else "Bearer "
        read = partial(self._page, received)
        try:
            return await self._client.call("list", "GET", url, headers=self._user(self._prefix, token), read=read)
        except AuthRefused as refused:
            try:
                data = await self._client.call("list", "GET", url, headers=self._user(other_prefix, token), read=read)
            except AuthRefused as again:
                raise next((one for one in (refused, again) if isinstance(one, UserRefused)), refused) from None
        self._prefix = other_prefix
        return data

    def _user(self, prefix: str, token: str) -> dict[str, str]:
        headers = {"Authorization": prefix + token}
        return headers | ({"New-Api-User": self._settings.user_id} if self._settings.user_id else {})

    def observe(self, raw: object) -> Observation:
        """One row or detail as an observation. Raises ValueError where it shows no task."""
        row, broken = Row.read(_as_task(raw))
        status = _plain((row.status or "")[:64])
        state = self._users_words.states.meaning(row.status) or STATES.get(status)
        words: tuple[str, ...] = ()
        reason, fault, length = None, None, None
        is_unknown = state in (None, State.UNKNOWN)
        # On a success, fail_reason may hold the URL of the result.
        if state is State.FAILED or (is_unknown and not any(map(_is_url, row.fail_reason))):
            upstream = row.upstream
            words = (*row.fail_reason, upstream.failure_reason or "")
            text = " ".join(words).strip()
            reason = self._users_words.reason(*words, text)
            reason = reason or (Reason.MODERATION if upstream.moderated else reason_of(text=text, codes=CODES))
            fault = reason or (Reason.UNKNOWN if text else None)
            if state is State.FAILED and not text and status in ENDED_LATE:
                reason = Reason.TIMEOUT
        if state is State.SUCCEEDED or is_unknown:
            length = row.upstream.output_seconds or row.seconds or None
        return observation(
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


def _is_other_media(row: object) -> bool:
    platform = row.get("platform") if isinstance(row, dict) else None
    return isinstance(platform, str) and platform.lower() in OTHER_MEDIA


@lru_cache(maxsize=256)
def _plain(status: str) -> str:
    """A status as `STATES` has it: "In Progress", "in-progress" and "InProgress" are one word."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", status.strip())
    return re.sub(r"[ _-]+", "_", parted).lower().removeprefix("task_status_")


def _is_url(value: object) -> bool:
    return isinstance(value, str) and value.lstrip()[:8].lower().startswith(("http://", "https://"))


def _shows_result(raw: object) -> bool:
    """Whether a row holds the address of a clip: in its own fields, the upstream's, or where older gateways put it."""
    if not isinstance(raw, dict):
        return False
    places = [raw, *(raw[name] for name in ("data", "metadata", "content") if isinstance(raw.get(name), dict))]
    made = any(place.get("generations") for place in places)
    return made or _is_url(raw.get("fail_reason")) or any(_is_url(place.get(n)) for place in places for n in RESULTS)


def _id_of(row: object) -> object:
    return row.get("task_id") or row.get("id") if isinstance(row, dict) else None


def _is_bare(raw: dict[str, Any], task_id: str) -> bool:
    """Whether an answer is the task itself, without an envelope."""
    if not isinstance(raw.get("status"), str) or not _id_of(raw):
        return False
    if "task_id" in raw or str(raw.get("object")).startswith("video"):
        return True
    return not raw.keys() & {"data", "code", "success"} and (not raw.get("error") or _id_of(raw) == task_id)


def _opened(data: Any) -> Any:
    """What is inside of `data`: some gateways write it as JSON in a text."""
    if not isinstance(data, str):
        return data
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data


def _as_task(raw: object) -> object:
    """A row, with OpenAI's fields where the gateway's own are empty. A number as `id` is the gateway's row, no task."""
    if not isinstance(raw, dict):
        return raw
    given = {name: raw[other] for name, other in OPENAI.items() if not raw.get(name) and raw.get(other)}
    if not isinstance(given.get("task_id", ""), str):
        del given["task_id"]
    return raw | given if given else raw


def _listing(answer: Answer) -> tuple[list[Any] | NumberedPage, Dialect]:
    """Older gateways refuse a bad user token with HTTP 200 and success: false, in words that vary."""
    data = _data(answer, Reason.AUTH)
    if isinstance(data, list):
        return data, Dialect.OLD
    is_one_hub = isinstance(data, dict) and "items" not in data and "data" in data
    return shaped(NumberedPage, data), Dialect.ONE_HUB if is_one_hub else Dialect.NEW


def _codes_at(status: int) -> Mapping[str, Reason]:
    """The table of codes for a refusal with this HTTP status.

    At 4xx a relayed code is not the gateway's outage; only what 401 and 403 refuse is the gateway's own key. At 5xx no
    request is wrong.
    """
    if status >= 500:
        wrong = [code for code, reason in CODES.items() if reason is Reason.INVALID_INPUT]
        return CODES | dict.fromkeys(wrong, Reason.PROVIDER_INTERNAL)
    if status in (400, 405, 409, 413, 415, 422):
        return CODES | dict.fromkeys(RELAYED, Reason.INVALID_INPUT)
    return CODES | dict.fromkeys(RELAYED, Reason.RATE_LIMITED) if status == 429 else CODES


def _refused_with(raw: dict[str, Any]) -> object:
    """The code of an envelope, or of the error that stands in its place."""
    error = raw.get("error")
    fields = error if isinstance(error, dict) else raw
    return fields.get("code") or fields.get("type")


def _data(answer: Answer, otherwise: Reason) -> Any:
    """What is inside the envelope: {code: "success", data} or {success: true, data}; a refusal has three forms."""
    raw = answer.json()
    if not isinstance(raw, dict):
        raise ContractBroken("the answer is not of the documented shape")
    error, code = raw.get("error"), _refused_with(raw)
    message = (error if isinstance(error, dict) else raw).get("message")
    good = raw.get("success") is True or (raw.get("success") is None and code_of(code) == "success")
    if error or answer.status >= 400 or not good:
        text = message if isinstance(message, str) else ""
        if raw.get("success") is not False:
            otherwise = Reason.UNKNOWN
        refused = refusal(answer.status, code=code, text=text, codes=_codes_at(answer.status), otherwise=otherwise)
        if isinstance(refused, AuthRefused) and _USER.search(text):
            raise UserRefused(f"{refused}: user_id is missing or is not that of user_token")
        raise refused
    if "data" not in raw:
        raise ContractBroken("the answer is not of the documented shape at data")
    return raw["data"]


def feeds(settings: Settings, client: Client, token_store: TokenStore) -> Sequence[Feed]:
    return [Sora(settings, client)]


VENDOR = Vendor(
    "deerapi",
    Settings,
    (Sora.kind,),
    feeds,
    title="DeerAPI",
    tells={
        Sora.kind: Tells(
            list_needs="user_token", parts=("submitted", "started", "ended", "progress", "output", "reason")
        )
    },
    other_names=("new-api", "newapi", "one-api", "oneapi", "sora", "openai"),
    advice={
        Cause.USER_ID: (
            "Set user_id to the number of the user to whom user_token belongs; the gateway's pages show it beside the "
            "user's name or in the personal settings."
        ),
        Cause.NOTHING_TO_WATCH: "With user_token the feed may be listed instead.",
    },
)
