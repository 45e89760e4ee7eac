"""The pages as programs see them: what they say, where they lead, and that nothing makes them fail."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

import httpx
import pytest
from starlette.responses import Response

from exporter import __version__
from exporter.ledger.sweep import Sweep
from exporter.metrics.exposition import Exposition
from exporter.simulator import SORA, Life
from exporter.snapshot import Reloads
from exporter.tasks import Cause, Observation, Reason, State
from exporter.web.app import create
from exporter.web.pages import filters
from exporter.web.pages.status.troubles import WHOSE_CAUSE, WHOSE_REASON
from grafana import palette
from tests.harness import NOW, UNLISTED, Rig, Site, outage_of, until
from tests.simulator import faults

from .serving import served, studio

STYLE = Path(__file__).parents[2] / "exporter" / "web" / "pages" / "static" / "style.css"
HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}"


class Html(HTMLParser):
    """What a page says and where it leads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._part(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]

    def handle_endtag(self, tag: str) -> None:
        self._part(tag)

    def _part(self, tag: str) -> None:
        if tag not in ("a", "b", "bdi", "span", "svg", "time"):
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


async def text_of(http: httpx.AsyncClient, path: str = "/", status: int = 200) -> str:
    answer = await http.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Html(answer.text).text


async def all_well(rig: Rig, *observations: Observation) -> None:
    """Both feeds have been read; the first shows these tasks."""
    await rig.show(*observations)
    await rig.show(feed=1)


@asynccontextmanager
async def unlisted(**settings: Any) -> AsyncIterator[Rig]:
    """A feed that cannot be listed."""
    rig = Rig()
    rig.connect("deerapi", name="sora", **UNLISTED, **settings)
    yield rig
    await rig.aclose()


# The status page


async def test_when_all_is_well_it_says_so_and_no_more(rig: Rig, http: httpx.AsyncClient) -> None:
    await all_well(rig, Observation("a", State.QUEUED), Observation("b", State.RUNNING))
    text = await text_of(http)
    assert "All is well 2 feeds up, 2 tasks in flight." in text
    assert "What is wrong" not in text


async def test_it_tells_of_the_exporter_itself(rig: Rig, http: httpx.AsyncClient) -> None:
    rig.clock.now += 3 * 3600
    text = await text_of(http)
    assert f"Version {__version__} Up for 3 h Configuration loaded at start Ledger intact" in text


async def test_a_reload_that_failed_is_told_with_its_reason(rig: Rig) -> None:
    await all_well(rig)
    reloads = Reloads(False, rig.clock.now - 60, error=f"config.yaml:3: {HOSTILE}: unknown key")
    async with served(rig.app(reloads=reloads)) as http:
        text = await text_of(http)
    assert "One thing needs a look 2 feeds up" in text
    assert "The configuration was not reloaded Caused by the configuration" in text
    assert f"config.yaml:3: {HOSTILE}: unknown key The last valid configuration stays in force." in text
    assert "Configuration not reloaded, last loaded 60 s ago" in text


async def test_a_web_configuration_that_cannot_be_used_is_told(rig: Rig) -> None:
    await all_well(rig)
    exposition = Exposition(rig.polled.snapshot, Reloads, rig.clock)
    async with served(create(rig.polled, exposition, rig.clock, web_trouble=lambda: "web.yml:2: unknown key")) as http:
        text = await text_of(http)
    assert "One thing needs a look" in text
    assert "The web configuration was not reloaded Caused by the configuration web.yml:2: unknown key" in text


@pytest.mark.parametrize(("losses", "told"), [(0, "intact"), (1, "1 damaged file was"), (3, "3 damaged files were")])
async def test_lost_ledgers_are_told(rig: Rig, losses: int, told: str) -> None:
    async with served(rig.app(reloads=Reloads(ledger_losses=losses))) as http:
        assert told in await text_of(http)


async def test_each_feed_shows_what_is_in_flight_and_how_old_that_is(rig: Rig, http: httpx.AsyncClient) -> None:
    await all_well(rig, *(Observation(f"q{n}", State.QUEUED) for n in range(3)), Observation("b", State.BLOCKED))
    rig.clock.now += 12
    loop = rig.loops[0]
    loop.status = replace(loop.status, next_sweep=rig.clock.now + 7)
    text = await text_of(http)
    assert "studio/lip_sync chanjing up read 12 s ago next in 7 s every 10 s" in text
    assert "In flight queued 3 running 0 blocked 1 unknown 0" in text
    assert "studio/video chanjing up read 12 s ago being read every 10 s In flight none" in text


