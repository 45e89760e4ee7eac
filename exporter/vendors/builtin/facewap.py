"""faceWap: the video history of one user of a face-swap application.

Document: "视频历史" (POST /videoTaskHistory). The list has no totals, no progress and no time of submission.
`createdAt` is the time of the result row, and it is eight hours early: local time in China stored as if it were UTC. It
places a task in time; durations are observed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, Field

from exporter import tasks
from exporter.client.answers import Answer
from exporter.client.client import Client
from exporter.client.errors import ContractBroken, TaskNotFound, refusal
from exporter.client.reasons import reason_of
from exporter.client.tokens import GivenToken, TokenStore
from exporter.config.models import ProviderSettings, Secret
from exporter.config.values import Duration, Rate
from exporter.tasks import Clock, Observation, Reason, State
from exporter.vendors.api import START, Document, Feed, Page, Position, Vendor
from exporter.vendors.fields import TaskId, Text, Timestamp, Wire, observation, read_page, read_rows, shaped

T = TypeVar("T")

STATES = {2: State.FAILED, 10: State.QUEUED, 20: State.RUNNING, 30: State.SUCCEEDED}
REASONS = {"new_sensitive": Reason.MODERATION, "unknown error": Reason.UNKNOWN}
CODES = {
    "401": Reason.AUTH,
    "403": Reason.AUTH,
    "510": Reason.PROVIDER_INTERNAL,
    "800": Reason.INVALID_INPUT,
}
NO_DATA = 900


class Settings(ProviderSettings):
    """A faceWap user: the token of a login, and the host of the application's backend."""

    added: ClassVar = ("videoTaskHistory", "getTaskInfo")
    type: Literal["facewap"]
    rate_limit: Rate = Field(default=2.0, description="the vendor states no limit")
    page_size: int = Field(default=20, ge=1, le=500, description="the page size of the vendor's own application")
    token: Secret = Field(description="the token of a logged-in user")
    bearer: bool = Field(default=False, description="send it as `Bearer TOKEN`")
    created_at_offset: Duration = Field(default=28800.0, description="by how much the vendor's createdAt is too early")


class Envelope(BaseModel):
    code: int
    msg: str | None = ""
    data: Any = None


class Row(Wire):
    prompt_id: TaskId = Field(alias="promptId")
    state: Annotated[int | None, tasks.Field.STATE] = None
    reason: Annotated[Text, tasks.Field.REASON] = ""
    created_at: Annotated[Timestamp, tasks.Field.ENDED] = Field(default=None, alias="createdAt")


class FaceSwap(Feed):
    kind = "face_swap"
    clock = Clock.OBSERVED
    document = Document("Video history (视频历史), POST /videoTaskHistory")
    id_key = "promptId"

    def __init__(self, settings: Settings, client: Client) -> None:
        self._settings = settings
        self._client = client
        self._token = GivenToken(settings.token)

    async def list_page(self, at: Position = START, *, in_flight: bool = False) -> Page:
        asked = {"page": at.index + 1, "pageSize": self._settings.page_size}
        return await self._call("list", "POST", "/videoTaskHistory", self._page, asked)

    def _page(self, answer: Answer) -> Page:
        data = _data(answer)
        rows = [] if data is None else data
        if not isinstance(rows, list):
            raise ContractBroken("the answer is not of the documented shape at data")
        return read_page(rows, self.observe, asked=self._settings.page_size)

    async def look_up(self, task_id: str) -> Sequence[Observation]:
        """The task, or the sub-tasks that it stands for: those are what is counted, never both."""

        def tasks_of(answer: Answer) -> list[Observation]:
            data = _data(answer)
            if not data:
                raise TaskNotFound
            children = data.get("taskList") if isinstance(data, dict) else None
            rows = children if isinstance(children, list) and children else [data]
            observations, _ = read_rows(rows, self.observe)
            if not observations:
                raise ContractBroken("the detail shows no task")
            return [one for one in observations if one.id == task_id] or observations

        return await self._call("detail", "GET", f"/getTaskInfo?promptId={quote(task_id, safe='')}", tasks_of)

    async def _call(self, endpoint: str, method: str, url: str, read: Callable[[Answer], T], json: object = None) -> T:
        async def attempt(token: str) -> T:
            headers = {"Authorization": f"Bearer {token}" if self._settings.bearer else token}
            return await self._client.call(endpoint, method, url, headers=headers, json=json, read=read)

        return await self._token.use(attempt)

    def observe(self, raw: object) -> Observation:
        """One row or detail as an observation. Raises ValueError where it shows no task."""
        row, broken = Row.read(raw)
        dated = row.created_at + self._settings.created_at_offset if row.created_at is not None else None
        state = None if row.state is None else STATES.get(row.state)
        reason = reason_of(text=row.reason, codes=REASONS)
        return observation(row.prompt_id, state, broken, reason=reason, words=[row.reason], raw=raw, dated=dated)


def _data(answer: Answer) -> Any:
    """What is inside the envelope; success is its code 200, whatever the HTTP status."""
    envelope = shaped(Envelope, answer.json())
    if envelope.code == NO_DATA:
        return None
    if envelope.code != 200 or answer.status >= 400:
        raise refusal(answer.status, code=envelope.code, text=envelope.msg or "", codes=CODES)
    return envelope.data


def feeds(settings: Settings, client: Client, token_store: TokenStore) -> Sequence[Feed]:
    return [FaceSwap(settings, client)]


VENDOR = Vendor("facewap", Settings, (FaceSwap.kind,), feeds)
