"""Chanjing: lip-sync and video synthesis, two feeds of one account.

Documents: "获取对口型视频详情" (lip-sync detail) and "获取视频详情" (video detail) of the vendor's open API. The two
feeds number their states differently (30 is a failure in one, a success in the other) and count clip lengths
differently (milliseconds, seconds). No time but the creation is given, so starts and ends are observed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, TypeVar
from urllib.parse import quote

from pydantic import AliasChoices, BaseModel, Field

from exporter import tasks
from exporter.client.answers import Answer
from exporter.client.client import Client
from exporter.client.errors import ContractBroken, TaskNotFound, refusal
from exporter.client.reasons import reason_of
from exporter.client.tokens import GivenToken, ObtainedToken, Token, TokenStore
from exporter.config.models import ProviderSettings, Secret
from exporter.config.values import BaseUrl, Rate
from exporter.tasks import Cause, Clock, Observation, Reason, State
from exporter.vendors.api import START, Document, Feed, Page, Position, Vendor
from exporter.vendors.fields import (
    Length,
    Percent,
    TaskId,
    Text,
    Timestamp,
    Wire,
    observation,
    read_page,
    read_task,
    shaped,
)

T = TypeVar("T")

CODES = {
    "400": Reason.INVALID_INPUT,
    "10400": Reason.AUTH,
    "10401": Reason.AUTH,
    "40000": Reason.INVALID_INPUT,
    "40001": Reason.RATE_LIMITED,
    "40002": Reason.INSUFFICIENT_BALANCE,
    "50000": Reason.PROVIDER_INTERNAL,
    "51000": Reason.PROVIDER_INTERNAL,
}

WRONG_PARAMETER = (400, 40000)

LIP_SYNC_STATES = {0: State.QUEUED, 10: State.RUNNING, 20: State.SUCCEEDED, 30: State.FAILED}
VIDEO_STATES = (
    {10: State.RUNNING, 30: State.SUCCEEDED}
    | dict.fromkeys(range(40, 50), State.FAILED)
    | dict.fromkeys(range(50, 60), State.FAILED)
)


class Settings(ProviderSettings):
    """A Chanjing account: a token, or the application that may ask for one."""

    ways: ClassVar = (("access_token",), ("app_id", "secret_key"))
    added: ClassVar = ("open",)
    type: Literal["chanjing"]
    base_url: BaseUrl = Field(default="https://open-api.chanjing.cc", description="where the vendor's API starts")
    rate_limit: Rate = Field(
        default=5.0, description="half of the vendor's limit of 10/s; the rest is for your programs"
    )
    access_token: Secret | None = Field(default=None, description="a token that another program renews")
    app_id: str | None = Field(default=None, description="with secret_key: the exporter asks for tokens itself")
    secret_key: Secret | None = Field(default=None, description="the application's; each new token ends the one before")


class Envelope(BaseModel):
    code: int
    msg: str | None = ""
    data: Any = None


class PageInfo(BaseModel):
    total_count: int | None = None


class Listing(BaseModel):
    """Lip-sync lists answer `list` and `page_info`, video lists `List` and `PageInfo`; both spellings are read."""

    rows: list[Any] | None = Field(validation_alias=AliasChoices("list", "List"))
    page_info: PageInfo | None = Field(default=None, validation_alias=AliasChoices("page_info", "PageInfo"))


class Row(Wire):
    """The fields that both feeds share."""

    id: TaskId
    status: Annotated[int | None, tasks.Field.STATE] = None
    progress: Annotated[Percent, tasks.Field.PROGRESS] = None
    msg: Annotated[Text, tasks.Field.REASON] = ""
    create_time: Annotated[Timestamp, tasks.Field.SUBMITTED] = None
    duration: Annotated[Length, tasks.Field.OUTPUT] = None
    video_url: Any = None


class Account:
    """What the feeds of one account share: the client, the token, the envelope."""

    def __init__(self, settings: Settings, client: Client, token_store: TokenStore) -> None:
        self._settings = settings
        self._client = client
        self._token: Token
        if settings.access_token:
            self._token = GivenToken(settings.access_token)
        else:
            identity = f"{settings.base_url}\n{settings.app_id}"
            owner = f"{settings.name}:{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
            self._token = ObtainedToken(owner, self._obtain, token_store, given_by="access_token_file")

    async def call(
        self, endpoint: str, method: str, url: str, *, read: Callable[[Answer], T], json: object = None
    ) -> T:
        async def attempt(token: str) -> T:
            headers = {"access_token": token}
            return await self._client.call(endpoint, method, url, headers=headers, json=json, read=read)

        return await self._token.use(attempt)

    async def _obtain(self) -> tuple[str, float]:
        secret = self._settings.secret_key.reveal() if self._settings.secret_key else ""
        body = {"app_id": self._settings.app_id, "secret_key": secret}
        return await self._client.call("token", "POST", "/open/v1/access_token", json=body, read=_token)


def _in_common_words(text: str) -> str:
    """The vendor's currency runs out where others speak of the balance."""
    return text.replace("蝉豆不足", "余额不足")


