"""Every replica answers for every provider: from the database, and by handing ids on to the holder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial

import httpx
import pytest

from exporter.config.models import ProviderSettings
from exporter.ledger.counters import Counters
from exporter.ledger.postgresql.database import Database
from exporter.ledger.postgresql.store import PostgresqlStore
from exporter.ledger.store import Changes
from exporter.metrics.exposition import Exposition
from exporter.polling.collector import Collector
from exporter.polling.held import Among
from exporter.replicas.keeper import Keeper
from exporter.replicas.postgresql import PostgresqlLeases
from exporter.simulator import FACE_SWAP, SORA, Life
from exporter.snapshot import Reloads
from exporter.tasks import Clock, State, Task
from exporter.vendors.registry import installed
from exporter.web import app as web
from tests.harness import DAY, UNLISTED, Site, account, settings_of, until
from tests.web.serving import served

pytestmark = pytest.mark.slow

SECRET = "a-secret-between-us-0123456789"


class Replica:
    """An exporter's inside on a database that it shares, with its web side."""

    def __init__(self, store: PostgresqlStore, leases: PostgresqlLeases, ahead: float) -> None:
        self.keeper = Keeper(leases)
        self.collector = Collector(Among(store, 7 * DAY, self.keeper, leases.tell), lambda: time.time() + ahead)
        self.polled = self.collector.polled
        exposition = Exposition(self.polled.snapshot, Reloads, time.time, list, self.polled.is_held)
        self.app = web.create(self.polled, exposition, takes_tasks=lambda: True)

    def polls(self, provider: str) -> bool:
        return any(loop.status.up for loop in self.polled.loops if loop.provider.name == provider)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def started(
    stack: AsyncExitStack, url: str, name: str, *settings: ProviderSettings, ahead: float = 0.0
) -> Replica:
    """`ahead` is by how many seconds the clock of its host is wrong."""
    store = await PostgresqlStore.open(url)
    stack.push_async_callback(store.close)
    leases = PostgresqlLeases(await stack.enter_async_context(Database(url)), name, 5.0)
    replica = Replica(store, leases, ahead)
    listening = asyncio.create_task(leases.listen(replica.keeper.hear, replica.polled.hear))
    stack.callback(listening.cancel)
    await replica.collector.apply(settings)
    stack.push_async_callback(replica.collector.stop)
    return replica


async def of_two(
    stack: AsyncExitStack, url: str, settings: ProviderSettings
) -> tuple[Replica, httpx.AsyncClient, Replica]:
    """The replica that polls a provider, and another one with its client."""
    holder = await started(stack, url, "holder", settings)
    await until("a first sweep", lambda: holder.polls(settings.name))
    other = await started(stack, url, "other", settings)
    await until("a look at the leases", lambda: other.polled.unready() == "")
    return holder, await stack.enter_async_context(served(other.app)), other


async def test_pages_and_api_of_every_replica_show_every_provider_and_who_polls_it(
    stack: AsyncExitStack, ledger_url: str, live_site: Site
) -> None:
    live_site.world.add(Life("ended", *FACE_SWAP, time.time(), run_seconds=0.1, end=State.SUCCEEDED))
    live_site.world.add(Life("running", *FACE_SWAP, time.time(), run_seconds=1e6, end=State.SUCCEEDED))
    settings = live_site.settings("facewap", name="swap", poll_interval="100ms")
    holder, client, _ = await of_two(stack, ledger_url, settings)
    await until("the end", lambda: holder.polled.loops[0].tracker.counts["finished_total", "succeeded"] == 1)
    (provider,) = (await client.get("/api/v1/providers")).json()["providers"]
    assert (provider["name"], provider["replica"]) == ("swap", "holder")
    (feed,) = provider["feeds"]
    assert feed["up"] is True
    assert sum(feed["in_flight"].values()) == 1
    assert feed["recent"]["ended"]["succeeded"] == 1
    tasks = (await client.get("/api/v1/tasks")).json()["tasks"]
    assert {task["id"]: task["state"] for task in tasks} == {"ended": "succeeded", "running": "running"}
    assert (await client.get("/api/v1/tasks/swap/face_swap/ended")).json()["state"] == "succeeded"
    page = (await client.get("/")).text
    assert "polled by holder" in page
    assert "holder 1" in page
    assert "All is well" in page
    assert "swap/face_swap, last 2 hours, ended: 1" in page
    assert "running" in (await client.get("/tasks/swap/face_swap/running")).text
    metrics = (await client.get("/metrics")).text
    assert 'videotask_lease_held{provider="swap"} 0.0' in metrics
    assert "videotask_finished_total{" not in metrics


