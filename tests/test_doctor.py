"""The doctor: what it says of vendors that are well and of vendors that are not, over real HTTP."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
import stat
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import trustme
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.commands import WrongUse
from exporter.commands.answers.recording import Recording
from exporter.commands.doctor.diagnosis import Call, FeedReport, FilledShare, Finding, Understood, as_text
from exporter.commands.doctor.doctor import INTERRUPTED, run_doctor
from exporter.config.load import Config, LedgerSettings
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.ledger.store import Changes
from exporter.simulator import (
    DIGITAL_HUMAN,
    FACE_SWAP,
    LIP_SYNC,
    MARKERS,
    SEEDS,
    SORA,
    VIDEO,
    Credentials,
    Feed,
    HandClock,
    Life,
    World,
    app,
    fake_of,
    hang,
    running,
    serve,
)
from exporter.simulator.vendors.chanjing import Chanjing
from exporter.simulator.world.profiles import PROFILES
from exporter.tasks import Cause, Reason, State
from exporter.vendors.registry import connect
from tests.harness import ALL_FEEDS, UNLISTED, Door, Site, Start, page_of, settings_of, until
from tests.harness.raw import talking
from tests.simulator.faults import HTML, HUGE, answering, each, keyless, reset, rows, unheard_of

pytestmark = pytest.mark.anyio

TAG = "s3cr3t-TAG"
KEYS = Credentials(**{one.name: f"{TAG}-{one.name.replace('_', '-')}" for one in fields(Credentials)})
APPLICATION: dict[str, Any] = {
    "access_token": None,
    "app_id": KEYS.chanjing_app_id,
    "secret_key": KEYS.chanjing_secret_key,
}
LEVELS = {"trouble": 1, "warning": 0}


class Practice(Site):
    """Simulated vendors, and a doctor who is sent to them."""

    said: list[str]
    ledger = ":memory:"

    async def run_doctor(self, *providers: dict[str, Any], **options: Any) -> int:
        config = Config(ledger=LedgerSettings(path=self.ledger), providers=[settings_of(one) for one in providers])
        chosen: dict[str, Any] = {"fetch_token": False, "in_json": True, "names": ()} | options
        return await run_doctor(config, tell=self.said.append, **chosen)

    async def report(
        self,
        feed: Feed,
        *,
        expect: int | None = None,
        fetch_token: bool = False,
        recording: Recording | None = None,
        **given: Any,
    ) -> Any:
        """What the doctor says of one feed, as a machine reads it."""
        provider = self.account(feed[0], feeds=[feed[1]], **given)
        code = await self.run_doctor(provider, fetch_token=fetch_token, recording=recording)
        (report,) = json.loads(self.said[-1])["feeds"]
        assert code == (0 if report["well"] else 1)
        assert expect in (None, code), self.said[-1]
        return report

    async def text(self, *providers: dict[str, Any]) -> str:
        await self.run_doctor(*providers, in_json=False)
        return "\n".join(self.said)


@pytest.fixture
def practice(door: Door) -> Practice:
    door.behind = practice = Practice(World(rate=0, clock=HandClock(time.time())), door.url, KEYS)
    practice.said = []
    for feed in ALL_FEEDS:
        for number, (age, queue, run, end) in enumerate(
            ((5, 60, 60, State.SUCCEEDED), (30, 10, 60, State.SUCCEEDED), (90, 10, 30, State.SUCCEEDED),
             (95, 10, 30, State.FAILED))
        ):  # fmt: skip
            reason = PROFILES[feed].failures[0].reason if end is State.FAILED else None
            at = practice.clock() - age
            practice.world.add(Life(f"task-{number}", *feed, at, queue, run, end, reason, output_seconds=5.0))
    return practice


@asynccontextmanager
async def answering_raw(answer: Callable[[], bytes], tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that answers each request with these bytes."""

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer())

    async with talking(answer_once, tls) as port:
        yield f"http{'s' if tls else ''}://127.0.0.1:{port}"


def causes(report: Any) -> list[tuple[str, str]]:
    return [(finding["level"], finding["cause"]) for finding in report["findings"]]


