"""Secrets and content: whatever the vendors answer, neither reaches a log, a page or a metric."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.simulator import MARKERS, Credentials, HandClock, World, hang
from tests.harness import NOWHERE, Door, Exporter, Rig, Site, Start, load

TAG = "s3cr3t-TAG"
SECRETS = Credentials(
    deerapi_api_key=f"{TAG}-deer-key",
    deerapi_user_token=f"{TAG}-deer-user",
    deerapi_user_id=f"{TAG}-deer-id",
    chanjing_access_token=f"{TAG}-chan-token",
    chanjing_app_id=f"{TAG}-chan-app",
    chanjing_secret_key=f"{TAG}-chan-key",
    huawei_project_id=f"{TAG}-project",
    huawei_auth_token=f"{TAG}-huawei-token",
    huawei_access_key=f"{TAG}-huawei-access",
    huawei_secret_key=f"{TAG}-huawei-secret",
    huawei_domain=f"{TAG}-domain",
    huawei_username=f"{TAG}-user",
    huawei_password=f"{TAG}-password",
    facewap_token=f"{TAG}-swap-token",
)
FEEDS = ("deer", "chan", "chan-app", "meta-token", "meta-keys", "meta-iam", "swaps")
"""One provider for each way to authenticate."""
CONTENT = f"{TAG} {' '.join(MARKERS)}"


def write(folder: Path, url: str) -> None:
    """Every credential of every vendor: in the file, out of the environment, out of a file."""
    (folder / "token").write_text(SECRETS.facewap_token)
    site = Site(url=url, credentials=SECRETS)
    keyless = {"access_key": None, "secret_key": None}
    providers = [
        site.account("deerapi", name="deer", api_key="${DEER_KEY}", watch={"tasks": {"sora": ["task_nowhere"]}}),
        site.account("chanjing", name="chan"),
        site.account("chanjing", name="chan-app", access_token=None, **SECRETS.to_renew_with("chanjing")),
        site.account("huawei_metastudio", name="meta-token", **keyless, auth_token=SECRETS.huawei_auth_token),
        site.account("huawei_metastudio", name="meta-keys"),
        site.account("huawei_metastudio", name="meta-iam", **keyless, iam=site.iam),
        site.account("facewap", name="swaps", token=None, token_file=str(folder / "token")),
    ]
    assert [one["name"] for one in providers] == list(FEEDS)
    config = {
        "poll_interval": "100ms",
        "request_timeout": "300ms",
        "task_series_limit": 50,
        "ledger": {"path": str(folder / "ledger.sqlite3")},
        "providers": providers,
    }
    (folder / "config.yaml").write_text(json.dumps(config))  # which is YAML too


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """A fault of the vendor that shows all that it was sent, with the content of its tasks."""
    request = Request(scope, receive)
    sent = {"url": str(request.url), "headers": dict(request.headers), "body": (await request.body()).decode()}
    error = {"code": CONTENT, "message": CONTENT, "msg": CONTENT, "error": {"code": CONTENT, "message": CONTENT}}
    await JSONResponse({**error, "error_code": CONTENT, "error_msg": CONTENT, "sent": sent}, 500)(scope, receive, send)


FAULTS: dict[str, ASGIApp | None] = {
    "well": None,
    "hang": hang,
    "echo": echo,
    "401": JSONResponse({"code": 401, "message": CONTENT, "error_code": "APIGW.0301", "error_msg": CONTENT}, 401),
    "refused": JSONResponse({"success": False, "code": 10400, "message": CONTENT, "msg": CONTENT}),
    "unknown code": JSONResponse({"code": CONTENT, "msg": CONTENT, "data": CONTENT}),
    "header": Response(CONTENT, 429, {"Retry-After": "0", "X-Secret": CONTENT}),
    "redirect": RedirectResponse(f"http://127.0.0.1:9/{TAG}?token={TAG}", 302),
    "redirect home": RedirectResponse(f"?token={TAG}", 307),
    "html": HTMLResponse(f"<html>{CONTENT}", 502),
    "html 200": HTMLResponse(f"<html>{CONTENT}"),
    "cut off": Response(f'{{"code": 0, "data": {{"list": [{{"id": "{CONTENT}', media_type="application/json"),
    "wrong shape": JSONResponse({"code": 0, "success": True, "data": {TAG: CONTENT}, "jobs": CONTENT, TAG: TAG}),
    "wrong rows": JSONResponse(
        {
            "code": 0,
            "success": True,
            "jobs": [{"job_id": TAG * 99, "state": CONTENT}, CONTENT],
            "data": {"list": [{"id": f"1\n{TAG}", "status": CONTENT}], "List": [], "items": [{"status": CONTENT}]},
        }
    ),
}


def leaks(told: str) -> list[str]:
    """Whatever of the secrets and the content is in a text, with what stands around it."""
    words = "|".join(map(re.escape, (TAG, *MARKERS)))
    return [told[max(0, one.start() - 80) : one.end() + 20] for one in re.finditer(words, told)]


def everything(exporter: Exporter) -> str:
    """All that the exporter tells anybody."""
    paths = ("", "tasks?per_page=500", "api/v1/providers", "api/v1/tasks?per_page=500", "metrics")
    pages = [exporter.get(path) for path in paths]
    pages.append(exporter.get("metrics", Accept="application/openmetrics-text"))
    return "\n".join((exporter.stdout, exporter.stderr, *pages))


def outages(exporter: Exporter) -> list[str]:
    """The error of each feed that is down."""
    providers = json.loads(exporter.get("api/v1/providers"))["providers"]
    return [feed["outage"]["error"] for one in providers for feed in one["feeds"] if feed["outage"]]


@pytest.fixture
def vendors(door: Door) -> Site:
    door.behind = site = Site(World(seed=3, speed=30, rate=1, history=600), door.url, SECRETS)
    return site


def swept(exporter: Exporter) -> Callable[[], bool]:
    """Whether each feed of each provider has been tried twice from now on."""
    feeds = len(FEEDS) + 2

    def polls() -> dict[str, float]:
        found = re.findall(r"(?m)^videotask_poll_duration_seconds(\{.*\}) (\S+)$", exporter.get("metrics"))
        return {labels: float(value) for labels, value in found}

    before = polls()
    changes: dict[str, set[float]] = {}

    def holds() -> bool:
        for labels, value in polls().items():
            changes.setdefault(labels, {before.get(labels, -1.0)}).add(value)
        return len(changes) == feeds and all(len(values) > 2 for values in changes.values())

    return holds


def test_no_failure_of_a_vendor_tells_a_secret_or_what_a_task_is_about(
    start: Start, vendors: Site, tmp_path: Path
) -> None:
    with Door.opened() as door:
        door.behind = vendors
        write(tmp_path, door.url)
        exporter = start(
            "--config.file=config.yaml",
            "--web.listen-address=127.0.0.1:0",
            "--log.level=debug",
            DEER_KEY=SECRETS.deerapi_api_key,
        )
        failed: set[str] = set()
        for name, fault in FAULTS.items():
            vendors.be_well()
            if fault is not None:
                vendors.fake.faults.update(dict.fromkeys(vendors.fake.vendors, fault))
            exporter.wait_for(f"sweeps while the vendors are: {name}", swept(exporter))
            told = everything(exporter)
            assert leaks(told) == [], name
            failed.update(outages(exporter))
    # Without a vendor at all.
    everywhere = ["connection"] * (len(FEEDS) + 2)
    exporter.wait_for("refused connections", lambda: outages(exporter) == everywhere)
    told = everything(exporter)
    assert leaks(told) == []
    assert {"auth", "timeout", "contract", "provider_internal"} <= failed
    assert exporter.end() == 0
    assert leaks(exporter.stdout + exporter.stderr) == []
    assert "Traceback" not in exporter.stderr


@pytest.mark.anyio
async def test_no_failed_call_that_is_kept_tells_a_secret_or_what_a_task_is_about(
    vendors: Site, tmp_path: Path
) -> None:
    write(tmp_path, vendors.url)
    rig = Rig(HandClock(time.time()))
    for settings in load(tmp_path / "config.yaml", {"DEER_KEY": SECRETS.deerapi_api_key}).providers:
        rig.add(settings)
    loops = rig.loops
    for name, fault in FAULTS.items():
        vendors.fake.faults.update(dict.fromkeys(vendors.fake.vendors, fault or echo))
        await rig.sweep(after=0)
        for loop in loops:
            assert leaks(repr(loop.status)) == [], name
    await rig.aclose()
    kept = [call for loop in loops for call in loop.status.failed_calls]
    assert len(kept) > 10 * len(loops)
    assert {(call.endpoint, call.error) for call in kept} >= {("list", "auth"), ("list", "provider_internal")}
    assert {call.excerpt.partition("(")[0].partition(",")[0] for call in kept} >= {"HTML", "text", "{code: text"}


def test_the_vendors_of_this_test_do_hold_secrets_and_content(vendors: Site) -> None:
    """Or the test above would find nothing because there was nothing."""
    headers = {"access_token": SECRETS.chanjing_access_token}
    with httpx.Client(base_url=vendors.url, headers=headers, trust_env=False) as http:
        path = "/chanjing/open/v1/video_lip_sync/list"
        assert leaks(http.post(path, json={"page_size": 100}).text)
        vendors.fake.faults["chanjing"] = echo
        assert SECRETS.chanjing_access_token in http.post(path).text


def test_no_task_content_is_kept_in_the_ledger(start: Start, vendors: Site, tmp_path: Path) -> None:
    write(tmp_path, vendors.url)
    exporter = start("--config.file=config.yaml", "--web.listen-address=127.0.0.1:0", DEER_KEY=SECRETS.deerapi_api_key)
    exporter.wait_for("sweeps", swept(exporter))
    assert exporter.end() == 0
    kept = (tmp_path / "ledger.sqlite3").read_bytes()
    assert b"succeeded" in kept
    assert [marker for marker in (*MARKERS, TAG) if marker.encode() in kept] == []


def test_a_crash_at_the_start_tells_no_secret(start: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        write(tmp_path, NOWHERE)
        exporter = start(
            "--config.file=config.yaml",
            f"--web.listen-address=127.0.0.1:{taken.getsockname()[1]}",
            "--log.level=debug",
            DEER_KEY=SECRETS.deerapi_api_key,
        )
        assert exporter.end(None) == 1
    assert leaks(exporter.stdout + exporter.stderr) == []
