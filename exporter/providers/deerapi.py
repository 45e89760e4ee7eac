"""DeerAPI: Sora tasks behind a gateway of the new-api family.

Document: "查询视频任务" (GET /sora/v1/videos/{task_id}). The gateway's list of a user's own tasks (GET
/api/task/self) is not in DeerAPI's documents: it takes a user token instead of the API key and exists in two dialects.
Without that token the feed follows the ids under `watch`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, Field, ValidationError, model_validator

from exporter import tasks
from exporter.providers.client import Answer, Client
from exporter.providers.errors import AuthRefused, ContractBroken, TaskNotFound, refusal
from exporter.providers.failures import reason_of
from exporter.providers.provider import Document, Feed, Page, Vault, Vendor
from exporter.providers.wire import (
    Length,
    Percent,
    TaskId,
    Text,
    Timestamp,
    Wire,
    observation,
    read_rows,
    read_task,
    shaped,
)
from exporter.settings import BaseUrl, ProviderSettings, Rate, Secret, fault
from exporter.tasks import Clock, Observation, Reason, State

STATES = {
    "not_start": State.QUEUED,
    "submitted": State.QUEUED,
    "queued": State.QUEUED,
    "queueing": State.QUEUED,
    "in_progress": State.RUNNING,
    "processing": State.RUNNING,
    "success": State.SUCCEEDED,
    "failure": State.FAILED,
    "failed": State.FAILED,
    "cancel": State.CANCELLED,
    "cancelled": State.CANCELLED,
    "canceled": State.CANCELLED,
    "unknown": State.UNKNOWN,
}
"""By lower-case status; the older gateways wrote some of them in lower case."""

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

NOT_FOUND = frozenset({"task_not_exist", "task_not_found"})
_USER = re.compile(r"\b\w+(-Api)?-User\b", re.IGNORECASE)
"""The header that wants the user's number, as a refusal names it: `New-Api-User`, `Rix-Api-User`, `Veloera-User`."""

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
    user_id: str | None = Field(default=None, description="the user's number, which most gateways want with it")

    @model_validator(mode="after")
    def _numbers_a_token(self) -> Self:
        if self.user_id is not None and "user_token" not in self.model_fields_set:
            told = "without effect, since no user_token is given; write user_token too, or leave user_id out"
            raise fault(told, "user_id")
        return self


class UserRefused(AuthRefused):
    """The gateway takes the user token, but not without the number of its user."""


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
    generations: list[Generation] | None = None

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


class Row(Wire):
    task_id: TaskId
    status: Annotated[str | None, tasks.Field.STATE] = None
    fail_reason: Annotated[Text, tasks.Field.REASON] = ""
    progress: Annotated[Percent, tasks.Field.PROGRESS] = None
    submit_time: Annotated[Timestamp, tasks.Field.SUBMITTED] = None
    start_time: Annotated[Timestamp, tasks.Field.STARTED] = None
    finish_time: Annotated[Timestamp, tasks.Field.ENDED] = None
    data: Any = None

    @property
    def upstream(self) -> Upstream:
        try:
            return Upstream.model_validate(self.data)
        except ValidationError:
            return Upstream()


class NumberedPage(BaseModel):
    """A list page of the newer gateways; the older ones answer the bare rows."""

    page_size: int | None = None
    total: int | None = None
    items: list[Any] | None