async def test_what_is_too_old_is_not_shown_as_if_it_were_fresh(rig: Rig, http: httpx.AsyncClient) -> None:
    await all_well(rig, Observation("a", State.QUEUED))
    rig.clock.now += 31  # more than three intervals
    text = await text_of(http)
    assert "In-flight data is stale and hidden." in text
    assert "0 tasks in flight (incomplete)." in text
    assert "queued 1" not in text


async def test_recent_ends_are_shown_with_reasons_and_durations(rig: Rig, http: httpx.AsyncClient) -> None:
    start = rig.clock.now
    await all_well(
        rig,
        *(Observation(f"s{n}", State.SUCCEEDED, submitted=start - 90, ended=start) for n in range(6)),
        Observation("f", State.FAILED, Reason.MODERATION, submitted=start - 90, ended=start - 80),
        Observation("c", State.CANCELLED, submitted=start - 90, ended=start),
    )
    text = await text_of(http)
    assert "Ended within 1 h succeeded 6 failed 1 cancelled 1 lost 0 Failed for moderation 1" in text
    assert "phase median 95 % longest total 1 min 30 s 1 min 30 s 1 min 30 s" in text


async def test_before_the_first_sweep_it_waits(http: httpx.AsyncClient) -> None:
    text = await text_of(http)
    assert "Waiting for the first sweep of 2 feeds" in text
    assert text.count("waiting never read being read") == 2
    assert text.count("Nothing is known before the first complete sweep.") == 2


async def test_without_providers_it_says_what_to_do(rig: Rig) -> None:
    rig.polled.by_name = {}
    async with served(rig.app()) as http:
        text = await text_of(http)
    assert "No provider is configured Name one under providers in the configuration" in text


async def test_feeds_that_are_down_for_the_same_reason_are_one_trouble(rig: Rig, http: httpx.AsyncClient) -> None:
    await rig.sweep(after=0)
    rig.clock.now += 300
    text = await text_of(http)
    assert "2 of 2 feeds cannot be read" in text
    assert text.count("studio/lip_sync and studio/video cannot be read Caused by the network for 5 min") == 1
    assert "Check base_url" in text or "Check host and port in base_url" in text
    assert outage_of(rig.loops[0]).advice in text


async def test_failed_calls_are_kept_and_shown_after_the_vendor_is_well_again(site: Site) -> None:
    site.fake.faults["chanjing/video"] = faults.HTML
    async with studio(site.url) as rig, served(rig.app()) as http:
        await rig.sweep(after=0)
        assert "1 of 2 feeds cannot be read" in await text_of(http)
        site.be_well()
        rig.clock.now += 10
        await rig.sweep(after=0)
        text = await text_of(http)
        assert "All is well" in text
        assert "Last failed calls (1), the latest 10 s ago" in text
        assert "10 s ago list 200 intercepted" in text


async def test_a_feed_without_a_list_and_without_ids_says_how_to_follow_tasks() -> None:
    async with unlisted() as rig, served(rig.app()) as http:
        await rig.sweep(after=0)
        text = await text_of(http)
        assert "One thing needs a look" in text
        assert "sora/sora has nothing to show Caused by the configuration" in text
        assert rig.loops[0].status.up
        for way in ("watch", "user_token", "/api/v1/tasks"):
            assert way in text


async def test_a_feed_whose_ids_are_given_says_how_many_it_follows(tmp_path: Path) -> None:
    (tmp_path / "ids.json").write_text('[{"kind": "sora", "ids": ["a", "b"]}]')
    async with unlisted(watch={"files": [str(tmp_path / "*.json")]}) as rig, served(rig.app()) as http:
        await rig.sweep(after=0)  # which fails, as nothing listens there
        assert "The feed cannot be listed; 2 ids are followed." in await text_of(http)
        (tmp_path / "ids.json").write_text("[")
        await rig.sweep(after=0)
        text = await text_of(http)
    assert "Some ids of sora cannot be read" in text
    assert "ids.json: not JSON: line 1, column 2: Expecting value Ids that can be read are followed." in text