async def test_each_of_very_many_providers_is_read_whether_it_is_polled_here_or_elsewhere(
    stack: AsyncExitStack, ledger_url: str
) -> None:
    """One query reads many of them, but not all."""
    wanted = [settings_of(account("chanjing", name=f"p{number}")) for number in range(130)]
    store = await PostgresqlStore.open(ledger_url)
    stack.push_async_callback(store.close)
    now = time.time()
    for one in wanted:
        task = Task(f"of-{one.name}", State.SUCCEEDED, now - 1, now, ended=now - 1)
        await store.commit(Changes(one.name, "video", now, now, now, [task]))
    leases = PostgresqlLeases(await stack.enter_async_context(Database(ledger_url)), "one", 5.0)
    held = Among(store, 7 * DAY, Keeper(leases), leases.tell)

    held.elsewhere.configure({one.name: one for one in wanted}, installed())
    shown = await held.elsewhere.accounts([one.name for one in wanted])
    feeds = [feed for one in shown.values() for feed in one.feeds if feed.kind == "video"]
    assert [sum(feed.last_day.at(now).ended) for feed in feeds] == [1] * 130

    epochs = dict.fromkeys((one.name for one in wanted), 1)
    await held.read_ahead(wanted, epochs, now)
    for one in wanted:
        tracker = await held.ledger(one.name, 1).open(one.name, "video", Clock.PROVIDER, one, now)
        assert [task.id for task in tracker.recent(now)] == [f"of-{one.name}"]
        assert sum(tracker.last_day.at(now).ended) == 1


async def test_ids_that_any_replica_is_given_reach_the_holder_at_once(
    stack: AsyncExitStack, ledger_url: str, live_site: Site
) -> None:
    """The interval is an hour: no sweep brings them."""
    watch = {"callback_secret": SECRET, "limit": 3}
    settings = live_site.settings("deerapi", name="deer", poll_interval="1h", watch=watch, **UNLISTED)
    holder, client, _ = await of_two(stack, ledger_url, settings)
    tracker = holder.polled.loops[0].tracker
    for name in ("asked-for", "called-back"):
        live_site.world.add(Life(name, *SORA, time.time(), run_seconds=1e6, end=State.SUCCEEDED))

    asked = {"provider": "deer", "kind": "sora", "ids": ["asked-for"]}
    answer = await client.post("/api/v1/tasks", json=asked)
    assert answer.json() == {"new": 1, "known": 0, "ended": 0, "refused": []}
    await until("a look-up", lambda: "asked-for" in tracker.in_flight)
    assert (await client.post("/api/v1/tasks", json=asked)).json()["known"] == 1

    address = "/api/v1/callbacks/deer/sora"
    refused = await client.post(address, json={"task_id": "called-back"}, headers={"X-Callback-Secret": "wrong"})
    assert refused.status_code == 403
    taken = await client.post(address, json={"task_id": "called-back"}, headers={"X-Callback-Secret": SECRET})
    assert taken.status_code == 204
    await until("a look-up", lambda: "called-back" in tracker.in_flight)

    full = await client.post("/api/v1/tasks", json=asked | {"ids": ["x", "y"]})
    assert full.status_code == 409
    assert "2 ids that were asked for and takes 1 more" in full.json()["error"]
    unknown = await client.post("/api/v1/tasks", json=asked | {"kind": "video"})
    assert unknown.status_code == 400
    assert "allowed: deer/sora" in unknown.json()["error"]


async def test_hosts_whose_clocks_are_hours_apart_count_the_same_together(
    stack: AsyncExitStack, ledger_url: str, live_site: Site
) -> None:
    settings = live_site.settings("facewap", name="swap", poll_interval="50ms")
    before: Replica | None = None
    for number, hours in enumerate((0, 5, -5, 3, 0)):
        replica = await started(stack, ledger_url, f"replica-{number}", settings, ahead=hours * 3600.0)
        if before:
            await before.collector.stop()
        await until("a sweep", partial(replica.polls, "swap"))
        counts = replica.polled.loops[0].tracker.counts
        assert ended(counts) == (2 * number, 2 * number)
        for name in ("first", "second"):
            life = Life(f"{name}-{number}", *FACE_SWAP, time.time(), run_seconds=0.1, end=State.SUCCEEDED)
            live_site.world.add(life)
        await until("the ends", partial(have_ended, replica, 2 * number + 2))
        before = replica


def have_ended(replica: Replica, successes: int) -> bool:
    return ended(replica.polled.loops[0].tracker.counts)[0] >= successes


def ended(counts: Counters) -> tuple[float, float]:
    """How many tasks have succeeded, and how many have ended."""
    return counts["finished_total", "succeeded"], sum(counts[key] for key in counts if key[0] == "finished_total")
