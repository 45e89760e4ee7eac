"""The HTTP side as a whole, over real HTTP: formats, health, readiness, reload, and requests that are none."""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
import socket
import time

import httpx
import pytest
from starlette.responses import Response

from exporter.config.load import ConfigError
from exporter.config.logs import LogfmtFormatter
from exporter.ledger.errors import StoreError
from exporter.metrics.exposition import Exposition
from exporter.polling.providers import PolledProviders
from exporter.simulator import SORA, Life, hang
from exporter.snapshot import Reloads, Snapshot
from exporter.tasks import Observation, State
from exporter.web import app as web
from exporter.web.server.address import AddressError
from exporter.web.server.server import listen
from tests.harness import NOW, UNLISTED, Rig, Site, outage_of, until

from .serving import served, studio

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"


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


async def test_the_exporter_is_healthy_while_every_vendor_is_down(rig: Rig, http: httpx.AsyncClient) -> None:
    await rig.sweep(after=0)
    assert [loop.status.up for loop in rig.loops] == [False, False]
    answer = await http.get("/-/healthy")
    assert (answer.status_code, answer.text) == (200, "The exporter is healthy.\n")


async def test_it_is_unhealthy_while_a_loop_makes_no_progress_although_it_was_restarted(site: Site) -> None:
    site.fake.faults["facewap"] = hang
    rig = Rig(site.clock)
    much_later = 1e6
    async with served(rig.app()) as http:
        await rig.collector.apply([site.settings("facewap", name="faces", request_timeout="1h", poll_interval="10ms")])
        for status in (200, 503):
            rig.collector.check(time.monotonic() + much_later)
            assert (await http.get("/-/healthy")).status_code == status
        answer = await http.get("/-/healthy")
        assert answer.text == "Stuck even after a restart: faces/face_swap.\n"
        metrics = (await http.get("/metrics")).text
        assert 'videotask_loop_restarts_total{kind="face_swap",provider="faces"} 2.0' in metrics
        assert 'videotask_up{kind="face_swap",provider="faces"} 0.0' in metrics
        site.be_well()
        rig.collector.check(time.monotonic() + much_later)
        await until("a sweep", rig.all_up)
        assert (await http.get("/-/healthy")).status_code == 200
        await rig.aclose()


async def see(rig: Rig, *states: State) -> None:
    """A complete sweep of the first feed that shows tasks in these states."""
    await rig.show(*(Observation(f"t{n}", state) for n, state in enumerate(states)))


FRESH = ("videotask_tasks", "videotask_stalled_tasks", "videotask_progress_ratio_gcount")
LASTING = (
    "videotask_up",
    "videotask_last_successful_poll_timestamp_seconds",
    "videotask_finished_total",
    "videotask_recent_tasks",
)


async def test_what_is_in_flight_is_withdrawn_after_three_intervals_and_comes_back_with_the_next_success(
    site: Site,
) -> None:
    async with studio(site.url) as rig, served(rig.app()) as http:

        async def shown(*names: str) -> list[bool]:
            text = (await http.get("/metrics")).text
            return [f'\n{name}{{kind="lip_sync",' in text for name in names]

        await see(rig, State.RUNNING, State.SUCCEEDED)
        site.fake.faults["chanjing"] = Response("<html>", 500)
        for seconds, fresh in ((10, True), (10, True), (10, True), (0.1, False), (1e6, False)):
            rig.clock.now += seconds
            await rig.loops[0].sweep()
            assert await shown(*FRESH) == [fresh] * 3
            assert await shown(*LASTING) == [True] * 4
        assert '\nvideotask_up{kind="lip_sync",provider="studio"} 0.0' in (await http.get("/metrics")).text
        site.be_well()
        await see(rig, State.RUNNING)
        assert await shown(*FRESH) == [True] * 3


async def test_it_answers_while_a_vendor_hangs(site: Site) -> None:
    site.fake.faults["chanjing"] = hang
    async with studio(site.url, request_timeout="100ms") as rig, served(rig.app()) as http:
        sweep = asyncio.create_task(rig.loops[0].sweep())
        await asyncio.sleep(0)
        for path in ("/", "/metrics", "/-/healthy"):
            assert (await http.get(path)).status_code == 200
        await sweep
        assert outage_of(rig.loops[0]).words == "no complete answer within 0.1 s"


async def test_it_is_ready_once_every_feed_was_tried_with_or_without_success(rig: Rig) -> None:
    async with served(rig.app()) as http:
        for waiting in ("studio/lip_sync, studio/video", "studio/video"):
            answer = await http.get("/-/ready")
            assert (answer.status_code, answer.text) == (503, f"Waiting for the first sweep of {waiting}.\n")
            await rig.loops[0].sweep()
        await rig.loops[1].sweep()
        answer = await http.get("/-/ready")
        assert (answer.status_code, answer.text) == (200, "The exporter is ready.\n")
        assert [loop.status.up for loop in rig.loops] == [False, False]