@pytest.mark.parametrize("feed", ALL_FEEDS, ids="/".join)
async def test_a_feed_that_works_is_well(practice: Practice, feed: Feed) -> None:
    report = await practice.report(feed, expect=0)
    assert [(call["endpoint"], call["status"], call["error"]) for call in report["calls"]] == [
        ("list", 200, ""),
        ("detail", 200, ""),
    ]
    assert report["findings"] == []
    understood = report["understood"]
    assert understood["rows"] == 4
    queued = {"queued": 1, "running": 1} if feed != VIDEO else {"running": 2}
    assert understood["states"] == {"succeeded": 1, "failed": 1} | queued
    assert sum(understood["reasons"].values()) == 1
    assert understood["broken"] == {}
    assert understood["clock"] == ("provider" if feed in (SORA, DIGITAL_HUMAN) else "observed")
    labels = f'kind="{feed[1]}",provider="{feed[0]}"'
    assert f"videotask_up{{{labels}}} 1.0" in report["series"]
    assert f'videotask_finished_total{{{labels},state="succeeded"}} 1.0' in report["series"]
    assert f'videotask_tasks{{{labels},state="running"}} {queued["running"]}.0' in report["series"]


async def test_a_reason_that_look_ups_tell_is_no_drift_of_the_list(door: Door) -> None:
    feed, now = ("fal", "request"), time.time()
    world = World(rate=0, clock=HandClock(now), profiles=fake_of("fal").profiles)
    world.add(Life("r-1", *feed, now - 60, 1.0, 30.0, State.FAILED, Reason.MODERATION))
    door.behind = practice = Practice(world, door.url, KEYS)
    practice.said = []
    report = await practice.report(feed, expect=0)
    assert report["understood"]["states"] == {"failed": 1}
    assert report["understood"]["later"] == ["reason"]
    assert report["findings"] == []


async def test_fields_are_told_by_how_often_they_are_given(practice: Practice) -> None:
    report = await practice.report(DIGITAL_HUMAN, expect=0)
    assert report["understood"]["fields"] == {
        "submitted": {"given": 4, "of": 4},
        "started": {"given": 3, "of": 3},
        "ended": {"given": 2, "of": 2},
        "dated": {"given": 0, "of": 2},
        "progress": {"given": 0, "of": 1},
        "output_seconds": {"given": 1, "of": 1},
    }


async def test_the_detail_asked_for_is_that_of_a_task_in_flight(practice: Practice) -> None:
    report = await practice.report(SORA, expect=0)
    assert report["calls"][1]["request"] == "GET /sora/v1/videos/task-0"
    practice.clock.now += 300
    report = await practice.report(SORA, expect=0)
    assert report["calls"][1]["request"] == "GET /sora/v1/videos/task-0"  # the newest, where all have ended


async def test_each_feed_of_each_provider_is_examined_once(practice: Practice) -> None:
    vendors_of_feeds = dict.fromkeys(vendor for vendor, _ in ALL_FEEDS)
    assert await practice.run_doctor(*map(practice.account, vendors_of_feeds)) == 0
    whole = json.loads(practice.said[-1])
    assert whole["well"] is True
    assert [(one["provider"], one["kind"]) for one in whole["feeds"]] == list(ALL_FEEDS)
    vendors = practice.fake.vendors.items()
    asked = {f"{vendor}/{name}": count for vendor, one in vendors for name, count in one.requests.items()}
    once = {f"{vendor}/{kind}/{endpoint}": 1 for vendor, kind in ALL_FEEDS for endpoint in ("list", "detail")}
    del once["huawei_metastudio/digital_human/detail"]  # where the detail is the list of one job
    assert asked == once | {"huawei_metastudio/digital_human/list": 2}


async def test_providers_can_be_chosen_by_name(practice: Practice) -> None:
    await practice.run_doctor(*(practice.account(vendor) for vendor in SEEDS), names=["facewap", "deerapi"])
    assert [one["provider"] for one in json.loads(practice.said[-1])["feeds"]] == ["deerapi", "facewap"]


def refused(status: int, body: object) -> ASGIApp:
    return JSONResponse(body, status)


