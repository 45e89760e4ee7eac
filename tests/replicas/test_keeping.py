"""Replicas in one process: each polls what it holds and shows nothing else, and the counters go on with the holder."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from exporter.config.models import ProviderSettings, Secret
from exporter.ledger.errors import DatabaseFailure, StoreError
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.store import FeedRecord
from exporter.metrics.exposition import Exposition
from exporter.polling.collector import Collector
from exporter.polling.elsewhere import Elsewhere
from exporter.polling.held import Among, Held
from exporter.polling.providers import PolledProviders
from exporter.replicas.accounts import digest_of
from exporter.replicas.holding import MARGIN
from exporter.replicas.keeper import Keeper
from exporter.simulator import FACE_SWAP, Life
from exporter.snapshot import Reloads, ReplicaSnapshot
from exporter.tasks import State, Task
from exporter.vendors.registry import installed
from exporter.web.pages.status.overview import Overview
from exporter.web.pages.status.troubles import Whose, of_replica
from tests.harness import DAY, PATIENCE, Site, until
from tests.harness.leases import MemoryDatabase, MemoryLeases, MemoryShare, nobody_told

LENGTH = 3.0


class Clock:
    """Real time, and what a test adds to it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@dataclass
class Line(MemoryLeases):
    """The way to the database, which may be cut."""

    is_cut: bool = False

    async def renew(self, held: Mapping[str, int]) -> set[str]:
        self._may_pass()
        return await super().renew(held)

    async def overview(self):  # type: ignore[no-untyped-def]
        self._may_pass()
        return await super().overview()

    def _may_pass(self) -> None:
        if self.is_cut:
            raise StoreError("no answer")


class Replica:
    """An exporter's inside that shares a database with others."""

    def __init__(self, name: str, share: MemoryShare) -> None:
        self.clock = Clock()
        self.line = Line(share.database, name)
        self.keeper = Keeper(self.line, self.clock)
        self.collector = Collector(Among(share, 7 * DAY, self.keeper, nobody_told))
        self.polled = self.collector.polled
        self.exposition = Exposition(self.polled.snapshot, Reloads, time.time, list, self.polled.is_held)

    async def scrape(self) -> str:
        return b"".join((await self.exposition.answer("")).pieces).decode()

    async def shows(self, text: str) -> str:
        """The first scrape that has this: one is prepared a moment after a sweep."""
        ends = time.monotonic() + PATIENCE
        while text not in (scrape := await self.scrape()):
            assert time.monotonic() < ends, f"no {text} in {scrape}"
            await asyncio.sleep(0.01)
        return scrape

    def holds(self) -> list[str]:
        return list(self.keeper.holding.held)

    def polls(self) -> list[str]:
        """What it holds and has swept."""
        return [one.provider.name for one in self.polled.held if all(loop.status.up for loop in one.loops)]


class Replicas:
    def __init__(self, share: MemoryShare, stack: AsyncExitStack) -> None:
        self.share = share
        self._stack = stack

    def add(self, name: str) -> Replica:
        return Replica(name, self.share)

    async def start(self, name: str, *settings: ProviderSettings) -> Replica:
        return await self.started(self.add(name), *settings)

    async def started(self, replica: Replica, *settings: ProviderSettings) -> Replica:
        await replica.collector.apply(settings)
        self._stack.push_async_callback(replica.collector.stop)
        keeping = asyncio.create_task(replica.exposition.keep_fresh(replica.collector.news))
        self._stack.callback(keeping.cancel)
        return replica


@pytest.fixture
async def replicas() -> AsyncIterator[Replicas]:
    share = MemoryShare(SqliteFile(":memory:"), MemoryDatabase(time.monotonic, LENGTH))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(share.close)
        yield Replicas(share, stack)


def some(site: Site, count: int) -> list[ProviderSettings]:
    return [site.settings("facewap", name=f"swap{number}", poll_interval="50ms") for number in range(count)]


def held(*replicas: Replica) -> list[int]:
    return sorted(len(one.polls()) for one in replicas)