async def test_ready_says_how_far_the_first_reading_of_ids_is(site: Site) -> None:
    ids = [f"task_{number}" for number in range(30)]
    site.world.add(*(Life(name, *SORA, NOW - 5, 2.0, 1.0, State.SUCCEEDED) for name in ids))
    rig = Rig(site.clock)
    given = {"watch": {"tasks": {"sora": ids}}, "poll_interval": "10ms", "rate_limit": "400/s"}
    (loop,) = rig.add(site.settings("deerapi", **UNLISTED, **given)).loops
    async with served(rig.app()) as http:
        assert (await http.get("/-/ready")).text == "Waiting for the first sweep of deerapi/sora.\n"
        await loop.sweep()
        unread = loop.following.unread
        assert 0 < unread < 30
        told = f"The exporter is ready.\nRead for the first time: {30 - unread} of 30 ids of deerapi/sora.\n"
        answer = await http.get("/-/ready")
        assert (answer.status_code, answer.text) == (200, told)
        page = (await http.get("/")).text
        assert f"{unread} of 30 ids are still to be looked up for the first time" in page
        assert rig.values("videotask_finished_total", "state")["succeeded"] == 30 - unread
        for _ in range(60):
            site.clock.now += 0.01
            await loop.sweep()
        assert (await http.get("/-/ready")).text == "The exporter is ready.\n"
    await rig.aclose()


async def test_without_feeds_there_is_nothing_to_wait_for(rig: Rig) -> None:
    rig.polled.by_name = {}
    async with served(rig.app()) as http:
        assert (await http.get("/-/ready")).status_code == 200


async def test_a_reload_that_was_not_allowed_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.post("/-/reload")
    assert (answer.status_code, answer.text) == (403, "Start the exporter with --web.enable-lifecycle to allow this.\n")


async def test_a_reload_is_done_when_it_is_answered(rig: Rig) -> None:
    done = []

    async def reload() -> None:
        await asyncio.sleep(0)
        done.append(True)

    async with served(rig.app(reload)) as http:
        answer = await http.post("/-/reload")
        assert (answer.status_code, answer.text, done) == (200, "The configuration was reloaded.\n", [True])


@pytest.mark.parametrize(
    "error",
    [ConfigError(["config.yaml:1: a: unknown key", "config.yaml:2: b: unknown key"]), StoreError("x: disk full")],
)
async def test_a_reload_that_fails_says_why(rig: Rig, error: Exception) -> None:
    async def reload() -> None:
        raise error

    async with served(rig.app(reload)) as http:
        answer = await http.post("/-/reload")
        assert (answer.status_code, answer.text) == (500, f"The configuration was not reloaded.\n{error}\n")


async def test_the_server_does_not_name_itself(http: httpx.AsyncClient) -> None:
    assert "server" not in (await http.get("/")).headers


async def test_a_scrape_of_a_failing_vendor_is_still_a_scrape(site: Site) -> None:
    site.fake.faults["chanjing/video"] = Response("<html>", 502)
    async with studio(site.url) as rig, served(rig.app()) as http:
        await rig.sweep(after=0)
        body = (await http.get("/metrics")).text
    assert 'videotask_up{kind="lip_sync",provider="studio"} 1.0' in body
    assert 'videotask_up{kind="video",provider="studio"} 0.0' in body


# Addresses


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0", ":0", "[::1]:0", "[::]:0", "0.0.0.0:0"])
async def test_an_address_is_listened_on(rig: Rig, address: str) -> None:
    async with served(rig.app(), address) as http:
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


async def test_an_answer_is_sent_without_delay_over_a_connection_that_is_kept() -> None:
    listeners = listen(["127.0.0.1:0", ":0"])
    assert [one.proto for one in listeners] == [socket.IPPROTO_TCP] * 2  # then asyncio turns Nagle's algorithm off
    for one in listeners:
        one.close()


def test_a_taken_address_is_refused_and_the_others_are_free_again() -> None:
    (taken,) = listen(["127.0.0.1:0"])
    (free,) = listen(["127.0.0.1:0"])
    address, other = (f"127.0.0.1:{one.getsockname()[1]}" for one in (taken, free))
    free.close()
    with taken, pytest.raises(AddressError, match=rf"cannot listen on {address}: Address already in use"):
        listen([other, address])
    (again,) = listen([other])
    again.close()


# Requests that nobody should send


