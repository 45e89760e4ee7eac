"""Replicate: what its rows tell, how its list goes on, which models are no videos, and how failures read."""

from __future__ import annotations

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
    VendorFailed,
)
from exporter.simulator import Life, fake_of
from exporter.tasks import Field, Observation, Reason, State
from exporter.vendors.api import Position
from tests.harness import NOW, counted, page_of, settings_of
from tests.vendors.conftest import OpenAccount, Scripted

DONE, FAILED = "aaaa0000000000000000000001", "aaaa0000000000000000000002"
LIST: dict[str, Any] = {
    "previous": None,
    "next": "https://vendor.example/predictions?cursor=c2",
    "results": [
        {
            "id": DONE,
            "model": "acme/video-model",
            "version": "hidden",
            "status": "succeeded",
            "source": "api",
            "created_at": "2026-03-01T10:15:00.120000Z",
            "started_at": "2026-03-01T10:15:04.500000Z",
            "completed_at": "2026-03-01T10:16:10.250000Z",
            "data_removed": False,
            "error": None,
            "metrics": {"predict_time": 65.75, "total_time": 70.13},
        },
        {
            "id": FAILED,
            "model": "acme/video-model",
            "version": "hidden",
            "status": "failed",
            "source": "api",
            "created_at": "2026-03-01T10:10:00.000000Z",
            "started_at": "2026-03-01T10:10:01.000000Z",
            "completed_at": "2026-03-01T10:10:03.000000Z",
            "error": "NSFW content detected. Try running it again, or try a different prompt.",
            "metrics": {"predict_time": 2.0},
        },
    ],
}


async def test_the_documented_list(scripted: Scripted) -> None:
    replicate = scripted("replicate", LIST)
    page = await page_of(replicate.feed)
    done, failed = page.observations
    assert done == Observation(
        DONE,
        State.SUCCEEDED,
        submitted=1772360100.12,
        started=1772360104.5,
        ended=1772360170.25,
        model="acme/video-model",
        usage=(("seconds", 65.75),),
    )
    assert (failed.id, failed.state, failed.reason) == (FAILED, State.FAILED, Reason.MODERATION)
    assert not page.last
    (request,) = replicate.vendor.requests
    assert str(request.url) == "https://vendor.example/predictions"
    assert request.headers["Authorization"].startswith("Bearer r8_")


async def test_the_next_page_is_where_the_vendor_says(scripted: Scripted) -> None:
    replicate = scripted("replicate", LIST, LIST | {"next": None, "results": []})
    page = await page_of(replicate.feed)
    assert (await replicate.feed.list_page(Position(1, page.rows, page.cursor))).last
    assert str(replicate.vendor.requests[1].url) == "https://vendor.example/predictions?cursor=c2"


@pytest.mark.parametrize("link", ["https://elsewhere.example/v1/predictions?cursor=c2", "//elsewhere.example/x"])
async def test_a_next_page_on_another_host_gets_no_token(scripted: Scripted, link: str) -> None:
    replicate = scripted("replicate", LIST | {"next": link})
    with pytest.raises(ContractBroken):
        await page_of(replicate.feed)
    assert len(replicate.vendor.requests) == 1


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("starting", State.QUEUED),
        ("processing", State.RUNNING),
        ("succeeded", State.SUCCEEDED),
        ("failed", State.FAILED),
        ("canceled", State.CANCELLED),
        ("aborted", State.CANCELLED),
    ],
)
async def test_the_documented_states(scripted: Scripted, word: str, state: State) -> None:
    shown = await scripted("replicate", {"id": "asked-for", "status": word}).observe()
    assert (shown.state, shown.unmapped) == (state, frozenset())


async def test_a_state_of_no_table_is_unknown_and_named(scripted: Scripted) -> None:
    odd = await scripted("replicate", {"id": "asked-for", "status": "paused"}).observe()
    assert (odd.state, odd.unmapped) == (State.UNKNOWN, frozenset({Field.STATE}))


async def test_an_end_before_the_submission_is_the_submission(scripted: Scripted) -> None:
    row = {
        "id": "asked-for",
        "status": "succeeded",
        "created_at": "2026-03-01T10:15:00.120000Z",
        "completed_at": "2026-03-01T10:14:59.000000Z",
    }
    shown = await scripted("replicate", row).observe()
    assert shown.ended == shown.submitted == 1772360100.12


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("NSFW content detected. Try running it again, or try a different prompt.", Reason.MODERATION),
        ("The input or output was flagged as sensitive. (E005)", Reason.MODERATION),
        ("It did not work. (E005)", Reason.MODERATION),
        ("CUDA out of memory. Tried to allocate 2.00 GiB", Reason.PROVIDER_INTERNAL),
        ("Prediction interrupted; please retry (code: PA)", Reason.PROVIDER_INTERNAL),
        ("Director: unexpected error handling prediction (E8765)", Reason.PROVIDER_INTERNAL),
        ("Prediction timed out", Reason.TIMEOUT),
        ("Invalid aspect ratio", Reason.INVALID_INPUT),
        ("num_frames must be 81 or more", Reason.INVALID_INPUT),
        ("", Reason.UNKNOWN),
        (None, Reason.UNKNOWN),
    ],
)
async def test_the_words_of_failures(scripted: Scripted, said: str | None, reason: Reason) -> None:
    shown = await scripted("replicate", {"id": "asked-for", "status": "failed", "error": said}).observe()
    assert (shown.reason, shown.unmapped) == (reason, frozenset())


