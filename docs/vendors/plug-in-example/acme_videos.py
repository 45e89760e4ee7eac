"""Two vendors that there are not: Acme in Python, Bolt as a declaration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from exporter.vendors.api import (
    START,
    Answer,
    BaseUrl,
    Client,
    Clock,
    Document,
    Feed,
    Length,
    Observation,
    Page,
    Part,
    Percent,
    Position,
    ProviderSettings,
    Reason,
    Secret,
    State,
    TaskId,
    TaskNotFound,
    Tells,
    Text,
    Timestamp,
    TokenStore,
    Vendor,
    Wire,
    observation,
    read_page,
    read_task,
    reason_of,
    refusal,
    segment,
    shaped,
)

STATES = {
    "waiting": State.QUEUED,
    "rendering": State.RUNNING,
    "done": State.SUCCEEDED,
    "failed": State.FAILED,
    "stopped": State.CANCELLED,
}
REASONS = {"e_unsafe": Reason.MODERATION, "e_credit": Reason.INSUFFICIENT_BALANCE}
"""By lower-case code."""


class Settings(ProviderSettings):
    """An Acme account."""

    type: Literal["acme"]
    base_url: BaseUrl = Field(default="https://api.acme.example", description="where the vendor's API starts")
    api_key: Secret = Field(description="an API key of the account")


class Listing(BaseModel):
    renders: list[Any]
    more: bool


class Render(Wire):
    """A row: each field with the part of a task that it feeds, so that a broken one costs that part alone."""

    id: TaskId
    status: Annotated[Text, Part.STATE] = ""
    percent: Annotated[Percent, Part.PROGRESS] = None
    created_at: Annotated[Timestamp, Part.SUBMITTED] = None
    started_at: Annotated[Timestamp, Part.STARTED] = None
    ended_at: Annotated[Timestamp, Part.ENDED] = None
    seconds: Annotated[Length, Part.OUTPUT] = None
    code: Annotated[Text, Part.REASON] = ""


class Renders(Feed):
    kind = "render"
    clock = Clock.PROVIDER
    document = Document("Renders, GET /renders")

    def __init__(self, settings: Settings, client: Client) -> None:
        self._settings = settings
        self._client = client

    async def list_page(self, at: Position = START, *, in_flight: bool = False) -> Page:
        url = f"/renders?page={at.index + 1}&size={self._settings.page_size}"
        return await self._client.call("list", "GET", url, headers=self._headers, read=self._page)

    async def look_up(self, task_id: str) -> Sequence[Observation]:
        url = f"/renders/{segment(task_id)}"
        return [await self._client.call("detail", "GET", url, headers=self._headers, read=self._detail)]

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._settings.api_key.reveal()}"}

    def _page(self, answer: Answer) -> Page:
        listing = shaped(Listing, good(answer))
        return read_page(listing.renders, self.observe, asked=self._settings.page_size, more=listing.more)

    def _detail(self, answer: Answer) -> Observation:
        if answer.status == 404:
            raise TaskNotFound
        return read_task(good(answer), self.observe)

    def observe(self, raw: object) -> Observation:
        """One render. Raises ValueError where it shows no task."""
        row, broken = Render.read(raw)
        return observation(
            row.id,
            STATES.get(row.status),
            broken,
            reason=reason_of(code=row.code, codes=REASONS),
            words=(row.code,),
            word=row.status,
            raw=raw,
            progress=row.percent,
            submitted=row.created_at,
            started=row.started_at,
            ended=row.ended_at,
            output_seconds=row.seconds,
        )


def good(answer: Answer) -> object:
    """The body of an answer that is no refusal."""
    if answer.status >= 400:
        raise refusal(answer.status)
    return answer.json()


def feeds(settings: Settings, client: Client, token_store: TokenStore) -> Sequence[Feed]:
    return [Renders(settings, client)]


TOLD = ("submitted", "started", "ended", "progress", "output", "reason")
ACME = Vendor(
    "acme", Settings, (Renders.kind,), feeds, title="Acme", tells={Renders.kind: Tells(Clock.PROVIDER, parts=TOLD)}
)

DECLARED = {
    "bolt": {
        "title": "Bolt",
        "credentials": ["api_key"],
        "auth": {"type": "bearer", "credential": "api_key"},
        "feeds": {
            "clip": {
                "list": {
                    "path": "/renders",
                    "query": {"page": "{page}", "size": "{page_size}"},
                    "rows": "renders",
                    "paging": {"type": "page"},
                    "last": "!more",
                },
                "detail": {"path": "/renders/{id}"},
                "fields": {
                    "id": "id",
                    "state": "status",
                    "submitted": "created_at",
                    "started": "started_at",
                    "ended": "ended_at",
                    "output": "seconds",
                    "code": "code",
                },
                "states": {
                    "queued": ["waiting"],
                    "running": ["rendering"],
                    "succeeded": ["done"],
                    "failed": ["failed"],
                },
                "reasons": {"moderation": ["E_UNSAFE"]},
            }
        },
    }
}