async def test_providers_are_shared_out_evenly_and_served_by_their_holder_alone(
    replicas: Replicas, live_site: Site
) -> None:
    wanted = some(live_site, 4)
    one = await replicas.start("one", *wanted)
    await until("fair shares", lambda: held(one) == [4])
    other = await replicas.start("other", *wanted)
    await until("fair shares", lambda: held(one, other) == [2, 2])
    assert {*one.holds(), *other.holds()} == {"swap0", "swap1", "swap2", "swap3"}
    for replica in (one, other):
        for name in replica.holds():
            await replica.shows(f'videotask_up{{kind="face_swap",provider="{name}"}} 1.0')
    text = await one.scrape() + await other.scrape()
    shown = Counter(re.findall(r'videotask_up{kind="face_swap",provider="(\w+)"} 1.0', text))
    assert shown == {"swap0": 1, "swap1": 1, "swap2": 1, "swap3": 1}
    leases = [re.findall(r'(?m)^videotask_lease_held{provider="(\w+)"} 1.0', await one.scrape())]
    assert leases == [one.holds()]
    assert 'videotask_replica_info{replica="other"} 1.0' in await other.scrape()
    assert 'videotask_lease_changes_total{change="released",provider="swap' in await one.scrape()


async def test_a_replica_that_ends_hands_over_at_once_and_the_counters_go_on(
    replicas: Replicas, live_site: Site
) -> None:
    wanted = some(live_site, 1)
    one = await replicas.start("one", *wanted)
    await until("a first sweep", one.polls)
    live_site.world.add(Life("a", *FACE_SWAP, time.time(), run_seconds=0.2, end=State.SUCCEEDED))
    await until("the end of the task", lambda: one.polled.loops[0].tracker.counts["finished_total", "succeeded"] == 1)
    other = await replicas.start("other", *wanted)
    await until("a look at the leases", lambda: bool(other.keeper.overview.holders))
    assert other.holds() == []
    stopping = asyncio.create_task(one.collector.stop())
    other.keeper.hear()
    await stopping
    other.keeper.hear()
    await until("the other's first sweep", other.polls)
    assert other.polled.loops[0].tracker.counts["finished_total", "succeeded"] == 1
    assert one.polled.snapshot().accounts == ()
    assert 'state="succeeded"} 1.0' in await other.scrape()


async def test_a_replica_that_ends_without_a_word_is_followed_once_its_leases_have_ended(
    replicas: Replicas, live_site: Site
) -> None:
    wanted = some(live_site, 2)
    one = await replicas.start("one", *wanted)
    await until("fair shares", lambda: held(one) == [2])
    one.line.is_cut = True
    other = await replicas.start("other", *wanted)
    await until("fair shares", lambda: held(other) == [2])
    assert one.holds() == []
    await until("an end of the polling", lambda: not one.polled.by_name)
    assert {change for name, change in one.keeper.holding.changes} >= {"lost"}


async def test_a_replica_that_stood_still_shows_nothing_that_it_may_no_longer_hold(
    replicas: Replicas, live_site: Site
) -> None:
    one = await replicas.start("one", *some(live_site, 1))
    await until("a first sweep", one.polls)
    assert await one.shows("videotask_feed_info{")
    one.line.is_cut = True
    one.clock.ahead = LENGTH * (1 - MARGIN)  # as after SIGCONT: nothing of it has run since
    answer = await one.scrape()
    assert "videotask_feed_info{" not in answer
    assert 'videotask_lease_held{provider="swap0"} 0.0' in answer
    assert one.polled.snapshot().accounts == ()
    await until("an end of the polling", lambda: not one.polled.by_name)
    one.line.is_cut = False
    await until("a first sweep", one.polls)
    assert one.polled.by_name["swap0"].epoch == 2


async def test_the_page_of_a_replica_without_its_database_says_what_is_wrong(
    replicas: Replicas, live_site: Site
) -> None:
    one = await replicas.start("one", *some(live_site, 1))
    await until("a first sweep", one.polls)
    assert Overview(await one.polled.everything(), Reloads(), "", time.time()).level == "good"
    one.line.is_cut = True
    await until("an end of the polling", lambda: not one.polled.by_name)
    overview = Overview(await one.polled.everything(), Reloads(), "", time.time())
    assert (overview.level, overview.verdict) == ("bad", "No provider is polled")
    assert [(one.whose, one.words) for one in overview.troubles] == [(Whose.DATABASE, "no answer")]