@dataclass(frozen=True)
class Case:
    """Something that goes wrong, and what the doctor finds."""

    feed: Feed
    cause: Cause
    fault: ASGIApp | None = None
    given: dict[str, Any] = field(default_factory=dict)
    told: str = ""
    """A piece of the advice."""
    level: str = "trouble"


CASES: dict[str, Case] = {
    "wrong host": Case(
        LIP_SYNC, Cause.NO_ADDRESS, given={"base_url": "http://no.invalid"}, told="base_url (http://no.invalid)"
    ),
    "wrong port": Case(LIP_SYNC, Cause.REFUSED, given={"base_url": "http://127.0.0.1:1"}, told="HTTPS_PROXY"),
    "https where there is none": Case(LIP_SYNC, Cause.TLS, given={"base_url": "https://{}"}, told="https://"),
    "the connection is reset": Case(LIP_SYNC, Cause.CONNECTION, reset, told="firewall"),
    "no answer": Case(LIP_SYNC, Cause.TIMEOUT, hang, {"request_timeout": "200ms"}, "request_timeout (0.2 s)"),
    "wrong path": Case(DIGITAL_HUMAN, Cause.WRONG_URL, given={"base_url": "http://{}/huawei/v2"}, told="project_id"),
    "a web page": Case(LIP_SYNC, Cause.INTERCEPTED, HTML, told="login page"),
    "a redirect to a login": Case(
        LIP_SYNC, Cause.INTERCEPTED, RedirectResponse("https://login.example/?token=s3cr3t-TAG"), told="login page"
    ),
    "a proxy's refusal": Case(LIP_SYNC, Cause.PROXY, answering(407), told="HTTPS_PROXY"),
    "a wrong key": Case(SORA, Cause.TOKEN, given={"user_token": "wrong", "api_key": "wrong"}, told="user_token"),
    "the number of another user": Case(
        SORA,
        Cause.USER_ID,
        refused(401, {"success": False, "message": "无权进行此操作，New-Api-User 与登录用户不匹配"}),
        told="Set user_id to the number",
    ),
    "no right to read": Case(SORA, Cause.CREDENTIALS, refused(403, {"message": "Forbidden"}), told="api_key"),
    "an expired token": Case(LIP_SYNC, Cause.TOKEN, keyless, told="invalidates the old one. Check access_token"),
    "a foreign address": Case(
        SORA, Cause.IP, refused(403, {"error": {"message": "IP 192.0.2.1 not allowed"}}), told="allowed addresses"
    ),
    "a foreign project": Case(DIGITAL_HUMAN, Cause.PROJECT, given={"project_id": "other"}, told="Check project_id"),
    "a wrong secret key": Case(DIGITAL_HUMAN, Cause.SIGNATURE, given={"secret_key": "wrong"}, told="clock"),
    "no token in the ledger": Case(LIP_SYNC, Cause.TOKEN_NOT_FETCHED, given=APPLICATION, told="--fetch-token"),
    "too many calls": Case(LIP_SYNC, Cause.RATE, answering(429), told="Lower rate_limit (2000/s)"),
    "no credit": Case(LIP_SYNC, Cause.BALANCE, refused(200, {"code": 40002, "msg": "余额不足"}), told="Top it up"),
    "a wrong parameter": Case(LIP_SYNC, Cause.REQUEST, refused(200, {"code": 40000, "msg": "参数错误"}), told="(50)"),
    "a fault of the vendor": Case(LIP_SYNC, Cause.VENDOR, answering(502), told="status page"),
    "another contract": Case(LIP_SYNC, Cause.CONTRACT, refused(200, {"ok": True}), told="newer version"),
    "too large": Case(LIP_SYNC, Cause.SIZE, HUGE, told="Lower page_size (50)"),
    "unheard-of states": Case(LIP_SYNC, Cause.DRIFT, rows(each(unheard_of)), told="report it", level="warning"),
    "rows that are no tasks": Case(LIP_SYNC, Cause.DRIFT, rows(lambda good: [*good, 7]), told="left", level="warning"),
    "no tasks": Case(LIP_SYNC, Cause.NO_TASKS, rows(lambda _: []), told="access_token and the tasks", level="warning"),
    "nothing to watch": Case(SORA, Cause.NOTHING_TO_WATCH, given=UNLISTED, told="With user_token"),
    "an unknown task": Case(
        SORA, Cause.NOT_FOUND, given=UNLISTED | {"watch": {"tasks": {"sora": ["gone"]}}}, told="too old",
        level="warning",
    ),
    }  # fmt: skip
