"""Providers, each with a simulated vendor of its own: some stay well, and something befalls each of the others."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, repeat
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.simulator import (
    DIGITAL_HUMAN,
    FACE_SWAP,
    LIP_SYNC,
    SEEDS,
    SORA,
    VIDEO,
    Feed,
    Life,
    Simulator,
    World,
    app,
    fake_of,
    profiles_of,
    serve,
)
from exporter.simulator.vendor import WELL
from exporter.simulator.vendors import heygen
from exporter.tasks import Reason, State
from tests.simulator import faults

GENERATION: Feed = ("volcengine_ark", "generation")
INTERVAL = 1.0
"""Seconds between two sweeps."""
BUCKETS = ["1s", "2s", "5s", "20s"]
"""As few as will do: each is a series of every histogram of every provider."""
HISTORY = 20
"""Seconds before the start from which there are tasks already."""

PROFILES = profiles_of((*SEEDS, GENERATION[0], heygen.VIDEO[0]))
"""The vendors that there are."""

Course = Mapping[str, Any]
"""How a task goes: fields of `Life`."""

USUAL: Course = {
    "queue_seconds": 1.0,
    "run_seconds": 2.0,
    "end": State.SUCCEEDED,
    "output_seconds": 8.0,
    "cost": 900.0,
}
SPOILT: Course = {"run_seconds": 1.0, "end": State.FAILED, "reason": Reason.INVALID_INPUT, "output_seconds": None}
OWN: Mapping[Feed, Course] = {GENERATION: {"run_seconds": 8.0}}
"""Its starts are observed, and its ends are in whole seconds: a short run would be measured as anything."""
SPOILT_EVERY = 20
"""Each twentieth task fails, and its user is to blame."""
UNDOCUMENTED = {SORA: "invalid input", FACE_SWAP: "invalid input"}
"""What a vendor says of such a failure, where its documents do not tell."""


def source_of(street: str, name: str) -> str:
    """Where an account's ids are, by the address of the street."""
    return f"{street}/ids/{name}"


@dataclass
class Account:
    """One provider: what its vendor is asked to do, a task a second in each feed unless `course` says otherwise."""

    name: str
    feeds: Sequence[Feed]
    settings: Mapping[str, str] = field(default_factory=dict)
    course: Course = field(default_factory=lambda: USUAL)
    source: int = 200
    """The HTTP status of its source of ids, of which it names none."""
    fake: Simulator = field(default_factory=lambda: app(World(rate=0, profiles=PROFILES), limits={}))
    _numbers: Iterator[int] = field(default_factory=count)

    def arrive(self, at: float) -> None:
        """Lets a task come to each feed."""
        number = next(self._numbers)
        for feed in self.feeds:
            course = {**self.course, **OWN.get(feed, {})}
            if self.course is USUAL and number % SPOILT_EVERY == 0:
                course |= {**SPOILT, "words": UNDOCUMENTED.get(feed)}
            self.fake.world.add(Life(f"{self.name}-{feed[1]}-{number}", *feed, at, **course))

    def configured(self, url: str) -> dict[str, object]:
        """The provider in a configuration; `url` is that of the street."""
        type_ = self.feeds[0][0]
        return {
            "name": self.name,
            "type": type_,
            "base_url": f"{url}/{self.name}{fake_of(type_).prefix}",
            "feeds": [kind for _, kind in self.feeds],
            "watch": {"http": [{"url": source_of(url, self.name), "interval": f"{INTERVAL:g}s"}]},
            **fake_of(type_).lets_in(self.fake.credentials),
            **self.settings,
        }


HEALTHY: Mapping[str, Sequence[Feed]] = {
    "deerapi": [SORA],
    "chanjing": [LIP_SYNC, VIDEO],
    "huawei_metastudio": [DIGITAL_HUMAN],
    "facewap": [FACE_SWAP],
    "volcengine_ark": [GENERATION],
}


@dataclass(frozen=True)
class Scene:
    """What befalls an account of its own after a time in which all is well: its vendor's answers, or its tasks."""

    fault: ASGIApp | None = None
    course: Course | None = None
    feed: Feed = SORA
    settings: Mapping[str, str] = field(default_factory=dict)
    endpoint: str = ""
    """Where the fault is; at all endpoints if empty."""
    source: int = 200
    """The HTTP status of its source of ids from then on."""

    def befall(self, account: Account) -> None:
        account.source = self.source
        if self.fault is not None:
            account.fake.faults["/".join(filter(None, (self.feed[0], self.endpoint)))] = self.fault
        if self.course is not None:
            account.course = self.course


