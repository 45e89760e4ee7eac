"""The HTTP side, over real HTTP: formats, health, readiness, the landing page, reload."""

from __future__ import annotations

import asyncio
import gzip
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser

import httpx
import pytest
from starlette.responses import Response
from starlette.types import ASGIApp

from exporter import __version__
from exporter.collector import Collector, FeedLoop
from exporter.config import ConfigError
from exporter.exposition import Exposition
from exporter.ledger import Ledger
from exporter.metrics import Reloads
from exporter.providers import VENDORS, connect
from exporter.providers.provider import Provider
from exporter.simulator import PREFIXES, Credentials, HandClock, World, app, hang, running
from exporter.store import Store, StoreError
from exporter.sweep import Sweep
from exporter.tasks import Observation, State
from exporter.watch import Watch
from exporter.web import app as web
from exporter.web.server import AddressError, Server, listen

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"


@dataclass
class House:
    """One Chanjing account, whose two feeds are polled when a test says so, behind the exporter's web application."""

    clock: HandClock
    provider: Provider
    ledger: Ledger
    loops: list[FeedLoop] = field(default_factory=list)
    providers: list[Provider] = field(default_factory=list)

    def app(self, reload: Callable[[], Awaitable[None]] | None = None) -> ASGIApp:
        return web.create(self, Exposition(self, Reloads(), self.clock), self.clock, reload)

    async def sweep(self) -> None:
        for loop in self.loops:
            await loop.sweep()


@asynccontextmanager
async def house_at(url: str) -> AsyncIterator[House]:
    clock = HandClock()
    ledger = Ledger(Store(":memory:"), 7 * 86400.0)
    settings = VENDORS["chanjing"].settings.model_validate(
        {
            "name": "studio",
            "type": "chanjing",
            "base_url": url,
            "access_token": Credentials().chanjing_access_token,
            "poll_interval": "10s",
            "request_timeout": "100ms",
            "rate_limit": "100/s",
        }
    )
    provider = connect(settings, ledger.store)
    house = House(clock, provider, ledger, providers=[provider])
    for feed in provider.feeds:
        book = ledger.open("studio", feed.kind, feed.clock, settings, clock.now)
        house.loops.append(FeedLoop(provider, feed, book, ledger, Watch("studio", settings.watch), clock))
    yield house
    await provider.aclose()
    await ledger.close()


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """At a vendor that cannot be reached."""
    async with house_at("http://127.0.0.1:9") as house:
        yield house


@asynccontextmanager
async def served(application: ASGIApp, address: str = "127.0.0.1:0") -> AsyncIterator[httpx.AsyncClient]:
    """The application on the exporter's own server, and a client of it that sends no header of its own accord."""
    (listener,) = listen([address])
    host, port = listener.getsockname()[:2]
    server = Server(application)
    serving = asyncio.create_task(server.serve([listener]))
    try:
        base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
            for name in ("accept", "accept-encoding"):
                del client.headers[name]
            yield client
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with served(house.app()) as client:
        yield client


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, TEXT),
        ("*/*", TEXT),
        ("text/plain", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=0.8, text/plain;q=0.9", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0.9, text/plain;q=0.8", OPENMETRICS),
        ("application/openmetrics-text;version=nonsense", TEXT),
        ("image/png", TEXT),
    ],
)
async def test_the_format_is_the_one_that_is_asked_for(
    http: httpx.AsyncClient, accept: str | None, expected: str
) -> None:
    answer = await http.get("/metrics", headers={"Accept": accept} if accept else {})
    assert (answer.status_code, answer.headers["content-type"]) == (200, expected)
    assert answer.text.endswith("# EOF\n") is (expected == OPENMETRICS)


@pytest.mark.parametrize(
    ("coding", "packed"),
    [(None, False), ("gzip", True), ("deflate, gzip;q=0.5", True), ("identity", False), ("br", False)],
)
async def test_metrics_are_packed_for_those_who_can_unpack(
    http: httpx.AsyncClient, coding: str | None, packed: bool
) -> None:
    async with http.stream("GET", "/metrics", headers={"Accept-Encoding": coding} if coding else {}) as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert answer.headers.get("content-encoding") == ("gzip" if packed else None)
    assert (gzip.decompress(raw) if packed else raw).startswith(b"# HELP videotask_tasks ")