TESTED_BELOW = {Cause.SLOW, Cause.CLOCK, Cause.TOKEN_FETCHED, Cause.TOKEN_RENEWED_ELSEWHERE, Cause.WATCH}
OF_THE_EXPORTER = {Cause.LEDGER, Cause.BUG}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
async def test_what_goes_wrong_is_found_with_what_to_do_about_it(practice: Practice, case: Case) -> None:
    if case.fault is not None:
        practice.fake.faults["/".join(case.feed)] = case.fault
    given = dict(case.given)
    if "{}" in given.get("base_url", ""):
        given["base_url"] = given["base_url"].format(practice.url.removeprefix("http://"))
    report = await practice.report(case.feed, expect=LEVELS[case.level], **given)
    assert causes(report) == [(case.level, case.cause)]
    assert case.told in report["findings"][0]["advice"]
    assert (
        f'videotask_up{{kind="{case.feed[1]}",provider="{case.feed[0]}"}} {float(case.level == "warning")}'
        in (report["series"])
    )
    assert TAG not in practice.said[-1]
    assert not any(marker in practice.said[-1] for marker in MARKERS)


def test_every_cause_is_reached_by_a_test() -> None:
    assert {case.cause for case in CASES.values()} | TESTED_BELOW | OF_THE_EXPORTER == set(Cause)


async def test_calls_that_take_too_long_altogether_are_given_up(practice: Practice) -> None:
    provider = practice.account("chanjing", rate_limit="1/h", feeds=["lip_sync"])
    assert await practice.run_doctor(provider, patience=0.5) == 1
    (report,) = json.loads(practice.said[-1])["feeds"]
    assert causes(report) == [("trouble", "slow")]
    assert "Raise rate_limit (0.0166667/m)" in report["findings"][0]["advice"]


async def test_a_vendor_that_hangs_holds_up_no_other(practice: Practice) -> None:
    practice.fake.faults["deerapi"] = hang
    hanging = practice.account("deerapi", request_timeout="1m", name="hanging")
    begun = asyncio.create_task(practice.run_doctor(practice.account("facewap"), hanging, in_json=False))
    await until("a report", lambda: practice.said)
    assert practice.said[0].startswith("facewap/face_swap (facewap at ")
    assert not begun.done()
    begun.cancel()
    await asyncio.gather(begun, return_exceptions=True)


def dated(seconds: float, status: str, body: bytes) -> bytes:
    """An answer of a vendor whose clock is ahead."""
    head = f"HTTP/1.1 {status}\r\nDate: {formatdate(time.time() + seconds, usegmt=True)}\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\nContent-Type: application/json\r\n\r\n" + body


async def test_signatures_that_are_refused_with_the_clocks_apart_are_laid_to_the_clock(practice: Practice) -> None:
    body = b'{"error_code": "APIGW.0301", "error_msg": "Incorrect IAM information"}'
    async with answering_raw(lambda: dated(3600, "401 Unauthorized", body)) as url:
        report = await practice.report(DIGITAL_HUMAN, expect=1, base_url=url)
    assert causes(report) == [("trouble", "clock")]
    assert report["calls"][0]["skew"] == pytest.approx(3600, abs=30)
    assert "NTP" in report["findings"][0]["advice"]


@pytest.mark.parametrize(("ahead", "told"), [(-7300, "2 hours behind"), (7300, "2 hours ahead of")])
async def test_clocks_that_differ_are_told(practice: Practice, ahead: float, told: str) -> None:
    body = b'{"code": 200, "msg": "", "data": []}'
    async with answering_raw(lambda: dated(ahead, "200 OK", body)) as url:
        text = await practice.text(practice.account("facewap", base_url=url))
    assert f"the vendor's is {told} ours" in text
    assert "WARNING (clock)" in text