async def test_the_page_says_which_provider_no_replica_polls(replicas: Replicas, live_site: Site) -> None:
    one = replicas.add("one")
    replicas.share.unreadable = {"swap1"}
    await replicas.started(one, *some(live_site, 2))
    await until("the other", lambda: one.polls() == ["swap0"])

    async def told() -> list[str]:
        overview = Overview(await one.polled.everything(), Reloads(), "", time.time())
        return [f"{trouble.what}: {trouble.words}" for trouble in overview.troubles]

    assert await told() == ["One provider is polled by no replica: swap1: a value that cannot be read"]


async def test_a_write_that_is_refused_ends_the_polling(replicas: Replicas, live_site: Site) -> None:
    one = await replicas.start("one", *some(live_site, 1))
    await until("a first sweep", one.polls)
    row = replicas.share.database.rows["swap0"]
    row.holder, row.epoch, row.expires = "another", row.epoch + 1, time.monotonic() + 1000
    await until("an end of the polling", lambda: not one.polled.by_name)
    assert one.holds() == []


async def test_a_provider_that_cannot_be_read_keeps_no_other_from_being_polled(
    replicas: Replicas, live_site: Site
) -> None:
    one = replicas.add("one")
    replicas.share.unreadable = {"swap1"}
    await replicas.started(one, *some(live_site, 3))
    await until("the others", lambda: one.polls() == ["swap0", "swap2"])
    await until("another try", lambda: replicas.share.database.rows["swap1"].epoch > 1)
    assert "swap1" in (await one.scrape())  # as one that is not held
    replicas.share.unreadable = set()
    await until("all", lambda: held(one) == [3])


async def test_a_provider_that_a_reload_takes_away_is_free_for_others(replicas: Replicas, live_site: Site) -> None:
    wanted = some(live_site, 2)
    one = await replicas.start("one", *wanted)
    await until("fair shares", lambda: held(one) == [2])
    await one.collector.apply(wanted[:1])
    await until("the release", lambda: replicas.share.database.rows["swap1"].holder is None)
    assert one.holds() == ["swap0"]
    other = await replicas.start("other", *wanted)
    await until("the take-over", lambda: other.holds() == ["swap1"])