async def test_many_failures_are_a_trouble_although_every_feed_is_up(rig: Rig, http: httpx.AsyncClient) -> None:
    now = rig.clock.now
    failed = [Observation(f"f{n}", State.FAILED, Reason.INSUFFICIENT_BALANCE, ended=now) for n in range(2)]
    done = [Observation(f"s{n}", State.SUCCEEDED, ended=now) for n in range(2)]
    await all_well(rig, *failed, *done)
    assert "All is well" in await text_of(http)  # four ends say nothing yet
    await all_well(rig, Observation("f9", State.FAILED, Reason.AUTH, ended=now))
    text = await text_of(http)
    assert "3 of 5 tasks of studio/lip_sync failed within 1 h Caused by the account" in text
    assert "Mostly: insufficient balance (2). The account has no credit left. Top it up at the vendor." in text


async def test_what_the_vendor_says_out_of_order_is_noted(rig: Rig, http: httpx.AsyncClient) -> None:
    await all_well(rig, Observation("a", State.RUNNING, unmapped=frozenset({"state"})))  # type: ignore[arg-type]
    rig.clock.now += 700
    loop, now = rig.loops[0], rig.clock.now
    listed = {"a": (Observation("a", State.RUNNING), now)}
    await rig.ledger.record(loop.tracker, Sweep(listed=listed, complete=True, gap=True), now)
    text = await text_of(http)
    assert "1 task running, or in an unknown state, without a change for 10 min or longer." in text
    assert "The vendor uses words that the exporter does not know: state (1)." in text
    assert "1 sweep may have missed tasks." in text


async def test_tasks_of_unknown_states_are_told_first_and_as_long_as_there_are_any(
    rig: Rig, http: httpx.AsyncClient
) -> None:
    both = Observation("a", State.UNKNOWN), Observation("b", State.UNKNOWN)
    for _ in range(2):
        await all_well(rig, *both)
        text = await text_of(http)
        told = "One thing needs a look 2 feeds up, 2 tasks in flight. What is wrong, and what to do 2 tasks of"
        assert f"{told} studio/lip_sync are in an unknown state Caused by the exporter" in text
        assert "look for a newer version of the exporter, or report the vendor's word" in text
        rig.clock.now += 7200.0
    await all_well(rig, Observation("a", State.RUNNING), Observation("b", State.SUCCEEDED))
    assert "unknown state" not in await text_of(http)


async def test_the_next_sweep_is_known_between_two(site: Site) -> None:
    async with studio(site.url) as rig:
        loop = rig.loops[0]

        def due() -> float | None:
            return loop.status.next_sweep

        await loop.sweep()
        assert due() is None
        loop.start()
        await until("a sweep has ended", due)
        assert rig.clock.now < (due() or 0) <= rig.clock.now + 10
        await loop.stop()


def test_every_cause_and_reason_lies_with_somebody() -> None:
    never_of_a_sweep = {
        Cause.TOKEN_NOT_FETCHED,
        Cause.TOKEN_FETCHED,
        Cause.WATCH,
        Cause.CLOCK,
        Cause.DRIFT,
        Cause.NO_TASKS,
        Cause.NOTHING_TO_WATCH,
        Cause.NOT_FOUND,
    }
    assert WHOSE_CAUSE.keys() == set(Cause) - never_of_a_sweep
    assert WHOSE_CAUSE[Cause.LEDGER] == "the ledger's disk or database"
    assert WHOSE_REASON.keys() == set(Reason) == filters.REASONS.keys()
    assert filters.STATES.keys() == set(State)


# Tasks


def rows_of(text: str) -> list[str]:
    """The ids of the tasks on a page, in their order."""
    return [unescape(found) for found in re.findall(r'<th scope="row"><a [^>]*><bdi>(.*?)</bdi>', text)]


@pytest.fixture
async def tasks(rig: Rig) -> Rig:
    """Six tasks of two feeds."""
    now = rig.clock.now
    await rig.show(
        Observation("alpha", State.RUNNING, progress=0.4, submitted=now - 60),
        Observation("beta", State.QUEUED, submitted=now - 20),
        Observation("gamma", State.FAILED, Reason.TIMEOUT, submitted=now - 300, ended=now - 100, progress=1.0),
        Observation("delta", State.SUCCEEDED, submitted=now - 200, ended=now - 50, progress=1.0),
    )
    await rig.show(
        Observation("alpha", State.RUNNING, progress=0.9, submitted=now - 90),
        Observation("epsilon", State.FAILED, Reason.MODERATION, submitted=now - 70, ended=now - 10),
        feed=1,
    )
    return rig