@pytest.mark.parametrize(
    ("skew", "told"),
    [
        (0.0, "the vendor's agrees with ours"),
        (-1.9, "the vendor's agrees with ours"),
        (-3.2, "the vendor's is 3 s behind ours"),
        (119.0, "the vendor's is 119 s ahead of ours"),
        (-121.0, "the vendor's is 2 minutes behind ours"),
        (5 * 3600.0, "the vendor's is 5 hours ahead of ours"),
        (-400 * 86400.0, "the vendor's is 400 days behind ours"),
    ],
)
def test_a_difference_of_clocks_is_told_in_the_unit_that_fits(skew: float, told: str) -> None:
    call = Call("list", "GET /", {}, "", 200, 2, 0.1, skew, "", "", "")
    assert f"  clock     {told}" in as_text(FeedReport("mine", "facewap", "face_swap", "http://a", [call])).splitlines()


async def test_a_certificate_that_nobody_trusts_is_told(practice: Practice) -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    async with answering_raw(bytes, tls) as url:
        report = await practice.report(FACE_SWAP, expect=1, base_url=url)
    assert causes(report) == [("trouble", "tls")]
    assert "the certificate is not trusted" in report["findings"][0]["what"]


async def test_a_list_that_is_refused_does_not_hide_whether_details_are(practice: Practice) -> None:
    watch = {"tasks": {"sora": ["task-3"]}}
    report = await practice.report(SORA, expect=1, user_token="wrong", watch=watch)
    assert causes(report) == [("trouble", "token")]
    assert [(call["endpoint"], call["error"]) for call in report["calls"]] == [
        ("list", "auth"),
        ("list", "auth"),  # with and without Bearer
        ("detail", ""),
    ]
    assert report["understood"]["states"] == {"failed": 1}


async def test_a_watch_file_that_cannot_be_used_is_told(practice: Practice, tmp_path: Path) -> None:
    (tmp_path / "ids.json").write_text("{")
    watch = {"tasks": {"sora": ["task-1"]}, "files": [str(tmp_path / "*.json")]}
    report = await practice.report(SORA, expect=0, **UNLISTED, watch=watch)
    assert causes(report) == [("warning", "watch")]
    assert (
        report["findings"][0]["what"]
        == f"{tmp_path}/ids.json: not JSON: line 1, column 2: Expecting property name enclosed in double quotes"
    )


async def test_watched_ids_that_are_not_there_yet_are_told_and_are_no_error(practice: Practice, tmp_path: Path) -> None:
    watch = {"files": [str(tmp_path / "*.json")]}
    report = await practice.report(SORA, expect=0, **UNLISTED, watch=watch)
    assert causes(report) == [("warning", "nothing_to_watch"), ("warning", "watch")]


class TestTokens:
    """Tokens that the exporter asks for: a new one logs the other holders out."""

    async def test_a_new_token_is_asked_for_only_if_that_is_said(self, practice: Practice) -> None:
        issued = practice.fake.the(Chanjing).tokens_issued
        report = await practice.report(LIP_SYNC, expect=1, **APPLICATION)
        assert causes(report) == [("trouble", "token_not_fetched")]
        assert report["calls"] == []
        assert practice.fake.the(Chanjing).tokens_issued == issued

        report = await practice.report(LIP_SYNC, expect=0, fetch_token=True, **APPLICATION)
        assert causes(report) == [("warning", "token_fetched")]
        assert report["calls"][0]["request"] == "POST /open/v1/access_token"
        assert json.loads(report["calls"][0]["body"]) == {"app_id": "<secret>", "secret_key": "<secret>"}
        assert practice.fake.the(Chanjing).tokens_issued == issued + 1
        assert TAG not in practice.said[-1]

    async def test_a_token_that_ends_no_other_is_asked_for_as_it_is_needed(self, practice: Practice) -> None:
        given: dict[str, Any] = {"access_key": None, "secret_key": None, "iam": practice.iam}
        report = await practice.report(DIGITAL_HUMAN, expect=0, **given)
        assert [call["endpoint"] for call in report["calls"]] == ["token", "list", "detail"]
        assert causes(report) == []

    async def test_the_token_in_the_ledger_serves(self, practice: Practice, tmp_path: Path) -> None:
        exporter = await self.held(practice, tmp_path)
        issued = practice.fake.the(Chanjing).tokens_issued
        practice.said.clear()
        report = await practice.report(LIP_SYNC, expect=0, **APPLICATION)
        assert [call["endpoint"] for call in report["calls"]] == ["list", "detail"]
        assert practice.fake.the(Chanjing).tokens_issued == issued
        exporter.close()

    async def test_a_token_in_the_ledger_that_is_refused_is_told(self, practice: Practice, tmp_path: Path) -> None:
        exporter = await self.held(practice, tmp_path)
        practice.fake.the(Chanjing).renew_elsewhere()
        report = await practice.report(LIP_SYNC, expect=1, **APPLICATION)
        assert causes(report) == [("trouble", "token"), ("trouble", "token_not_fetched")]
        assert "at some vendors each new token invalidates the old one" in report["findings"][0]["advice"]
        exporter.close()

    @staticmethod
    async def held(practice: Practice, folder: Path) -> SqliteFile:
        """An exporter's ledger, open and locked, with its token."""
        practice.ledger = str(folder / "ledger.sqlite3")
        store = SqliteFile(practice.ledger)
        settings = practice.settings("chanjing", **APPLICATION)
        provider = connect(settings, SqliteStore(store))
        await page_of(provider.feeds[0])
        await provider.aclose()
        return store