class Sora(Feed):
    kind = "sora"
    clock = Clock.PROVIDER
    document = Document("Querying a video task (查询视频任务)", "https://apidoc.deerapi.com/api-284896330")
    id_key = "task_id"

    def __init__(self, settings: Settings, client: Client) -> None:
        self._settings = settings
        self._client = client
        self.lists = settings.user_token is not None
        self._first_page = 1  # newer gateways count pages from 1, older ones from 0
        self._prefix = ""  # older gateways want the bare user token, newer ones also take a Bearer

    async def list_page(self, index: int, *, in_flight: bool = False) -> Page:
        data = await self._list(index + self._first_page)
        first_page = 0 if isinstance(data, list) else 1
        if first_page != self._first_page:
            self._first_page = first_page
            data = await self._list(index + first_page)
        if isinstance(data, list):
            rows, last = data, not data
        else:
            rows = data.items or []
            read = (index + 1) * (data.page_size or len(rows))  # the gateway may have cut the page size
            last = not rows or (data.total is not None and read >= data.total)
        observations, spoiled = read_rows((row for row in rows if not _is_other_media(row)), self.observe)
        return Page(observations, last, spoiled)

    async def look_up(self, task_id: str) -> Sequence[Observation]:
        headers = {"Authorization": f"Bearer {self._settings.api_key.reveal()}"}
        url = f"/sora/v1/videos/{quote(task_id, safe='')}"
        return [await self._client.call("detail", "GET", url, headers=headers, read=self._detail)]

    def _detail(self, answer: Answer) -> Observation:
        raw = answer.json()
        if isinstance(raw, dict) and str(_refused_with(raw)).lower() in NOT_FOUND:
            raise TaskNotFound
        data = _data(answer, Reason.UNKNOWN)
        if not data:
            raise TaskNotFound
        return read_task(data, self.observe)

    async def _list(self, page: int) -> list[Any] | NumberedPage:
        url = f"/api/task/self?p={page}&page_size={self._settings.page_size}"
        token = self._settings.user_token.reveal() if self._settings.user_token else ""
        other_prefix = "" if self._prefix else "Bearer "
        try:
            return await self._client.call("list", "GET", url, headers=self._user(self._prefix, token), read=_listing)
        except AuthRefused as refused:
            try:
                data = await self._client.call(
                    "list", "GET", url, headers=self._user(other_prefix, token), read=_listing
                )
            except AuthRefused as again:
                raise next((one for one in (refused, again) if isinstance(one, UserRefused)), refused) from None
        self._prefix = other_prefix
        return data

    def _user(self, prefix: str, token: str) -> dict[str, str]:
        headers = {"Authorization": prefix + token}
        return headers | ({"New-Api-User": self._settings.user_id} if self._settings.user_id else {})

    def observe(self, raw: object) -> Observation:
        """One row or detail as an observation. Raises ValueError where it shows no task."""
        row, broken = Row.read(raw)
        state = STATES.get(row.status.strip().lower()) if row.status else None
        words: tuple[str, ...] = ()
        reason, length = None, None
        if state is State.FAILED:  # only then: on a success, fail_reason may hold the URL of the result
            upstream = row.upstream
            words = (row.fail_reason, upstream.failure_reason or "")
            text = " ".join(words).strip()
            reason = Reason.MODERATION if upstream.moderated else reason_of(text=text, codes=CODES)
        elif state is State.SUCCEEDED:
            length = row.upstream.output_seconds
        return observation(
            row.task_id,
            state,
            broken,
            reason=reason,
            words=words,
            raw=raw,
            progress=None if state is State.FAILED else row.progress,  # each end is 100% there, a bad one too
            submitted=row.submit_time,
            started=row.start_time,
            ended=row.finish_time,
            output_seconds=length,
        )


def _is_other_media(row: object) -> bool:
    platform = row.get("platform") if isinstance(row, dict) else None
    return isinstance(platform, str) and platform.lower() in OTHER_MEDIA


def _listing(answer: Answer) -> list[Any] | NumberedPage:
    """Older gateways refuse a bad user token with HTTP 200 and success: false, in words that vary."""
    data = _data(answer, Reason.AUTH)
    return data if isinstance(data, list) else shaped(NumberedPage, data)


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
    good = raw.get("success") is True or (raw.get("success") is None and str(code).lower() == "success")
    if error or answer.status >= 400 or not good:
        text = message if isinstance(message, str) else ""
        if raw.get("success") is not False:
            otherwise = Reason.UNKNOWN
        refused = refusal(answer.status, code=code, text=text, codes=CODES, otherwise=otherwise)
        if isinstance(refused, AuthRefused) and _USER.search(text):
            raise UserRefused(f"{refused}: user_id is missing or is not that of user_token")
        raise refused
    if "data" not in raw:
        raise ContractBroken("the answer is not of the documented shape at data")
    return raw["data"]


def feeds(settings: Settings, client: Client, vault: Vault) -> Sequence[Feed]:
    return [Sora(settings, client)]


VENDOR = Vendor("deerapi", Settings, (Sora.kind,), feeds)
