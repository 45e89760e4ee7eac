"""What other replicas poll, read from PostgreSQL for a page: 500 providers of two feeds with 1,440 tasks a day in each.

And one provider of two feeds with 100,000 tasks a day in each, all of them within its recent window.

Each run is a first reading, for which the last day of every feed is read too. The database is a process of its own.

Goals: the event loop is held no longer than 50 ms, and what was read takes at most 150 MiB.
"""

from __future__ import annotations

import resource
import time

from benchmarks.crowd import longest_hold
from benchmarks.goals import Result, at_most, runs
from exporter.commands.run import tune
from exporter.config.models import ProviderSettings
from exporter.ledger.postgresql.store import PostgresqlStore
from exporter.polling.elsewhere import Elsewhere
from exporter.vendors.registry import installed
from tests.harness import account, settings_of
from tests.harness.postgresql import Server, programs, running, servers

PROVIDERS, TASKS = 500, 1440
LARGE = 100_000
"""Tasks a day in each feed of the large provider."""
DAY = 86400.0

_FEEDS = """
INSERT INTO videotask.feeds (provider, kind, since, horizon, polled)
SELECT 'p' || number, kind, {since}, {since}, {now}
FROM generate_series(0, {providers} - 1) AS number, unnest(ARRAY['lip_sync', 'video']) AS kind
"""
_ENDS = """
INSERT INTO videotask.tasks
    (feed, id, state, first_seen, changed, appeared, submitted, ended, missing, said, model, told, placed, is_end)
SELECT feeds.id, 'task-' || number, CASE number % 10 WHEN 0 THEN 'failed' ELSE 'succeeded' END,
    at - 30, at, true, at - 30 - number * 7919 % 1200, at, 0, 0, '', '', at, true
FROM videotask.feeds, generate_series(0, {tasks} - 1) AS number,
    LATERAL (SELECT {now} - {day} * number / {tasks} AS at) AS time
"""


async def run(quick: bool) -> list[Result]:
    tune()
    providers, tasks, large = (6, 100, 200) if quick else (PROVIDERS, TASKS, LARGE)
    title = "event loop blocked, longest, what other replicas poll read"
    if programs() is None:
        return [Result(title, "", [], note="initdb is not on PATH")]
    with servers() as place, running(place / "server") as database:
        store = await PostgresqlStore.open(database.url())
        _fill(database, providers, tasks)
        settings = [settings_of(account("chanjing", name=f"p{number}")) for number in range(providers)]
        before = _memory()
        holds = [await _hold(store, settings) for _ in range(runs(quick))]
        taken = _memory() - before
        _fill(database, 1, large)
        of_large = [settings_of(account("chanjing", name="p0", recent_window="1d"))]
        large_holds = [await _hold(store, of_large) for _ in range(runs(quick))]
        await store.close()
    note = f"{2 * providers:,} feeds with {tasks:,} tasks a day"
    return [
        Result(title, "ms", holds, at_most(50), note=note),
        Result("memory of what other replicas poll", "MiB", [taken], at_most(150), note=note),
        Result(title, "ms", large_holds, at_most(50), note=f"2 feeds with {large:,} tasks a day, all recent"),
    ]


def _fill(database: Server, providers: int, tasks: int) -> None:
    """So many tasks of the last day for each feed, instead of what is there."""
    now = time.time()
    about = {"now": now, "since": now - DAY, "day": DAY, "providers": providers, "tasks": tasks}
    statements = (_FEEDS.format(**about), _ENDS.format(**about))
    database.execute("TRUNCATE videotask.feeds CASCADE", *statements, "ANALYZE videotask.tasks")


async def _hold(store: PostgresqlStore, settings: list[ProviderSettings]) -> float:
    """The longest delay of the event loop in a first reading, in milliseconds."""
    elsewhere = Elsewhere(store, _tell_no_one)
    elsewhere.configure({one.name: one for one in settings}, installed())
    elsewhere.patience = 300.0
    async with longest_hold() as hold:
        await elsewhere.accounts([one.name for one in settings])
    return hold()


async def _tell_no_one(provider: str, kind: str, ids: object) -> None:
    raise AssertionError("nothing is handed in")


def _memory() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
