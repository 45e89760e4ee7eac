"""Feeds full of tasks in flight, without a vendor: the ledger is given what sweeps would have brought.

The tasks report their progress and have series of their own; a tenth as many have just ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from exporter.ledger.ledger import Ledger
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.ledger.sweep import Sweep
from exporter.polling.feed.loop import FeedLoop
from exporter.polling.providers import PolledProvider, PolledProviders
from exporter.snapshot import FeedStatus
from exporter.tasks import Observation, State
from exporter.vendors.registry import built_in

NOBODY = "http://vendor.invalid"
DAY = 86400.0


class Standing:
    """Polled like a collector, but nothing is asked for: providers with one feed each, of so many tasks and models."""

    def __init__(self, feeds: int, tasks: int, models: int = 0) -> None:
        self._tasks = tasks
        self._models = models
        self._began = time.time()
        self._turn = 0
        self._ledger = Ledger(SqliteStore(SqliteFile(":memory:")), 7 * DAY)
        self._feeds = feeds
        self.polled = PolledProviders()
        self.loops: list[FeedLoop] = []
        self.news = asyncio.Event()

    async def _account(self, number: int) -> PolledProvider:
        settings = built_in()["deerapi"].settings.model_validate(
            {
                "name": f"account-{number:03}",
                "type": "deerapi",
                "base_url": NOBODY,
                "api_key": "key",
                "poll_interval": "1h",  # what is not swept again must not become stale meanwhile
                "task_series_limit": self._tasks,
            }
        )
        return await PolledProvider.open(settings, self._ledger)

    async def fill(self) -> None:
        """The first sweep of every feed."""
        accounts = [await self._account(number) for number in range(self._feeds)]
        self.polled = PolledProviders(accounts)
        self.loops = self.polled.loops
        for loop in self.loops:
            ended = (self._ended(number) for number in range(self._tasks // 10))
            running = (self._running(number) for number in range(self._tasks))
            await self._record(loop, [*ended, *running], complete=True)
            loop.status = FeedStatus(up=True)

    async def change(self, share: float, within: float) -> None:
        """Each feed is swept once within so many seconds, at even distances; that share of its tasks gets on."""
        self._turn += 1
        count = max(1, round(share * self._tasks))
        begin = asyncio.get_running_loop().time()
        for index, loop in enumerate(self.loops):
            first = self._turn * count
            await self._record(loop, [self._running(number % self._tasks) for number in range(first, first + count)])
            due = begin + within * (index + 1) / len(self.loops)
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))

    async def aclose(self) -> None:
        await self._ledger.close()
        for loop in self.loops:
            await loop.provider.aclose()

    async def _record(self, loop: FeedLoop, shown: Iterable[Observation], *, complete: bool = False) -> None:
        sweep = Sweep(complete=complete)
        sweep.show(shown, time.time(), listed=True)
        await self._ledger.record(loop.tracker, sweep, time.time())
        self.news.set()

    def _running(self, number: int) -> Observation:
        begun = self._began - number % 600
        progress = (number * 37 + self._turn) % 99 / 100
        return Observation(
            f"task_{number:026}", State.RUNNING, None, progress, begun - 20, begun, model=self._model(number)
        )

    def _model(self, number: int) -> str:
        return f"model-{number % self._models}" if self._models else ""

    def _ended(self, number: int) -> Observation:
        over = self._began - number % 3000
        return Observation(
            f"ended_{number:026}",
            State.SUCCEEDED,
            submitted=over - 300,
            started=over - 280 + number % 90,
            ended=over,
            model=self._model(number),
            usage=(("credits", 5.0),) if self._models else (),
        )
