"""Tasks asked for over HTTP and vendors' callbacks: what is followed, what is refused, and that a look-up decides."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse

from exporter.config.models import ProviderSettings
from exporter.polling.watch import Following
from exporter.simulator import DIGITAL_HUMAN, FACE_SWAP, LIP_SYNC, SORA, Life, World, hang
from exporter.tasks import State
from exporter.web.api import intake
from exporter.web.api import routes as api
from tests.harness import NOW, NOWHERE, UNLISTED, Door, Exporter, Rig, Site, Start, counted, ended, until

from .serving import served

SECRET = "a-secret-between-us-0123456789"
TASKS = "/api/v1/tasks"
SORA_CALLBACK = "/api/v1/callbacks/deer/sora"


def settings(site: Site, name: str, vendor: str, **given: Any) -> ProviderSettings:
    watch = {"callback_secret": SECRET} | given.pop("watch", {})
    unlisted = UNLISTED if vendor == "deerapi" else {}
    return site.settings(vendor, name=name, poll_interval="1h", watch=watch, **unlisted, **given)


async def sweep(rig: Rig, name: str = "deer", after: float = 15.0) -> None:
    """One provider alone is swept, and is well."""
    rig.clock.now += after
    await rig.loop_of(name).sweep()
    assert rig.loop_of(name).status.up


def finished(rig: Rig, name: str = "deer") -> float:
    return sum(counted(rig.loop_of(name).tracker, "finished_total").values())


def looked_up(site: Site) -> int:
    """How many look-ups of Sora tasks there were since the last time this was asked."""
    return site.requests(SORA)["detail"]


def serving(rig: Rig, allowed: Callable[[], bool] = lambda: True) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    """The endpoints on the exporter's own server."""
    refusals = dict.fromkeys(api.REFUSED, api.refused)
    return served(Starlette(routes=intake.routes(rig.polled, allowed), exception_handlers=refusals))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for all tests, so that they may share servers."""
    return "asyncio"


@pytest.fixture
def site(site: Site) -> Site:
    site.world.add(
        ended(SORA, "runs", 10, lasted=100.0),
        Life("waits", *SORA, NOW - 10, queue_seconds=None),
        Life("over", *SORA, NOW - 300, run_seconds=10.0, end=State.FAILED),
    )
    return site


@asynccontextmanager
async def rig_with_deer(site: Site, store: str = ":memory:") -> AsyncIterator[Rig]:
    """`deer` cannot be listed."""
    rig = Rig(site.clock, store)
    rig.add(settings(site, "deer", "deerapi"))
    yield rig
    await rig.aclose()


@pytest.fixture
async def rig(site: Site) -> AsyncIterator[Rig]:
    async with rig_with_deer(site) as rig:
        yield rig


@pytest.fixture
async def http(rig: Rig) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(rig) as http:
        yield http


Idle = tuple[Rig, httpx.AsyncClient]


@pytest.fixture(scope="module")
async def idle() -> AsyncIterator[Idle]:
    """Nothing gets in here, for requests that are all refused; `mute` has no secret."""
    site = Site(url=NOWHERE)
    async with rig_with_deer(site) as rig, serving(rig) as http:
        rig.add(settings(site, "mute", "deerapi", watch={"callback_secret": None}))
        yield rig, http


async def nothing_was_done(rig: Rig) -> bool:
    return [(await rig.ledger.store.watched(*loop.tracker.feed), loop.following.ids) for loop in rig.loops] == [
        ([], ()),
        ([], ()),
    ]


async def ask(http: httpx.AsyncClient, *ids: str, provider: str = "deer", kind: str = "sora") -> tuple[int, Any]:
    answer = await http.post(TASKS, json={"provider": provider, "kind": kind, "ids": ids})
    return answer.status_code, answer.json()


def taken(new: int = 0, known: int = 0, ended: int = 0) -> tuple[int, dict[str, Any]]:
    return 200, {"new": new, "known": known, "ended": ended, "refused": []}


# --- Tasks asked for


async def test_a_task_that_is_asked_for_is_followed_until_its_end_is_counted_and_then_let_go(
    site: Site, rig: Rig, http: httpx.AsyncClient
) -> None:
    await sweep(rig)
    assert await ask(http, "runs") == taken(new=1)
    await sweep(rig)
    assert set(rig.loop_of("deer").tracker.in_flight) == {"runs"}
    assert await rig.ledger.store.watched(*rig.loop_of("deer").tracker.feed) == ["runs"]
    await sweep(rig, after=200.0)
    assert (finished(rig), rig.loop_of("deer").tracker.in_flight) == (1, {})
    assert await rig.ledger.store.watched(*rig.loop_of("deer").tracker.feed) == []
    looked_up(site)
    await sweep(rig)
    assert looked_up(site) == 0


async def test_asking_again_changes_nothing_and_says_so(rig: Rig, http: httpx.AsyncClient) -> None:
    assert await ask(http, "runs", "over", "runs") == taken(new=2)
    assert await ask(http, "runs", "over") == taken(known=2)
    await sweep(rig)
    assert await ask(http, "over", "waits", "runs") == taken(new=1, known=1, ended=1)
    await sweep(rig)
    assert await ask(http, "over", "waits", "runs") == taken(known=2, ended=1)
    assert finished(rig) == 1
    assert sorted(await rig.ledger.store.watched(*rig.loop_of("deer").tracker.feed)) == ["runs", "waits"]


async def test_ids_that_the_settings_name_are_known_and_outlive_these(
    site: Site, rig: Rig, http: httpx.AsyncClient
) -> None:
    rig.add(settings(site, "told", "deerapi", watch={"tasks": {"sora": ["runs"]}}))
    await sweep(rig, "told")
    assert await ask(http, "runs", "waits", provider="told") == taken(new=1, known=1)
    await sweep(rig, "told")
    assert set(rig.loop_of("told").tracker.in_flight) == {"runs", "waits"}


async def test_new_ids_are_looked_up_at_once_and_not_only_at_the_next_sweep(
    site: Site, rig: Rig, http: httpx.AsyncClient
) -> None:
    loop = rig.loop_of("deer")
    loop.start()
    await until("the first sweep", lambda: loop.status.up)
    assert await ask(http, "runs", "over") == taken(new=2)
    await until("a look at them", lambda: finished(rig) == 1 and set(loop.tracker.in_flight) == {"runs"})
    assert await ask(http, "waits") == taken(new=1)
    await until("a look at another", lambda: set(loop.tracker.in_flight) == {"runs", "waits"})
    assert looked_up(site) == 3


async def test_many_new_ids_make_the_next_sweep_come_early(site: Site, rig: Rig, http: httpx.AsyncClient) -> None:
    many = [Life(f"task_{number}", *SORA, NOW - 10, run_seconds=900.0) for number in range(120)]
    site.world.add(*many)
    loop = rig.loop_of("deer")
    loop.start()
    await until("the first sweep", lambda: loop.status.up)
    site.clock.now += 60
    assert await ask(http, *(life.id for life in many)) == taken(new=120)
    await until("a look at all of them", lambda: len(loop.tracker.in_flight) == 120)
    await until("the end of the sweep", lambda: loop.tracker.polled == NOW + 60)


async def test_a_flood_of_requests_is_none_of_calls(site: Site, rig: Rig, http: httpx.AsyncClient) -> None:
    loop = rig.loop_of("deer")
    await ask(http, "waits")
    loop.start()
    await until("the first sweep", lambda: "waits" in loop.tracker.in_flight)
    looked_up(site)
    began = time.monotonic()
    for _ in range(60):
        answer = await http.post(SORA_CALLBACK, json={"task_id": "waits"}, headers={"X-Callback-Secret": SECRET})
        assert answer.status_code == 204
    await until("a look", lambda: site.fake.vendors["deerapi"].requests["sora/detail"])
    assert looked_up(site) <= 2 + (time.monotonic() - began)  # one now, and then one a second


async def test_in_a_feed_that_is_listed_what_the_list_shows_decides(
    site: Site, rig: Rig, http: httpx.AsyncClient
) -> None:
    site.world.add(
        Life("old", *FACE_SWAP, NOW - 3 * 86400, run_seconds=10.0, end=State.SUCCEEDED),
        Life("fresh", *FACE_SWAP, NOW - 30, run_seconds=10.0, end=State.SUCCEEDED),
    )
    rig.add(settings(site, "swaps", "facewap"))
    await sweep(rig, "swaps")
    assert finished(rig, "swaps") == 1  # the other one is older than the history
    assert await ask(http, "old", "fresh", provider="swaps", kind="face_swap") == taken(new=1, ended=1)
    await sweep(rig, "swaps")
    assert finished(rig, "swaps") == 1
    assert await rig.ledger.store.watched(*rig.loop_of("swaps").tracker.feed) == []


async def test_ids_that_were_asked_for_are_known_after_a_restart(site: Site, tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.sqlite3")
    async with rig_with_deer(site, path) as before, serving(before) as http:
        await sweep(before)
        assert await ask(http, "runs", "over", "later") == taken(new=3)
    # None of them was looked up.
    async with rig_with_deer(site, path) as after, serving(after) as http:
        await sweep(after)
        assert (finished(after), set(after.loop_of("deer").tracker.in_flight)) == (1, {"runs"})
        assert await ask(http, "runs", "over", "later") == taken(known=2, ended=1)
        site.world.add(Life("later", *SORA, NOW, queue_seconds=None))
        await sweep(after)
        assert set(after.loop_of("deer").tracker.in_flight) == {"runs", "later"}


async def test_the_number_of_ids_is_limited_all_or_none_are_taken(
    site: Site, rig: Rig, http: httpx.AsyncClient
) -> None:
    rig.add(settings(site, "small", "deerapi", watch={"limit": 3}))
    assert await ask(http, "a", "b", provider="small") == taken(new=2)
    status, answer = await ask(http, "a", "c", "d", provider="small")
    assert status == 409
    assert answer["error"].startswith("too many: the feed follows 2 ids that were asked for and takes 1 more, not 2;")
    assert await rig.ledger.store.watched(*rig.loop_of("small").tracker.feed) == ["a", "b"]
    assert await ask(http, "a", "c", provider="small") == taken(new=1, known=1)


async def test_requests_at_the_same_time_do_not_exceed_the_limit_together(
    site: Site, rig: Rig, http: httpx.AsyncClient
) -> None:
    rig.add(settings(site, "small", "deerapi", watch={"limit": 5}))
    answers = await asyncio.gather(*(ask(http, f"a{n}", f"b{n}", provider="small") for n in range(8)))
    assert Counter(status for status, _ in answers) == {200: 2, 409: 6}
    assert len(await rig.ledger.store.watched(*rig.loop_of("small").tracker.feed)) == 4


async def test_an_end_makes_room_for_others(site: Site, rig: Rig, http: httpx.AsyncClient) -> None:
    rig.add(settings(site, "small", "deerapi", watch={"limit": 1}))
    assert await ask(http, "over", provider="small") == taken(new=1)
    assert (await ask(http, "waits", provider="small"))[0] == 409
    await sweep(rig, "small")
    assert await ask(http, "waits", provider="small") == taken(new=1)


def test_the_exporter_takes_tasks_where_it_is_told_to_and_keeps_what_it_has_answered_for(
    start: Start, tmp_path: Path, door: Door
) -> None:
    door.behind = site = Site(World(rate=0), door.url)
    now = site.world.now()
    site.world.add(
        Life("runs", *SORA, now - 10, run_seconds=9999.0),
        Life("over", *SORA, now - 300, run_seconds=10.0, end=State.FAILED),
    )
    providers = [site.account("deerapi", name="deer", **UNLISTED)]
    settings = {"poll_interval": "1h", "ledger": {"path": str(tmp_path / "ledger.sqlite3")}, "providers": providers}
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(settings))  # which is YAML too
    flags = (f"--config.file={file}", "--web.listen-address=127.0.0.1:0")
    wanted = {"provider": "deer", "kind": "sora", "ids": ["runs", "over"]}

    def asked(exporter: Exporter) -> tuple[int, Any]:
        answer = httpx.post(exporter.url + "api/v1/tasks", json=wanted, trust_env=False, timeout=30)
        return answer.status_code, answer.json()

    shut = start(*flags)
    assert asked(shut)[0] == 403
    assert shut.end() == 0
    site.fake.faults["deerapi"] = hang  # nothing is known of the tasks but that they were asked for
    killed = start(*flags, "--web.enable-watch-api")
    assert asked(killed) == taken(new=2)
    killed.end(signal.SIGKILL)
    site.be_well()
    again = start(*flags, "--web.enable-watch-api")
    labels = 'kind="sora",provider="deer"'
    again.wait_for("the task", lambda: again.value(f'videotask_tasks{{{labels},state="running"}}') == 1)
    assert again.value(f'videotask_finished_total{{{labels},state="failed"}}') == 1
    assert asked(again) == taken(known=1, ended=1)
    assert again.end() == 0


# --- Ids that the vendor does not know


class Denial:
    """A feed that follows what was asked for, on a clock of its own for how long an id has been denied."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.loop, self.ticks = rig, rig.loop_of("deer"), 0.0
        self.loop.following = Following(
            self.loop.watch,
            rig.ledger,
            self.loop.tracker,
            lists=False,
            wall_clock=rig.clock,
            ticks=lambda: self.ticks,
        )

    async def after(self, hours: float) -> list[str]:
        """What is still watched after a sweep so many hours later."""
        self.ticks += hours * 3600.0
        await sweep(self.rig)
        return await self.rig.ledger.store.watched(*self.loop.tracker.feed)