def _reason_of(text: str) -> Reason | None:
    return reason_of(text=_in_common_words(text))


def _data(answer: Answer) -> Any:
    """What is inside the envelope; success is its code 0, whatever the HTTP status."""
    envelope = shaped(Envelope, answer.json())
    if envelope.code != 0 or answer.status >= 400:
        raise refusal(answer.status, code=envelope.code, text=_in_common_words(envelope.msg or ""), codes=CODES)
    return envelope.data


def _token(answer: Answer) -> tuple[str, float]:
    class Issued(BaseModel):
        access_token: str = Field(min_length=1, max_length=8192)
        expire_in: float = Field(allow_inf_nan=False)

    issued = shaped(Issued, _data(answer))
    if not (issued.access_token.isascii() and issued.access_token.isprintable()):
        raise ContractBroken("the token holds characters that no header may carry")
    # `expire_in` is the Unix time of the end, despite its name; a small number would be what the name says.
    absolute = issued.expire_in > 1e9
    return issued.access_token, issued.expire_in if absolute else time.time() + issued.expire_in


class AccountFeed(Feed):
    """What the two feeds do alike; they differ in paths, states, units and what a failure says."""

    clock = Clock.OBSERVED
    list_path: str
    detail_path: str
    states: Mapping[int, State]
    units_per_second: float

    def __init__(self, account: Account, page_size: int) -> None:
        self._account = account
        self._page_size = page_size

    async def list_page(self, at: Position = START, *, in_flight: bool = False) -> Page:
        asked = {"page": at.index + 1, "page_size": self._page_size}
        return await self._account.call("list", "POST", self.list_path, json=asked, read=partial(self._page, at.rows))

    def _page(self, received: int, answer: Answer) -> Page:
        listing = shaped(Listing, _data(answer))
        info = listing.page_info or PageInfo()
        rows = listing.rows or []
        return read_page(rows, self.observe, asked=self._page_size, received=received, total=info.total_count)

    async def look_up(self, task_id: str) -> Sequence[Observation]:
        url = f"{self.detail_path}?id={quote(task_id, safe='')}"
        return [await self._account.call("detail", "GET", url, read=self._detail)]

    def _detail(self, answer: Answer) -> Observation:
        # The id is the only parameter, so it is what the vendor means by a wrong one.
        if shaped(Envelope, answer.json()).code in WRONG_PARAMETER:
            raise TaskNotFound
        data = _data(answer)
        if not data:
            raise TaskNotFound
        return read_task(data, self.observe)

    def observe(self, raw: object) -> Observation:
        """One row or detail as an observation. Raises ValueError where it shows no task."""
        row, broken = Row.read(raw)
        state = None if row.status is None else self.states.get(row.status)
        ends_well = state in (State.SUCCEEDED, None)
        length = row.duration / self.units_per_second if row.duration and ends_well else None
        return observation(
            row.id,
            state,
            broken,
            reason=self.reason(row),
            words=[row.msg],
            raw=raw,
            result=bool(row.video_url),
            fault=_reason_of(row.msg),  # words that no table knows are no failure: a good end says "success" there
            progress=row.progress,
            submitted=row.create_time,
            output_seconds=length,
        )

    def reason(self, row: Row) -> Reason | None:
        return _reason_of(row.msg)


class LipSync(AccountFeed):
    kind = "lip_sync"
    document = Document("Lip-syncing: task list", "https://doc.chanjing.cc/api/lip-syncing/get_task_list.html")
    list_path = "/open/v1/video_lip_sync/list"
    detail_path = "/open/v1/video_lip_sync/detail"
    states = LIP_SYNC_STATES
    units_per_second = 1000.0


class Video(AccountFeed):
    kind = "video"
    document = Document(
        "Video synthesis: video list", "https://mcp.chanjing.cc/api/video-synthesis/get-video-list.html"
    )
    list_path = "/open/v1/video_list"
    detail_path = "/open/v1/video"
    states = VIDEO_STATES
    units_per_second = 1.0

    def reason(self, row: Row) -> Reason | None:
        """By the words first, then by the range: 4X is a wrong parameter, 5X a fault of the service."""
        by_range = Reason.INVALID_INPUT if (row.status or 0) < 50 else Reason.PROVIDER_INTERNAL
        return _reason_of(row.msg) or by_range


def feeds(settings: Settings, client: Client, token_store: TokenStore) -> Sequence[Feed]:
    account = Account(settings, client, token_store)
    return [LipSync(account, settings.page_size), Video(account, settings.page_size)]


VENDOR = Vendor(
    "chanjing",
    Settings,
    (LipSync.kind, Video.kind),
    feeds,
    one_token=True,
    renewed_with="app_id",
    advice={
        Cause.TOKEN_RENEWED_ELSEWHERE: (
            "The setting for the other program's token is access_token_file; credentials of its own are an application."
        ),
    },
)
