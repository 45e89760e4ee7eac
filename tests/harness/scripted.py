"""A vendor that gives the answers of the test, and the feeds of a provider that is connected to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from exporter.client.client import Client
from exporter.client.errors import CallError, TaskNotFound
from exporter.tasks import Observation
from exporter.vendors.api import Balance, Feed, Page
from tests.harness.vendors import VENDORS, connected, page_of, settings_of


class ScriptedVendor:
    """Answers the calls in turn, the last answer for ever, and keeps the requests.

    An answer is a JSON body (of HTTP 200), a pair of HTTP status and JSON body or bytes, or a function of the request.
    """

    def __init__(self, *answers: Any) -> None:
        self.requests: list[httpx.Request] = []
        self._answers = answers

    def __call__(self, request: httpx.Request) -> httpx.Response:
        answer = self._answers[min(len(self.requests), len(self._answers) - 1)]
        self.requests.append(request)
        body: Any
        if callable(answer):
            response: httpx.Response = answer(request)
            status, headers, body = response.status_code, response.headers, response.content
        else:
            status, body = answer if isinstance(answer, tuple) else (200, answer)
            headers = httpx.Headers()
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(content))  # to be read as from a socket

    def sent(self, position: int = -1) -> dict[str, Any]:
        """The JSON body of a request, or where it has none the parameters of its query."""
        request = self.requests[position]
        return dict(json.loads(request.content) if request.content else parse_qsl(request.url.query.decode(), True))


class MemoryVault(dict[str, tuple[str, float]]):
    """Keeps tokens as the store does, for as long as a test."""

    async def load_token(self, owner: str) -> tuple[str, float] | None:
        return self.get(owner)

    async def save_token(self, owner: str, token: str, expires: float) -> None:
        self[owner] = (token, expires)


class Connection:
    """A provider's feeds by kind, its client, and the scripted vendor behind."""

    def __init__(self, feeds: Mapping[str, Feed], client: Client, vendor: ScriptedVendor) -> None:
        self.feeds = feeds
        self.client = client
        self.vendor = vendor

    @property
    def feed(self) -> Any:
        """The first feed; most providers have one."""
        return next(iter(self.feeds.values()))

    async def observe(self, task_id: str = "asked-for") -> Observation:
        """The one observation of a look-up."""
        (observation,) = await self.feed.look_up(task_id)
        assert isinstance(observation, Observation)
        return observation

    async def listed(self) -> Observation:
        """The one observation of the list."""
        (observation,) = (await page_of(self.feed)).observations
        assert isinstance(observation, Observation)
        return observation

    async def refuses(self, error: type[CallError], task_id: str | None = None) -> None:
        """Asserts that the list, or a look-up of an id, fails so, and that the failed call is counted once."""
        with pytest.raises(error) as refused:
            await (page_of(self.feed) if task_id is None else self.feed.look_up(task_id))
        assert self.errors == {("list" if task_id is None else "detail", refused.value.error): 1}
        assert error in (CallError, type(refused.value)) or error.error == refused.value.error

    async def knows_not(self, task_id: str = "asked-for") -> None:
        """Asserts that there is no task of an id, which is an answer and no error."""
        with pytest.raises(TaskNotFound):
            await self.feed.look_up(task_id)
        assert self.errors == {}

    @property
    def errors(self) -> dict[tuple[str, str], float]:
        """The failed calls: (endpoint, error) -> how many."""
        return {(key[1], key[2]): count for key, count in self.client.counts.items() if key[0] == "api_errors_total"}


class Line(Connection):
    """The same of a built-in vendor, by the provider's settings."""

    def __init__(self, settings: Mapping[str, Any], *answers: Any, token_store: MemoryVault | None = None) -> None:
        self.settings = settings_of(settings)
        vendor = ScriptedVendor(*answers)
        client = Client(self.settings.base_url, rate=1e9, timeout=5, transport=httpx.MockTransport(vendor))
        feeds = connected(self.settings, client, MemoryVault() if token_store is None else token_store)
        super().__init__(feeds, client, vendor)

    async def page(self, index: int = 0, *, kind: str = "", received: int = 0, in_flight: bool = False) -> Page:
        """A page of the list of the first feed, or of the one of that kind. Raises CallError."""
        feed = self.feeds[kind] if kind else self.feed
        return await page_of(feed, index, received=received, in_flight=in_flight)

    async def balance(self) -> Balance | None:
        """What is left in the account. Raises CallError."""
        vendor = VENDORS[self.settings.type]
        account = vendor.account and vendor.account(self.settings, self.client, list(self.feeds.values()))
        return await account.balance() if account else None


Connect = Callable[..., Line]
"""Connects a provider of given settings to a vendor of given answers."""
Load = Callable[[str], Any]
"""Reads a fixture file, such as `chanjing/video_list.json`."""