async def test_caches_are_told_what_the_body_varies_by(http: httpx.AsyncClient) -> None:
    for headers in ({}, {"Accept-Encoding": "gzip"}, {"Accept": OPENMETRICS}):
        varies = (await http.get("/metrics", headers=headers)).headers["vary"]
        assert {name.strip() for name in varies.split(",")} == {"Accept", "Accept-Encoding"}


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy"])
async def test_head_answers_like_get_without_the_body(http: httpx.AsyncClient, path: str) -> None:
    get, head = await http.get(path), await http.head(path)
    assert (head.status_code, head.headers["content-type"], head.content) == (200, get.headers["content-type"], b"")


async def test_what_is_not_there_is_not_found(http: httpx.AsyncClient) -> None:
    for path in ("/nothing", "/metrics/more", "/-/", "/../etc/passwd", "/static/%2e%2e/config.yaml"):
        assert (await http.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/metrics", {"GET", "HEAD"}),
        ("PUT", "/", {"GET", "HEAD"}),
        ("DELETE", "/-/healthy", {"GET", "HEAD"}),
        ("GET", "/-/reload", {"POST"}),
    ],
)
async def test_a_method_that_is_not_allowed_is_told_those_that_are(
    http: httpx.AsyncClient, method: str, path: str, allowed: set[str]
) -> None:
    answer = await http.request(method, path)
    assert answer.status_code == 405
    assert {name.strip() for name in answer.headers["allow"].split(",")} == allowed


async def test_the_exporter_is_healthy_while_every_vendor_is_down(house: House, http: httpx.AsyncClient) -> None:
    await house.sweep()
    assert [loop.status.up for loop in house.loops] == [False, False]
    answer = await http.get("/-/healthy")
    assert (answer.status_code, answer.text) == (200, "The exporter is healthy.\n")


async def test_it_is_unhealthy_while_a_loop_does_not_come_round_although_it_was_started_anew() -> None:
    simulator = app(World(rate=0))
    simulator.faults["facewap"] = hang
    collector = Collector(Ledger(Store(":memory:"), 7 * 86400.0))
    much_later = 1e6
    async with (
        running(simulator) as url,
        served(web.create(collector, Exposition(collector, Reloads(), time.time))) as http,
    ):
        given = {"name": "faces", "type": "facewap", "base_url": url + PREFIXES["facewap"], "request_timeout": "1h"}
        settings = VENDORS["facewap"].settings.model_validate(
            given | {"poll_interval": "10ms", "token": Credentials().facewap_token}
        )
        await collector.apply([settings])
        for status in (200, 503):
            collector.check(time.monotonic() + much_later)
            assert (await http.get("/-/healthy")).status_code == status
        answer = await http.get("/-/healthy")
        assert answer.text == "Started anew in vain, does not come round: faces/face_swap.\n"
        metrics = (await http.get("/metrics")).text
        assert 'videotask_loop_restarts_total{kind="face_swap",provider="faces"} 2.0' in metrics
        assert 'videotask_up{kind="face_swap",provider="faces"} 0.0' in metrics
        simulator.faults.clear()
        collector.check(time.monotonic() + much_later)
        (loop,) = collector.loops
        async with asyncio.timeout(30):
            while not loop.status.up:  # noqa: ASYNC110  # polling is what the web does too
                await asyncio.sleep(0.01)
        assert (await http.get("/-/healthy")).status_code == 200
        await collector.stop()


FRESH = ("videotask_tasks", "videotask_stalled_tasks", "videotask_progress_ratio_gcount")
LASTING = (
    "videotask_up",
    "videotask_last_successful_poll_timestamp_seconds",
    "videotask_finished_total",
    "videotask_recent_tasks",
)


