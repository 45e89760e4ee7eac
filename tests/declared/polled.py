"""Acme in memory, and a declared provider that is swept by hand on a clock set by hand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx

from exporter.client.client import Client
from exporter.ledger.sqlite.file import SqliteFile
from exporter.simulator import HandClock
from exporter.tasks import Task
from exporter.vendors.declared.declaration import Declaration
from exporter.vendors.declared.feed import DeclaredFeed
from exporter.vendors.declared.vendor import vendor_of
from exporter.vendors.vendor import Provider
from tests.harness import NOW, Rig


class Acme:
    """What Acme knows. Lists show `rows` in their order, details a row with what `more` tells of it."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.more: dict[str, dict[str, Any]] = {}
        """What only the detail tells, by id."""
        self.tells_alone = False
        """Whether only the detail of one task tells it, not that of several; `instead` knows it as `alone` then."""
        self.hidden: set[str] = set()
        """Ids that the list does not show."""
        self.gone: set[str] = set()
        """Ids that the detail does not know."""
        self.instead: Callable[[str, list[str]], httpx.Response | None] = lambda what, ids: None
        """What answers a call in Acme's place, by what is asked for (`list` or `detail`) and the ids."""
        self.asked: Counter[str] = Counter()
        """How often each id was asked for."""
        self.calls: list[tuple[str, list[str]]] = []
        self.account: Any = {"data": {"left": 100}}
        """What it answers about the account."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        query = request.url.params
        if "ids" in query:
            return self._details(query["ids"].split(","), alone=False)
        if request.url.path == "/v2/account":
            self.calls.append(("account", []))
            return self.instead("account", []) or answer(self.account)
        if request.url.path != "/v2/renders":
            return self._details([request.url.path.rpartition("/")[2]], alone=True)
        self.calls.append(("list", []))
        if other := self.instead("list", []):
            return other
        size = int(query.get("size", "50"))
        page_start = (int(query.get("page", "1")) - 1) * size
        start = int(query["after"].partition("-")[0]) if "after" in query else page_start
        rows = [row for row in self.rows if not isinstance(row, dict) or row["id"] not in self.hidden]
        end = start + size
        return answer({"data": {"renders": rows[start:end], "next": f"{end}-" if end < len(rows) else None}})

    def _details(self, ids: list[str], alone: bool) -> httpx.Response:
        self.calls.append(("detail", ids))
        self.asked.update(ids)
        if other := self.instead("alone" if alone and self.tells_alone else "detail", ids):
            return other
        more = self.more if alone or not self.tells_alone else {}
        known = [row | more.get(row["id"], {}) for row in self.rows if row["id"] in ids and row["id"] not in self.gone]
        if alone:
            return answer({"data": known[0]}) if known else answer({}, 404)
        return answer({"data": {"renders": known}})


def answer(body: Any, status: int = 200, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(content))


class Polled(Rig):
    """One declared feed, swept by hand. Pauses that the vendor asks for pass on the clock."""

    @classmethod
    async def open(
        cls,
        declaration: dict[str, Any],
        acme: Acme,
        store: SqliteFile | str = ":memory:",
        clock: HandClock | None = None,
        *,
        paced: bool = False,
        **settings: Any,
    ) -> Polled:
        """`paced` calls wait for their turns, in real time."""
        parsed = Declaration.model_validate(declaration)
        assert list(parsed.faults()) == []
        type_ = vendor_of("acme", parsed)
        given = type_.settings.model_validate(
            {"name": "acme", "type": "acme", "api_key": "KEY", "rate_limit": "1000/s", **settings}
        )
        polled = cls(clock or HandClock(NOW), store)
        transport = httpx.MockTransport(acme)
        client = Client(given.base_url, rate=given.rate_limit, timeout=5, transport=transport)
        feeds = type_.feeds(given, client, polled.ledger.store)
        for feed in feeds:
            assert isinstance(feed, DeclaredFeed)
            feed.now = polled.clock
        account = type_.account(given, client, feeds) if type_.account else None
        await polled.take(Provider(given, client, feeds, type_, account))
        if not paced:
            polled.pass_pauses()
        return polled

    @property
    def in_flight(self) -> dict[str, Task]:
        return self.tracker.in_flight

    @property
    def ends(self) -> dict[str, float]:
        return self.counted("finished_total")

    @property
    def reasons(self) -> dict[str, float]:
        return self.counted("failures_total")
