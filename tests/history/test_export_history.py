"""What is written equals what the exporter would have counted, for every vendor with a list."""

from __future__ import annotations

import math
import re
import time
from bisect import bisect_right
from pathlib import Path

import pytest

from exporter.history.writing import UNKNOWABLE
from exporter.metrics.catalogue import PREFIX, TASK_METRICS
from exporter.simulator import names
from exporter.tasks import ENDS, Phase, Reason, State
from exporter.vendors.registry import built_in
from tests.harness import Door

from .past import export, given, heads_of, kinds, lines_of, past_of, samples_in, served

LISTING = [name for name in names() if any(tells.listed for tells in built_in()[name].tells.values())]
COUNTED = [PREFIX + one.name for one in TASK_METRICS if one.type in ("counter", "histogram")]
SERIES = re.compile(rf"(?:{'|'.join(COUNTED)})(?:_bucket|_count|_sum)?\{{.*?\}}")


@pytest.mark.parametrize("vendor", LISTING)
def test_the_last_samples_are_what_the_exporter_serves_and_what_is_true(
    door: Door, tmp_path: Path, vendor: str
) -> None:
    site = past_of(door, vendor)
    code, output, _ = export(tmp_path, given(site, vendor), step=600.0)
    assert code == 0
    history = samples_in(output)
    lives = served(site, vendor)
    live = {
        line.split(" # ")[0].rpartition(" ")[0]: float(line.split(" # ")[0].rpartition(" ")[2])
        for line in lives.splitlines()
        if SERIES.match(line) and not line.startswith(tuple(PREFIX + name for name in UNKNOWABLE))
    }
    last = {series: values[-1][1] for series, values in history.items() if SERIES.match(series)}
    assert last == pytest.approx(live, abs=2e-5)
    assert set(heads_of(output.read_text())) <= set(heads_of(lives))
    for kind in kinds(vendor):
        truth = site.truth((vendor, kind))
        of = f'kind="{kind}",provider="{vendor}"'
        assert sum(truth["finished"].values()) > 5
        for state in ENDS:
            assert last[f'{PREFIX}finished_total{{{of},state="{state}"}}'] == truth["finished"][state]
        for reason in Reason:
            assert last[f'{PREFIX}failures_total{{{of},reason="{reason}"}}'] == truth["failures"][reason]


def test_each_sample_says_what_had_happened_by_then(door: Door, tmp_path: Path) -> None:
    site = past_of(door, "replicate")
    code, output, _ = export(tmp_path, given(site, "replicate"))
    assert code == 0
    lives = site.world.listed(("replicate", "prediction"))
    ends = sorted(life.ends_at for life in lives if life.end is State.SUCCEEDED and life.ends_at)
    of = 'kind="prediction",provider="replicate"'
    history = samples_in(output)
    samples = history[f'{PREFIX}finished_total{{{of},state="succeeded"}}']
    assert samples[0][1] == 0
    assert [at for at, _ in samples] == [samples[0][0] + 60 * number for number in range(len(samples))]
    assert len(samples) == 181
    assert all(at % 60 == 0 for at, _ in samples)
    assert [value for _, value in samples] == [bisect_right(ends, at) for at, _ in samples]
    for state in (State.QUEUED, State.RUNNING):
        for at, value in history[f'{PREFIX}tasks{{{of},state="{state}"}}']:
            assert value == sum(life.submitted <= at and life.at(at).state is state for life in lives)
    recent = history[f'{PREFIX}recent_tasks{{{of},state="succeeded"}}']
    assert [at for at, _ in recent] == [
        at for at, _ in samples[60:-5]
    ]  # gauges end before Prometheus may show them now
    assert [value for _, value in recent] == [
        bisect_right(ends, at) - bisect_right(ends, at - 3600) for at, _ in recent
    ]
    latest = history[f'{PREFIX}last_finished_timestamp_seconds{{{of},state="succeeded"}}'][-1][1]
    assert latest == pytest.approx(ends[-1], abs=1e-3)


def test_series_are_grouped_and_sorted_as_openmetrics_wants_them(door: Door, tmp_path: Path) -> None:
    site = past_of(door, "kling", "replicate")
    _, output, _ = export(tmp_path, given(site, "kling"), given(site, "replicate"), labels={"job": "x"})
    text = output.read_text()
    assert text.endswith("\n# EOF\n")
    names_in_order = re.findall(r"(?m)^# TYPE (\S+)", text)
    assert len(names_in_order) == len(set(names_in_order))
    seen: set[str] = set()
    current, at = "", -math.inf
    for line in lines_of(output):
        labelled, _, stamp = line.rsplit(" ", 2)
        assert 'job="x"' in labelled
        metric = re.sub(r"(?:_bucket|_count|_sum)?\{", "{", labelled)
        metric = re.sub(r'le="[^"]+",', "", metric)
        if metric != current:
            assert metric not in seen
            seen.add(metric)
            current, at = metric, -math.inf
        assert float(stamp) >= at
        at = float(stamp)


def test_moments_of_which_rows_do_not_prove_who_was_in_flight_have_no_gauges(door: Door, tmp_path: Path) -> None:
    site = past_of(door, "deerapi", rate=0.01)
    _, output, told = export(tmp_path, given(site, "deerapi"))
    assert told
    lives = site.world.listed(("deerapi", "sora"))
    unknown = [life for life in lives if life.starts_at is None or not life.end_dated]
    assert unknown
    samples = samples_in(output)[f'{PREFIX}tasks{{kind="sora",provider="deerapi",state="running"}}']
    stamps = {at for at, _ in samples}
    known = [life for life in unknown if life.end_dated and life.ends_at]
    begins = samples[0][0]
    assert stamps
    for life in known:
        hidden = {begins + 60 * number for number in range(181)}
        assert not any(int(life.submitted) + 1 <= at < int(life.ends_at or 0) for at in hidden & stamps)


def test_what_cannot_be_known_is_left_out_and_said(
    door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = past_of(door, "luma", "runway", "dashscope")
    code, output, _ = export(
        tmp_path, given(site, "luma"), given(site, "runway"), given(site, "dashscope"), length=3 * 86400.0, step=600.0
    )
    assert code == 0
    said = capsys.readouterr().err
    assert "runway/task: omitted: these credentials cannot list it" in said
    assert "ends have no time: dated by the submission" in said
    assert "past queued/running counts are omitted because these lists lack timestamps: luma/generation" in said
    assert "dashscope/task: begins later: the vendor lists only the last 24 h" in said
    history = samples_in(output)
    assert not any('provider="runway"' in series for series in history)
    assert not any(series.startswith(f"{PREFIX}tasks{{") and "luma" in series for series in history)
    for gone in ("up{", "history_gaps_total{", "oldest_task", "stalled_tasks", "progress_ratio", "api_requests"):
        assert not any(series.startswith(PREFIX + gone) for series in history)
    first = {
        name: min(at for series, values in history.items() if f'provider="{name}"' in series for at, _ in values)
        for name in ("luma", "dashscope")
    }
    assert first["luma"] == pytest.approx(time.time() - 3 * 86400, abs=1300)
    assert first["dashscope"] == pytest.approx(time.time() - 86400, abs=1300)
    unmeasured = f'{PREFIX}unmeasured_durations_total{{kind="generation",phase="{Phase.RUN}",provider="luma"}}'
    assert history[unmeasured][-1][1] > 0