async def test_an_id_that_the_vendor_has_denied_for_a_day_is_let_go(
    site: Site, rig: Rig, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "exporter.polling.watch")
    denial = Denial(rig)
    await ask(http, "nowhere", "waits")
    assert await denial.after(0) == ["nowhere", "waits"]
    assert await denial.after(23.9) == ["nowhere", "waits"]
    assert caplog.records == []
    assert await denial.after(0.2) == ["waits"]
    assert [(vars(record)["kind"], vars(record)["ids"]) for record in caplog.records] == [("sora", 1)]
    looked_up(site)
    await denial.after(1)
    assert looked_up(site) == 1  # of the other one
    assert await ask(http, "nowhere") == taken(new=1)
    assert await denial.after(0) == ["waits", "nowhere"]


async def test_an_id_that_is_known_in_between_is_not_let_go(site: Site, rig: Rig, http: httpx.AsyncClient) -> None:
    denial = Denial(rig)
    await ask(http, "late")
    await denial.after(0)
    assert await denial.after(20) == ["late"]
    site.world.add(Life("late", *SORA, site.clock(), queue_seconds=None))
    assert await denial.after(10) == ["late"]
    assert "late" in denial.loop.tracker.in_flight


async def test_an_outage_lets_no_id_go(site: Site, rig: Rig, http: httpx.AsyncClient) -> None:
    denial = Denial(rig)
    await ask(http, "nowhere")
    await denial.after(0)
    key, site.fake.credentials = site.fake.vendors["deerapi"].credentials, site.fake.credentials
    site.fake.vendors["deerapi"].credentials = type(key)(deerapi_api_key="another")
    denial.ticks += 2 * 86400.0
    await denial.loop.sweep()
    assert denial.loop.status.up is False
    assert await rig.ledger.store.watched(*denial.loop.tracker.feed) == ["nowhere"]


