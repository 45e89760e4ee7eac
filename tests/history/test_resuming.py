"""A run that was cut short goes on where it stopped; nothing counts twice; nothing half is left under the name."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import sqlite3
import stat
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.metrics.catalogue import PREFIX
from exporter.simulator import Life, hang
from exporter.tasks import State
from tests.harness import RENEWED, Door, Site, Start
from tests.harness.process import ROOT

from .past import HOURS, Samples, export, given, past_of, samples_in

SUCCEEDED = f'{PREFIX}finished_total{{kind="prediction",provider="replicate",state="succeeded"}}'


def last(samples: Samples) -> dict[str, float]:
    return {series: values[-1][1] for series, values in samples.items()}


def answered_by(site: Site, app: Callable[[], ASGIApp | None]) -> None:
    """Has lists answered by what `app` gives, if it gives anything."""
    site.instead = lambda path: app() if "prediction" in path else None


def arguments(site: Site, folder: Path, **settings: Any) -> list[str]:
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({"providers": [given(site, "replicate", **settings)]}))
    return [
        "export-history",
        f"--config.file={file}",
        f"--from={HOURS + 1}h",
        "--step=10m",
        f"--output={folder / 'history.om'}",
    ]


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(door: Door, tmp_path: Path, start: Start) -> None:
    site = past_of(door, "replicate", rate=0.1)
    command = arguments(site, tmp_path, rate_limit="5/s")
    run = start(*command)
    path = next(iter(site.fake.prefixes.values()))
    run.wait_for("two pages", lambda: sum(site.asked[one] for one in site.asked if one.startswith(path)) > 2)
    run.send(signal.SIGKILL)
    run.process.wait()
    output, state = tmp_path / "history.om", tmp_path / "history.om.state"
    assert not output.exists()
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    before = sum(site.asked.values())
    again = start(*arguments(site, tmp_path, rate_limit="2000/s"))
    assert again.end(None) == 0, again.stderr
    assert f"going on with {state}" in again.stderr
    resumed = sum(site.asked.values()) - before
    written = output.read_bytes()
    assert {one.name for one in tmp_path.iterdir() if "history" in one.name} == {"history.om"}  # no ledger either
    assert not list(tmp_path.rglob("*.sqlite3"))
    ends = samples_in(output)[SUCCEEDED][-1][0]
    before = sum(site.asked.values())
    whole = tmp_path / "whole"
    whole.mkdir()
    code, other, _ = export(whole, given(site, "replicate"), now=ends + 1, step=600.0)
    assert code == 0
    assert resumed < sum(site.asked.values()) - before
    assert other.read_bytes() == written


def test_a_vendor_that_goes_down_costs_nothing_of_what_was_read(
    door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = past_of(door, "replicate", "kling", rate=0.1)
    pages = 0

    def fails_later() -> ASGIApp | None:
        nonlocal pages
        pages += 1
        return Response("gone", 503) if pages > 2 else None

    answered_by(site, fails_later)
    providers = given(site, "replicate"), given(site, "kling")
    code, output, told = export(tmp_path, *providers)
    assert (code, told) == (1, [])
    assert not output.exists()
    said = capsys.readouterr().err
    assert "replicate/prediction: provider_internal: the vendor refused the call (HTTP 503)" in said
    assert "run the same command again to go on" in said
    site.be_well()
    before = site.asked.copy()
    code, output, _ = export(tmp_path, *providers)
    assert code == 0
    assert not [path for path in (site.asked - before) if "kling" in path]  # which was read to its end
    lives = site.world.listed(("replicate", "prediction"))
    assert last(samples_in(output))[SUCCEEDED] == sum(life.end is State.SUCCEEDED for life in lives)


def test_calls_that_fail_for_a_while_are_tried_again(door: Door, tmp_path: Path) -> None:
    site = past_of(door, "replicate")
    failures = iter([Response("busy", 429, {"Retry-After": "1"}), Response("down", 502)])
    answered_by(site, lambda: next(failures, None))
    assert export(tmp_path, given(site, "replicate"))[0] == 0


def test_rows_that_move_to_later_pages_count_once(door: Door, tmp_path: Path) -> None:
    site = past_of(door, "kling_legacy", rate=0.1)
    lives = site.world.listed(("kling_legacy", "text2video"))
    ends = sum(life.end is State.SUCCEEDED for life in lives)
    made = 0

    async def moving(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal made
        now = site.clock.now
        site.world.add(*(Life(f"new-{made + n}", "kling_legacy", "text2video", now - 0.5, 99.0) for n in range(7)))
        made += 7
        await site.fake(scope, receive, send)

    site.instead = lambda path: moving if path.endswith("/text2video") else None
    code, output, _ = export(tmp_path, given(site, "kling_legacy", page_size=20, feeds=["text2video"]))
    assert code == 0
    assert made > 70
    of = 'kind="text2video",provider="kling_legacy"'
    assert last(samples_in(output))[f'{PREFIX}finished_total{{{of},state="succeeded"}}'] == ends


def test_a_cursor_that_has_ended_begins_the_list_again(door: Door, tmp_path: Path) -> None:
    site = past_of(door, "replicate", rate=0.1)
    pages = 0

    def fails_later() -> ASGIApp | None:
        nonlocal pages
        pages += 1
        return Response('{"detail": "down"}', 503) if pages > 2 else None

    answered_by(site, fails_later)
    assert export(tmp_path, given(site, "replicate"))[0] == 1
    stale = iter([Response('{"detail": "no such cursor"}', 400)])
    answered_by(site, lambda: next(stale, None))
    code, output, _ = export(tmp_path, given(site, "replicate"))
    assert code == 0
    lives = site.world.listed(("replicate", "prediction"))
    assert last(samples_in(output))[SUCCEEDED] == sum(life.end is State.SUCCEEDED for life in lives)


def test_a_look_up_that_only_fails_counts_its_end_as_the_list_has_it(
    door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = past_of(door, "dashscope", rate=0.01)
    failed = next(life for life in site.world.listed(("dashscope", "task")) if life.end is State.FAILED)
    site.instead = lambda path: Response('{"code": "InternalError"}', 500) if path.endswith(failed.id) else None
    code, output, _ = export(tmp_path, given(site, "dashscope"), step=600.0)
    assert code == 0
    assert "dashscope/task: 1 look-ups failed" in capsys.readouterr().err
    of = 'kind="task",provider="dashscope"'
    assert last(samples_in(output))[f'{PREFIX}failures_total{{{of},reason="unknown"}}'] >= 1


def test_a_token_is_asked_for_only_where_that_is_allowed(
    door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = past_of(door, "chanjing", rate=0.005)
    account = given(site, "chanjing", **RENEWED)
    assert export(tmp_path, account)[0] == 1
    assert "--fetch-token allows it" in capsys.readouterr().err
    assert export(tmp_path, account, fetch_token=True)[0] == 0


def test_a_budget_of_requests_is_kept(door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = past_of(door, "dashscope", rate=0.03)
    account = given(site, "dashscope", max_requests_per_day=24)
    assert export(tmp_path, account)[0] == 1
    assert sum(site.asked.values()) == 24
    told = capsys.readouterr().err
    assert "dashscope/task: max_requests_per_day is used up; run the same command again tomorrow" in told
    assert "Top it up" not in told
    assert export(tmp_path, account)[0] == 1
    assert sum(site.asked.values()) == 24  # the second run of a day has none left
    export(tmp_path, account, now=time.time() + 86400)
    assert sum(site.asked.values()) == 48


def test_a_budget_counts_also_where_nothing_could_be_read(
    door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = past_of(door, "replicate")
    answered_by(site, lambda: Response("down", 503))
    account = given(site, "replicate", max_requests_per_day=24)
    now = time.time()  # two moments of one run of the test may be of two days
    for _ in range(6):  # of five tries each
        assert export(tmp_path, account, now=now)[0] == 1
        assert "nothing has been read; run the same command again" in capsys.readouterr().err
    assert sum(site.asked.values()) == 24


def test_a_page_of_more_look_ups_than_the_budget_passes_in_several_runs(door: Door, tmp_path: Path) -> None:
    site = past_of(door, "dashscope", rate=0.03)
    (whole := tmp_path / "whole").mkdir()
    assert export(whole, given(site, "dashscope"))[0] == 0
    needed = sum(site.asked.values())
    site.asked.clear()
    account = given(site, "dashscope", max_requests_per_day=24)
    days = range(1, needed)
    runs = next((day for day in days if export(tmp_path, account, now=time.time() + (day - 1) * 86400)[0] == 0), None)
    assert runs is not None
    assert runs > 2
    assert sum(site.asked.values()) <= needed + runs  # the page is read again in each run, no task is
    assert last(samples_in(tmp_path / "history.om")) == last(samples_in(whole / "history.om"))


def test_what_was_begun_otherwise_is_not_mixed_in(
    door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = past_of(door, "replicate", rate=0.1)
    answers = iter([None])  # to the first page
    answered_by(site, lambda: next(answers, Response("no", 401)))
    assert export(tmp_path, given(site, "replicate"))[0] == 1
    site.be_well()
    assert export(tmp_path, given(site, "replicate"), step=120.0)[0] == 1
    assert "of a run with another --from or --step" in capsys.readouterr().err
    assert export(tmp_path, given(site, "replicate", page_size=7))[0] == 1
    assert "the settings of replicate have changed" in capsys.readouterr().err
    assert export(tmp_path, given(site, "replicate"), step=120.0, force=True)[0] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupted_run_says_how_to_go_on(
    door: Door, tmp_path: Path, start: Start, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    site = past_of(door, "replicate", rate=0.005)
    answered_by(site, lambda: hang)
    run = start(*arguments(site, tmp_path))
    run.wait_for("a call", lambda: sum(site.asked.values()) > 0)
    assert export(tmp_path, given(site, "replicate"), step=600.0)[0] == 1  # one at a time has the output
    assert "another export-history uses it" in capsys.readouterr().err
    assert run.end(number) == 130
    assert run.stderr.splitlines() == ["interrupted; run the same command again to go on"]
    assert not (tmp_path / "history.om").exists()


def test_a_state_that_is_no_state_is_told(door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = past_of(door, "replicate")
    (tmp_path / "history.om.state").write_text("not a database, but longer than a header of one would be" * 20)
    assert export(tmp_path, given(site, "replicate"))[0] == 1
    assert "remove it to begin again, or give --force" in capsys.readouterr().err


def test_the_state_holds_no_ids_and_no_secrets(door: Door, tmp_path: Path) -> None:
    site = past_of(door, "kling_legacy", rate=0.02)
    site.instead = lambda path: Response("no", 401) if path.endswith("/omni-video") else None
    assert export(tmp_path, given(site, "kling_legacy"))[0] == 1
    kept = sqlite3.connect(tmp_path / "history.om.state")
    text = "\n".join(kept.iterdump())
    assert "finished_total" in text
    kept.close()
    lives = site.world.listed(("kling_legacy", "text2video"))
    for secret in (*(life.id for life in lives), *given(site, "kling_legacy").values()):
        if isinstance(secret, str) and len(secret) > 12:
            assert secret not in text


def test_a_full_disk_is_told_in_a_line(door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = past_of(door, "replicate", rate=0.005)
    full = tmp_path / "history.om.part"
    full.symlink_to("/dev/full")
    assert export(tmp_path, given(site, "replicate"))[0] == 1
    assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "history.om").exists()
    assert export(tmp_path, given(site, "replicate"))[0] == 0


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--from=soon"], "argument --from: not a duration"),
        (["--from=0s"], "--from: no longer ago than the end"),
        (["--from=1h", "--until=2h"], "--from: no longer ago than the end"),
        (["--step=0s"], "--step: too short; the shortest is 1s"),
        (["--from=1h", "--step=2h"], "--step: longer than the whole history"),
        (["--from=400d", "--step=1s"], "--step: more than 1000000 samples of each series"),
        (["--output=."], "--output: . is a folder; give the name of a file"),
        (["--output=/dev/null", "--force"], "--output: /dev/null is no regular file"),
        (["--output=nowhere/history.om"], "--output: there is no folder nowhere"),
        (["--output=there.om"], "--output: there.om is there already; give another name, or --force to replace it"),
        (["--provider=other"], "no provider is named other; there are: replicate"),
        (["--label=job"], "argument --label: not a label; write NAME=VALUE"),
        (["--label=a=x", "--label=a=y"], "--label: a is given twice; give each label once"),
        (["--label=kind=x"], "--label: kind is the exporter's own label"),
    ],
)
def test_a_wrong_command_line_is_told_in_a_line(
    door: Door,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    told: str,
) -> None:
    from exporter.cli import main

    site = past_of(door, "replicate", rate=0.0)
    command = arguments(site, tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("there.om").write_text("# EOF\n")
    try:
        code: object = main([*command, *flags])
    except SystemExit as error:
        code = error.code
    assert code == 2
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith(f"videotask-exporter export-history: error: {told}")
    assert Path("there.om").read_text() == "# EOF\n"
    assert not Path("history.om.state").exists()


def test_without_a_configuration_or_a_list_there_is_a_line(
    door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from exporter.cli import main

    assert main(["export-history", f"--config.file={tmp_path / 'none.yaml'}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "none.yaml" in line
    site = past_of(door, "runway", rate=0.0)
    assert export(tmp_path, given(site, "runway"))[0] == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "export-history: none of these providers lists its tasks"
    assert [one.name for one in tmp_path.iterdir()] == ["config.yaml"]


def test_a_terminal_shows_bars_and_everything_else_a_few_lines(door: Door, tmp_path: Path, start: Start) -> None:
    site = past_of(door, "replicate", rate=0.1)
    quiet = start(*arguments(site, tmp_path))
    assert quiet.end(None) == 0
    assert len(quiet.stderr.splitlines()) <= 3
    assert "\x1b" not in quiet.stderr
    above, below = pty.openpty()
    fcntl.ioctl(below, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 150, 0, 0))  # lines and columns
    command = [sys.executable, "-m", "exporter", *arguments(site, tmp_path), "--force"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=below, stdout=subprocess.DEVNULL)
    os.close(below)
    shown = b""
    while True:
        try:
            more = os.read(above, 65536)
        except OSError:  # the other end is closed
            break
        if not more:
            break
        shown += more
    os.close(above)
    assert process.wait() == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"replicate/prediction .*100 %, .* pages, \d+ tasks, back to 20", plain)
