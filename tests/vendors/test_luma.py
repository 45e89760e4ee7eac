"""Luma: what its rows tell, which of them are videos, and how its failures read."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from exporter.client.errors import AuthRefused, BalanceExhausted, CallError, RateLimited, RequestInvalid, VendorFailed
from exporter.simulator import Life, fake_of
from exporter.tasks import Field, Observation, Reason, State
from exporter.vendors.declared.reading.values import amount_reader
from exporter.vendors.registry import declaration_of
from tests.harness import NOW, counted, page_of
from tests.vendors.conftest import OpenAccount, Scripted

DONE = "11111111-aaaa-4bbb-8ccc-000000000001"
FAILED = "11111111-aaaa-4bbb-8ccc-000000000002"
IMAGE = "11111111-aaaa-4bbb-8ccc-000000000003"

LIST: dict[str, Any] = {
    "count": 3,
    "limit": 100,
    "offset": 0,
    "has_more": False,
    "generations": [
        {
            "id": DONE,
            "generation_type": "video",
            "state": "completed",
            "failure_reason": None,
            "created_at": "2026-03-01T10:15:00.120Z",
            "model": "ray-2",
            "assets": {"video": "https://example.invalid/v.mp4"},
            "request": {"generation_type": "video", "duration": "5s", "resolution": "720p"},
        },
        {
            "id": IMAGE,
            "generation_type": "image",
            "state": "completed",
            "created_at": "2026-03-01T10:14:00Z",
            "model": "photon-1",
            "assets": {"image": "https://example.invalid/i.jpg"},
            "request": {"generation_type": "image"},
        },
        {
            "id": FAILED,
            "generation_type": "video",
            "state": "failed",
            "failure_reason": "Frame moderation failed",
            "created_at": "2026-03-01T10:12:00Z",
            "model": "ray-2",
            "assets": None,
            "request": {"generation_type": "video", "duration": "9s"},
        },
    ],
}


async def test_the_documented_list(scripted: Scripted) -> None:
    luma = scripted("luma", LIST)
    page = await page_of(luma.feed)
    assert [one.id for one in page.observations] == [DONE, FAILED]
    done, failed = page.observations
    assert done == Observation(DONE, State.SUCCEEDED, submitted=1772360100.12, output_seconds=5, model="ray-2")
    assert (failed.state, failed.reason, failed.said) == (
        State.FAILED,
        Reason.MODERATION,
        "Frame moderation failed",
    )
    assert failed.output_seconds is None
    assert page.last
    (request,) = luma.vendor.requests
    assert str(request.url) == "https://vendor.example/generations?limit=100&offset=0"
    assert request.headers["Authorization"].startswith("Bearer luma-")


async def test_a_full_page_is_not_the_last_and_count_is_no_total(scripted: Scripted) -> None:
    luma = scripted("luma", LIST | {"has_more": True})
    page = await page_of(luma.feed)
    assert not page.last
    assert page.rows == 3
    await page_of(luma.feed, 1, received=page.rows)
    assert luma.vendor.sent() == {"limit": "100", "offset": "3"}


async def test_a_row_may_lack_everything_but_its_id_and_state(scripted: Scripted) -> None:
    shown = await scripted("luma", {"id": "asked-for", "state": "dreaming"}).observe()
    assert shown == Observation("asked-for", State.RUNNING)


async def test_the_type_may_stand_in_the_row_or_in_the_request_alone(scripted: Scripted) -> None:
    rows = [
        {"id": "a", "state": "queued", "request": {"generation_type": "image"}},
        {"id": "b", "state": "queued", "request": {"generation_type": "upscale_video"}},
        {"id": "c", "state": "queued"},
        {"id": "d", "state": "queued", "generation_type": "image"},
    ]
    page = await page_of(scripted("luma", LIST | {"generations": rows}).feed)
    assert [one.id for one in page.observations] == ["b", "c"]


async def test_a_preview_is_neither_progress_nor_a_result(scripted: Scripted) -> None:
    row = {"id": "asked-for", "state": "dreaming", "assets": {"progress_video": "https://example.invalid/p.mp4"}}
    assert await scripted("luma", row).observe() == Observation("asked-for", State.RUNNING)


async def test_a_word_of_no_table_is_unknown_and_named(scripted: Scripted) -> None:
    odd = await scripted("luma", {"id": "asked-for", "state": "daydreaming"}).observe()
    assert (odd.state, odd.unmapped) == (State.UNKNOWN, frozenset({Field.STATE}))


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Contains blacklisted words", Reason.MODERATION),
        ("Contains blacklisted words: two of them", Reason.MODERATION),
        ("Frame moderation failed", Reason.MODERATION),
        ("Advanced prompt moderation failed", Reason.MODERATION),
        ("Failed to read user input frames", Reason.INVALID_INPUT),
        ("Prompt processing failed", Reason.PROVIDER_INTERNAL),
        ("Job Error", Reason.PROVIDER_INTERNAL),
        ("Job Error: worker 7", Reason.PROVIDER_INTERNAL),
        ("Insufficient credits", Reason.INSUFFICIENT_BALANCE),
        (None, Reason.UNKNOWN),
    ],
)
async def test_the_documented_failures(scripted: Scripted, said: str | None, reason: Reason) -> None:
    row = {"id": "asked-for", "state": "failed", "failure_reason": said}
    shown = await scripted("luma", row).observe()
    assert (shown.state, shown.reason, shown.unmapped) == (State.FAILED, reason, frozenset())


@pytest.mark.parametrize(
    ("status", "detail", "error"),
    [
        (400, "Invalid request", RequestInvalid),
        (400, "Insufficient credits", BalanceExhausted),
        (422, [{"loc": ["query", "limit"], "msg": "value is not a valid integer"}], RequestInvalid),
        (401, "Invalid API key", AuthRefused),
        (403, "Not authenticated", AuthRefused),
        (402, "Payment Required", BalanceExhausted),
        (429, "Too many requests", RateLimited),
        (500, "Internal Server Error", VendorFailed),
    ],
)
async def test_refused_lists(scripted: Scripted, status: int, detail: Any, error: type[CallError]) -> None:
    luma = scripted("luma", (status, {"detail": detail}))
    await luma.refuses(error)


def test_the_balance_is_told_in_cents() -> None:
    declaration = declaration_of("luma")
    assert declaration is not None
    assert declaration.account is not None
    balance = declaration.account.balance
    assert amount_reader(balance.scale)(balance.path({"credit_balance": 1250.5})) == pytest.approx(12.505)
    assert (declaration.account.path, balance.unit) == ("/credits", "usd")


async def test_every_page_is_read_and_images_count_for_nothing(open_account: OpenAccount) -> None:
    account = open_account("luma", page_size=2)
    await account.submit(
        *(Life(f"v{n}", "luma", "generation", NOW - 50 + n, 0.0, 60.0, State.SUCCEEDED) for n in range(5))
    )
    await account.rig.sweep()
    assert account.site.fake.vendors["luma"].requests == {"generation/list": 4}  # of five videos and two images
    await account.rig.sweep(6)
    assert counted(account.rig.loop_of(kind="generation").tracker, "finished_total") == {"succeeded": 5}
    assert account.rig.errors == {}


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "offset=-1"])
async def test_the_fake_enforces_its_limits(open_account: OpenAccount, query: str) -> None:
    account = open_account("luma")
    fake = fake_of("luma")
    async with httpx.AsyncClient() as http:
        headers = {"Authorization": f"Bearer {fake.keys['api_key']}"}
        answer = await http.get(f"{account.site.url}{fake.prefix}/generations?{query}", headers=headers)
        left = await http.get(f"{account.site.url}{fake.prefix}/credits", headers=headers)
    assert answer.status_code == 400
    assert left.json() == {"credit_balance": 1250.5}
