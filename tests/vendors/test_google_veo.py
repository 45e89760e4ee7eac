"""Google Veo: names with slashes, ends without a word for them, and codes of google.rpc."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from exporter.client.errors import (
    AuthRefused,
    BalanceExhausted,
    CallError,
    RateLimited,
    RequestInvalid,
    TaskNotFound,
    VendorFailed,
)
from exporter.simulator import Life, fake_of
from exporter.tasks import Field, Observation, Reason, State
from tests.harness import NOW, counted
from tests.vendors.conftest import OpenAccount, Scripted
from tests.web.serving import served

MODEL = "veo-3.1-generate-preview"
NAME = f"models/{MODEL}/operations/op000000001"
VERTEX = "projects/p/locations/us-central1/publishers/google/models/veo-3.1-generate-001/operations/11111111-aaaa"
KIND = "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningResponse"
VIDEO = {"video": {"uri": "https://example.invalid/v.mp4"}}


def done(**response: Any) -> dict[str, Any]:
    return {"name": NAME, "done": True, "response": {"@type": KIND, "generateVideoResponse": response}}


def failed(code: int, message: str) -> dict[str, Any]:
    return {"name": NAME, "done": True, "error": {"code": code, "message": message, "details": []}}


async def test_an_operation_is_asked_for_by_its_name_with_its_slashes(scripted: Scripted) -> None:
    veo = scripted("google_veo", {"name": NAME})
    assert await veo.observe(NAME) == Observation(NAME, State.RUNNING, model=MODEL)
    (request,) = veo.vendor.requests
    assert str(request.url) == f"https://vendor.example/{NAME}"
    assert request.headers["x-goog-api-key"] == fake_of("google_veo").keys["api_key"]
    assert not veo.feed.lists


async def test_no_name_leads_to_another_path(scripted: Scripted) -> None:
    veo = scripted("google_veo", (404, {"error": {"code": 404, "status": "NOT_FOUND"}}))
    with pytest.raises(TaskNotFound):
        await veo.feed.look_up("models/../../v1/files?key=x#y")
    assert veo.vendor.requests[0].url.raw_path == b"/models/%2E%2E/%2E%2E/v1/files%3Fkey%3Dx%23y"


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        ({"name": NAME, "done": False}, State.RUNNING, None),
        (done(generatedSamples=[VIDEO]), State.SUCCEEDED, None),
        (done(generatedSamples=[VIDEO], raiMediaFilteredCount=1), State.SUCCEEDED, None),
        (done(raiMediaFilteredCount=1, raiMediaFilteredReasons=["The audio was blocked."]), State.FAILED, "moderation"),
        (done(raiMediaFilteredReasons=["It must be blocked."]), State.FAILED, "moderation"),
        (done(raiMediaFilteredCount=2), State.FAILED, "moderation"),
        (done(raiMediaFilteredCount=0), State.FAILED, "unknown"),
        (done(generatedSamples=[]), State.FAILED, "unknown"),
        (done(generatedSamples=[{}]), State.FAILED, "unknown"),
        (done(), State.FAILED, "unknown"),
        ({"name": NAME, "done": True}, State.FAILED, "unknown"),
        (failed(1, "The operation was cancelled."), State.CANCELLED, None),
    ],
)
async def test_what_an_operation_has_tells_its_state(
    scripted: Scripted, answer: dict[str, Any], state: State, reason: str | None
) -> None:
    shown = await scripted("google_veo", answer).observe(NAME)
    assert (shown.state, shown.reason, shown.unmapped) == (state, Reason(reason) if reason else None, frozenset())


@pytest.mark.parametrize(
    ("response", "state"),
    [
        ({"videos": [{"gcsUri": "gs://bucket/v.mp4", "mimeType": "video/mp4"}]}, State.SUCCEEDED),
        ({"videos": [{"bytesBase64Encoded": "AAAA" * 1000, "mimeType": "video/mp4"}]}, State.SUCCEEDED),
        ({"generatedSamples": [VIDEO]}, State.SUCCEEDED),
        ({"raiMediaFilteredCount": 1}, State.FAILED),
    ],
)
async def test_a_response_in_the_form_of_vertex_is_understood_too(
    scripted: Scripted, response: dict[str, Any], state: State
) -> None:
    veo = scripted("google_veo", {"name": VERTEX, "done": True, "response": response})
    shown = await veo.observe(VERTEX)
    assert (shown.state, shown.model) == (state, "veo-3.1-generate-001")


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        (2, "", Reason.PROVIDER_INTERNAL),
        (3, "Unsupported output video duration.", Reason.INVALID_INPUT),
        (3, "The prompt could not be submitted: it violates the usage guidelines.", Reason.MODERATION),
        (3, "Blocked by Safety settings.", Reason.MODERATION),
        (3, "Against our policies.", Reason.MODERATION),
        (3, "Against Google's Responsible AI practices.", Reason.MODERATION),
        (4, "Deadline exceeded", Reason.TIMEOUT),
        (5, "The file was not found.", Reason.INVALID_INPUT),
        (7, "Permission denied", Reason.AUTH),
        (8, "Resource exhausted", Reason.RATE_LIMITED),
        (8, "You exceeded your current quota, check your plan and billing details.", Reason.INSUFFICIENT_BALANCE),
        (8, "Your prepayment credits are depleted.", Reason.INSUFFICIENT_BALANCE),
        (8, "The project has exceeded its monthly spending cap.", Reason.INSUFFICIENT_BALANCE),
        (9, "The model is not available here.", Reason.INVALID_INPUT),
        (13, "Internal error. Check your input for safety.", Reason.PROVIDER_INTERNAL),
        (14, "The service is currently unavailable.", Reason.PROVIDER_INTERNAL),
        (16, "Request had invalid credentials.", Reason.AUTH),
    ],
)
async def test_codes_of_google_rpc(scripted: Scripted, code: int, message: str, reason: Reason) -> None:
    shown = await scripted("google_veo", failed(code, message)).observe(NAME)
    assert (shown.state, shown.reason, shown.unmapped) == (State.FAILED, reason, frozenset())


async def test_a_code_of_no_table_is_unknown_and_named(scripted: Scripted) -> None:
    odd = await scripted("google_veo", failed(12, "Not today.")).observe(NAME)
    assert (odd.state, odd.reason, odd.unmapped) == (State.FAILED, Reason.UNKNOWN, frozenset({Field.REASON}))


@pytest.mark.parametrize("message", [None, 5, ["safety"], {}])
async def test_a_message_of_an_odd_shape_costs_nothing_else(scripted: Scripted, message: Any) -> None:
    answer = {"name": NAME, "done": True, "error": {"code": 3, "message": message}}
    shown = await scripted("google_veo", answer).observe(NAME)
    assert shown.state is State.FAILED
    assert shown.reason in (Reason.INVALID_INPUT, Reason.MODERATION)


@pytest.mark.parametrize("percent", [40, "40%"])
async def test_progress_is_read_where_it_is_told(scripted: Scripted, percent: object) -> None:
    answer = {"name": NAME, "metadata": {"@type": "x", "progressPercent": percent}}
    assert (await scripted("google_veo", answer).observe(NAME)).progress == pytest.approx(0.4)


def refused(status: int, message: str, reason: str = "") -> tuple[int, Any]:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}] if reason else []
    return status, {"error": {"code": status, "message": message, "status": "SOME_STATUS", "details": details}}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refused(400, "API key not valid. Please pass a valid API key.", "API_KEY_INVALID"), AuthRefused),
        (refused(400, "API key not valid. Please pass a valid API key."), AuthRefused),
        (refused(400, "Clé API incorrecte.", "API_KEY_INVALID"), AuthRefused),
        (refused(400, "Invalid operation name."), RequestInvalid),
        (refused(401, "Request had invalid authentication credentials."), AuthRefused),
        (refused(403, "The caller does not have permission", "SERVICE_DISABLED"), AuthRefused),
        (refused(429, "Resource has been exhausted (e.g. check quota).", "RATE_LIMIT_EXCEEDED"), RateLimited),
        (refused(429, "You exceeded your current quota, check your plan and billing details."), BalanceExhausted),
        (refused(429, "Your project has exceeded its monthly spending cap."), BalanceExhausted),
        (refused(500, "Internal error encountered."), VendorFailed),
        (refused(503, "The model is overloaded."), VendorFailed),
    ],
)
async def test_refused_look_ups(scripted: Scripted, answer: tuple[int, Any], error: type[CallError]) -> None:
    veo = scripted("google_veo", answer)
    await veo.refuses(error, NAME)


async def test_a_callback_names_the_operation(scripted: Scripted) -> None:
    assert scripted("google_veo", {}).feed.called_back({"name": NAME, "done": True}) == [NAME]


async def test_without_any_time_no_duration_is_made_up(open_account: OpenAccount) -> None:
    account = open_account("google_veo")
    await account.submit(Life(NAME, "google_veo", "operation", NOW + 5, 0.0, 30.0, State.SUCCEEDED, model=MODEL))
    await account.rig.sweep(6)
    tracker = account.rig.loop_of(kind="operation").tracker
    assert counted(tracker, "finished_total") == {"succeeded": 1}
    assert counted(tracker, "unmeasured_durations_total") == {"queue": 1, "run": 1, "total": 1}


async def test_pages_and_api_take_and_show_an_operation_by_its_name(open_account: OpenAccount) -> None:
    account = open_account("google_veo")
    account.site.world.add(Life(NAME, "google_veo", "operation", NOW - 30, 0.0, None, model=MODEL))
    async with served(account.rig.app(takes_tasks=lambda: True)) as http:
        wanted = {"provider": "google_veo", "kind": "operation", "ids": [NAME]}
        taken = await http.post("/api/v1/tasks", json=wanted)
        assert taken.json() == {"new": 1, "known": 0, "ended": 0, "refused": []}
        await account.rig.sweep(2)
        for path in (f"google_veo/operation/{NAME}", f"google_veo/operation/{quote(NAME, safe='')}"):
            shown = await http.get(f"/api/v1/tasks/{path}")
            assert (shown.status_code, shown.json()["id"]) == (200, NAME)
            page = await http.get(f"/tasks/{path}")
            assert page.status_code == 200
            assert NAME in page.text