async def test_words_that_nobody_knows_are_counted(scripted: Scripted) -> None:
    row = {"id": "asked-for", "status": "failed", "error": "list index 3"}
    shown = await scripted("replicate", row).observe()
    assert (shown.reason, shown.unmapped) == (Reason.UNKNOWN, frozenset({Field.REASON}))


async def test_what_models_call_an_error_need_not_be_a_text(scripted: Scripted) -> None:
    row = {"id": "asked-for", "status": "failed", "error": {"message": "odd"}}
    assert (await scripted("replicate", row).observe()).reason is Reason.UNKNOWN


@pytest.mark.parametrize(
    ("model", "is_video"),
    [
        ("black-forest-labs/flux-schnell", False),
        ("stability-ai/sdxl", False),
        ("stability-ai/stable-diffusion-3.5-large", False),
        ("stability-ai/stable-video-diffusion", True),
        ("openai/gpt-5", False),
        ("openai/sora-2", True),
        ("google/imagen-4", False),
        ("google/veo-3", True),
        ("acme/own-model", True),
        (None, True),
    ],
)
async def test_models_that_are_known_to_make_no_videos_are_left_out(
    scripted: Scripted, model: str | None, is_video: bool
) -> None:
    row = {"id": "p", "status": "starting", "model": model}
    page = await page_of(scripted("replicate", {"next": None, "results": [row]}).feed)
    assert (len(page.observations), page.others) == (int(is_video), int(not is_video))


async def test_a_provider_names_the_models_that_count(scripted: Scripted) -> None:
    rows = [{"id": f"p{n}", "status": "starting", "model": model} for n, model in enumerate(("a/video", "a/other"))]
    replicate = scripted("replicate", {"next": None, "results": rows}, where="contains(['a/video'], model)")
    assert [one.id for one in (await page_of(replicate.feed)).observations] == ["p0"]


@pytest.mark.parametrize(
    ("status", "detail", "error"),
    [
        (401, "You did not pass an authentication token", AuthRefused),
        (402, "You have insufficient credit to run this model.", BalanceExhausted),
        (402, "Please set up a means of payment", BalanceExhausted),
        (422, "The cursor is not valid.", RequestInvalid),
        (429, "Request was throttled. Your rate limit resets in ~30s.", RateLimited),
        (500, "Internal server error", VendorFailed),
    ],
)
async def test_refused_lists(scripted: Scripted, status: int, detail: str, error: type[CallError]) -> None:
    body = {"type": "https://replicate.com/problem", "title": "A problem", "status": status, "detail": detail}
    replicate = scripted("replicate", (status, body))
    await replicate.refuses(error)


async def test_an_unknown_id_is_an_answer(scripted: Scripted) -> None:
    replicate = scripted("replicate", (404, {"detail": "Not found", "status": 404}))
    await replicate.knows_not("p/1")
    assert str(replicate.vendor.requests[0].url) == "https://vendor.example/predictions/p%2F1"


async def test_pages_are_followed_and_images_count_for_nothing(open_account: OpenAccount) -> None:
    account = open_account("replicate")
    await account.submit(
        *(Life(f"v{n:03}", "replicate", "prediction", NOW - 500 + n, 0.0, 600.0, State.SUCCEEDED) for n in range(150))
    )
    await account.rig.sweep()
    assert account.site.fake.vendors["replicate"].requests["prediction/list"] == 2  # 150 videos and 21 images
    tracker = account.rig.loop_of(kind="prediction").tracker
    assert len(tracker.in_flight) == 150
    await account.rig.sweep(50)
    assert counted(tracker, "finished_total") == {"succeeded": 150}
    assert account.rig.errors == {}


async def test_the_fake_refuses_a_cursor_of_its_own_making_alone(open_account: OpenAccount) -> None:
    account = open_account("replicate")
    fake = fake_of("replicate")
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {fake.keys['api_token']}"}) as http:
        answer = await http.get(f"{account.site.url}{fake.prefix}/predictions?cursor=%FF")
    assert answer.status_code == 422


def test_the_vendors_own_address() -> None:
    given = {"type": "replicate", "api_token": "r8_0123456789"}
    written = {**given, "base_url": "https://api.replicate.com/v1/"}
    assert settings_of(given).base_url == settings_of(written).base_url == "https://api.replicate.com/v1"