@pytest.mark.parametrize(
    ("query", "ids", "count"),
    [
        ("sort=submitted", ["beta", "alpha", "epsilon", "alpha", "delta", "gamma"], "6 tasks"),
        ("sort=submitted&direction=asc", ["gamma", "delta", "alpha", "epsilon", "alpha", "beta"], "6 tasks"),
        ("kind=video&sort=id", ["epsilon", "alpha"], "2 of 6 tasks"),
        ("state=failed&state=queued&sort=id&direction=asc", ["beta", "epsilon", "gamma"], "3 of 6 tasks"),
        ("reason=timeout", ["gamma"], "1 of 6 tasks"),
        ("id=LPH", ["alpha", "alpha"], "2 of 6 tasks"),
        ("sort=id&per_page=4&page=2", ["alpha", "alpha"], "6 tasks, page 2 of 2"),
        ("provider=studio&kind=lip_sync&state=succeeded&id=delta", ["delta"], "1 of 6 tasks"),
    ],
)
async def test_tasks_are_filtered_sorted_and_paged(
    tasks: Rig, http: httpx.AsyncClient, query: str, ids: list[str], count: str
) -> None:
    page = (await http.get(f"/tasks?{query}")).text
    assert rows_of(page) == ids
    assert count in Html(page).text


async def test_a_row_says_all_of_a_task_at_a_glance(tasks: Rig, http: httpx.AsyncClient) -> None:
    tasks.clock.now += 5
    text = await text_of(http, "/tasks?sort=submitted&kind=lip_sync")
    assert "beta studio lip_sync queued – 25 s ago 25 s so far 5 s ago" in text
    assert "alpha studio lip_sync running 40 % 40 % 65 s ago 1 min 5 s so far 5 s ago" in text
    assert "gamma studio lip_sync failed timeout 100 % 100 % 5 min ago 3 min 20 s 5 s ago" in text


async def test_models_have_a_column_and_a_choice_where_there_are_any(tasks: Rig, http: httpx.AsyncClient) -> None:
    assert "Model" not in await text_of(http, "/tasks")
    await tasks.show(Observation("zeta", State.RUNNING, model="sora-2"), Observation("eta", State.RUNNING))
    page = Html((await http.get("/tasks?model=sora-2")).text)
    assert "zeta studio lip_sync sora-2 running" in page.text
    assert [attrs["name"] for tag, attrs in page.tags if tag == "select"] == ["provider", "kind", "model"]
    assert "eta studio lip_sync – running" in await text_of(http, "/tasks?id=eta&sort=id")
    assert "Model" not in await text_of(http, "/tasks?kind=video")


async def test_what_is_not_found_of_a_model_is_found_of_others(tasks: Rig, http: httpx.AsyncClient) -> None:
    text = (await http.get("/tasks?model=sora-1&kind=video")).text
    page = Html(text)
    assert "any model, not only sora-1" in page.text
    assert "tasks?kind=video" in {link.removeprefix("./") for link in page.links}
    assert "<option selected>sora-1</option>" in text


async def test_a_task_tells_its_model_and_links_to_others_of_it(rig: Rig, http: httpx.AsyncClient) -> None:
    await rig.show(Observation("one", State.RUNNING, model="acme/v1"), Observation("two", State.RUNNING))
    page = Html((await http.get("/tasks/studio/lip_sync/one")).text)
    assert "Model acme/v1" in page.text
    (link,) = [link for link in page.links if "model=" in link]
    assert rows_of((await http.get(urljoin("/tasks/studio/lip_sync/one", link))).text) == ["one"]
    assert "Model" not in await text_of(http, "/tasks/studio/lip_sync/two")


async def test_what_a_feed_that_is_down_had_in_flight_is_marked(tasks: Rig, http: httpx.AsyncClient) -> None:
    tasks.clock.now += 31
    assert (await text_of(http, "/tasks?state=queued")).count("as last seen") == 1
    assert "as last seen" not in await text_of(http, "/tasks?state=succeeded")