async def crawl(scope: Scope, receive: Receive, send: Send) -> None:
    """An answer that takes far longer than the time between two sweeps."""
    await asyncio.sleep(8 * INTERVAL)
    await scope[WELL](scope, receive, send)


def with_left(amounts: Iterator[float]) -> ASGIApp:
    """So much is left in the wallet at each question for it."""

    def less(body: bytes) -> bytes:
        answer = json.loads(body)
        answer["data"]["wallet"]["remaining_balance"] = next(amounts)
        return json.dumps(answer).encode()

    return faults.said(less)


def _failing(reason: Reason, words: str) -> Course:
    return {"queue_seconds": 0.0, "run_seconds": 1.0, "end": State.FAILED, "reason": reason, "words": words}


SCENES: Mapping[str, Scene] = {
    "down": Scene(faults.answering(500)),
    "silent": Scene(faults.hang, settings={"request_timeout": "5m"}),
    "locked-out": Scene(faults.keyless),
    "throttled": Scene(faults.answering(429, "0")),
    "crawling": Scene(crawl),
    "gappy": Scene(faults.rows(lambda rows: [])),
    "drifting": Scene(faults.rows(faults.each(faults.unheard_of))),
    "skewed": Scene(faults.skewed(5 * 3600.0)),
    "broke": Scene(course=_failing(Reason.INSUFFICIENT_BALANCE, "insufficient balance")),
    "moderated": Scene(course=_failing(Reason.MODERATION, "blocked by moderation")),
    "failing": Scene(course=_failing(Reason.PROVIDER_INTERNAL, "task failed")),
    "jammed": Scene(course={"queue_seconds": None}),
    "stalled": Scene(course={"queue_seconds": 0.0}, feed=FACE_SWAP, settings={"stalled_after": "6s"}),
    "frozen": Scene(course={"queue_seconds": 999.0, "blocked": (0.0, 999.0)}, feed=DIGITAL_HUMAN),
    "slow": Scene(course={**USUAL, "run_seconds": 12.0}),
    "unguided": Scene(source=500),
    "empty": Scene(with_left(repeat(0.0)), feed=heygen.VIDEO, endpoint="account"),
    "poor": Scene(with_left(count(15, -0.1)), feed=heygen.VIDEO, endpoint="account"),
    "unaccountable": Scene(faults.answering(500), feed=VIDEO, endpoint="account"),
}
"""By the name of the account."""


class Street:
    """All accounts, and their vendors behind one server."""

    def __init__(self) -> None:
        self.healthy = [
            Account(name, feeds, {"task_series_limit": "10", "max_requests_per_day": "100000000"})
            for name, feeds in HEALTHY.items()
        ]
        self.scenes = {name: Account(name, [scene.feed], scene.settings) for name, scene in SCENES.items()}
        self.accounts = [*self.healthy, *self.scenes.values()]
        self.url = ""

    def befall(self) -> None:
        """Lets everything happen."""
        for name, scene in SCENES.items():
            scene.befall(self.scenes[name])

    async def ids(self, request: Request) -> Response:
        (account,) = [one for one in self.accounts if one.name == request.path_params["name"]]
        return JSONResponse([{"kind": account.feeds[0][1], "ids": []}], account.source)

    def config(self, accounts: Sequence[Account]) -> dict[str, object]:
        """The configuration of an exporter that polls these accounts."""
        return {
            "poll_interval": f"{INTERVAL:g}s",
            "account_interval": f"{INTERVAL:g}s",
            "duration_buckets": BUCKETS,
            "providers": [account.configured(self.url) | {"rate_limit": "100/s"} for account in accounts],
        }

    def work(self, stop: threading.Event) -> None:
        """Lets tasks come, one a second, until the test stops it."""
        while not stop.wait(1.0):
            for account in self.accounts:
                account.arrive(account.fake.world.now())


@contextmanager
def opened() -> Iterator[Street]:
    """A street whose vendors can be reached and have work."""
    street = Street()
    for account in street.accounts:
        now = account.fake.world.now()
        for second in range(-HISTORY, 1):
            account.arrive(now + second)
    stop = threading.Event()
    work = threading.Thread(target=street.work, args=(stop,), name="work", daemon=True)
    vendors = [Mount(f"/{one.name}", one.fake) for one in street.accounts]
    with serve(Starlette(routes=[Route("/ids/{name}", street.ids), *vendors])) as address:
        street.url = address.url
        work.start()
        try:
            yield street
        finally:
            stop.set()
            work.join(10)