# --- Requests that are refused

HEADERS = {"Content-Type": "application/json"}
LONG = "x" * 513


def body(**changed: Any) -> bytes:
    whole = {"provider": "deer", "kind": "sora", "ids": ["runs"]} | changed
    return json.dumps({key: value for key, value in whole.items() if value is not ...}).encode()


NOT_JSON = "the body is not JSON"
NOT_THE_FORM = 'not of the form {"provider": "...", "kind": "...", "ids": ["..."]}'
NO_FEED = "provider, kind: no such feed; allowed: deer/sora, mute/sora"
UNPRINTABLE = "holds a character that cannot be printed"
HOSTILE_IDS: dict[str, tuple[object, str]] = {
    "empty": ("", "empty"),
    "blanks": (" \n", "empty"),
    "a line break": ("a\nb", UNPRINTABLE),
    "NUL": ("a\0b", UNPRINTABLE),
    "a control character": ("a\x1b[2Jb", UNPRINTABLE),
    "a mark that turns text around": ("a\u202eb", UNPRINTABLE),
    "a byte order mark": ("\ufeffa", UNPRINTABLE),
    "too long": (LONG, "513 characters; allowed: 512"),
    "ten kilobytes": ("x" * 10_240, "10240 characters; allowed: 512"),
    "a number": (1, "a number; write it in quotes, for long numbers lose digits"),
    "a list": (["runs"], "not a text"),
    "an object": ({"id": "runs"}, "not a text"),
    "null": (None, "not a text"),
    "true": (True, "not a text"),
}
REFUSED = {
    "nothing": (b"", NOT_JSON),
    "no JSON": (b"provider=deer&kind=sora", NOT_JSON),
    "JSON that is cut off": (body()[:-3], NOT_JSON),
    "something after the end": (body() + b"x", NOT_JSON),
    "bytes that are no text": (body().replace(b"runs", b"\xff\xfe"), NOT_JSON),
    "nested without end": (b"[" * 100_000, NOT_JSON),
    "nested ids": (body().replace(b'["runs"]', b"[" * 5000 + b"]" * 5000), None),
    "a list": (b"[]", NOT_THE_FORM),
    "a number": (b"1", NOT_THE_FORM),
    "nothing at all, well formed": (b"null", NOT_THE_FORM),
    "an empty object": (b"{}", "provider: missing"),
    "no kind": (body(kind=...), "kind: missing"),
    "no ids": (body(ids=...), "ids: missing"),
    "an empty list": (body(ids=[]), "ids: empty; write at least one"),
    "one id alone": (body(ids="runs"), 'ids: not a list; write ["...", "..."]'),
    "ids in an object": (body(ids={"runs": 1}), 'ids: not a list; write ["...", "..."]'),
    "a huge number": (body().replace(b'"runs"', b"9" * 5000), None),
    "a provider that is no text": (body(provider=7), "provider: not a text"),
    "an unknown key": (body(**{"<b>x</b>": 1}), "unknown key; allowed: provider, kind, ids"),
    "too many ids": (body(ids=[str(n) for n in range(10_001)]), "ids: too many; the most is 10000"),
    "a provider that is not": (body(provider="<script>"), NO_FEED),
    "a kind that is not": (body(kind="../sora"), NO_FEED),
    "another provider's kind": (body(kind="video"), NO_FEED),
    "half a character": (body(ids=["runs", "\ud800"]), NOT_JSON),
} | {
    f"only a bad id: {name}": (body(ids=[value]), f"ids[0]: not a task id: {why}")
    for name, (value, why) in HOSTILE_IDS.items()
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_bad_request_is_told_why_and_nothing_of_it_is_done(
    idle: Idle, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    rig, http = idle
    content, expected = REFUSED[name]
    answer = await http.post(TASKS, content=content, headers=HEADERS)
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/json")
    assert answer.json().keys() == {"error"}
    if expected is not None:
        assert answer.json()["error"] == expected
    assert await nothing_was_done(rig)
    assert caplog.records == []


@pytest.mark.parametrize("name", HOSTILE_IDS)
async def test_a_bad_id_costs_itself_and_is_told_by_its_place(rig: Rig, http: httpx.AsyncClient, name: str) -> None:
    value, why = HOSTILE_IDS[name]
    answer = await http.post(TASKS, content=body(ids=["runs", value, "waits", value]), headers=HEADERS)
    refused = [{"index": index, "error": f"not a task id: {why}"} for index in (1, 3)]
    assert (answer.status_code, answer.json()) == (200, {"new": 2, "known": 0, "ended": 0, "refused": refused})
    assert set(await rig.ledger.store.watched(*rig.loop_of("deer").tracker.feed)) == {"runs", "waits"}


async def test_an_odd_id_is_an_id(site: Site, rig: Rig, http: httpx.AsyncClient) -> None:
    odd = [
        "a\"b'c\\",
        "<img src=x onerror=alert(1)>",
        "..\\..\\etc",
        "a b",
        "名字",
        "%00",
        "a?b#c&d=e",
        "{{7*7}}",
        "x" * 512,
    ]
    site.world.add(*(Life(one, *SORA, NOW - 10, queue_seconds=None) for one in odd))
    assert await ask(http, *odd) == taken(new=len(odd))
    await sweep(rig)
    assert set(rig.loop_of("deer").tracker.in_flight) == set(odd)


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "text/json", "application/jsonp"]
)
async def test_what_does_not_say_that_it_is_json_is_refused(site: Site, idle: Idle, content_type: str | None) -> None:
    """A page of another site can make a browser send all types but this one."""
    rig, http = idle
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await http.post(TASKS, content=body(), headers=headers)
    assert (answer.status_code, answer.headers["Accept"]) == (415, "application/json")
    assert answer.json() == {"error": "not JSON by its Content-Type; send application/json"}
    assert await nothing_was_done(rig)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_json_may_be_named_in_several_ways(http: httpx.AsyncClient, content_type: str) -> None:
    answer = await http.post(TASKS, content=body(), headers={"Content-Type": content_type})
    assert answer.status_code == 200