async def test_the_form_keeps_what_was_asked(tasks: Rig, http: httpx.AsyncClient) -> None:
    page = Html((await http.get("/tasks?state=failed&reason=timeout&id=%22x&kind=video&sort=id&per_page=7")).text)
    inputs = [attrs for tag, attrs in page.tags if tag == "input"]
    assert [one["value"] for one in inputs if "checked" in one] == ["failed", "timeout"]
    assert [one["value"] for one in inputs if one["name"] == "id"] == ['"x']
    assert [(one["name"], one["value"]) for one in inputs if one["type"] == "hidden"] == [
        ("sort", "id"),
        ("per_page", "7"),
    ]
    assert "selected" in dict(page.tags[page.tags.index(("option", {"selected": None})) :][0][1])
    assert any(tag == "details" and "open" in attrs for tag, attrs in page.tags)


@pytest.mark.parametrize(
    ("query", "told", "ways"),
    [
        ("id=zeta", "None of the 6 tasks matches.", ["tasks"]),
        (
            "id=alpha&state=lost&sort=id",
            "None of the 6 tasks matches.",
            ["tasks?state=lost&sort=id", "tasks?id=alpha&sort=id"],
        ),
        ("kind=video&reason=auth", "None of the 6 tasks matches.", ["tasks?reason=auth", "tasks?kind=video"]),
        ("per_page=4&page=9", "There are 2 pages of tasks; page 9 does not exist.", ["tasks?page=2&per_page=4"]),
    ],
)
async def test_an_empty_result_says_why_and_how_to_widen_it(
    tasks: Rig, http: httpx.AsyncClient, query: str, told: str, ways: list[str]
) -> None:
    page = Html((await http.get(f"/tasks?{query}")).text)
    assert told in page.text
    for way in ways:
        found = [link for link in page.links if link.removeprefix("./").rstrip("?") == way]
        assert found
        assert (await http.get(urljoin("/tasks", found[-1]))).status_code == 200


async def test_where_there_are_no_tasks_at_all_it_says_what_that_means(rig: Rig, http: httpx.AsyncClient) -> None:
    await all_well(rig)
    assert "No task is in flight, and none ended within 1 h." in await text_of(http, "/tasks")


async def test_a_whole_id_finds_a_task_that_ended_long_ago(tasks: Rig, http: httpx.AsyncClient) -> None:
    tasks.clock.now += 2 * 3600
    page = Html((await http.get("/tasks?id=gamma")).text)
    assert "The ledger remembers: gamma studio/lip_sync, failed 2 h ago" in page.text
    assert "./tasks/studio/lip_sync/gamma" in page.links
    assert "None of the" in await text_of(http, "/tasks?id=gamm")
    assert "The ledger remembers" not in await text_of(http, "/tasks?id=gamma&kind=video")


async def test_a_whole_id_finds_a_task_of_a_model_without_series_that_ended_long_ago() -> None:
    async with studio(model_limit=1) as rig, served(rig.app()) as http:
        for task_id, model in (("first", "acme/v1"), ("second", "acme/v2")):
            await rig.show(Observation(task_id, State.RUNNING, model=model))
            await rig.show(Observation(task_id, State.SUCCEEDED, model=model, ended=rig.clock.now))
        rig.clock.now += 2 * 3600
        for model in ("other", "acme/v2"):
            assert "The ledger remembers: second" in await text_of(http, f"/tasks?id=second&model={model}")
        for query in ("id=first&model=other", "id=second&model=acme/v1", "id=second&state=failed"):
            assert "The ledger remembers" not in await text_of(http, f"/tasks?{query}")


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("state=done", "state: unknown; allowed: queued, running"),
        ("page=0", "page: too small; the least is 1"),
        ("nonsense=1", "unknown parameter; allowed: provider, kind"),
        ("provider=nobody", "provider: not polled; allowed: studio"),
        (f"id={'x' * 600}", "id: too long; the most is 512 characters"),
        (f"sort={quote(HOSTILE)}", "sort: unknown; allowed: changed"),
    ],
)
async def test_what_cannot_be_asked_is_refused_with_the_reason(http: httpx.AsyncClient, query: str, why: str) -> None:
    text = await text_of(http, f"/tasks?{query}", 400)
    assert f"This cannot be searched for {why}" in text
    assert "alert" not in text


