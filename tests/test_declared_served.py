"""A declared vendor from its file to what is served: metrics, pages, API, doctor, and reloads when the file changes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.harness import JsonVendor, served

ACME = """\
acme:
  title: Acme
  base_url: https://api.acme.example
  credentials: [api_key]
  auth: {type: header, name: X-Key, credential: api_key}
  answer: {ok: code == `0`, code: code, text: message}
  feeds:
    render:
      list:
        path: /renders
        query: {page: "{page}", size: "{page_size}"}
        rows: data
        paging: {type: page}
      detail: {path: "/renders/{id}", row: data}
      fields:
        id: id
        state: status
        submitted: created_at
        started: started_at
        ended: ended_at
        progress: percent
        output: seconds
        code: error
      states: {queued: [waiting], running: [rendering], succeeded: [done], failed: [failed]}
      reasons: {moderation: [E_UNSAFE]}
"""
KEY = "acme-key-SENTINEL"


class Acme(JsonVendor):
    """Answers one page of the renders that there are, and each by its id."""

    rows: ClassVar[list[dict[str, Any]]]

    def get(self) -> None:
        if self.headers["X-Key"] != KEY:
            self.answer(200, {"code": 7, "message": "key unknown"})
        elif self.path.startswith("/renders?page=1&"):
            self.answer(200, {"code": 0, "data": self.rows})
        elif self.path.startswith("/renders?"):
            self.answer(200, {"code": 0, "data": []})
        else:
            found = [row for row in self.rows if self.path == f"/renders/{row['id']}"]
            self.answer(200 if found else 404, {"code": 0, "data": found[0]} if found else {})


@pytest.fixture
def vendor() -> Iterator[str]:
    begun = time.time() - 300
    Acme.rows = [
        {"id": "r-4", "status": "waiting", "created_at": begun + 200},
        {"id": "r-3", "status": "rendering", "percent": 40, "created_at": begun + 100, "started_at": begun + 110},
        {"id": "r-2", "status": "failed", "created_at": begun, "ended_at": begun + 40, "error": "E_UNSAFE"},
        {"id": "r-1", "status": "done", "created_at": begun, "started_at": begun + 60, "ended_at": begun + 180}
        | {"seconds": 8},
    ]
    with served(Acme) as address:
        yield address


def write(folder: Path, url: str) -> None:
    (folder / "vendors").mkdir()
    (folder / "vendors" / "acme.yaml").write_text(ACME)
    provider = {"name": "mine", "type": "acme", "base_url": url, "api_key_file": "key"}
    config = {"vendor_files": ["vendors/*.yaml"], "providers": [provider], "poll_interval": "100ms"}
    (folder / "config.yaml").write_text(json.dumps(config | {"ledger": {"path": ":memory:"}, "task_series_limit": 5}))
    (folder / "key").write_text(KEY)


SERVED = ("--config.file=config.yaml", "--web.listen-address=127.0.0.1:0", "--web.enable-lifecycle")


def value(exporter: Any, name: str, **labels: str) -> object:
    labels |= {"provider": "mine"} | ({} if name == "provider_info" else {"kind": "render"})
    written = ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))
    return exporter.value(f"videotask_{name}{{{written}}}")


def test_a_declared_vendor_is_served_like_any_other(vendor: str, start: Callable[..., Any], tmp_path: Path) -> None:
    write(tmp_path, vendor)
    exporter = start(*SERVED)
    exporter.wait_for("the first sweep", lambda: value(exporter, "up") == 1)
    assert value(exporter, "provider_info", type="acme") == 1
    assert value(exporter, "feed_info", clock="provider") == 1
    assert [value(exporter, "tasks", state=state) for state in ("queued", "running", "unknown")] == [1, 1, 0]
    assert [value(exporter, "finished_total", state=state) for state in ("succeeded", "failed")] == [1, 1]
    assert value(exporter, "failures_total", reason="moderation") == 1
    assert value(exporter, "run_duration_seconds_sum", state="succeeded") == pytest.approx(120)
    assert value(exporter, "output_seconds_total") == 8
    assert value(exporter, "task_progress_ratio", task_id="r-3") == pytest.approx(0.4)

    status, listed, task = exporter.get(), exporter.get("tasks"), exporter.get("tasks/mine/render/r-2")
    assert "mine" in status
    assert "render" in status
    assert all(f"r-{number}" in listed for number in range(1, 5))
    assert "moderation" in task
    (account,) = json.loads(exporter.get("api/v1/providers"))["providers"]
    assert (account["name"], account["type"]) == ("mine", "acme")
    tasks = json.loads(exporter.get("api/v1/tasks?kind=render&state=failed"))["tasks"]
    assert [one["id"] for one in tasks] == ["r-2"]

    Acme.rows[1] |= {"status": "done", "ended_at": time.time(), "seconds": 5}
    exporter.wait_for("an end", lambda: value(exporter, "finished_total", state="succeeded") == 2)
    assert value(exporter, "output_seconds_total") == 13
    assert exporter.end() == 0
    assert KEY not in exporter.stderr + status + listed + task


def test_the_doctor_examines_a_declared_vendor(vendor: str, start: Callable[..., Any], tmp_path: Path) -> None:
    write(tmp_path, vendor)
    doctor = start("doctor", "--json", "--config.file=config.yaml")
    assert doctor.end(None) == 0, doctor.stdout
    (feed,) = json.loads(doctor.stdout)["feeds"]
    assert [call["request"].split("?")[0] for call in feed["calls"]] == ["GET /renders", "GET /renders/r-4"]
    assert [call["headers"]["x-key"] for call in feed["calls"]] == ["<secret>"] * 2
    assert feed["understood"]["states"] == {"queued": 1, "running": 1, "failed": 1, "succeeded": 1}
    assert KEY not in doctor.stdout


def test_the_doctor_asks_for_no_detail_where_there_is_none(
    vendor: str, start: Callable[..., Any], tmp_path: Path
) -> None:
    write(tmp_path, vendor)
    declared = tmp_path / "vendors" / "acme.yaml"
    declared.write_text(declared.read_text().replace('      detail: {path: "/renders/{id}", row: data}\n', ""))
    doctor = start("doctor", "--json", "--config.file=config.yaml")
    assert doctor.end(None) == 0, doctor.stdout
    (feed,) = json.loads(doctor.stdout)["feeds"]
    assert feed["findings"] == []


def test_the_doctor_tells_what_a_declared_vendor_refuses(
    vendor: str, start: Callable[..., Any], tmp_path: Path
) -> None:
    write(tmp_path, vendor)
    (tmp_path / "key").write_text("another-key")
    doctor = start("doctor", "--json", "--config.file=config.yaml")
    assert doctor.end(None) == 1
    (feed,) = json.loads(doctor.stdout)["feeds"]
    assert [finding["level"] for finding in feed["findings"]] == ["trouble"]
    assert "key unknown" in feed["calls"][0]["excerpt"]
    assert "write codes of refused calls under `reasons`" in feed["findings"][0]["advice"]


def test_codes_of_refused_calls_are_read_by_the_reasons(vendor: str, start: Callable[..., Any], tmp_path: Path) -> None:
    write(tmp_path, vendor)
    declared = tmp_path / "vendors" / "acme.yaml"
    declared.write_text(declared.read_text().replace("reasons: {", "reasons: {auth: [7], "))
    (tmp_path / "key").write_text("another-key")
    doctor = start("doctor", "--json", "--config.file=config.yaml")
    assert doctor.end(None) == 1
    (feed,) = json.loads(doctor.stdout)["feeds"]
    assert feed["findings"][0]["cause"] == "credentials"
    assert feed["calls"][0]["error"] == "auth"


def test_a_changed_vendor_file_is_read_again_and_a_broken_one_changes_nothing(
    vendor: str, start: Callable[..., Any], tmp_path: Path
) -> None:
    write(tmp_path, vendor)
    exporter = start(*SERVED, "--config.enable-auto-reload", "--config.auto-reload-interval=50ms")
    exporter.wait_for("the first sweep", lambda: value(exporter, "up") == 1)
    reloaded = "videotask_exporter_config_last_reload_successful"
    file = tmp_path / "vendors" / "acme.yaml"

    file.write_text(ACME.replace("rows: data", "rows: data["))
    exporter.wait_for("a refused reload", lambda: exporter.value(reloaded) == 0)
    assert "acme.yaml:12: acme.feeds.render.list.rows: " in exporter.stderr
    assert "acme.yaml:12: acme.feeds.render.list.rows: " in exporter.get()
    Acme.rows[0] |= {"status": "done", "ended_at": time.time()}
    exporter.wait_for("an end", lambda: value(exporter, "finished_total", state="succeeded") == 2)

    file.write_text(ACME.replace("queued: [waiting]", "queued: [waiting, dreaming]"))
    exporter.wait_for("a reload", lambda: exporter.value(reloaded) == 1)
    Acme.rows.insert(0, {"id": "r-5", "status": "dreaming", "created_at": time.time()})
    exporter.wait_for("the new word", lambda: value(exporter, "tasks", state="queued") == 1)
    assert value(exporter, "finished_total", state="succeeded") == 2
    assert value(exporter, "unmapped_values_total", field="state") == 0