async def test_it_is_refused_while_it_is_not_allowed(rig: Rig) -> None:
    allowed = False
    async with serving(rig, lambda: allowed) as http:
        status, answer = await ask(http, "runs")
        assert status == 403
        assert "--web.enable-watch-api" in answer["error"]
        assert "--web.config.file" in answer["error"]
        assert await rig.ledger.store.watched(*rig.loop_of("deer").tracker.feed) == []
        allowed = True
        assert await ask(http, "runs") == taken(new=1)


async def test_what_cannot_be_written_is_not_taken(rig: Rig, http: httpx.AsyncClient) -> None:
    await rig.ledger.store.close()
    status, answer = await ask(http, "runs")
    assert (status, answer) == (503, {"error": "the ledger cannot be written now; try again later"})
    assert rig.loop_of("deer").following.ids == ()


@pytest.mark.parametrize("path", [TASKS, SORA_CALLBACK])
async def test_other_methods_are_not_allowed(idle: Idle, path: str) -> None:
    _, http = idle
    for method in ("PUT", "DELETE", "PATCH"):
        answer = await http.request(method, path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


# --- Callbacks


async def call_back(http: httpx.AsyncClient, where: str = SORA_CALLBACK, **content: Any) -> int:
    content = content or {"json": {"task_id": "runs"}}
    return (await http.post(where, headers={"X-Callback-Secret": SECRET}, **content)).status_code


async def test_a_callback_has_the_task_looked_up_at_once_and_only_that_counts(
    site: Site, rig: Rig, http: httpx.AsyncClient
) -> None:
    loop = rig.loop_of("deer")
    await ask(http, "runs")
    loop.start()
    await until("the first sweep", lambda: loop.status.up)
    lie = {"task_id": "runs", "status": "FAILURE", "fail_reason": "forged", "progress": "100%"}
    looked_up(site)
    assert await call_back(http, json=lie) == 204
    await until("a look-up", lambda: site.fake.vendors["deerapi"].requests["sora/detail"])
    assert (finished(rig), set(loop.tracker.in_flight)) == (0, {"runs"})
    site.clock.now += 200
    for _ in range(3):
        assert await call_back(http, json=lie | {"status": "IN_PROGRESS"}) == 204
    await until("its end", lambda: finished(rig))
    assert loop.tracker.counts["finished_total", State.SUCCEEDED] == 1
    assert await call_back(http, json=lie) == 204
    assert loop.tracker.counts["finished_total", State.FAILED] == 0


async def test_a_task_that_nobody_knew_is_followed_where_there_is_no_list(rig: Rig, http: httpx.AsyncClient) -> None:
    assert await call_back(http, json={"task_id": "waits"}) == 204
    assert await call_back(http, json={"task_id": "waits"}) == 204
    assert await rig.ledger.store.watched(*rig.loop_of("deer").tracker.feed) == ["waits"]
    await sweep(rig)
    assert set(rig.loop_of("deer").tracker.in_flight) == {"waits"}


async def test_a_task_that_nobody_knew_is_left_to_the_list_where_there_is_one(
    site: Site, rig: Rig, http: httpx.AsyncClient
) -> None:
    rig.add(settings(site, "swaps", "facewap"))
    assert await call_back(http, "/api/v1/callbacks/swaps/face_swap", json={"promptId": "1"}) == 204
    assert await rig.ledger.store.watched(*rig.loop_of("swaps").tracker.feed) == []


async def test_a_hint_at_a_new_task_hides_none_of_those_that_a_list_shows_below_it(
    site: Site, rig: Rig, http: httpx.AsyncClient
) -> None:
    """A list is read until known ground; to know the newest task already would end that too early."""
    rig.add(settings(site, "swaps", "facewap", page_size=1))
    site.world.add(Life("first", *FACE_SWAP, NOW - 30, run_seconds=10.0, end=State.SUCCEEDED))
    await sweep(rig, "swaps")
    later = [Life(name, *FACE_SWAP, site.clock() + ago, run_seconds=900.0) for name, ago in (("b", 1), ("c", 2))]
    site.world.add(*later)
    site.clock.now += 5
    assert await ask(http, "c", provider="swaps", kind="face_swap") == taken(new=1)
    await rig.loop_of("swaps").following.read()  # as a sweep does that fails thereafter
    assert await call_back(http, "/api/v1/callbacks/swaps/face_swap", json={"promptId": "c"}) == 204
    await rig.loop_of("swaps").glance(await rig.loop_of("swaps").following.hurried(0.05))
    await sweep(rig, "swaps")
    assert set(rig.loop_of("swaps").tracker.in_flight) == {"b", "c"}


async def test_what_an_id_comes_to_stand_for_is_left_to_the_list_too(
    site: Site, rig: Rig, http: httpx.AsyncClient
) -> None:
    rig.add(settings(site, "swaps", "facewap"))
    parent: dict[str, Any] = {"promptId": "parent", "state": 10, "taskList": []}
    site.fake.faults["facewap/face_swap/detail"] = JSONResponse({"code": 200, "data": parent})
    assert await ask(http, "parent", provider="swaps", kind="face_swap") == taken(new=1)
    await sweep(rig, "swaps")
    parts = parent | {"taskList": [{"promptId": f"part-{number}", "state": 30} for number in range(2)]}
    site.fake.faults["facewap/face_swap/detail"] = JSONResponse({"code": 200, "data": parts})
    assert await call_back(http, "/api/v1/callbacks/swaps/face_swap", json={"promptId": "parent"}) == 204
    hurried = await rig.loop_of("swaps").following.hurried(30)
    assert hurried == ["parent"]
    await rig.loop_of("swaps").glance(hurried)
    assert (finished(rig, "swaps"), set(rig.loop_of("swaps").tracker.in_flight)) == (0, {"parent"})
    await sweep(rig, "swaps")
    assert (finished(rig, "swaps"), rig.loop_of("swaps").tracker.in_flight) == (2, {})
    assert await rig.ledger.store.watched(*rig.loop_of("swaps").tracker.feed) == []


async def test_a_replay_after_the_end_counts_and_follows_nothing(rig: Rig, http: httpx.AsyncClient) -> None:
    await ask(http, "over")
    await sweep(rig)
    for _ in range(3):
        assert await call_back(http, json={"task_id": "over"}) == 204
        await sweep(rig)
    assert finished(rig) == 1
    assert await rig.ledger.store.watched(*rig.loop_of("deer").tracker.feed) == []


BODIES = {
    "DeerAPI, a task": (SORA, {"task_id": "it", "status": "SUCCESS", "data": {"id": "other", "task_id": "other"}}),
    "DeerAPI, an envelope": (SORA, {"code": "success", "data": {"task_id": "it"}}),
    "DeerAPI, several": (SORA, {"code": "success", "data": [{"task_id": "it"}, {"task_id": 7}, {"id": "no"}, 3]}),
    "Chanjing": (LIP_SYNC, {"trace_id": "no", "code": 0, "msg": "success", "data": {"id": "it", "status": 20}}),
    "MetaStudio": (DIGITAL_HUMAN, {"result": "SUCCEED", "asset_id": "no", "job_id": "it"}),
    "faceWap": (FACE_SWAP, {"code": 200, "data": {"taskId": "no", "promptId": "it"}}),
}


@pytest.mark.parametrize("name", BODIES)
async def test_the_id_is_found_in_what_the_vendor_sends(site: Site, name: str) -> None:
    feed, content = BODIES[name]
    rig = Rig(site.clock)
    rig.add(settings(site, "one", feed[0], feeds=[feed[1]]))
    loop = rig.loop_of("one")
    assert loop.feed.called_back(content)[0] == "it"
    assert set(loop.feed.called_back(content)) <= {"it", "7"}
    site.world.add(Life("it", *feed, NOW - 10, run_seconds=100.0, end=State.SUCCEEDED))
    async with serving(rig) as http:
        if not loop.feed.lists:
            await ask(http, "it", provider="one", kind=feed[1])
        loop.start()
        await until("the first sweep", lambda: set(loop.tracker.in_flight) == {"it"})
        site.clock.now += 200
        assert await call_back(http, f"/api/v1/callbacks/one/{feed[1]}", json=content) == 204
        await until("its end", lambda: finished(rig, "one") == 1)
    await rig.aclose()


@pytest.mark.parametrize(
    "content",
    [
        {"task_id": 10**600},
        {"task_id": True},
        {"task_id": None},
        {"task_id": "a\nb"},
        {"task_id": {"task_id": "runs"}},
        {"data": {"data": {"task_id": "runs"}}},
        {"data": None},
        [],
        "runs",
        None,
        7,
    ],
    ids=lambda content: repr(content)[:50],
)
async def test_a_body_that_names_no_task_is_refused(idle: Idle, content: Any) -> None:
    rig, http = idle
    assert await call_back(http, json=content) == 400
    assert await nothing_was_done(rig)


@pytest.mark.parametrize("content", [b"", b"<xml/>", b"\xff", b"[" * 100_000, b'{"task_id": ' + b"9" * 5000 + b"}"])
async def test_a_body_that_is_no_json_is_refused(idle: Idle, content: bytes) -> None:
    _, http = idle
    answer = await http.post(SORA_CALLBACK, content=content, headers={"X-Callback-Secret": SECRET})
    assert (answer.status_code, answer.json()) == (400, {"error": NOT_JSON})


async def test_one_callback_follows_so_many_tasks_and_no_more(rig: Rig, http: httpx.AsyncClient) -> None:
    rows = [{"task_id": f"task_{number}"} for number in range(5000)]
    assert await call_back(http, json={"data": rows}) == 204
    assert len(await rig.ledger.store.watched(*rig.loop_of("deer").tracker.feed)) == intake.CALLBACK_IDS


async def test_callbacks_too_keep_to_the_limit(site: Site, rig: Rig, http: httpx.AsyncClient) -> None:
    rig.add(settings(site, "small", "deerapi", watch={"limit": 1}))
    where = "/api/v1/callbacks/small/sora"
    assert [await call_back(http, where, json={"task_id": one}) for one in ("a", "b", "a")] == [204, 409, 204]
    assert await rig.ledger.store.watched(*rig.loop_of("small").tracker.feed) == ["a"]


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"X-Callback-Secret": SECRET}, {}),
        ({"Authorization": f"Bearer {SECRET}"}, {}),
        ({"Authorization": f"bearer  {SECRET}"}, {}),
        ({}, {"secret": SECRET}),
    ],
)
async def test_the_secret_comes_in_a_header_or_in_the_url(
    http: httpx.AsyncClient, headers: dict[str, str], query: dict[str, str]
) -> None:
    answer = await http.post(SORA_CALLBACK, json={"task_id": "runs"}, headers=headers, params=query)
    assert answer.status_code == 204