async def test_the_ledger_stays_as_it_is(practice: Practice, tmp_path: Path) -> None:
    exporter = await TestTokens.held(practice, tmp_path)
    exporter.watch("deerapi", "sora", ["task-2"], time.time())
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    report = await practice.report(SORA, expect=0, **UNLISTED)
    assert report["calls"][0]["request"] == "GET /sora/v1/videos/task-2"  # which it was asked to follow
    await practice.report(LIP_SYNC, expect=0, fetch_token=True, **APPLICATION)
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()} == before
    exporter.commit(Changes("deerapi", "sora", None, None, None))  # it has lost nothing by it, least of all its lock
    exporter.close()


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"x" * 5000])
async def test_a_ledger_that_cannot_be_read_is_none(practice: Practice, tmp_path: Path, content: bytes) -> None:
    practice.ledger = str(tmp_path / "ledger.sqlite3")
    Path(practice.ledger).write_bytes(content)
    report = await practice.report(LIP_SYNC, expect=1, **APPLICATION)
    assert causes(report) == [("trouble", "token_not_fetched")]
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.sqlite3"]
    assert Path(practice.ledger).read_bytes() == content


CONTENT = f"{TAG} {' '.join(MARKERS)}"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """A fault of the vendor that shows all that it was sent, and what its tasks are about."""
    request = Request(scope, receive)
    sent = {"url": str(request.url), "headers": dict(request.headers), "body": (await request.body()).decode()}
    error = {"code": CONTENT, "message": CONTENT, "msg": CONTENT, "error": {"code": CONTENT, "message": sent}}
    await JSONResponse({**error, "error_code": CONTENT, "error_msg": sent, TAG: sent}, 500)(scope, receive, send)


@pytest.mark.parametrize("fault", [None, echo, Response(f"<html>{CONTENT}", 403), RedirectResponse(f"http://a/?{TAG}")])
async def test_the_doctor_tells_no_secret(practice: Practice, fault: ASGIApp | None) -> None:
    if fault:
        practice.fake.faults.update(dict.fromkeys(practice.fake.vendors, fault))
    providers = [
        *(practice.account(vendor) for vendor in SEEDS),
        practice.account("huawei_metastudio", name="iam", access_key=None, secret_key=None, iam=practice.iam),
        practice.account("huawei_metastudio", name="token", access_key=None, secret_key=None, auth_token=f"{TAG}-x"),
        practice.account("chanjing", name="application", **APPLICATION),
        practice.account("facewap", name="bearer", bearer=True),
    ]
    for in_json in (False, True):
        await practice.run_doctor(*providers, in_json=in_json, fetch_token=True)
    told = "\n".join(practice.said)
    assert "POST http://127.0.0.1:" in told  # IAM, which is not below base_url
    assert [word for word in (TAG, *MARKERS) if word in told] == []


