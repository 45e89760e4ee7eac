"""The feed of a gateway: single tasks by API key, the list of a user's own tasks by user token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from exporter.client.answers import Answer
from exporter.client.client import Client
from exporter.client.errors import AuthRefused
from exporter.client.tokens import TokenStore
from exporter.config.models import ProviderSettings, Secret
from exporter.config.values import Rate, fault
from exporter.tasks import Cause, Clock, Observation
from exporter.vendors.builtin._gateway.account import GatewayAccount
from exporter.vendors.builtin._gateway.answers import (
    Dialect,
    UserRefused,
    detail,
    has_no_such_path,
    is_other_media,
    listing,
)
from exporter.vendors.builtin._gateway.rows import observe
from exporter.vendors.declared.reading.words import Words
from exporter.vendors.fields import read_page, read_task, segment
from exporter.vendors.vendor import START, Account, Document, Feed, Page, Position, Tells

SORA_PATH, ENVELOPE_PATH, OPENAI_PATH = "/sora/v1/videos/{id}", "/v1/video/generations/{id}", "/v1/videos/{id}"
"""Where gateways show a task: DeerAPI's own path, new-api's record, and the OpenAI video object, which says less."""


class GatewaySettings(ProviderSettings):
    """An API key and, where the gateway lets its users list their tasks, the user's own token."""

    added: ClassVar = ("sora", "api/task")
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


class Sora(Feed):
    """The tasks that a gateway passed on. `paths` are tried in turn, the one that showed the last task first."""

    kind = "sora"
    clock = Clock.PROVIDER
    id_key = "task_id"

    def __init__(self, settings: GatewaySettings, client: Client, document: Document, paths: Sequence[str]) -> None:
        self.document = document
        self._settings = settings
        self._client = client
        self._paths = paths
        self.observe = partial(
            observe,
            states=Words(settings.states.get(self.kind, {})),
            reasons=Words(settings.reasons.get(self.kind, {})),
        )
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
        data, dialect = listing(answer)
        rows, total = (data, None) if isinstance(data, list) else (data.items or [], data.total)
        asked = self._settings.page_size
        page = read_page(rows, self.observe, asked=asked, received=received, total=total, is_other=is_other_media)
        return page, dialect

    async def look_up(self, task_id: str) -> Sequence[Observation]:
        headers = {"Authorization": f"Bearer {self._settings.api_key.reveal()}"}
        paths = self._paths  # several look-ups may be under way
        for path in paths:
            url = path.format(id=segment(task_id))
            read = partial(self._detail, task_id, is_last=path == paths[-1])
            shown = await self._client.call("detail", "GET", url, headers=headers, read=read)
            if shown is not None:
                # The gateway has this path: it is asked first from now on.
                self._paths = (path, *(one for one in paths if one != path))
                return [shown]
        return []

    def _detail(self, task_id: str, answer: Answer, *, is_last: bool) -> Observation | None:
        """The task of a detail; None where the gateway has no such path, and there is another to try."""
        if not is_last and has_no_such_path(answer):
            return None
        return read_task(detail(answer, task_id), self.observe)

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


def vendor_parts(document: Document, paths: Sequence[str]) -> Mapping[str, Any]:
    """What the types of gateways have in common, as a `Vendor` takes it."""

    def feeds(settings: GatewaySettings, client: Client, token_store: TokenStore) -> Sequence[Feed]:
        return [Sora(settings, client, document, paths)]

    def account(settings: GatewaySettings, client: Client, feeds: Sequence[Feed]) -> Account:
        return GatewayAccount(client, settings.api_key)

    parts = ("submitted", "started", "ended", "progress", "output", "model", "reason")
    return {
        "kinds": (Sora.kind,),
        "feeds": feeds,
        "account": account,
        "tells": {Sora.kind: Tells(list_needs="user_token", parts=parts)},
        "advice": {
            Cause.USER_ID: (
                "Set user_id to the number of the user to whom user_token belongs; the gateway's pages show it beside "
                "the user's name or in the personal settings."
            ),
            Cause.NOTHING_TO_WATCH: "With user_token the feed may be listed instead.",
        },
    }
