"""The sentence at the top of every dashboard, as Prometheus works it out from series that are given."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.boards.verdict import findings, verdict
from grafana.promql import CHOSEN

from .conftest import substituted

TARGET = 'job="videotask-exporter",instance="exporter:10186"'
FEED = f'{TARGET},provider="chanjing",kind="video"'
CALL = f'{TARGET},provider="chanjing",endpoint="list"'

WELL: Mapping[str, str] = {
    f"up{{{TARGET}}}": "1x60",
    'up{job="another",instance="other:1"}': "0x60",
    f'videotask_exporter_build_info{{{TARGET},version="1",pythonversion="3"}}': "1x60",
    f"videotask_exporter_config_last_reload_successful{{{TARGET}}}": "1x60",
    f"videotask_up{{{FEED}}}": "1x60",
    f"videotask_last_successful_poll_timestamp_seconds{{{FEED}}}": "0+60x60",
    f"videotask_poll_interval_seconds{{{FEED}}}": "15x60",
    f'videotask_api_errors_total{{{CALL},error="auth"}}': "7x60",
    f'videotask_api_errors_total{{{CALL},error="insufficient_balance"}}': "7x60",
    f'videotask_failures_total{{{FEED},reason="auth"}}': "7x60",
    f'videotask_failures_total{{{FEED},reason="insufficient_balance"}}': "7x60",
    f'videotask_recent_tasks{{{FEED},state="succeeded"}}': "40x60",
    f'videotask_recent_tasks{{{FEED},state="failed"}}': "2x60",
    f'videotask_recent_failures{{{FEED},reason="timeout"}}': "1x60",
    f'videotask_recent_failures{{{FEED},reason="moderation"}}': "1x60",
    f"videotask_stalled_tasks{{{FEED}}}": "0x60",
    f'videotask_account_balance{{{TARGET},provider="chanjing",unit="seconds"}}': "9000-1x60",
    f'videotask_account_balance{{{TARGET},provider="later",unit="cny"}}': "-50-1x60",
}
"""Each minute for an hour. Another job's target is down, which is not our matter."""

DOWN = {f"videotask_up{{{FEED}}}": "0x60"}
REFUSED = {f'videotask_api_errors_total{{{CALL},error="auth"}}': "0+4x60"}
FAILING = {
    f'videotask_recent_tasks{{{FEED},state="succeeded"}}': "3x60",
    f'videotask_recent_tasks{{{FEED},state="failed"}}': "3x60",
}

CASES: Mapping[str, tuple[Mapping[str, str | None], str]] = {
    "all is well": ({}, "All feeds are read"),
    "Prometheus is empty": (dict.fromkeys(WELL), "No exporter reports"),
    "the exporter's process is gone": (
        {series: "1x30 stale" for series in WELL if "build_info" in series} | {f"up{{{TARGET}}}": "1x30 0x30"},
        "Ours: an exporter does not answer",
    ),
    "the first sweep has not ended": (
        {series: None for series in WELL if "provider=" in series},
        "Starting",
    ),
    "the credentials are refused": (DOWN | REFUSED, "Ours: a vendor refuses our credentials"),
    "a token was renewed": (REFUSED, "All feeds are read"),
    "the account is empty": (
        DOWN | {f'videotask_api_errors_total{{{CALL},error="insufficient_balance"}}': "0+4x60"},
        "Ours: an account has no credit",
    ),
    "tasks fail for credentials": (
        {f'videotask_failures_total{{{FEED},reason="auth"}}': "0+1x60"},
        "Ours: a vendor refuses our credentials",
    ),
    "tasks fail for want of credit": (
        {f'videotask_failures_total{{{FEED},reason="insufficient_balance"}}': "0+1x60"},
        "Ours: an account has no credit",
    ),
    "a balance is nothing": (
        {f'videotask_account_balance{{{TARGET},provider="chanjing",unit="seconds"}}': "600-10x59 0"},
        "Ours: nothing is left in an account",
    ),
    "a balance goes within a day": (
        {f'videotask_account_balance{{{TARGET},provider="chanjing",unit="seconds"}}': "9000-10x60"},
        "Ours: an account will be empty within a day",
    ),
    "the vendor is down": (DOWN, "The vendor's or the network's: a feed cannot be read"),
    "a loop hangs": (
        {f"videotask_last_successful_poll_timestamp_seconds{{{FEED}}}": "0+60x50 3000x10"},
        "Ours: a feed's data is old",
    ),
    "the vendor fails many": (
        FAILING | {f'videotask_recent_failures{{{FEED},reason="timeout"}}': "3x60"},
        "The vendor's: many tasks fail",
    ),
    "many are refused by moderation": (
        FAILING | {f'videotask_recent_failures{{{FEED},reason="moderation"}}': "3x60"},
        "The requests': the vendor refuses many",
    ),
    "few fail, but of few": (
        {
            f'videotask_recent_tasks{{{FEED},state="succeeded"}}': "1x60",
            f'videotask_recent_failures{{{FEED},reason="timeout"}}': "2x60",
        },
        "All feeds are read",
    ),
    "a task stalls": ({f"videotask_stalled_tasks{{{FEED}}}": "1x60"}, "The vendor's: tasks run without progress"),
    "the configuration is refused": (
        {f"videotask_exporter_config_last_reload_successful{{{TARGET}}}": "0x60"},
        "Ours: the new configuration is wrong",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_verdict_names_what_is_wrong_and_whose_fault_it_is(
    case: str, program: Callable[..., str], tmp_path: Path
) -> None:
    changes, wanted = CASES[case]
    assert set(changes) <= set(WELL)
    says = [*(finding.says for finding in findings(CHOSEN)), "All feeds are read, and nothing stands out."]
    (number,) = [number for number, sentence in enumerate(says) if sentence.startswith(wanted)]
    (query,) = json.loads(json.dumps(verdict().build(), cls=JSONEncoder))["targets"]
    expr = substituted(query["expr"])
    series = [{"series": name, "values": values} for name, values in {**WELL, **changes}.items() if values is not None]
    asked = {"expr": expr, "eval_time": "1h", "exp_samples": [{"labels": "{}", "value": number}]}
    test = {"interval": "1m", "input_series": series, "promql_expr_test": [asked]}
    (tmp_path / "test.yaml").write_text(json.dumps({"rule_files": [], "tests": [test]}))  # which is YAML too
    command = [program("promtool"), "test", "rules", str(tmp_path / "test.yaml")]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_finding_has_a_case() -> None:
    for finding in findings(CHOSEN):
        assert any(finding.says.startswith(wanted) for _, wanted in CASES.values()), finding.says
