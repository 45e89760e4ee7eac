"""ComfyUI: what its rows tell though they leave out much, whose words failures have, and headers for proxies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from exporter.client.errors import AuthRefused, CallError, RateLimited, RequestInvalid, VendorFailed
from exporter.client.redaction.own import credentials_of
from exporter.config.load import ConfigError
from exporter.simulator import Life, fake_of
from exporter.tasks import Cause, Field, Observation, Reason, State
from tests.harness import NOW, STEP, counted, load, page_of, settings_of
from tests.vendors.conftest import OpenAccount, Scripted

DONE, FAILED = "11111111-aaaa-4bbb-8ccc-000000000001", "11111111-aaaa-4bbb-8ccc-000000000002"
LIST: dict[str, Any] = {
    "jobs": [
        {
            "id": DONE,
            "status": "completed",
            "priority": 7,
            "create_time": 1772331300120,
            "execution_start_time": 1772331302000,
            "execution_end_time": 1772331391000,
            "outputs_count": 1,
            "workflow_id": "w1",
        },
        {
            "id": FAILED,
            "status": "failed",
            "priority": 8,
            "create_time": 1772331310000,
            "execution_start_time": 1772331391500,
            "execution_end_time": 1772331393000,
            "outputs_count": 0,
            "execution_error": {
                "node_id": "3",
                "node_type": "KSampler",
                "exception_type": "torch.OutOfMemoryError",
                "exception_message": "Allocation on device",
            },
        },
    ],
    "pagination": {"offset": 0, "limit": 100, "total": 2, "has_more": False},
}
HEADER = "header-SENTINEL-0123456789"


async def test_the_documented_list(scripted: Scripted) -> None:
    comfyui = scripted("comfyui", LIST)
    page = await page_of(comfyui.feed)
    done, failed = page.observations
    assert done == Observation(
        DONE,
        State.SUCCEEDED,
        submitted=1772331300.12,
        started=1772331302,
        ended=1772331391,
        model="w1",
    )
    assert (failed.id, failed.state, failed.reason) == (FAILED, State.FAILED, Reason.PROVIDER_INTERNAL)
    assert failed.said == "torch.OutOfMemoryError Allocation on device"
    assert page.last
    (request,) = comfyui.vendor.requests
    url = "https://vendor.example/api/jobs?limit=100&offset=0&sort_by=created_at&sort_order=desc"
    assert str(request.url) == url
    assert "Authorization" not in request.headers


async def test_pages_go_on_while_the_server_has_more(scripted: Scripted) -> None:
    comfyui = scripted("comfyui", LIST | {"pagination": {"offset": 0, "limit": 2, "total": 5, "has_more": True}})
    assert not (await page_of(comfyui.feed)).last
    await page_of(comfyui.feed, 1, received=2)
    assert comfyui.vendor.sent()["offset"] == "2"


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("pending", State.QUEUED),
        ("in_progress", State.RUNNING),
        ("completed", State.SUCCEEDED),
        ("failed", State.FAILED),
        ("cancelled", State.CANCELLED),
    ],
)
async def test_a_row_may_tell_its_state_and_nothing_else(scripted: Scripted, word: str, state: State) -> None:
    shown = await scripted("comfyui", {"id": "asked-for", "status": word}).observe()
    assert (shown.state, shown.submitted, shown.model, shown.unmapped) == (state, None, "", frozenset())


async def test_a_state_of_no_table_is_unknown_and_named(scripted: Scripted) -> None:
    odd = await scripted("comfyui", {"id": "asked-for", "status": "dreaming"}).observe()
    assert (odd.state, odd.unmapped) == (State.UNKNOWN, frozenset({Field.STATE}))


@pytest.mark.parametrize(
    ("kind", "message", "reason"),
    [
        ("torch.OutOfMemoryError", "Allocation on device", Reason.PROVIDER_INTERNAL),
        ("torch.cuda.OutOfMemoryError", "Allocation on device", Reason.PROVIDER_INTERNAL),
        ("OutOfMemoryError", "", Reason.PROVIDER_INTERNAL),
        ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied", Reason.PROVIDER_INTERNAL),
        ("torch.linalg.LinAlgError", "singular", Reason.PROVIDER_INTERNAL),
        ("ValueError", "Expected 81 frames, got 80", Reason.INVALID_INPUT),
        ("FileNotFoundError", "clip.mp4", Reason.INVALID_INPUT),
        ("KeyError", "'samples'", Reason.INVALID_INPUT),
        ("RuntimeError", "The output was blocked by content moderation", Reason.MODERATION),
        ("ValueError", "Insufficient credits", Reason.INSUFFICIENT_BALANCE),
        ("Exception", "Payment Required: Please add credits to your account", Reason.INSUFFICIENT_BALANCE),
        ("Exception", "Request timed out", Reason.TIMEOUT),
    ],
)
async def test_the_kinds_of_failures(scripted: Scripted, kind: str, message: str, reason: Reason) -> None:
    error = {"exception_type": kind, "exception_message": message}
    shown = await scripted("comfyui", {"id": "asked-for", "status": "failed", "execution_error": error}).observe()
    assert (shown.state, shown.reason, shown.unmapped) == (State.FAILED, reason, frozenset())


async def test_an_exception_of_no_table_is_named(scripted: Scripted) -> None:
    error = {"exception_type": "my_nodes.OddError", "exception_message": "odd"}
    shown = await scripted("comfyui", {"id": "asked-for", "status": "failed", "execution_error": error}).observe()
    assert (shown.reason, shown.strange) == (Reason.UNKNOWN, ((Field.REASON, "my_nodes.odderror"),))


async def test_an_interruption_is_a_cancel(scripted: Scripted) -> None:
    error = {"exception_type": "comfy.model_management.InterruptProcessingException"}
    shown = await scripted("comfyui", {"id": "asked-for", "status": "failed", "execution_error": error}).observe()
    assert (shown.state, shown.reason) == (State.CANCELLED, None)


async def test_an_unknown_id_is_an_answer(scripted: Scripted) -> None:
    comfyui = scripted("comfyui", (404, {"error": "Job not found"}))
    await comfyui.knows_not("j/1")
    assert str(comfyui.vendor.requests[0].url) == "https://vendor.example/api/jobs/j%2F1"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"error": "limit must be a positive integer"}, RequestInvalid),
        (401, b"Unauthorized", AuthRefused),
        (429, b"429: Too Many Requests", RateLimited),
        (500, b"500 Internal Server Error", VendorFailed),
    ],
)
async def test_refused_lists(scripted: Scripted, status: int, body: Any, error: type[CallError]) -> None:
    comfyui = scripted("comfyui", (status, body))
    await comfyui.refuses(error)


async def test_a_version_without_jobs_is_told_as_a_wrong_address(scripted: Scripted) -> None:
    with pytest.raises(RequestInvalid) as caught:
        await page_of(scripted("comfyui", (404, b"404: Not Found")).feed)
    assert caught.value.cause is Cause.WRONG_URL


async def test_the_word_after_a_headers_scheme_is_not_repeated(scripted: Scripted) -> None:
    body = {"error": "the request has no valid token"}
    comfyui = scripted("comfyui", (403, body), headers={"Authorization": "Bearer token"})
    with pytest.raises(AuthRefused) as caught:
        await page_of(comfyui.feed)
    assert "request" in caught.value.excerpt
    assert "token" not in caught.value.excerpt


async def test_headers_are_sent_and_never_repeated(scripted: Scripted) -> None:
    given = {"Authorization": f"Bearer {HEADER}", "X-Proxy-Id": "a b"}
    comfyui = scripted("comfyui", (403, f"no access for {HEADER}".encode()), headers=given)
    with pytest.raises(AuthRefused) as caught:
        await page_of(comfyui.feed)
    (request,) = comfyui.vendor.requests
    assert {name: request.headers[name] for name in given} == given
    assert HEADER not in caught.value.excerpt
    settings = settings_of({"type": "comfyui", "base_url": "http://gpu:8188", "headers": given})
    assert HEADER not in repr(settings)
    assert credentials_of(settings) == set(given.values())


def test_a_header_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "header"
    file.write_text(f"Bearer {HEADER}\n")
    given = {"type": "comfyui", "base_url": "http://gpu:8188", "headers": {"Authorization_file": str(file)}}
    assert credentials_of(settings_of(given)) == {f"Bearer {HEADER}"}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("headers: {X Proxy: a}", "not the name of a header; write letters, digits and hyphens"),
        ("headers: {X-Proxy: café}", "holds a line break or another sign that no header can carry"),
        ("headers: [a]", "not a mapping; write keys with values"),
        ("headers: {X-Proxy_file: /nowhere/at/all}", "cannot be read: No such file or directory"),
        ("where: 'status =='", "not a JMESPath expression"),
    ],
)
def test_faults_of_settings_are_told_where_they_stand(tmp_path: Path, lines: str, words: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"providers:\n  - name: gpu\n    type: comfyui\n    base_url: http://gpu:8188\n    {lines}\n")
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    (fault,) = caught.value.faults
    assert words in fault
    assert "config.yaml:5: " in fault
    assert "café" not in fault


def test_the_address_has_no_default_and_no_path_of_a_route() -> None:
    with pytest.raises(ValidationError):
        settings_of({"type": "comfyui"})
    with pytest.raises(ValidationError):
        settings_of({"type": "comfyui", "base_url": "http://gpu:8188/api"})


async def test_a_restart_of_the_server_loses_its_jobs(open_account: OpenAccount) -> None:
    account = open_account("comfyui")
    lives = [
        Life(f"j{n}", "comfyui", "job", NOW - 50, 0.0, 999.0, State.SUCCEEDED, vanishes_after=90) for n in range(3)
    ]
    await account.submit(*lives)
    await account.rig.sweep()
    tracker = account.rig.loop_of(kind="job").tracker
    assert len(tracker.in_flight) == 3
    await account.rig.sweep(20, after=STEP)
    assert counted(tracker, "finished_total") == {"lost": 3}
    assert account.rig.errors == {}


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "sort_by=name"])
async def test_the_fake_enforces_its_limits(open_account: OpenAccount, query: str) -> None:
    account = open_account("comfyui")
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{account.site.url}{fake_of('comfyui').prefix}/api/jobs?{query}")
    assert answer.status_code == 400