# One task


async def test_a_task_tells_what_happened_when_and_by_whose_clock(rig: Rig, http: httpx.AsyncClient) -> None:
    start = rig.clock.now
    await rig.show()
    for seconds, state, progress in ((5, State.QUEUED, None), (5, State.RUNNING, 0.2), (5, State.RUNNING, 0.7)):
        rig.clock.now += seconds
        await rig.show(Observation("one", state, progress=progress, submitted=start + 3))
    rig.clock.now += 5
    await rig.show(
        Observation("one", State.SUCCEEDED, submitted=start + 3, progress=1.0, output_seconds=8.0),
    )
    page = Html((await http.get("/tasks/studio/lip_sync/one")).text)
    stamps = [f"2023-11-14 22:13:{second} UTC" for second in (23, 25, 30, 35, 40)]
    assert (
        f"{stamps[0]} vendor's clock Submitted {stamps[1]} seen by the exporter First seen: queued "
        f"{stamps[2]} seen by the exporter Seen: running, 20 % {stamps[3]} seen by the exporter Seen: running, 70 % "
        f"{stamps[4]} seen by the exporter Seen: succeeded, 100 %"
    ) in page.text
    assert "Queue 7 s, partly by the vendor's clock, partly as the exporter saw it, right to about 10 s" in page.text
    assert "Run 10 s, as the exporter saw it, right to about 10 s" in page.text
    assert "Output 8 s of video" in page.text
    document = rig.loops[0].feed.document
    assert document.url in page.links
    assert document.title in page.text
    assert [link for link in page.links if "tasks" in link][1:4] == [
        "../../../tasks",
        "../../../tasks?provider=studio",
        "../../../tasks?provider=studio&kind=lip_sync",
    ]


async def test_a_task_under_way_says_how_long_so_far(rig: Rig, http: httpx.AsyncClient) -> None:
    now = rig.clock.now
    await rig.show(
        Observation("waits", State.QUEUED, submitted=now - 100),
        Observation("runs", State.RUNNING, submitted=now - 100, started=now - 40, progress=0.25),
        Observation("ended", State.SUCCEEDED),
    )
    text = await text_of(http, "/tasks/studio/lip_sync/waits")
    assert "Queue 1 min 40 s so far, by the vendor's clock Run not started yet Total 1 min 40 s so far" in text
    text = await text_of(http, "/tasks/studio/lip_sync/runs")
    assert "running 25 % 25 %" in text
    assert "Queue 1 min, by the vendor's clock Run 40 s so far" in text
    text = await text_of(http, "/tasks/studio/lip_sync/ended")
    assert text.count("unknown: the vendor does not report it, and polling was too coarse to tell") == 3
    rig.clock.now += 31
    text = await text_of(http, "/tasks/studio/lip_sync/waits")
    assert "This is the last known state; the feed was last read 31 s ago." in text


async def test_a_failure_is_told_in_the_vendors_words_and_in_ours(rig: Rig, http: httpx.AsyncClient) -> None:
    await rig.show(Observation("bad", State.FAILED, Reason.MODERATION, said=f"内容违规 {HOSTILE}"))
    answer = await http.get("/tasks/studio/lip_sync/bad")
    assert f"In the vendor's words 内容违规 {HOSTILE}" in Html(answer.text).text
    assert "The vendor's moderation refused it." in Html(answer.text).text
    assert "<script>alert" not in answer.text


IDS = [
    "plain",
    "a/b",
    "/a//b/",
    "a/../b",
    "..a",
    "a.b.c",
    "%2F",
    "a%252Fb",
    "quote\"s and 's",
    HOSTILE,
    "q?x=1#y&z;w+v",
    "视频 ü 🎬",
    "back\\slash",
    "{id}",
    "x" * 512,
    ".",
    "..",
    "...",
    "./..",
    "/",
]