async def test_what_is_in_flight_is_withdrawn_after_three_intervals_and_comes_back_with_the_next_success() -> None:
    simulator = app(World(rate=0))

    async with running(simulator) as url, house_at(url + PREFIXES["chanjing"]) as house, served(house.app()) as http:

        async def shown(*names: str) -> list[bool]:
            text = (await http.get("/metrics")).text
            return [f'\n{name}{{kind="lip_sync",' in text for name in names]

        await see(house, State.RUNNING, State.SUCCEEDED)
        simulator.faults["chanjing"] = Response("<html>", 500)
        for seconds, fresh in ((10, True), (10, True), (10, True), (0.1, False), (1e6, False)):
            house.clock.now += seconds
            await house.loops[0].sweep()
            assert await shown(*FRESH) == [fresh] * 3
            assert await shown(*LASTING) == [True] * 4
        assert '\nvideotask_up{kind="lip_sync",provider="studio"} 0.0' in (await http.get("/metrics")).text
        simulator.faults.clear()
        await see(house, State.RUNNING)
        assert await shown(*FRESH) == [True] * 3


async def test_it_answers_while_a_vendor_hangs() -> None:
    simulator = app(World(rate=0))
    simulator.faults["chanjing"] = hang
    async with running(simulator) as url, house_at(url + PREFIXES["chanjing"]) as house, served(house.app()) as http:
        sweep = asyncio.create_task(house.loops[0].sweep())
        await asyncio.sleep(0)
        for path in ("/", "/metrics", "/-/healthy"):
            assert (await http.get(path)).status_code == 200
        await sweep
        assert house.loops[0].status.error == "timeout: no complete answer within 0.1 s"


async def test_it_is_ready_once_every_feed_was_tried_with_or_without_success(house: House) -> None:
    async with served(house.app()) as http:
        for waiting in ("studio/lip_sync, studio/video", "studio/video"):
            answer = await http.get("/-/ready")
            assert (answer.status_code, answer.text) == (503, f"Waiting for the first sweep of {waiting}.\n")
            await house.loops[0].sweep()
        await house.loops[1].sweep()
        answer = await http.get("/-/ready")
        assert (answer.status_code, answer.text) == (200, "The exporter is ready.\n")
        assert [loop.status.up for loop in house.loops] == [False, False]