async def test_providers_that_only_some_replicas_know_are_polled_by_these_and_told_once(
    replicas: Replicas, live_site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = some(live_site, 3)
    one = await replicas.start("one", *wanted[:1])
    other = await replicas.start("other", *wanted)
    await until("all", lambda: held(one) == [1] and held(other) == [2])
    rounds = one.keeper.overview
    one.keeper.hear()
    await until("another look", lambda: one.keeper.overview is not rounds)
    told = [record for record in caplog.records if "different configurations" in record.message]
    assert [(vars(record)["providers"], vars(record)["unknown_to"]) for record in told] == [
        ("swap1, swap2", "one")
    ] * len(told)
    assert 1 <= len(told) <= 2, "once by each replica that has seen it"


async def test_the_log_names_the_providers_that_come_and_go(
    replicas: Replicas, live_site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "exporter.replicas")
    wanted = some(live_site, 2)
    one = await replicas.start("one", *wanted)
    await until("both", lambda: len(one.holds()) == 2)
    other = await replicas.start("other", *wanted)
    await until("a share each", lambda: len(one.holds()) == len(other.holds()) == 1)
    kept, moved = *one.holds(), *other.holds()
    one.line.is_cut = True
    one.clock.ahead = LENGTH
    told = "lost providers", "WARNING", kept

    def lines() -> list[tuple[str, str, str]]:
        changes = [record for record in caplog.records if record.message.endswith(" providers")]
        return [(record.message, record.levelname, vars(record)["providers"]) for record in changes]

    await until("the loss", lambda: told in lines())
    assert [line for line in lines() if line[1] == "INFO"][:3] == [
        ("acquired providers", "INFO", "swap0, swap1"),
        ("released providers", "INFO", moved),
        ("acquired providers", "INFO", moved),
    ]


async def test_other_accounts_under_the_same_names_are_told_once(
    replicas: Replicas, live_site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    (wanted,) = some(live_site, 1)
    one = await replicas.start("one", wanted)
    alike = await replicas.start("alike", wanted)
    other = await replicas.start("other", wanted.model_copy(update={"token": Secret("another-key-of-ours")}))
    await until("all", lambda: len(one.keeper.overview.accounts) == len(alike.keeper.overview.accounts) == 3)
    rounds = one.keeper.overview
    one.keeper.hear()
    await until("another look", lambda: one.keeper.overview is not rounds)
    await until("its look", lambda: len(other.keeper.overview.accounts) == 3)
    told = [record for record in caplog.records if "different accounts" in record.message]
    assert sorted(vars(record)["differ_from_here"] for record in told) == ["alike, one", "other", "other"]
    await other.collector.stop()
    await until("its end", lambda: len(one.keeper.overview.accounts) == 2)
    await replicas.start("other again", wanted.model_copy(update={"token": Secret("another-key-of-ours")}))
    await until("its return", lambda: len(one.keeper.overview.accounts) == len(alike.keeper.overview.accounts) == 3)
    again = [record for record in caplog.records if "different accounts" in record.message][len(told) :]
    assert {vars(record)["differ_from_here"] for record in again} <= {"alike, one"}, "the others have said it"
    assert "another-key" not in caplog.text


async def test_a_key_that_is_renewed_in_its_file_is_the_same_account(live_site: Site, tmp_path: Path) -> None:
    (wanted,) = some(live_site, 1)
    (tmp_path / "old").write_text("key-of-yesterday")
    (tmp_path / "new").write_text("key-of-today")
    old, new = (wanted.model_copy(update={"token": Secret.from_file(str(tmp_path / name))}) for name in ("old", "new"))
    assert digest_of([old]) == digest_of([new])
    assert digest_of([old]) != digest_of([new.model_copy(update={"base_url": "https://elsewhere.example"})])


async def test_a_database_that_never_failed_has_a_series_for_each_kind_of_failure(
    replicas: Replicas, live_site: Site
) -> None:
    one = await replicas.start("one", *some(live_site, 1))
    for failure in DatabaseFailure:
        await one.shows(f'videotask_exporter_database_errors_total{{failure="{failure}"}} 0')


async def test_a_page_goes_without_what_a_slow_database_has_not_said(live_site: Site) -> None:
    class Nothing(Held):
        def __init__(self, elsewhere: Elsewhere) -> None:
            self.elsewhere = elsewhere

        def snapshot(self) -> ReplicaSnapshot:
            return ReplicaSnapshot("one", {wanted.name: False}, {wanted.name: "other"}, {})

    class Slow(MemoryShare):
        asked = 0
        answers = asyncio.Event()

        async def load_all(self, ended_since: Mapping[str, float]) -> Mapping[tuple[str, str], FeedRecord]:
            self.asked += 1
            await self.answers.wait()
            return await super().load_all(ended_since)

    share = Slow(SqliteFile(":memory:"), MemoryDatabase(time.monotonic, LENGTH))
    elsewhere = Elsewhere(share, nobody_told)
    (wanted,) = some(live_site, 1)
    elsewhere.configure({wanted.name: wanted}, installed())
    elsewhere.patience = 0.02
    for _ in range(3):
        with pytest.raises(StoreError, match="took too long"):
            await elsewhere.accounts([wanted.name])
    everything = await PolledProviders(held=Nothing(elsewhere)).everything()
    assert everything.accounts == ()
    assert [one.what for one in of_replica(everything)] == ["The providers of other replicas are not shown"]
    elsewhere.patience = PATIENCE
    share.answers.set()
    assert list(await elsewhere.accounts([wanted.name])) == [wanted.name]
    assert share.asked == 1, "all wait for one reading"
    await share.close()


async def test_what_took_long_to_read_is_shown_for_longer_and_very_much_is_made_beside_the_event_loop(
    live_site: Site,
) -> None:
    now, threads = 1000.0, set[int]()

    class Ended(list[Task]):
        def __iter__(self) -> Iterator[Task]:
            threads.add(threading.get_ident())
            return super().__iter__()

    class Large(MemoryShare):
        asked, takes = 0, 2.0

        async def load_all(self, ended_since: Mapping[str, float]) -> Mapping[tuple[str, str], FeedRecord]:
            nonlocal now
            now += self.takes
            self.asked += 1
            ended = Ended([Task("a", State.SUCCEEDED, time.time(), time.time(), ended=time.time())])
            return {(wanted.name, FACE_SWAP[1]): FeedRecord(ended=ended)}

    share = Large(SqliteFile(":memory:"), MemoryDatabase(time.monotonic, LENGTH))
    elsewhere = Elsewhere(share, nobody_told, ticks=lambda: now)
    elsewhere.patience = PATIENCE
    (wanted,) = some(live_site, 1)
    elsewhere.configure({wanted.name: wanted}, installed())

    async def asked_after(seconds: float) -> int:
        nonlocal now
        now += seconds
        accounts = await elsewhere.accounts([wanted.name])
        assert [end.task.id for feed in accounts[wanted.name].feeds for end in feed.ends] == ["a"]
        return share.asked

    assert [await asked_after(seconds) for seconds in (0, 17, 2, 17, 2)] == [1, 1, 2, 2, 3]
    share.takes = 0.01
    assert [await asked_after(seconds) for seconds in (19, 0.5, 1)] == [4, 4, 5]
    assert threads
    assert threading.get_ident() not in threads
    await share.close()


async def test_a_reload_takes_a_provider_away_while_others_are_read(live_site: Site) -> None:
    class Reloaded(MemoryShare):
        async def load_all(self, ended_since: Mapping[str, float]) -> Mapping[tuple[str, str], FeedRecord]:
            elsewhere.configure({wanted.name: wanted}, installed())
            return {}

    share = Reloaded(SqliteFile(":memory:"), MemoryDatabase(time.monotonic, LENGTH))
    elsewhere = Elsewhere(share, nobody_told)
    elsewhere.patience = PATIENCE
    wanted, gone = some(live_site, 2)
    elsewhere.configure({wanted.name: wanted, gone.name: gone}, installed())
    assert wanted.name in await elsewhere.accounts([wanted.name, gone.name])
    await share.close()


async def test_settings_that_change_take_effect_without_a_change_of_the_lease(
    replicas: Replicas, live_site: Site
) -> None:
    one = await replicas.start("one", *some(live_site, 1))
    await until("a first sweep", one.polls)
    tracker = one.polled.loops[0].tracker
    await one.collector.apply([live_site.settings("facewap", name="swap0", poll_interval="70ms")])
    assert one.polled.loops[0].tracker is tracker
    assert one.polled.by_name["swap0"].epoch == 1


async def test_a_replica_is_ready_once_it_has_done_its_part_and_stays_so(replicas: Replicas, live_site: Site) -> None:
    wanted = some(live_site, 2)
    one = replicas.add("one")
    one.line.is_cut = True
    await replicas.started(one, *wanted)
    await until("an outage", lambda: one.polled.unready() == "Waiting for the leases: no answer.")
    one.line.is_cut = False
    await until("its part", lambda: one.polled.unready() == "")
    assert held(one) == [2]
    other = await replicas.start("other", *wanted)
    await until("the other's part", lambda: other.polled.unready() == "")
    assert held(other) in ([0], [1])
    one.line.is_cut = True
    await until("a take-over", lambda: held(one, other) == [0, 2])
    assert one.polled.unready() == other.polled.unready() == ""


async def test_no_call_is_sent_for_a_provider_that_is_no_longer_held(replicas: Replicas, live_site: Site) -> None:
    one = await replicas.start("one", *some(live_site, 1))
    await until("a first sweep", one.polls)
    client = one.polled.by_name["swap0"].provider.client
    assert client.may_call()
    one.line.is_cut = True  # else the lease may be renewed in the meantime
    one.clock.ahead = LENGTH
    assert not client.may_call()
    before = client.counts["api_requests_total", "list", "200"]
    calling = asyncio.create_task(one.polled.by_name["swap0"].loops[0].feed.list_page())
    await until("an end of the polling", lambda: not one.polled.by_name)
    assert client.counts["api_requests_total", "list", "200"] <= before + 1  # one that was under way
    assert not calling.done()
    calling.cancel()