def test_the_json_is_as_documented() -> None:
    page = (Path(__file__).parent.parent / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    for part in (FeedReport, Call, Understood, FilledShare, Finding):
        for one in fields(part):
            assert f"`{one.name}`" in page, f"{part.__name__}.{one.name}"
    assert [cause for cause in Cause if f"`{cause}`" not in page] == []


class TestCommand:
    """The doctor as a process of its own."""

    @staticmethod
    def write(folder: Path, url: str, **given: Any) -> str:
        provider = {"name": "swaps", "type": "facewap", "base_url": f"{url}/facewap", "token": "demo-facewap-token"}
        (folder / "config.yaml").write_text(json.dumps({"providers": [provider | given]}))
        return "--config.file=config.yaml"

    def test_it_says_what_it_found_and_whether_all_is_well(self, start: Start, tmp_path: Path) -> None:
        with serve(app(World(seed=3, history=60), limits={})) as address:
            well = start("doctor", self.write(tmp_path, address.url))
            assert well.end(None) == 0
            assert well.stdout.endswith("All is well.\n")
            assert "swaps/face_swap (facewap at http://127.0.0.1" in well.stdout
            assert well.stderr == ""
            assert [path.name for path in tmp_path.iterdir() if "sqlite" in path.name] == []

            (tmp_path / "process1").mkdir()
            ill = start("doctor", self.write(tmp_path / "process1", address.url, token="wrong"), "--json")
            assert ill.end(None) == 1
            assert json.loads(ill.stdout)["well"] is False
            assert ill.stderr == ""

    def test_a_wrong_name_is_a_wrong_command_line(self, start: Start, tmp_path: Path) -> None:
        process = start("doctor", self.write(tmp_path, "http://127.0.0.1:1"), "--provider=swap")
        assert process.end(None) == 2
        assert process.stderr == "videotask-exporter doctor: error: no provider is named swap; there are: swaps\n"

    def test_a_proxy_that_refuses_is_told(self, start: Start, tmp_path: Path) -> None:
        with serve(Response("no", 403)) as proxy:
            process = start("doctor", self.write(tmp_path, "https://vendor.invalid"), "--json", HTTPS_PROXY=proxy.url)
            assert process.end(None) == 1
        (report,) = json.loads(process.stdout)["feeds"]
        assert causes(report) == [("trouble", "proxy")]
        assert "HTTPS_PROXY" in report["findings"][0]["advice"]

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it(self, start: Start, tmp_path: Path, number: signal.Signals) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            process = start("doctor", self.write(tmp_path, url, request_timeout="1m"))
            caller, _ = silent.accept()
            with caller:
                caller.recv(1)
                assert process.end(number) == INTERRUPTED
        assert process.stdout == process.stderr == ""

    def test_it_runs_beside_the_exporter(self, start: Start, tmp_path: Path) -> None:
        fake = app(World(seed=3, history=60), limits={})
        application = {"name": "lips", "type": "chanjing", "app_id": "demo-app-id", "secret_key": "demo-app-secret"}
        with serve(fake) as address:
            ledger = {"path": str(tmp_path / "ledger.sqlite3")}
            provider = application | {"base_url": f"{address.url}/chanjing"}
            (tmp_path / "process1").mkdir()
            for folder in (tmp_path, tmp_path / "process1"):
                config = {"poll_interval": "100ms", "ledger": ledger, "providers": [provider]}
                (folder / "config.yaml").write_text(json.dumps(config))
            exporter = start("--config.file=config.yaml", "--web.listen-address=127.0.0.1:0")
            up = 'videotask_up{kind="lip_sync",provider="lips"}'
            exporter.wait_for("a sweep", lambda: exporter.value(up) == 1)
            doctor = start("doctor", "--config.file=config.yaml")
            assert doctor.end(None) == 0, doctor.stdout
            assert fake.the(Chanjing).tokens_issued == 1
            asked = fake.vendors["chanjing"].requests["lip_sync/list"]
            exporter.wait_for("another sweep", lambda: fake.vendors["chanjing"].requests["lip_sync/list"] > asked + 1)
            assert exporter.value(up) == 1
            assert exporter.end() == 0


async def test_words_that_no_table_maps_come_with_the_setting_that_maps_them(practice: Practice) -> None:
    practice.fake.faults["deerapi/sora/list"] = rows(each(unheard_of))
    report = await practice.report(SORA, expect=0)
    (finding,) = (one for one in report["findings"] if one["cause"] == "drift")
    assert finding["what"].endswith(
        "; if you know what is meant, add to the provider: states: {sora: {STATE: [quantum]}}"
    )


# What vendors answer, in files


def recorded(folder: Path) -> dict[str, Any]:
    return {file.name: json.loads(file.read_text()) for file in sorted(folder.iterdir())}


@pytest.mark.parametrize("feed", ALL_FEEDS, ids="/".join)
async def test_recorded_answers_mean_the_same_and_hold_no_content(
    practice: Practice, feed: Feed, tmp_path: Path
) -> None:
    report = await practice.report(feed, expect=0, recording=Recording(str(tmp_path / "answers")))
    names = [f"{'-'.join(feed)}-{endpoint}.json" for endpoint in ("detail", "list")]
    bodies = recorded(tmp_path / "answers")
    assert list(bodies) == names
    assert report["recorded"] == [str(tmp_path / "answers" / name) for name in reversed(names)]
    text = json.dumps(bodies)
    for hidden in (*MARKERS, TAG, "task-0", "lighthouse", "http://", "user-MARKER"):
        assert hidden not in text
    asked: list[str] = []

    async def vendor(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["path"])
        await JSONResponse(bodies[names[0] if len(asked) > 1 else names[1]])(scope, receive, send)

    async with running(vendor) as url:
        again = await practice.report(feed, expect=0, base_url=url)
    assert again["understood"] == report["understood"]


async def test_the_same_id_has_the_same_name_in_all_recorded_answers(practice: Practice, tmp_path: Path) -> None:
    await practice.report(FACE_SWAP, recording=Recording(str(tmp_path)))
    listed, detail = (recorded(tmp_path)[f"facewap-face_swap-{one}.json"]["data"] for one in ("list", "detail"))
    assert len({row["promptId"] for row in listed}) == 4
    assert detail["promptId"] in {row["promptId"] for row in listed}


async def test_recorded_answers_are_for_their_owner_and_never_written_over(practice: Practice, tmp_path: Path) -> None:
    for _ in range(2):
        await practice.report(FACE_SWAP, recording=Recording(str(tmp_path)))
    names = [f"facewap-face_swap-{one}.json" for one in ("detail-2", "detail", "list-2", "list")]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


async def test_tokens_are_not_recorded(practice: Practice, tmp_path: Path) -> None:
    await practice.report(VIDEO, fetch_token=True, recording=Recording(str(tmp_path)), **APPLICATION)
    assert list(recorded(tmp_path)) == ["chanjing-video-detail.json", "chanjing-video-list.json"]


async def test_refusals_are_recorded_with_their_status_and_what_is_no_json_is_told(
    practice: Practice, tmp_path: Path
) -> None:
    practice.fake.faults["facewap/face_swap/list"] = JSONResponse(
        {"code": 1, "msg": f"bad token {KEYS.facewap_token}"}, 403
    )
    await practice.report(FACE_SWAP, expect=1, recording=Recording(str(tmp_path)))
    assert recorded(tmp_path) == {"facewap-face_swap-list-http403.json": {"code": 1, "msg": "(secret)"}}
    practice.fake.faults["facewap/face_swap/list"] = HTML
    report = await practice.report(FACE_SWAP, expect=1, recording=Recording(str(tmp_path)))
    assert report["recorded"][0].startswith("not written: the answer to `list` (HTTP ")
    assert report["recorded"][0].endswith("is not JSON")


async def test_the_report_says_what_was_recorded_and_to_look_at_it(practice: Practice, tmp_path: Path) -> None:
    given = {"in_json": False, "recording": Recording(str(tmp_path))}
    await practice.run_doctor(practice.account("facewap"), **given)
    text = "\n".join(practice.said)
    assert f"  recorded  {tmp_path}/facewap-face_swap-list.json\n" in text
    assert "Look at the files before you share them." in text


def test_a_folder_in_which_nothing_can_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WrongUse, match="file: cannot be made: File exists; name a folder"):
        Recording(str(tmp_path / "file"))
