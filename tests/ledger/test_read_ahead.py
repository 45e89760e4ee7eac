"""Stores of many providers under their leases, read by few queries: what they hold, and that it is read once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

import psycopg
import pytest

from exporter.ledger.counters import Counters
from exporter.ledger.counting.last_day import Row
from exporter.ledger.errors import LeaseLost
from exporter.ledger.postgresql.store import PostgresqlStore
from exporter.ledger.store import Changes, Store
from exporter.tasks import State, Task

pytestmark = pytest.mark.slow

SINCE = 1_700_000_000.0
COUNTED = Counters({("finished_total", "succeeded"): 2.0})


@pytest.fixture
async def store(ledger_url: str) -> AsyncIterator[PostgresqlStore]:
    opened = await PostgresqlStore.open(ledger_url)
    yield opened
    await opened.close()


def leased(url: str, provider: str, holder: str, epoch: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO videotask.leases (provider, holder, epoch) VALUES (%s, %s, %s) "
            "ON CONFLICT (provider) DO UPDATE SET holder = excluded.holder, epoch = excluded.epoch",
            (provider, holder, epoch),
        )


def sweep(provider: str, kind: str, *tasks: Task, at: float = SINCE) -> Changes:
    return Changes(provider, kind, SINCE, SINCE, at, tasks, COUNTED)


def ended(task_id: str, at: float) -> Task:
    return Task(task_id, State.SUCCEEDED, at, at, ended=at)


async def read(stores: object, provider: str, kind: str, since: float = SINCE) -> tuple[object, list[str], set[Row]]:
    one = cast(dict[str, Store], stores)[provider]
    record = await one.load(provider, kind, since, SINCE - 300.0)
    ends, steps = [task.id for task in record.ended], {*record.by_step}
    return replace(record, in_flight=tuple(record.in_flight), ended=(), by_step=()), ends, steps


async def test_what_is_read_at_once_is_what_each_feed_would_be_read_as(store: PostgresqlStore) -> None:
    running = Task("running", State.RUNNING, SINCE, SINCE)
    for provider in ("one", "two"):
        for kind in ("lip_sync", "video"):
            ends = [ended(f"{age}", SINCE - age) for age in (10, 1, -1)]
            await store.commit(sweep(provider, kind, running, *ends))
    alone = {provider: store.under(provider, "me", 1) for provider in ("one", "two", "new")}
    since = {"one": SINCE - 1, "two": SINCE, "new": SINCE}
    at_once = await store.under_each(dict.fromkeys(alone, 1), "me", since, SINCE - 300.0)
    for provider in alone:
        for kind in ("lip_sync", "video"):
            assert await read(at_once, provider, kind) == await read(alone, provider, kind)
    # Also what ended before the time for which it was read, and once more.
    assert await read(at_once, "two", "video", SINCE - 5) == await read(alone, "two", "video", SINCE - 5)


async def test_a_feed_is_read_again_when_it_is_loaded_again(store: PostgresqlStore, ledger_url: str) -> None:
    leased(ledger_url, "one", "me", 3)
    await store.commit(sweep("one", "video"))
    mine = (await store.under_each({"one": 3}, "me", {"one": SINCE}, 0))["one"]
    assert (await mine.load("one", "video")).polled == SINCE
    await mine.commit(sweep("one", "video", ended("a", SINCE), at=SINCE + 1))
    assert (await mine.load("one", "video")).polled == SINCE + 1
    assert [task.id for task in (await mine.load("one", "video", SINCE)).ended] == ["a"]
    assert (
        (await mine.load("one", "video", steps_since=0)).by_step
        == (await store.load("one", "video", steps_since=0)).by_step
        != []
    )
    assert (await mine.load("one", "video", steps_since=0)).by_step == (
        await store.load("one", "video", steps_since=0)
    ).by_step
    await mine.commit(sweep("one", "video", at=SINCE + 2))  # it goes on from the version that was read
    assert (await store.load("one", "video")).polled == SINCE + 2


async def test_what_was_read_at_once_is_fenced(store: PostgresqlStore, ledger_url: str) -> None:
    leased(ledger_url, "one", "me", 3)
    mine = (await store.under_each({"one": 3}, "me", {"one": SINCE}, 0))["one"]
    await mine.load("one", "video")
    leased(ledger_url, "one", "another", 4)
    with pytest.raises(LeaseLost):
        await mine.commit(sweep("one", "video"))
    assert (await store.load("one", "video")).polled is None