async def test_a_secret_may_be_written_in_any_script(site: Site, rig: Rig, http: httpx.AsyncClient) -> None:
    secret = "密码密码密码密码密码密码密码密码"
    rig.add(settings(site, "other", "deerapi", watch={"callback_secret": secret}))
    where, content = "/api/v1/callbacks/other/sora", {"task_id": "runs"}
    assert (await http.post(where, json=content, params={"secret": secret})).status_code == 204
    header = {b"X-Callback-Secret": secret.encode()}
    assert (await http.post(where, json=content, headers=header)).status_code == 204


WRONG: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "no secret": (SORA_CALLBACK, {}, {}),
    "another secret": (SORA_CALLBACK, {"X-Callback-Secret": SECRET + "x"}, {}),
    "the beginning of it": (SORA_CALLBACK, {"X-Callback-Secret": SECRET[:-1]}, {}),
    "an empty one": (SORA_CALLBACK, {"X-Callback-Secret": ""}, {"secret": ""}),
    "a wrong one before the right one": (SORA_CALLBACK, {"X-Callback-Secret": "x"}, {"secret": SECRET}),
    "in another scheme": (SORA_CALLBACK, {"Authorization": f"Basic {SECRET}"}, {}),
    "a provider that is not": ("/api/v1/callbacks/nobody/sora", {"X-Callback-Secret": SECRET}, {}),
    "a kind that is not": ("/api/v1/callbacks/deer/video", {"X-Callback-Secret": SECRET}, {}),
    "a provider that has no secret": ("/api/v1/callbacks/mute/sora", {"X-Callback-Secret": SECRET}, {}),
    "a provider that has no secret, and none given": ("/api/v1/callbacks/mute/sora", {}, {}),
    "a hostile path": ("/api/v1/callbacks/%3Cb%3E/%00", {"X-Callback-Secret": SECRET}, {}),
    "bytes that are no text": (SORA_CALLBACK, {"X-Callback-Secret": b"\xff\xfe"}, {}),
}


