"""fal: the list of what has ended, the queue for the rest, and how the two make one task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from exporter.client.errors import (
    AuthRefused,
    BalanceExhausted,
    CallError,
    ContractBroken,
    RateLimited,
    RequestInvalid,
    TaskNotFound,
    VendorFailed,
)
from exporter.config.load import ConfigError
from exporter.config.mistakes.accounts import configured_twice
from exporter.simulator import Life, fake_of
from exporter.simulator.vendors.fal import ENDPOINT, Fal
from exporter.snapshot import UnmappedWords
from exporter.tasks import Field, Observation, Phase, Reason, State
from exporter.vendors.api import Position
from exporter.vendors.builtin.fal import FalSettings
from exporter.vendors.declared.reading.values import amount_reader
from exporter.vendors.registry import declaration_of
from tests.harness import NOW, VENDORS, counted, load, page_of, settings_of, told
from tests.harness.desk import measured
from tests.vendors.conftest import Account, OpenAccount, Scripted

ONE, TWO = "fal-ai/acme-video/v1/text-to-video", "acme/other"
DONE, FLAGGED = "11111111-aaaa-4bbb-8ccc-000000000001", "11111111-aaaa-4bbb-8ccc-000000000002"
LIST: dict[str, Any] = {
    "items": [
        {
            "request_id": DONE,
            "endpoint_id": ONE,
            "sent_at": "2026-03-01T10:15:00.120Z",
            "started_at": "2026-03-01T10:15:02.400Z",
            "ended_at": "2026-03-01T10:16:31.900Z",
            "status_code": 200,
            "duration": 89.5,
        },
        {
            "request_id": FLAGGED,
            "endpoint_id": ONE,
            "sent_at": "2026-03-01T10:12:00.000Z",
            "started_at": "2026-03-01T10:12:00.900Z",
            "ended_at": "2026-03-01T10:12:01.700Z",
            "status_code": 422,
            "duration": 0.8,
        },
    ],
    "next_cursor": "Mg==",
    "has_more": True,
}
STATUS: dict[str, Any] = {
    "status": "COMPLETED",
    "request_id": FLAGGED,
    "logs": [],
    "metrics": {"inference_time": 0.8},
    "error": "The content could not be processed because it was flagged.",
    "error_type": "content_policy_violation",
}
ONLY = {"endpoints": [ONE]}
BOTH = {"endpoints": [ONE, TWO]}


async def test_the_documented_list(scripted: Scripted) -> None:
    fal = scripted("fal", LIST, **ONLY)
    page = await page_of(fal.feed)
    done, flagged = page.observations
    assert done == Observation(
        DONE, State.SUCCEEDED, submitted=1772360100.12, started=1772360102.4, ended=1772360191.9, model=ONE
    )
    assert (flagged.id, flagged.state, flagged.reason) == (FLAGGED, State.FAILED, Reason.UNKNOWN)
    assert not page.last
    (request,) = fal.vendor.requests
    assert dict(request.url.params) == {"endpoint_id": ONE, "limit": "100", "sort_by": "ended_at"}
    assert request.url.path == "/models/requests/by-endpoint"
    assert request.headers["Authorization"] == f"Key {fake_of('fal').keys['api_key']}"


async def test_payloads_are_never_asked_for_and_cursors_followed(scripted: Scripted) -> None:
    fal = scripted("fal", LIST, LIST | {"items": [], "next_cursor": None, "has_more": False}, **BOTH)
    page = await page_of(fal.feed)
    assert (await fal.feed.list_page(Position(1, page.rows, page.cursor))).last
    assert fal.vendor.sent()["cursor"] == "Mg=="
    assert fal.vendor.sent()["endpoint_id"] == f"{ONE},{TWO}"
    assert [one for one in fal.vendor.requests if "expand" in one.url.params] == []


async def test_the_queue_tells_why_a_request_failed(scripted: Scripted) -> None:
    fal = scripted("fal", STATUS, **ONLY)
    shown = await fal.observe(FLAGGED)
    assert (shown.state, shown.reason, shown.model) == (State.FAILED, Reason.MODERATION, ONE)
    assert shown.unmapped == frozenset()
    assert str(fal.vendor.requests[0].url) == f"https://vendor.example/fal-ai/acme-video/requests/{FLAGGED}/status"


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [
        ("fal-ai/kling-video/v2/master/image-to-video", "/fal-ai/kling-video/requests/r-1/status"),
        ("acme/own", "/acme/own/requests/r-1/status"),
        ("workflows/acme/flow/sub", "/workflows/acme/flow/requests/r-1/status"),
    ],
)
async def test_the_path_of_a_status_has_no_sub_path_of_the_endpoint(
    scripted: Scripted, endpoint: str, path: str
) -> None:
    fal = scripted("fal", (202, {"status": "IN_QUEUE"}), endpoints=[endpoint])
    await fal.observe("r-1")
    assert fal.vendor.requests[0].url.path == path


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        (202, {"status": "IN_QUEUE", "queue_position": 0}, State.QUEUED),
        (202, {"status": "IN_PROGRESS", "logs": None}, State.RUNNING),
        (200, {"status": "COMPLETED"}, State.SUCCEEDED),
        (200, {"status": "COMPLETED", "error": "", "metrics": {"inference_time": 0}}, State.SUCCEEDED),
        (200, {"status": "COMPLETED", "error": None, "error_type": None}, State.SUCCEEDED),
        (200, {"status": "COMPLETED", "error": "odd"}, State.FAILED),
        (200, {"status": "COMPLETED", "error": "", "error_type": "internal_server_error"}, State.FAILED),
        (200, {"status": "FAILED"}, State.FAILED),
        (200, {"status": "CANCELLED"}, State.CANCELLED),
        (200, {"status": "CANCELED"}, State.CANCELLED),
        (200, {"status": "DREAMING"}, State.UNKNOWN),
    ],
)
async def test_completed_is_not_success(scripted: Scripted, status: int, body: Any, state: State) -> None:
    shown = await scripted("fal", (status, body), **ONLY).observe("r-1")
    assert (shown.id, shown.state) == ("r-1", state)


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        (200, State.SUCCEEDED, None),
        (299, State.SUCCEEDED, None),
        ("200", State.SUCCEEDED, None),
        (400, State.FAILED, Reason.UNKNOWN),
        (422, State.FAILED, Reason.UNKNOWN),
        (401, State.FAILED, Reason.AUTH),
        (403, State.FAILED, Reason.AUTH),
        (402, State.FAILED, Reason.INSUFFICIENT_BALANCE),
        (408, State.FAILED, Reason.TIMEOUT),
        (504, State.FAILED, Reason.TIMEOUT),
        (429, State.FAILED, Reason.RATE_LIMITED),
        (500, State.FAILED, Reason.PROVIDER_INTERNAL),
        (503, State.FAILED, Reason.PROVIDER_INTERNAL),
    ],
)
async def test_the_status_codes_of_the_list(
    scripted: Scripted, code: object, state: State, reason: Reason | None
) -> None:
    row = LIST["items"][0] | {"status_code": code}
    (shown,) = (await page_of(scripted("fal", LIST | {"items": [row]}, **ONLY).feed)).observations
    assert (shown.state, shown.reason) == (state, reason)


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ({"status_code": None, "ended_at": None}, State.RUNNING),
        ({"status_code": None, "ended_at": None, "started_at": None}, State.QUEUED),
        ({"status_code": None}, State.UNKNOWN),
    ],
)
async def test_a_row_without_a_status_code(scripted: Scripted, changed: dict[str, None], state: State) -> None:
    row = LIST["items"][0] | changed
    (shown,) = (await page_of(scripted("fal", LIST | {"items": [row]}, **ONLY).feed)).observations
    assert shown.state is state
    assert shown.unmapped == ({Field.STATE} if state is State.UNKNOWN else frozenset())


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("content_policy_violation", Reason.MODERATION),
        ("image_too_large", Reason.INVALID_INPUT),
        ("image_load_error", Reason.INVALID_INPUT),
        ("file_download_error", Reason.INVALID_INPUT),
        ("generation_timeout", Reason.TIMEOUT),
        ("request_timeout", Reason.TIMEOUT),
        ("startup_timeout", Reason.TIMEOUT),
        ("downstream_service_error", Reason.PROVIDER_INTERNAL),
        ("downstream_service_unavailable", Reason.PROVIDER_INTERNAL),
        ("internal_server_error", Reason.PROVIDER_INTERNAL),
        ("runner_scheduling_failure", Reason.PROVIDER_INTERNAL),
        ("runner_connection_timeout", Reason.PROVIDER_INTERNAL),
        ("runner_disconnected", Reason.PROVIDER_INTERNAL),
        ("runner_connection_refused", Reason.PROVIDER_INTERNAL),
    ],
)
async def test_the_documented_kinds_of_errors(scripted: Scripted, kind: str, reason: Reason) -> None:
    body = {"status": "COMPLETED", "error": "so it is", "error_type": kind}
    shown = await scripted("fal", body, **ONLY).observe("r-1")
    assert (shown.reason, shown.unmapped) == (reason, frozenset())


async def test_a_kind_of_no_table_is_named(scripted: Scripted) -> None:
    shown = await scripted("fal", {"status": "COMPLETED", "error_type": "odd_error"}, **ONLY).observe("r-1")
    assert (shown.reason, shown.strange) == (Reason.UNKNOWN, ((Field.REASON, "odd_error"),))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, {"error": {"type": "authorization_error", "message": "Authentication is required"}}, AuthRefused),
        (403, {"error": {"type": "authorization_error", "message": "Not allowed"}}, AuthRefused),
        (403, {"detail": "User is locked. Reason: Exhausted balance. Top up."}, BalanceExhausted),
        (
            403,
            {"error": {"type": "authorization_error", "message": "User is locked. Exhausted balance"}},
            BalanceExhausted,
        ),
        (402, {"detail": "Payment needed"}, BalanceExhausted),
        (400, {"error": {"type": "validation_error", "message": "Invalid request parameters"}}, RequestInvalid),
        (422, {"detail": [{"loc": ["query"], "msg": "odd", "type": "missing"}]}, RequestInvalid),
        (429, {"error": {"type": "rate_limited", "message": "Rate limit exceeded"}}, RateLimited),
        (500, {"error": {"type": "server_error", "message": "odd"}}, VendorFailed),
        (503, {"detail": "No runner", "error_type": "runner_scheduling_failure"}, VendorFailed),
    ],
)
async def test_refused_calls(scripted: Scripted, status: int, body: Any, error: type[CallError]) -> None:
    listed, asked = scripted("fal", (status, body), **ONLY), scripted("fal", (status, body), **ONLY)
    await listed.refuses(error)
    await asked.refuses(error, "r-1")


async def test_an_unknown_id_is_an_answer(scripted: Scripted) -> None:
    fal = scripted("fal", (404, {"detail": "Request not found"}), **ONLY)
    await fal.knows_not("r-1")


async def test_another_request_than_that_asked_for_breaks_the_contract(scripted: Scripted) -> None:
    with pytest.raises(ContractBroken):
        await scripted("fal", STATUS, **ONLY).feed.look_up("r-1")


async def test_of_several_endpoints_ids_tell_which_one(scripted: Scripted) -> None:
    fal = scripted("fal", LIST, STATUS, **BOTH)
    listed = [one.id for one in (await page_of(fal.feed)).observations]
    assert listed == [f"{ONE}:{DONE}", f"{ONE}:{FLAGGED}"]
    shown = await fal.observe(listed[1])
    assert (shown.id, shown.model, shown.reason) == (listed[1], ONE, Reason.MODERATION)
    assert fal.vendor.requests[1].url.path == f"/fal-ai/acme-video/requests/{FLAGGED}/status"


@pytest.mark.parametrize("task_id", ["r-1", "fal-ai:r-1", "acme/other:", "acme/other:../x", ":r-1"])
async def test_what_can_be_no_id_is_not_asked_for(scripted: Scripted, task_id: str) -> None:
    fal = scripted("fal", STATUS, **BOTH)
    with pytest.raises(TaskNotFound):
        await fal.feed.look_up(task_id)
    assert fal.vendor.requests == []


async def test_a_row_without_its_endpoint_is_no_task_where_there_are_several(scripted: Scripted) -> None:
    rows = [{"request_id": "a", "status_code": 200}, {"endpoint_id": TWO, "status_code": 200}, 7]
    page = await page_of(scripted("fal", LIST | {"items": rows}, **BOTH).feed)
    assert (len(page.observations), page.malformed) == (0, 3)


def test_a_callback_names_the_request() -> None:
    settings = settings_of({"type": "fal", "api_key": "id:secret", **ONLY})
    (feed,) = VENDORS["fal"].feeds(settings, None, None)  # type: ignore[arg-type]  # nothing is called
    body = {"request_id": DONE, "gateway_request_id": DONE, "status": "OK", "payload": {"video": {"url": "x"}}}
    assert feed.called_back(body) == [DONE]


@pytest.mark.parametrize(
    ("given", "queue"),
    [
        ({}, "https://queue.fal.run"),
        ({"base_url": "http://gateway.example/fal"}, "http://gateway.example/fal"),
        ({"base_url": "https://api.fal.ai/v1"}, "https://queue.fal.run"),
        ({"queue_url": "https://queue.example"}, "https://queue.example"),
        ({"base_url": "http://gateway.example", "queue_url": "https://queue.fal.run/"}, "https://queue.fal.run"),
    ],
)
def test_where_the_queue_is(given: dict[str, str], queue: str) -> None:
    settings = settings_of({"type": "fal", "api_key": "id:secret", **ONLY, **given})
    assert isinstance(settings, FalSettings)
    assert settings.queue == queue


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("endpoints: []", "empty; write at least one"),
        ("endpoints: [kling]", "not an endpoint; write its id"),
        ("endpoints: [/fal-ai/x]", "not an endpoint; write its id"),
        ("endpoints: fal-ai/x", "not a list"),
        ("{endpoints: [a/b], queue_url: http://queue.fal.run}", "plain text; write https://"),
    ],
)
def test_faults_of_settings_are_told(tmp_path: Path, lines: str, words: str) -> None:
    file = tmp_path / "config.yaml"
    more = lines.strip("{}").replace("], queue", "]\n    queue")
    file.write_text(f"providers:\n  - name: fal\n    type: fal\n    api_key: abc:def-0123456789\n    {more}\n")
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    (fault,) = caught.value.faults
    assert words in fault


def test_accounts_of_other_endpoints_are_not_the_same() -> None:
    one, two, three = (
        settings_of({"name": name, "type": "fal", "api_key": "id:secret-0123456789", "endpoints": endpoints})
        for name, endpoints in (("a", [ONE]), ("b", [TWO]), ("c", [TWO]))
    )
    assert list(configured_twice([one, two], VENDORS)) == []
    assert [first for first, _, _ in configured_twice([one, two, three], VENDORS)] == [1]


def test_the_balance_is_told_in_dollars() -> None:
    declaration = declaration_of("fal")
    assert declaration is not None
    assert declaration.account is not None
    balance = declaration.account.balance
    body = {"username": "u", "credits": {"current_balance": 24.5, "currency": "USD"}}
    assert (amount_reader(balance.scale)(balance.path(body)), balance.unit) == (24.5, "usd")


async def test_requests_of_several_endpoints_are_followed_from_id_to_end(open_account: OpenAccount) -> None:
    other = "fal-ai/wan/v2.2-a14b/text-to-video"
    account = open_account("fal", endpoints=[ENDPOINT, other])
    lives = [
        Life(f"r-{n}", "fal", "request", NOW - 5, 10.0, 30.0, State.SUCCEEDED, model=model)
        for n, model in enumerate((ENDPOINT, other))
    ]
    account.site.world.add(*lives)
    loop = account.rig.loop_of(kind="request")
    await loop.following.ask_for([f"{life.model}:{life.id}" for life in lives])
    for _ in range(5):
        await account.rig.sweep()
        assert told(loop.tracker) == account.site.truth(("fal", "request"))
    assert counted(loop.tracker, "finished_total") == {"succeeded": 2}
    assert account.rig.errors == {}


async def test_a_failure_that_the_list_explains_needs_no_look_up(open_account: OpenAccount) -> None:
    account = open_account("fal")
    ended = {"type": "fal", "kind": "request", "submitted": NOW - 60, "run_seconds": 30.0, "end": State.FAILED}
    account.site.world.add(
        Life("r-1", **ended, reason=Reason.TIMEOUT, words="", code="request_timeout"),  # type: ignore[arg-type]
        Life("r-2", **ended, reason=Reason.MODERATION, words="", code="content_policy_violation"),  # type: ignore[arg-type]
    )
    await account.rig.sweep(2)
    assert account.site.fake.vendors["fal"].requests["request/detail"] == 1
    failures = counted(account.rig.loop_of(kind="request").tracker, "failures_total")
    assert {reason: count for reason, count in failures.items() if count} == {"timeout": 1, "moderation": 1}


async def test_a_status_that_the_queue_explains_is_no_word_to_be_mapped(open_account: OpenAccount) -> None:
    account = open_account("fal")
    ended = {"type": "fal", "kind": "request", "submitted": NOW - 60, "run_seconds": 30.0, "end": State.FAILED}
    account.site.world.add(
        Life("r-1", **ended, reason=Reason.MODERATION, words="Flagged.", code="content_policy_violation"),  # type: ignore[arg-type]
    )
    loop = account.rig.loop_of(kind="request")
    await account.rig.sweep(2)
    assert loop.snapshot().unmapped == UnmappedWords()
    account.site.world.add(Life("r-2", **ended, reason=Reason.UNKNOWN, words="", code="zork"))  # type: ignore[arg-type]
    await account.rig.sweep(2)
    assert loop.snapshot().unmapped.words == ((Field.REASON, "zork"),)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=10", 400),
        (f"endpoint_id={ENDPOINT}&limit=101", 400),
        (f"endpoint_id={ENDPOINT}&cursor=x", 400),
        ("&".join(f"endpoint_id=a/{n}" for n in range(51)), 400),
        (f"endpoint_id={ENDPOINT}&endpoint_id=a/b", 200),
    ],
)
async def test_the_fake_enforces_its_limits(open_account: OpenAccount, query: str, status: int) -> None:
    account = open_account("fal")
    fake = fake_of("fal")
    async with httpx.AsyncClient(headers={"Authorization": f"Key {fake.keys['api_key']}"}) as http:
        answer = await http.get(f"{account.site.url}{fake.prefix}/models/requests/by-endpoint?{query}")
        sub_path = await http.get(f"{account.site.url}{fake.prefix}/{ENDPOINT}/requests/r-1/status")
    assert answer.status_code == status
    assert sub_path.status_code == 405


async def test_an_end_waits_for_the_list_which_knows_when_it_was_and_whether_well(open_account: OpenAccount) -> None:
    account = open_account("fal")
    _fake(account).list_lag = 20.0
    await account.submit(
        Life("r-1", "fal", "request", NOW, 5.0, 20.0, State.SUCCEEDED),
        # The queue says COMPLETED and no error; the list says 422.
        Life("r-2", "fal", "request", NOW, 5.0, 20.0, State.FAILED, Reason.UNKNOWN, words=""),
    )
    tracker = account.rig.loop_of(kind="request").tracker
    await account.rig.sweep(2)
    assert counted(tracker, "finished_total") == {}
    assert len(tracker.in_flight) == 2
    await account.rig.sweep(3)
    assert counted(tracker, "finished_total") == {"succeeded": 1, "failed": 1}
    assert measured(tracker, Phase.TOTAL, State.SUCCEEDED) == (1, 25.0)
    assert counted(tracker, "unmeasured_durations_total") == {}


async def test_an_id_that_comes_with_the_end_waits_for_the_list_too(open_account: OpenAccount) -> None:
    account = open_account("fal")
    _fake(account).list_lag = 20.0
    await account.submit(Life("r-1", "fal", "request", NOW - 15, 5.0, 15.0, State.SUCCEEDED))
    tracker = account.rig.loop_of(kind="request").tracker
    await account.rig.sweep(4)
    assert counted(tracker, "finished_total") == {"succeeded": 1}
    assert measured(tracker, Phase.TOTAL, State.SUCCEEDED) == (1, 20.0)


async def test_an_end_that_no_list_shows_is_believed_after_a_while(open_account: OpenAccount) -> None:
    account = open_account("fal")
    _fake(account).list_lag = 1e9
    await account.submit(Life("r-1", "fal", "request", NOW, 5.0, 5.0, State.SUCCEEDED))
    tracker = account.rig.loop_of(kind="request").tracker
    await account.rig.sweep(6)
    assert counted(tracker, "finished_total") == {"succeeded": 1}
    assert account.rig.loop_of(kind="request").following.unread == 0


def _fake(account: Account) -> Fal:
    fake = account.site.fake.vendors["fal"]
    assert isinstance(fake, Fal)
    return fake


async def test_a_quiet_day_is_no_gap(open_account: OpenAccount) -> None:
    account = open_account("fal")
    account.site.world.add(Life("r-1", "fal", "request", NOW - 60, run_seconds=30.0, end=State.SUCCEEDED))
    loop = account.rig.loop_of(kind="request")
    await account.rig.sweep(2)
    for _ in range(3):
        await account.rig.sweep(after=43_200 - 15.0)
        await account.rig.sweep()
    assert counted(loop.tracker, "finished_total") == {"succeeded": 1}
    assert counted(loop.tracker, "history_gaps_total") == {}
