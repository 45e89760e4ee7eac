"""The exporter's inside, run by hand."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

from prometheus_client import Metric
from prometheus_client.openmetrics import parser
from starlette.types import ASGIApp

from exporter.client.client import Client, RateLimit
from exporter.config.models import ProviderSettings
from exporter.config.vendors.types import Vendors
from exporter.ledger.ledger import Ledger
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.ledger.sweep import Sweep
from exporter.ledger.tracker import Tracker
from exporter.metrics.exposition import Exposition
from exporter.polling.collector import Collector
from exporter.polling.feed.loop import FeedLoop
from exporter.polling.providers import PolledProvider
from exporter.polling.watch import Watch
from exporter.simulator import HandClock
from exporter.snapshot import Outage, Reloads
from exporter.tasks import Observation
from exporter.vendors.vendor import Provider
from exporter.web import app as web
from tests.harness.desk import DAY, counted
from tests.harness.making import made
from tests.harness.vendors import NOWHERE, account, settings_of

STEP = 15.0
"""Seconds between two sweeps: the poll interval of the settings that say nothing of it."""
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

families_in: Callable[[str], Iterable[Metric]] = parser.text_string_to_metric_families
"""What there is in a body of OpenMetrics."""


def outage_of(loop: FeedLoop) -> Outage:
    """Why a feed is down, which it has to be."""
    assert loop.status.outage is not None
    return loop.status.outage


class Rig:
    """Ledger, collector, metrics and web application on a clock that stands still until told.

    Providers that are `add`ed are swept when a test says so, or told by `show` what a sweep would have brought. What
    `collector.apply` is given runs by itself, as in the exporter.
    """

    def __init__(self, clock: HandClock | None = None, store: SqliteFile | str = ":memory:") -> None:
        """`store` may be the path of a ledger."""
        self.clock = clock or HandClock()
        self.store = SqliteFile(store) if isinstance(store, str) else store
        self.ledger = Ledger(SqliteStore(self.store), 7 * DAY)
        self.collector = Collector(self.ledger, self.clock)
        self.polled = self.collector.polled
        self.exposition = self.exposing(Reloads(succeeded_at=self.clock.now))
        self._passes_pauses = False

    async def aclose(self) -> None:
        await self.collector.stop()
        await self.ledger.close()

    # What is polled

    def add(self, settings: ProviderSettings, types: Vendors | None = None) -> PolledProvider:
        """A provider more, swept by hand. Its type is one of `types`, or of those that come with the exporter."""
        announce = self.collector.news.set
        return self._has(made(PolledProvider.open(settings, self.ledger, self.clock, announce, types)))

    async def take(self, provider: Provider) -> PolledProvider:
        """The same of one that is connected already, to a vendor of the test's own making."""
        given, clock = provider.settings, self.clock
        trackers = [await self.ledger.open(given.name, one.kind, one.clock, given, clock()) for one in provider.feeds]
        watch = Watch(given.name, given.watch, [feed.kind for feed in provider.feeds])
        announce = self.collector.news.set
        return self._has(PolledProvider(provider, watch, self.ledger, trackers, wall_clock=clock, announce=announce))

    def _has(self, added: PolledProvider) -> PolledProvider:
        self.polled.by_name = {**self.polled.by_name, added.provider.name: added}
        return added

    def connect(self, vendor: str, url: str = NOWHERE, **given: Any) -> list[FeedLoop]:
        """The same with the keys of the simulator, at the address of one; by default, where nothing listens."""
        return self.add(settings_of(account(vendor, url, **given))).loops

    @property
    def loops(self) -> list[FeedLoop]:
        return self.polled.loops

    @property
    def loop(self) -> FeedLoop:
        """The one feed there is."""
        (loop,) = self.loops
        return loop

    def loop_of(self, provider: str = "", kind: str = "") -> FeedLoop:
        """The one feed of a provider, or of a kind."""
        (loop,) = (one for one in self.loops if provider in ("", one.provider.name) and kind in ("", one.feed.kind))
        return loop

    @property
    def tracker(self) -> Tracker:
        return self.loop.tracker

    @property
    def client(self) -> Client:
        """That of the one provider there is."""
        (polled,) = self.polled.by_name.values()
        return polled.provider.client

    # What happens

    def pass_pauses(self) -> None:
        """Pauses that vendors ask for are over with the next sweep: they pass on our clock from now on."""
        self._passes_pauses = True
        for polled in self.polled.by_name.values():
            client = polled.provider.client
            client.limit = RateLimit(polled.provider.settings.rate_limit, self.clock, lambda seconds: asyncio.sleep(0))

    async def sweep(self, times: int = 1, after: float = STEP) -> None:
        """Sweeps every feed, so many seconds after the last time."""
        for _ in range(times):
            limits = (polled.provider.client.limit for polled in self.polled.by_name.values())
            pauses = [limit.pause_left for limit in limits if self._passes_pauses]
            self.clock.now += max([after, *pauses])
            await asyncio.gather(*(loop.sweep() for loop in self.loops))

    async def read_balances(self) -> None:
        """Reads what is left in every account whose vendor tells."""
        await asyncio.gather(*(polled.account.ask() for polled in self.polled.by_name.values()))

    async def show(self, *observations: Observation, feed: int = 0, **more: Any) -> None:
        """A complete sweep of the first feed, or of the one at that place, which shows these tasks now."""
        loop, now = self.loops[feed], self.clock.now
        listed = {one.id: (one, now) for one in observations}
        await self.ledger.record(loop.tracker, Sweep(listed=listed, complete=True, **more), now)
        loop.status = replace(loop.status, up=True)
        self.collector.news.set()

    # What it says

    def is_up(self) -> bool | None:
        return self.loop.status.up

    def all_up(self) -> bool:
        return all(loop.status.up for loop in self.loops)

    def counted(self, metric: str) -> dict[str, float]:
        """A counter of the one feed by the values of its labels; "" where it has none."""
        return counted(self.tracker, metric)

    @property
    def errors(self) -> dict[str, float]:
        """The failed calls, by what they failed of."""
        found: Counter[str] = Counter()
        for polled in self.polled.by_name.values():
            counts = polled.provider.client.counts
            found.update({key[2]: count for key, count in counts.items() if key[0] == "api_errors_total"})
        return dict(found)

    def exposing(self, reloads: Reloads) -> Exposition:
        polled = self.polled
        return Exposition(
            polled.snapshot, lambda: reloads, self.clock, polled.awaited, take_in_turns=polled.snapshot_in_turns
        )

    def text(self) -> str:
        """/metrics in the text format."""
        return self.exposition.render("")[0].decode()

    def openmetrics(self) -> str:
        return self.exposition.render(OPENMETRICS)[0].decode()

    def families(self) -> dict[str, Metric]:
        """By the name in the catalogue: with the _total of a counter."""
        found = families_in(self.openmetrics())
        return {f"{one.name}_total" if one.type == "counter" else one.name: one for one in found}

    def values(self, name: str, *labels: str, families: dict[str, Metric] | None = None) -> dict[Any, float]:
        """The samples of one name by the values of some labels (one label: its value alone), now or in `families`."""
        found = (self.families() if families is None else families).values()
        samples = [one for family in found for one in family.samples if one.name == name]
        keys = [tuple(one.labels[label] for label in labels) for one in samples]
        assert len(set(keys)) == len(samples)
        return {key[0] if len(key) == 1 else key: one.value for key, one in zip(keys, samples, strict=True)}

    def app(
        self,
        reload: Callable[[], Awaitable[None]] | None = None,
        reloads: Reloads | None = None,
        **more: Any,
    ) -> ASGIApp:
        """The web application; `more` is for `exporter.web.app.create`."""
        reloads = reloads or Reloads()
        return web.create(self.polled, self.exposing(reloads), self.clock, reload, reloads=lambda: reloads, **more)


Poll = Callable[..., Rig]
"""Makes a rig with one provider at the site: of this type, or with this feed alone, and these settings.

The ledger may be given, as a path or a file that is open; without `paces`, pauses that the vendor asks for are over
with the next sweep.
"""