@pytest.mark.parametrize("name", WRONG)
async def test_whatever_is_wrong_with_who_calls_the_answer_is_the_same(
    idle: Idle, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    rig, http = idle
    caplog.set_level(logging.DEBUG, "exporter")
    where, headers, query = WRONG[name]
    for content in (b'{"task_id": "runs"}', b"not JSON"):
        answer = await http.post(where, content=content, headers=headers, params=query)
        assert (answer.status_code, answer.json()) == (
            403,
            {"error": "not accepted; check provider, kind and secret, and watch.callback_secret"},
        )
    assert await nothing_was_done(rig)
    assert caplog.records == []


async def test_the_secret_is_in_no_log_and_no_answer(
    rig: Rig, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the test's own client
    logging.getLogger("httpcore").setLevel(logging.WARNING)
    texts = []
    for content in (b"{", b"{}", b'{"task_id": "runs"}'):
        for query in ({"secret": SECRET}, {"secret": SECRET + "x"}):
            answer = await http.post(SORA_CALLBACK, content=content, params=query)
            texts += [answer.text, str(answer.headers)]
    texts += [str(vars(record)) for record in caplog.records]
    assert [text for text in texts if SECRET in text] == []


async def test_a_task_asked_for_again_long_after_its_end_is_not_counted_again(
    site: Site, rig: Rig, http: httpx.AsyncClient
) -> None:
    await ask(http, "over", "waits")
    await sweep(rig)
    assert finished(rig) == 1
    for day in range(12):
        name = f"of_day_{day}"
        site.world.add(Life(name, *SORA, site.clock() - 60, run_seconds=10.0, end=State.SUCCEEDED))
        await ask(http, name)
        await sweep(rig, after=86400.0)
    assert finished(rig) == 13
    assert await ask(http, "over") == taken(new=1)  # the ledger has forgotten it
    await sweep(rig)
    assert finished(rig) == 13
    assert await rig.ledger.store.watched(*rig.loop_of("deer").tracker.feed) == ["waits"]