class Page(HTMLParser):
    """The links of a page, and the cells of its table's body by rows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.rows: list[list[str]] = []
        self._cell: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links += [value or "" for name, value in attrs if name == "href"]
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self._cell = []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            self.rows[-1].append(" ".join("".join(self._cell).split()))
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)


HEADINGS = ["Provider", "Kind", "Up", "Age of data", "Queued", "Running", "Blocked", "Unknown", "Type"]


async def see(house: House, *states: State) -> None:
    """A complete sweep of the first feed that shows these tasks."""
    loop, now = house.loops[0], house.clock.now
    listed = {f"t{n}": (Observation(f"t{n}", state), now) for n, state in enumerate(states)}
    await house.ledger.record(loop.book, Sweep(listed=listed, complete=True), now)
    loop.status.up = True


async def test_the_page_shows_each_feed_and_what_is_in_flight(house: House, http: httpx.AsyncClient) -> None:
    await see(house, State.QUEUED, State.QUEUED, State.RUNNING, State.BLOCKED)
    house.clock.now += 15
    await house.loops[1].sweep()
    page = Page((await http.get("/")).text)
    assert page.rows == [
        HEADINGS,
        ["studio", "lip_sync", "up", "15 s", "2", "1", "1", "0", "chanjing"],
        ["studio", "video", "down", "never", "–", "–", "–", "–", "chanjing"],
        ["studio/video: connection: cannot connect"],
    ]


async def test_the_page_does_not_show_old_numbers_as_if_they_were_fresh(house: House, http: httpx.AsyncClient) -> None:
    await see(house, State.QUEUED)
    house.clock.now += 31  # more than three intervals
    page = Page((await http.get("/")).text)
    assert page.rows[1] == ["studio", "lip_sync", "up", "31 s", "–", "–", "–", "–", "chanjing"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (-5, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (172800, "2 d")],
)
async def test_ages_are_told_in_units_that_a_person_reads(
    house: House, http: httpx.AsyncClient, seconds: float, shown: str
) -> None:
    await see(house)
    house.clock.now += seconds
    assert Page((await http.get("/")).text).rows[1][3] == shown


async def test_the_page_names_the_version_and_its_links_lead_somewhere(http: httpx.AsyncClient) -> None:
    answer = await http.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert f"Version {__version__}." in answer.text
    links = Page(answer.text).links
    assert links == ["metrics", "-/healthy", "-/ready"]
    for link in links:
        assert (await http.get(f"/{link}")).status_code in (200, 503)
    assert not re.search(r"https?://", answer.text)


async def test_the_page_before_the_first_sweep_waits(http: httpx.AsyncClient) -> None:
    assert [row[2:4] for row in Page((await http.get("/")).text).rows[1:]] == [["waiting", "never"]] * 2


async def test_the_page_escapes_what_it_shows(house: House, http: httpx.AsyncClient) -> None:
    house.loops[0].status.error = "<script>alert('x')</script> & \"more\""
    text = (await http.get("/")).text
    assert "<script" not in text
    assert ["studio/lip_sync: <script>alert('x')</script> & \"more\""] in Page(text).rows


async def test_a_page_without_providers_says_so(house: House) -> None:
    house.loops = []
    async with served(house.app()) as http:
        assert "No provider is configured." in (await http.get("/")).text
        assert (await http.get("/-/ready")).status_code == 200


async def test_a_reload_that_was_not_allowed_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.post("/-/reload")
    assert (answer.status_code, answer.text) == (403, "Start the exporter with --web.enable-lifecycle to allow this.\n")


async def test_a_reload_is_done_when_it_is_answered(house: House) -> None:
    done = []

    async def reload() -> None:
        await asyncio.sleep(0)
        done.append(True)

    async with served(house.app(reload)) as http:
        answer = await http.post("/-/reload")
        assert (answer.status_code, answer.text, done) == (200, "The configuration was reloaded.\n", [True])


@pytest.mark.parametrize(
    "error",
    [ConfigError(["config.yaml:1: a: unknown key", "config.yaml:2: b: unknown key"]), StoreError("x: disk full")],
)
async def test_a_reload_that_fails_says_why(house: House, error: Exception) -> None:
    async def reload() -> None:
        raise error

    async with served(house.app(reload)) as http:
        answer = await http.post("/-/reload")
        assert (answer.status_code, answer.text) == (500, f"The configuration was not reloaded.\n{error}\n")


async def test_the_server_does_not_name_itself(http: httpx.AsyncClient) -> None:
    assert "server" not in (await http.get("/")).headers


async def test_a_scrape_of_a_failing_vendor_is_still_a_scrape() -> None:
    simulator = app(World(rate=0))
    simulator.faults["chanjing/video"] = Response("<html>", 502)
    async with running(simulator) as url, house_at(url + PREFIXES["chanjing"]) as house, served(house.app()) as http:
        await house.sweep()
        body = (await http.get("/metrics")).text
    assert 'videotask_up{kind="lip_sync",provider="studio"} 1.0' in body
    assert 'videotask_up{kind="video",provider="studio"} 0.0' in body


# Addresses


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0", ":0", "[::1]:0", "[::]:0", "0.0.0.0:0"])
async def test_an_address_is_listened_on(house: House, address: str) -> None:
    async with served(house.app(), address) as http:
        host = "[::1]" if "[" in address else "127.0.0.1"
        port = http.base_url.port
        assert (await http.get(f"http://{host}:{port}/-/healthy")).status_code == 200


@pytest.mark.parametrize(
    "address",
    ["", "nonsense", "localhost", "127.0.0.1", "::1:80", "127.0.0.1:65536", "127.0.0.1:-1", "a b:80", ":http"],
)
def test_what_is_not_an_address_is_refused(address: str) -> None:
    with pytest.raises(AddressError) as caught:
        listen([address])
    assert str(caught.value) == (f"{address!r} is not an address; write [HOST]:PORT, such as :10186 or 127.0.0.1:10186")


@pytest.mark.parametrize("host", ["host.invalid", "a..b", "x" * 64, "."])
def test_a_host_that_there_is_not_is_refused(host: str) -> None:
    with pytest.raises(AddressError, match=rf"cannot listen on {re.escape(host)}:0: .+; choose another with --web"):
        listen([f"{host}:0"])


def test_a_taken_address_is_refused_and_the_others_are_free_again() -> None:
    (taken,) = listen(["127.0.0.1:0"])
    (free,) = listen(["127.0.0.1:0"])
    address, other = (f"127.0.0.1:{one.getsockname()[1]}" for one in (taken, free))
    free.close()
    with taken, pytest.raises(AddressError, match=rf"cannot listen on {address}: Address already in use"):
        listen([other, address])
    (again,) = listen([other])
    again.close()