@pytest.mark.parametrize("task_id", IDS)
async def test_any_id_leads_from_the_list_to_its_page(rig: Rig, http: httpx.AsyncClient, task_id: str) -> None:
    await rig.show(Observation(task_id, State.RUNNING))
    listed = (await http.get("/tasks")).text
    assert rows_of(listed) == [task_id]
    assert rows_of((await http.get(f"/tasks?id={quote(task_id)}")).text) == [task_id]
    (link,) = re.findall(r'<th scope="row"><a href="([^"]*)"', listed)
    url = urljoin(str(http.base_url.join("/tasks")), unescape(link))
    answer = await http.get(url)
    assert answer.status_code == 200
    assert re.findall(r'<h1 class="id"><bdi>(.*?)</bdi>', answer.text) == re.findall(
        r'scope="row"><a.*?<bdi>(.*?)</bdi>', listed
    )
    back = next(one for one in Html(answer.text).links if one.endswith("tasks"))
    assert httpx.URL(urljoin(url, back)).path == "/tasks"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("studio/lip_sync/nobody", "No such task is known nobody Possible reasons:"),
        ("studio/lip_sync/%3Cb%3E", "No such task is known <b> Possible reasons:"),
        ("studio/lip_sync/", "No task can have this id"),
        (f"studio/lip_sync/{'x' * 513}", "No task can have this id"),
        ("studio/lip_sync/%E2%80%AEabc", "No task can have this id"),
        ("studio/lip_sync/%00", "No task can have this id"),
        ("studio/lip_sync/%FF", "No such task is known"),
        ("studio/audio/x", "No such feed is polled Polled feeds: studio/lip_sync, studio/video."),
        ("nobody/lip_sync/x", "No such feed is polled"),
        ("%3Cscript%3E/lip_sync/x", "No such feed is polled"),
    ],
)
async def test_what_is_not_known_is_explained(http: httpx.AsyncClient, path: str, told: str) -> None:
    assert told in await text_of(http, f"/tasks/{path}", 404)


async def test_of_a_feed_without_a_list_an_unknown_task_has_to_be_named() -> None:
    async with unlisted() as rig, served(rig.app()) as http:
        assert "its id was not given: this feed cannot be listed" in await text_of(http, "/tasks/sora/sora/x", 404)


async def test_ids_that_bring_nothing_are_named_and_the_others_are_counted(site: Site) -> None:
    site.world.add(Life("good", *SORA, NOW - 5, 2.0, 1.0, State.SUCCEEDED))
    site.instead = lambda path: Response("x", 500) if path.endswith("/broken") else None
    strangers = [f"stranger-{number}" for number in range(7)]
    rig = Rig(site.clock)
    rig.add(site.settings("deerapi", **UNLISTED, watch={"tasks": {"sora": [*strangers, "broken", "x" * 512, "good"]}}))
    await rig.sweep(2)
    async with served(rig.app()) as http:
        text = await text_of(http)
    found = re.search(r"8 ids are unknown to the vendor and retried with growing delays: (.*?), \.\.\.\.", text)
    assert found is not None
    named = found[1].replace("x...", "").split(", ")  # in the order in which the vendor answered
    assert len({one.strip("x") for one in named} & {*strangers, ""}) == 5
    assert "1 id is retried with growing delays because each look-up fails: broken." in text
    assert rig.values("videotask_finished_total", "state")["succeeded"] == 1
    assert rig.all_up()
    await rig.aclose()


async def test_a_ledger_that_cannot_be_read_is_told_in_words(rig: Rig, http: httpx.AsyncClient) -> None:
    await all_well(rig)
    await rig.ledger.store.close()
    for path in ("/tasks/studio/video/x", "/tasks?id=x"):
        assert "The ledger cannot be read :memory:: " in await text_of(http, path, 503)
    for path in ("/", "/tasks"):
        assert (await http.get(path)).status_code == 200


# What every page has in common

PATHS = [
    "/",
    "/tasks",
    "/tasks?id=nothing",
    "/tasks?page=0",
    "/tasks/studio/lip_sync/alpha",
    "/tasks/studio/lip_sync/x",
]


@pytest.mark.parametrize("path", PATHS)
async def test_head_answers_like_get_without_the_body(tasks: Rig, http: httpx.AsyncClient, path: str) -> None:
    get, head = await http.get(path), await http.head(path)
    assert (head.status_code, head.headers["content-type"], head.content) == (
        get.status_code,
        get.headers["content-type"],
        b"",
    )