async def status_of(http: httpx.AsyncClient, method: bytes, target: bytes, host: bytes = b"x") -> int:
    """The status of the answer to a request as it stands, which no HTTP library would send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
    try:
        writer.write(b"%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (method, target, host))
        answer = await reader.read()
    finally:
        writer.close()
    head = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert head, (method, target, host, answer)
    return int(head[1])


ANYWHERE = rb"""
/ // /// /? /??x /# /% /%zz /%00 /%ff /%0a%0d /; * //evil.example/ http://evil.example/ /\evil.example
/metrics/ /metrics?name[]=x /-/ready/x /../../etc/passwd /%2e%2e/%2e%2e/etc/passwd /..%2f..%2fetc%2fpasswd
/static/ /static/../app.py /static/%2e%2e%2fapp.py /static/%2e%2e/app.py /static/x%00.css
"""
BELOW_TASKS = rb"""
?state=<script> ?state[]=running ?page=NaN ?page=99999999999999999999 ?id=%00%ff ?%00=%00 ?= ?&&& ?sort=__class__
/ /x /studio /studio/lip_sync /studio/lip_sync/ /studio/lip_sync/%00 /studio/lip_sync/%e2%80%ae
/studio/lip_sync/..%2f.. /studio/lip_sync/%3Cscript%3E /studio/lip_sync/a?b=c /%22/%27/%0a /../../metrics
"""
LONG = (b"?id=" + b"%f0%9f%8e%ac" * 300, b"?" + b"a=1&" * 900, b"/studio/lip_sync/" + b"x" * 6000)
TARGETS = (
    *(*ANYWHERE.split(), b"/" * 500, b"/static/" + b"x" * 999),
    *(path + rest for path in (b"/tasks", b"/api/v1/tasks") for rest in (*BELOW_TASKS.split(), *LONG)),
)
HOSTS = (b"", b"[", b"[::1", b"]", b"a b", b"\x80\xff", b"evil.example:99999", b"x:y:z", b"<script>", b"/", b"x" * 4000)
WAYS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"BREW", b"get", b"__")


async def test_no_request_makes_the_server_fail_and_scrapes_go_on(
    rig: Rig, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    await see(rig, State.QUEUED, State.FAILED)
    caplog.clear()
    here = (b"/", b"/tasks", b"/tasks/studio/lip_sync/t0", b"/api/v1/tasks", b"/metrics", b"/nothing", b"/-/reload")
    answers = {(b"GET", target, b"x"): await status_of(http, b"GET", target) for target in TARGETS}
    answers |= {(b"GET", path, host): await status_of(http, b"GET", path, host) for path in here for host in HOSTS}
    answers |= {(way, path, b"x"): await status_of(http, way, path) for path in here for way in WAYS}
    assert {asked: status for asked, status in answers.items() if not 200 <= status < 500} == {}
    assert {status for (_, target, _), status in answers.items() if b"passwd" in target or b"app.py" in target} == {404}
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert (await http.get("/metrics")).status_code == 200


async def test_nothing_redirects_to_where_a_header_says(http: httpx.AsyncClient) -> None:
    for path in ("/metrics/", "/tasks/", "/-/healthy/", "/static"):
        answer = await http.get(path, headers={"Host": "evil.example"})
        assert answer.status_code == 404, path


async def test_every_answer_tells_browsers_to_make_nothing_else_of_it(http: httpx.AsyncClient) -> None:
    for path in ("/", "/tasks", "/metrics", "/-/healthy", "/-/reload", "/api/v1/providers", "/api/v1/x", "/nothing"):
        headers = (await http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer", path
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path


async def test_what_is_not_there_is_told_to_people_as_a_page_and_to_programs_as_json(http: httpx.AsyncClient) -> None:
    page, answer = await http.get("/nothing"), await http.get("/api/nothing")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "There is nothing at this address" in page.text
    told = "there is nothing at this address; /api/v1/openapi.json lists those that there are"
    assert answer.json() == {"error": told}


class Broken(PolledProviders):
    """What is polled, if the exporter had a bug."""

    async def snapshot_in_turns(self) -> Snapshot:
        raise KeyError("s3cr3t")


async def test_a_bug_costs_one_answer_and_its_line_in_the_log_tells_where_but_not_what(
    caplog: pytest.LogCaptureFixture,
) -> None:
    polled = Broken()
    async with served(web.create(polled, Exposition(polled.snapshot, Reloads, time.time))) as http:
        answer = await http.get("/api/v1/providers")
        assert (answer.status_code, answer.text) == (
            500,
            "The exporter could not answer this. It is a bug; its log says where.\n",
        )
        assert (await http.get("/-/healthy")).status_code == 200
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    line = LogfmtFormatter().format(record)
    assert 'level=error msg="a request could not be answered; this is a bug in the exporter"' in line
    assert "exception=KeyError" in line
    assert "s3cr3t" not in line
