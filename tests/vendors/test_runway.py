"""Runway: what a task tells, its codes of failures, and the header without which nothing is answered."""

from __future__ import annotations

import httpx
import pytest

from exporter.client.errors import (
    AuthRefused,
    BalanceExhausted,
    CallError,
    RateLimited,
    RequestInvalid,
    VendorFailed,
)
from exporter.simulator import Life, fake_of
from exporter.tasks import Field, Observation, Reason, State
from exporter.vendors.registry import declaration_of
from tests.harness import NOW
from tests.vendors.conftest import OpenAccount, Scripted

ID = "11111111-aaaa-4bbb-8ccc-000000000001"
CREATED = {"id": ID, "createdAt": "2026-03-01T10:15:00.120Z"}
AT = 1772360100.12


async def test_a_running_task_tells_its_progress_as_a_fraction(scripted: Scripted) -> None:
    runway = scripted("runway", {**CREATED, "status": "RUNNING", "progress": 0.42, "estimatedCost": {"credits": 50}})
    assert await runway.observe(ID) == Observation(ID, State.RUNNING, progress=0.42, submitted=AT)
    (request,) = runway.vendor.requests
    assert str(request.url) == f"https://vendor.example/v1/tasks/{ID}"
    assert request.headers["X-Runway-Version"] == "2024-11-06"
    assert request.headers["Authorization"].startswith("Bearer key_")
    assert not runway.feed.lists


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("PENDING", State.QUEUED),
        ("THROTTLED", State.QUEUED),
        ("RUNNING", State.RUNNING),
        ("SUCCEEDED", State.SUCCEEDED),
        ("CANCELLED", State.CANCELLED),
    ],
)
async def test_states(scripted: Scripted, word: str, state: State) -> None:
    assert await scripted("runway", {**CREATED, "status": word}).observe(ID) == Observation(ID, state, submitted=AT)


async def test_an_estimate_costs_nothing_and_a_cost_is_in_credits(scripted: Scripted) -> None:
    waiting = await scripted("runway", {**CREATED, "status": "PENDING", "estimatedCost": {"credits": 50}}).observe(ID)
    done = await scripted("runway", {**CREATED, "status": "SUCCEEDED", "cost": {"credits": 45}}).observe(ID)
    free = await scripted("runway", {**CREATED, "status": "FAILED", "cost": {"credits": 0}}).observe(ID)
    assert (waiting.usage, done.usage, free.usage) == ((), (("credits", 45.0),), ())


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("SAFETY", Reason.MODERATION),
        ("SAFETY.INPUT.TEXT", Reason.MODERATION),
        ("SAFETY.INPUT.IMAGE", Reason.MODERATION),
        ("SAFETY.OUTPUT.VIDEO", Reason.MODERATION),
        ("INPUT_PREPROCESSING.SAFETY.TEXT", Reason.MODERATION),
        ("INPUT_PREPROCESSING.SAFETY.THIRD_PARTY", Reason.MODERATION),
        ("ASSET.INVALID", Reason.INVALID_INPUT),
        ("VALIDATION.RATIO", Reason.INVALID_INPUT),
        ("INTERNAL", Reason.PROVIDER_INTERNAL),
        ("INTERNAL.BAD_OUTPUT.CODE01", Reason.PROVIDER_INTERNAL),
        ("INTERNAL.BAD_OUTPUT.NEW", Reason.PROVIDER_INTERNAL),
        ("INPUT_PREPROCESSING.INTERNAL", Reason.PROVIDER_INTERNAL),
        ("THIRD_PARTY.UNAVAILABLE", Reason.PROVIDER_INTERNAL),
    ],
)
async def test_the_documented_codes(scripted: Scripted, code: str, reason: Reason) -> None:
    row = {**CREATED, "status": "FAILED", "failure": "It did not work.", "failureCode": code, "cost": {"credits": 0}}
    shown = await scripted("runway", row).observe(ID)
    assert (shown.state, shown.reason, shown.unmapped) == (State.FAILED, reason, frozenset())


async def test_a_failure_may_lack_its_code(scripted: Scripted) -> None:
    refused = {**CREATED, "status": "FAILED", "failure": "The input was refused by moderation."}
    assert (await scripted("runway", refused).observe(ID)).reason is Reason.MODERATION
    shown = await scripted("runway", {**CREATED, "status": "FAILED"}).observe(ID)
    assert (shown.reason, shown.unmapped) == (Reason.UNKNOWN, frozenset())


async def test_words_of_no_table_are_unknown_and_named(scripted: Scripted) -> None:
    odd = await scripted("runway", {**CREATED, "status": "DREAMING"}).observe(ID)
    assert (odd.state, odd.unmapped) == (State.UNKNOWN, frozenset({Field.STATE}))
    odd = await scripted("runway", {**CREATED, "status": "FAILED", "failureCode": "COSMIC.RAY"}).observe(ID)
    assert (odd.reason, odd.unmapped) == (Reason.UNKNOWN, frozenset({Field.REASON}))


@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
        (400, "A valid X-Runway-Version header is required", RequestInvalid),
        (400, "You do not have enough credits to run this task.", BalanceExhausted),
        (401, "The API key is not valid", AuthRefused),
        (405, "Method not allowed", RequestInvalid),
        (429, "Too many requests", RateLimited),
        (502, "", VendorFailed),
        (503, "", VendorFailed),
    ],
)
async def test_refused_look_ups(scripted: Scripted, status: int, said: str, error: type[CallError]) -> None:
    runway = scripted("runway", (status, {"error": said}))
    await runway.refuses(error, ID)


async def test_a_deleted_or_foreign_task_is_not_known(scripted: Scripted) -> None:
    runway = scripted("runway", (404, {"error": "Task not found"}))
    await runway.knows_not(ID)


def test_the_balance_is_in_credits() -> None:
    declaration = declaration_of("runway")
    assert declaration is not None
    assert declaration.account is not None
    balance = declaration.account.balance
    assert balance.path({"creditBalance": 12345, "tier": {"models": {}}}) == 12345
    assert (declaration.account.path, balance.unit, balance.scale) == ("/v1/organization", "credits", 1.0)


async def test_the_fake_wants_its_header_and_tells_throttled_tasks(open_account: OpenAccount) -> None:
    account = open_account("runway")
    await account.submit(*(Life(f"task-{n}", "runway", "task", NOW - 30, None) for n in range(8)))
    fake = fake_of("runway")
    key = {"Authorization": f"Bearer {fake.keys['api_key']}"}
    version = {"X-Runway-Version": "2024-11-06"}
    async with httpx.AsyncClient(base_url=account.site.url + fake.prefix) as http:
        assert (await http.get("/v1/tasks/task-1", headers=key)).status_code == 400
        assert (await http.get("/v1/tasks/task-1", headers=version)).status_code == 401
        assert (await http.get("/v1/tasks/task-9", headers={**key, **version})).status_code == 404
        words = {(await http.get(f"/v1/tasks/task-{n}", headers={**key, **version})).json()["status"] for n in range(8)}
        organization = await http.get("/v1/organization", headers={**key, **version})
    assert words == {"PENDING", "THROTTLED"}
    assert organization.json()["creditBalance"] == 12_345
