"""The rules of Prometheus: made from the catalogue and the thresholds, valid, and silent when nothing is wrong."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana import grafana_rules, prometheus_rules
from grafana.alerting import Alert, Subject
from grafana.alerts import alerts
from grafana.identity import JOB
from grafana.promql import CLOSED, SERVED
from grafana.queries import increase
from grafana.recordings import Recordings
from grafana.rules_files import ALERTS, HERE, RECORDINGS, files
from grafana.thresholds import FILE, Choice, Thresholds, ThresholdsError, load, parse

Program = Callable[[str], str]

THRESHOLDS = load()
TEXT = FILE.read_text(encoding="utf-8")
EVERY: list[Alert] = [one for group in alerts(THRESHOLDS, Recordings(THRESHOLDS)).values() for one in group]
RULES: list[dict[str, Any]] = [
    rule
    for path in (ALERTS, RECORDINGS)
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]


@pytest.mark.parametrize("path", list(files()), ids=lambda path: path.name)
def test_files_are_those_that_the_code_writes(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == files()[path], "run python -m grafana.generate"


def test_promtool_finds_nothing_wrong_with_the_rules(program: Program) -> None:
    checked = subprocess.run(
        [program("promtool"), "check", "rules", "--lint=all", "--lint-fatal", ALERTS, RECORDINGS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("SUCCESS") == 2


@pytest.mark.parametrize("alert", EVERY, ids=lambda alert: alert.name)
def test_an_alert_says_what_is_wrong_with_whom_and_what_to_do(alert: Alert) -> None:
    told = alert.annotations(THRESHOLDS)
    assert re.fullmatch(r"VideoTask([A-Z][a-z]+)+", alert.title)
    assert "{{" not in told["summary"]
    assert told["summary"].endswith(".")
    assert "First" in told["description"]
    named = set(re.findall(r"\$labels\.(\w+)", told["description"]))
    whom = set(alert.about.value[1]) - ({"job"} if alert.about is Subject.INSTANCE else set())
    assert whom <= named
    assert set(re.findall(r"var-(\w+)={{ \$labels\.\1 \| urlquery }}", told["dashboard_url"])) == set(
        alert.about.value[1]
    )
    assert told["runbook_url"].endswith(f"/runbook/{alert.title}")


def test_links_lead_to_dashboards_and_variables_that_there_are() -> None:
    for alert in EVERY:
        uid, labels = alert.about.value
        dashboard = json.loads((HERE / "dashboards" / f"{uid}.json").read_text(encoding="utf-8"))
        assert dashboard["uid"] == uid
        assert set(labels) <= {variable["name"] for variable in dashboard["templating"]["list"]}


def test_alerts_and_their_thresholds_have_the_same_names() -> None:
    chosen = [name for name in Thresholds.model_fields if isinstance(getattr(THRESHOLDS, name), Choice)]
    assert sorted(alert.name for alert in EVERY) == sorted(chosen)


def test_the_job_is_that_of_the_examples() -> None:
    assert THRESHOLDS.job == JOB


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_ask_for_series_that_are_served_or_recorded(rule: dict[str, Any]) -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    asked = set(re.findall(r"[a-z]+:\w+:\w+|\bvideotask_\w+|\b(?:up|process_\w+)(?={)", rule["expr"]))
    assert asked, rule["expr"]
    assert asked <= SERVED.keys() | recorded


def test_a_metric_that_is_not_in_the_catalogue_cannot_be_asked_for() -> None:
    with pytest.raises(LookupError, match="videotask_finished_tasks_total"):
        increase("finished_tasks_total", "1h")


def test_recordings_are_named_for_level_metric_and_operation() -> None:
    recorded = [rule["record"] for rule in RULES if "record" in rule]
    assert recorded
    assert len(set(recorded)) == len(recorded)
    assert [
        name
        for name in recorded
        if not re.fullmatch(r"(feed|model|account):videotask_[a-z_]+:(ratio|mean|increase|p95|spent)_\w+", name)
    ] == []


def leaves(node: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


OTHER_VALUES = ("3m", "7h", "2w", "info", "warning", "17", "0.96", "https://other.example/x", "other", ["timeout"])


def made_from(thresholds: Thresholds) -> list[Any]:
    """What is written for Prometheus, and for Grafana."""
    recorded, alerting = prometheus_rules.recording_file(thresholds), prometheus_rules.alerting_file(thresholds)
    return [[recorded, alerting], grafana_rules.alerting_file(thresholds)]


MADE = made_from(THRESHOLDS)


CONTENT = yaml.safe_load(TEXT)
OF_RULES = [path for path in leaves(CONTENT) if path != ("links", "tasks")]  # that is of the datasource


@pytest.mark.parametrize("path", OF_RULES, ids=".".join)
def test_every_threshold_reaches_both_outputs(path: tuple[str, ...]) -> None:
    """The value in the file is replaced by another that it may have."""
    for other in OTHER_VALUES:
        content = deepcopy(CONTENT)
        holder = content
        for key in path[:-1]:
            holder = holder[key]
        if holder[path[-1]] == other:
            continue
        holder[path[-1]] = other
        try:
            thresholds = parse(json.dumps(content))
        except ThresholdsError:
            continue
        assert [made != before for made, before in zip(made_from(thresholds), MADE, strict=True)] == [True, True]
        return
    pytest.fail("none of the values may stand here; add one")


@pytest.mark.parametrize(
    ("written", "instead", "key", "why"),
    [
        ("share: 0.2", "share: 20", "moderation_spike.share", "less than 1"),
        ("share: 0.2", "shore: 0.2", "moderation_spike.shore", "not permitted"),
        ("window: 3h", "window: 3 hours", "no_success.window", "match"),
        ("feed_down: {severity: critical", "feed_down: {severity: page", "feed_down.severity", "critical"),
        (
            "failure_burn_fast:\n  severity: critical\n  for: 2m\n  long: 1h",
            "failure_burn_fast:\n  severity: critical\n  for: 2m\n  long: 5m",
            "failure_burn_fast",
            "not shorter",
        ),
        ("burn: 10 ", "burn: 25 ", "", "no failure ratio can exceed"),
        ("not_counted: [moderation", "not_counted: [moderating", "not_counted", "moderation"),
        ("age: 30m", "age: soon", "queued_too_long.age", "not a duration"),
        ("grafana: http://localhost:3000", "grafana: localhost", "links.grafana", "not a URL"),
        ("    credits: 1000", "    credit: 1000", "balance_low.below.credit", "credits"),
        ("history_gap: {severity: warning", "feed_down: {severity: warning", "feed_down", "given twice"),
    ],
)
def test_bad_thresholds_are_refused_with_line_and_key(written: str, instead: str, key: str, why: str) -> None:
    assert TEXT.count(written) == 1
    text = TEXT.replace(written, instead)
    with pytest.raises(ThresholdsError) as refused:
        parse(text)
    told = str(refused.value)
    line = text[: text.index(instead)].count("\n") + 1
    expected = rf"(?m)^thresholds\.yaml:{line}: {re.escape(key)}" if key else r"(?m)^thresholds\.yaml:1: "
    assert re.search(expected, told), told
    assert why in told


def test_an_interval_that_grafana_cannot_keep_is_refused() -> None:
    with pytest.raises(ThresholdsError, match="evaluation_interval"):
        files(parse(TEXT.replace("evaluation_interval: 1m", "evaluation_interval: 15s")))


MINUTES = 240
TARGET = {"job": JOB, "instance": "exporter:10186"}
OPEN = {
    "provider": ["deerapi"],
    "code": ["200", "error"],
    "task_id": ["task_1"],
    "source": ["/ids/*.json"],
    "le": ["60.0", "+Inf"],
}


def catalogue(values: Callable[[str, str, Mapping[str, str]], str]) -> list[dict[str, str]]:
    """Every series that one exporter with one feed can serve, in promtool's notation. `values` are told
    its name, type and labels."""
    rows = []
    for name, series in SERVED.items():
        choices = [
            sorted(CLOSED[label]) if label in CLOSED and label != "kind" else OPEN.get(label, ["sora"])
            for label in series.labels
        ]
        for combination in itertools.product(*choices):
            labels = dict(zip(series.labels, combination, strict=True))
            selector = ",".join(f'{label}="{value}"' for label, value in {**TARGET, **labels}.items())
            rows.append({"series": f"{name}{{{selector}}}", "values": values(name, series.type, labels)})
    return rows


HEALTHY = {
    "up": "1+0x{n}",
    "process_start_time_seconds": "-600+0x{n}",
    "videotask_up": "1+0x{n}",
    "videotask_exporter_config_last_reload_successful": "1+0x{n}",
    "videotask_last_successful_poll_timestamp_seconds": "{at}+60x{n}",
    "videotask_oldest_task_timestamp_seconds": "{at}+60x{n}",
    "videotask_poll_interval_seconds": "15+0x{n}",
    "videotask_account_balance": "5000000+0x{n}",
    "videotask_poll_duration_seconds": "2+0x{n}",
    "videotask_watch_source_up": "1+0x{n}",
    "videotask_lease_held": "1+0x{n}",
}


def at_rest(name: str, type_: str, start: int, end: int) -> str:
    """Values of a system in which nothing happens any more: counters stand where the history brought them."""
    resting = "7+0x{n}" if type_ in ("counter", "histogram") else "0+0x{n}"
    return HEALTHY.get(name, resting).format(n=end - start, at=60 * start)


def fresh_start(name: str, type_: str, labels: Mapping[str, str]) -> str:
    """The first sweep ends in the fourth minute, with a history full of failures."""
    if "provider" not in labels or name in ("videotask_poll_interval_seconds", "videotask_provider_info"):
        return at_rest(name, type_, 0, MINUTES)
    return f"_x3 {at_rest(name, type_, 3, MINUTES)}"


def restart(name: str, type_: str, labels: Mapping[str, str]) -> str:
    """After two hours the exporter is away for three minutes; what counts since its start begins at 0 again."""
    since_start = type_ in ("counter", "histogram") and (
        "_api_" in name or "restarts" in name or "provider" not in labels
    )
    again = f"0+0x{MINUTES - 124}" if since_start else at_rest(name, type_, 124, MINUTES)
    if name == "process_start_time_seconds":
        again = f"7400+0x{MINUTES - 124}"
    return f"{at_rest(name, type_, 0, 120)} {'0 0 0' if name == 'up' else 'stale _x2'} {again}"


def removed_provider(name: str, type_: str, labels: Mapping[str, str]) -> str:
    """After two hours the provider is taken out of the configuration, with failing sweeps and tasks in flight."""
    if "provider" not in labels:
        return at_rest(name, type_, 0, MINUTES)
    last = {"videotask_up": "0 0 0", "videotask_tasks": "9 9 9", "videotask_stalled_tasks": "9 9 9"}.get(name, "")
    return f"{at_rest(name, type_, 0, 116)} {last} stale"


@pytest.mark.parametrize("values", [fresh_start, restart, removed_provider], ids=lambda values: values.__name__)
def test_nothing_fires_when_nothing_is_wrong(
    values: Callable[[str, str, Mapping[str, str]], str], program: Program, tmp_path: Path
) -> None:
    """An account without new tasks, seen through a whole catalogue of series."""
    quiet = {
        "rule_files": [str(ALERTS), str(RECORDINGS)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": catalogue(values),
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname) (last_over_time(ALERTS{alertstate="firing"}[4h]))',
                        "eval_time": "4h",
                    },
                    {
                        "expr": "count(count_over_time(feed:videotask_judged:increase_1h[4h]))",
                        "eval_time": "4h",
                        "exp_samples": [{"labels": "{}", "value": 1}],
                    },
                ],
            }
        ],
    }
    (tmp_path / "quiet.yaml").write_text(json.dumps(quiet))
    tested = subprocess.run(
        [program("promtool"), "test", "rules", "quiet.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