@pytest.mark.parametrize("path", PATHS)
async def test_nothing_may_run_but_our_own_files(tasks: Rig, http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy == {"default-src": "'none'", "base-uri": "'none'", "frame-ancestors": "'none'"} | dict.fromkeys(
        ("script-src", "style-src", "img-src", "connect-src", "form-action"), "'self'"
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    page = Html(answer.text)
    assert not [attrs for _, attrs in page.tags for name in attrs if name == "style" or name.startswith("on")]
    assert "style" not in [tag for tag, _ in page.tags]
    assert [attrs for tag, attrs in page.tags if tag == "script" and "src" not in attrs] == []


@pytest.mark.parametrize("path", PATHS)
async def test_links_hold_below_another_path_too_and_lead_somewhere(
    tasks: Rig, http: httpx.AsyncClient, path: str
) -> None:
    document = tasks.loops[0].feed.document.url
    for link in {*Html((await http.get(path)).text).links} - {document, "#main"}:
        assert urljoin(f"http://proxy/below{path}", link).startswith("http://proxy/below/")
        assert (await http.get(urljoin(path, link))).status_code in (200, 503)


async def test_files_are_kept_as_long_as_they_stay_the_same(http: httpx.AsyncClient) -> None:
    files = [link for link in Html((await http.get("/")).text).links if "static" in link]
    assert sorted(re.sub(r"\.[0-9a-f]{12}\.", ".", link) for link in files) == [
        "./static/icon.svg",
        "./static/refresh.js",
        "./static/style.css",
    ]
    for link in files:
        one, again = [await http.get(f"/{link}", headers={"Accept-Encoding": "gzip"}) for _ in range(2)]
        assert one.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert one.content == again.content != b""
        assert one.headers == again.headers


@pytest.mark.parametrize("name", ["style.css", "style.000000000000.css", "..%2Fapp.py", "%2e%2e/pages.py", ""])
async def test_no_other_file_is_served(http: httpx.AsyncClient, name: str) -> None:
    assert (await http.get(f"/static/{name}")).status_code == 404


async def test_a_page_is_fetched_again_as_often_as_the_vendors_are_asked(rig: Rig, http: httpx.AsyncClient) -> None:
    assert 'data-refresh="10"' in (await http.get("/")).text
    assert 'data-refresh="0"' in (await http.get("/tasks?page=0")).text


def test_states_and_reasons_have_the_colours_of_the_dashboards() -> None:
    style = STYLE.read_text()
    named = dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6});", style))
    fills = dict(re.findall(r"(?m)^\.((?:state|reason)-\w+) \{ fill: (?:var\()?([^;)]+)\)?; \}$", style))
    assert {name: named.get(colour, colour) for name, colour in fills.items()} == {
        f"state-{word}": colour for word, colour in palette.STATES.items()
    } | {f"reason-{word}": colour for word, colour in palette.REASONS.items()}


# Words


@pytest.mark.parametrize(
    ("seconds", "rough", "lasting"),
    [
        (-5, "0 s", "0 s"),
        (0, "0 s", "0 s"),
        (0.44, "0 s", "0.4 s"),
        (9.94, "10 s", "9.9 s"),
        (42.4, "42 s", "42 s"),
        (59.7, "60 s", "1 min"),
        (119, "119 s", "1 min 59 s"),
        (120, "2 min", "2 min"),
        (312, "5 min", "5 min 12 s"),
        (3600, "60 min", "1 h"),
        (7199, "120 min", "1 h 59 min"),
        (7200, "2 h", "2 h"),
        (172800, "2 d", "2 d"),
        (183600, "2 d", "2 d 3 h"),
    ],
)
def test_lengths_are_told_in_units_that_a_person_reads(seconds: float, rough: str, lasting: str) -> None:
    assert (filters.rough(seconds), filters.lasting(seconds)) == (rough, lasting)


def test_moments_are_told_from_here_and_as_a_whole() -> None:
    assert [filters.ago(at, 1000.0) for at in (880, 988, 999.7, 1003, 4600)] == [
        "2 min ago",
        "12 s ago",
        "now",
        "in 3 s",
        "in 60 min",
    ]
    assert (filters.utc(1_700_000_000.0), filters.iso(1_700_000_000.0)) == (
        "2023-11-14 22:13:20 UTC",
        "2023-11-14T22:13:20Z",
    )
