"""Synthesia: a key without a scheme, lengths as text, and states that are all that tells why a video failed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from exporter.client.errors import AuthRefused, CallError, RateLimited, RequestInvalid, VendorFailed
from exporter.simulator import Life, fake_of
from exporter.tasks import Field, Observation, Reason, State
from tests.harness import NOW, counted, page_of
from tests.vendors.conftest import OpenAccount, Scripted

DONE = "11111111-aaaa-4bbb-8ccc-000000000001"

ROW: dict[str, Any] = {
    "id": DONE,
    "title": "t",
    "status": "complete",
    "createdAt": 1772331300,
    "lastUpdatedAt": 1772331600,
    "duration": "0:00:07",
    "visibility": "private",
    "test": False,
    "callbackId": "c",
    "download": "https://example.invalid/v.mp4",
}


async def test_the_documented_list(scripted: Scripted) -> None:
    synthesia = scripted("synthesia", {"videos": [ROW], "nextOffset": 20}, {"videos": [], "nextOffset": 40})
    page = await page_of(synthesia.feed)
    assert page.observations == [
        Observation(DONE, State.SUCCEEDED, submitted=1772331300, ended=1772331600, output_seconds=7)
    ]
    assert not page.last  # nextOffset is no sign of more
    (request,) = synthesia.vendor.requests
    assert str(request.url) == "https://vendor.example/videos?limit=100&offset=0"
    assert request.headers["Authorization"] == fake_of("synthesia").keys["api_key"]
    assert (await page_of(synthesia.feed, 1, received=page.rows)).last
    assert synthesia.vendor.sent() == {"limit": "100", "offset": "1"}


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("0:00:07", 7),
        ("0:01:07", 67),
        ("1:02:03", 3723),
        ("00:07", 7),
        ("7", 7),
        ("7s", 7),
        (7.5, 7.5),
        ("", None),
        (None, None),
    ],
)
async def test_lengths_are_texts(scripted: Scripted, duration: Any, seconds: float | None) -> None:
    shown = await scripted("synthesia", ROW | {"id": "asked-for", "duration": duration}).observe()
    assert (shown.output_seconds, shown.unmapped) == (seconds, frozenset())


async def test_a_length_that_is_none_costs_itself(scripted: Scripted) -> None:
    shown = await scripted("synthesia", ROW | {"id": "asked-for", "duration": "soon"}).observe()
    assert (shown.state, shown.output_seconds, shown.unmapped) == (State.SUCCEEDED, None, frozenset({Field.OUTPUT}))


@pytest.mark.parametrize(
    ("word", "state", "reason"),
    [
        ("in_progress", State.RUNNING, None),
        ("approved", State.RUNNING, None),
        ("complete", State.SUCCEEDED, None),
        ("rejected", State.FAILED, Reason.MODERATION),
        ("error", State.FAILED, Reason.PROVIDER_INTERNAL),
        ("deleted", State.CANCELLED, None),
    ],
)
async def test_the_state_tells_why(scripted: Scripted, word: str, state: State, reason: Reason | None) -> None:
    shown = await scripted("synthesia", ROW | {"id": "asked-for", "status": word}).observe()
    assert (shown.state, shown.reason, shown.unmapped) == (state, reason, frozenset())
    assert (shown.ended is not None) is state.is_end  # a change of a running video is no end


async def test_a_word_of_no_table_is_unknown_and_named(scripted: Scripted) -> None:
    odd = await scripted("synthesia", ROW | {"id": "asked-for", "status": "archived", "download": None}).observe()
    assert (odd.state, odd.unmapped) == (State.UNKNOWN, frozenset({Field.STATE}))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RequestInvalid),
        (401, AuthRefused),
        (403, AuthRefused),
        (429, RateLimited),
        (500, VendorFailed),
        (503, VendorFailed),
    ],
)
@pytest.mark.parametrize("body", [b"", b"Refused", {"error": "Refused"}, {"message": "Refused"}, []], ids=str)
async def test_refusals_of_any_shape(scripted: Scripted, status: int, body: Any, error: type[CallError]) -> None:
    synthesia = scripted("synthesia", (status, body))
    await synthesia.refuses(error)


@pytest.mark.parametrize("body", [b"", b"Not Found", {"error": "Not found"}], ids=str)
async def test_an_unknown_video(scripted: Scripted, body: Any) -> None:
    await scripted("synthesia", (404, body)).knows_not()


async def test_test_videos_count_unless_the_provider_leaves_them_out(scripted: Scripted) -> None:
    body = {"videos": [ROW, ROW | {"id": "a-test", "test": True}], "nextOffset": 20}
    page = await page_of(scripted("synthesia", body).feed)
    assert [one.id for one in page.observations] == [DONE, "a-test"]
    page = await page_of(scripted("synthesia", body, where="!test").feed)
    assert [one.id for one in page.observations] == [DONE]
    assert page.rows == 2


async def test_pages_of_the_history_are_read_and_no_more(open_account: OpenAccount) -> None:
    account = open_account("synthesia", page_size=10)
    young = (Life(f"v{n}", "synthesia", "video", NOW - 50 + n, 0.0, 60.0, State.SUCCEEDED) for n in range(15))
    old = (Life(f"o{n}", "synthesia", "video", NOW - 200_000 + n, 0.0, 60.0, State.SUCCEEDED) for n in range(100))
    await account.submit(*young, *old)
    await account.rig.sweep()
    assert account.site.fake.vendors["synthesia"].requests == {"video/list": 3}
    await account.rig.sweep(6)
    assert counted(account.rig.loop_of(kind="video").tracker, "finished_total") == {"succeeded": 15}


async def test_the_fake_enforces_its_limits(open_account: OpenAccount) -> None:
    account = open_account("synthesia")
    fake = fake_of("synthesia")
    async with httpx.AsyncClient(base_url=account.site.url + fake.prefix) as http:
        none = await http.get("/videos")
        wrong = await http.get("/videos", headers={"Authorization": f"Bearer {fake.keys['api_key']}"})
        http.headers["Authorization"] = fake.keys["api_key"]
        queries = ("limit=0", "limit=101", "offset=-1", "offset=x")
        statuses = [(await http.get(f"/videos?{query}")).status_code for query in queries]
    assert (none.status_code, wrong.status_code, statuses) == (401, 403, [400] * 4)
