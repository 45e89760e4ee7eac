"""What the exporter would show of a feed after one look at it, made by the code that serves /metrics."""

from __future__ import annotations

import re

from exporter.config.models import WatchSettings
from exporter.ledger.counters import Counters
from exporter.ledger.ledger import Ledger
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.ledger.sweep import Sweep
from exporter.metrics.exposition import Exposition
from exporter.polling.feed.loop import FeedLoop
from exporter.polling.watch import Watch
from exporter.snapshot import AccountSnapshot, FeedStatus, Reloads, Snapshot
from exporter.vendors.vendor import Feed, Provider

_TELLING = re.compile(
    r"videotask_(up|tasks|finished_total|failures_total|output_seconds_total|unmapped_values_total|usage_total"
    r"|rejected_timestamps_total|unmeasured_durations_total|\w+_duration_seconds_count)\{"
)


async def exported(provider: Provider, feed: Feed, sweep: Sweep, now: float) -> list[str]:
    """The feed's samples that say most, without zeros, in the text format. Raises StoreError."""
    settings = provider.settings
    ledger = Ledger(SqliteStore(SqliteFile(":memory:")), settings.history)
    try:
        tracker = await ledger.open(settings.name, feed.kind, feed.clock, settings, now)
        loop = FeedLoop(provider, feed, tracker, ledger, Watch(settings.name, WatchSettings()))
        await ledger.record(tracker, sweep, now)
    finally:
        await ledger.close()
    loop.status = FeedStatus(up=sweep.complete)
    account = AccountSnapshot(settings.name, settings.type, Counters(), None, 0, (), (), (loop.snapshot(),))
    text, _ = Exposition(lambda: Snapshot((account,)), Reloads, lambda: now).render("text/plain")
    own = (f'provider="{settings.name}"', f'kind="{feed.kind}"')
    lines = [line for line in text.decode().splitlines() if all(label in line for label in own)]
    told = (line for line in lines if not line.endswith(" 0.0") or line.startswith("videotask_up{"))
    return [line for line in told if _TELLING.match(line)]
