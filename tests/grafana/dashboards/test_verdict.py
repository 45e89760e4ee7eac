"""The sentence at the top of every dashboard, as Prometheus works it out from series that are given."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.boards.verdict import WELL as WELL_SAID
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
    f"videotask_poll_duration_seconds{{{FEED}}}": "1x60",
    f'videotask_api_errors_total{{{CALL},error="auth"}}': "7x60",
    f'videotask_api_errors_total{{{CALL},error="insufficient_balance"}}': "7x60",
    f'videotask_recent_tasks{{{FEED},state="succeeded"}}': "40x60",
    f'videotask_recent_tasks{{{FEED},state="failed"}}': "2x60",
    f'videotask_recent_failures{{{FEED},reason="auth"}}': "0x60",
    f'videotask_recent_failures{{{FEED},reason="insufficient_balance"}}': "0x60",
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
    f'videotask_recent_tasks{{{FEED},state="succeeded"}}': "9x60",
    f'videotask_recent_tasks{{{FEED},state="failed"}}': "6x60",
}

IN_FEED = '{provider="chanjing",kind="video"}'
IN_ACCOUNT = '{provider="chanjing"}'
IN_EXPORTER = '{instance="exporter:10186"}'
NOWHERE = "{}"

CASES: Mapping[str, tuple[Mapping[str, str | None], str, str]] = {
    "all is well": ({}, "All feeds are read", NOWHERE),
    "Prometheus is empty": (dict.fromkeys(WELL), "No exporter reports", NOWHERE),
    "the exporter's process is gone": (
        {series: "1x30 stale" for series in WELL if "build_info" in series} | {f"up{{{TARGET}}}": "1x30 0x30"},
        "Ours: the exporter does not answer",
        IN_EXPORTER,
    ),
    "the first sweep has not ended": (
        {series: None for series in WELL if "provider=" in series},
        "Starting",
        NOWHERE,
    ),
    "the credentials are refused": (DOWN | REFUSED, "Ours: the vendor refuses our credentials", IN_FEED),
    "a token was renewed": (REFUSED, "All feeds are read", NOWHERE),
    "the account is empty": (
        DOWN | {f'videotask_api_errors_total{{{CALL},error="insufficient_balance"}}': "0+4x60"},
        "Ours: the account has no credit",
        IN_FEED,
    ),
    "tasks fail for credentials": (
        FAILING | {f'videotask_recent_failures{{{FEED},reason="auth"}}': "6x60"},
        "Ours: the vendor refuses our credentials",
        IN_FEED,
    ),
    "tasks fail for want of credit": (
        FAILING | {f'videotask_recent_failures{{{FEED},reason="insufficient_balance"}}': "6x60"},
        "Ours: the account has no credit",
        IN_FEED,
    ),
    "a balance is nothing": (
        {f'videotask_account_balance{{{TARGET},provider="chanjing",unit="seconds"}}': "600-10x59 0"},
        "Ours: nothing is left in the account",
        IN_ACCOUNT,
    ),
    "a balance goes within a day": (
        {f'videotask_account_balance{{{TARGET},provider="chanjing",unit="seconds"}}': "9000-10x60"},
        "Ours: the account will be empty within a day",
        IN_ACCOUNT,
    ),
    "the vendor is down": (DOWN, "The vendor's or the network's: the feed cannot be read", IN_FEED),
    "a loop hangs": (
        {f"videotask_last_successful_poll_timestamp_seconds{{{FEED}}}": "0+60x50 3000x10"},
        "Ours: the feed's data is old",
        IN_FEED,
    ),
    "the vendor fails many": (
        FAILING | {f'videotask_recent_failures{{{FEED},reason="timeout"}}': "6x60"},
        "The vendor's: many tasks fail",
        IN_FEED,
    ),
    "many are refused by moderation": (
        FAILING | {f'videotask_recent_failures{{{FEED},reason="moderation"}}': "6x60"},
        "The requests': the vendor refuses many",
        IN_FEED,
    ),
    "a handful fails": (
        {
            f'videotask_recent_tasks{{{FEED},state="succeeded"}}': "7x60",
            f'videotask_recent_tasks{{{FEED},state="failed"}}': "5x60",
            f'videotask_recent_failures{{{FEED},reason="auth"}}': "5x60",
        },
        "All feeds are read",
        NOWHERE,
    ),
    "a poll is faster than the scrapes": (
        {
            f"videotask_last_successful_poll_timestamp_seconds{{{FEED}}}": "-1+60x60",
            f"videotask_poll_interval_seconds{{{FEED}}}": "1x60",
            f"videotask_poll_duration_seconds{{{FEED}}}": "0x60",
        },
        "All feeds are read",
        NOWHERE,
    ),
    "a task stalls": (
        {f"videotask_stalled_tasks{{{FEED}}}": "1x60"},
        "The vendor's: tasks run without progress",
        IN_FEED,
    ),
    "the configuration is refused": (
        {f"videotask_exporter_config_last_reload_successful{{{TARGET}}}": "0x60"},
        "Ours: the new configuration is wrong",
        IN_EXPORTER,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_verdict_names_what_is_wrong_and_whose_fault_it_is(
    case: str, program: Callable[..., str], tmp_path: Path
) -> None:
    changes, wanted, where = CASES[case]
    assert set(changes) <= set(WELL)
    says = [*(finding.says for finding in findings(CHOSEN)), WELL_SAID]
    (number,) = [number for number, sentence in enumerate(says) if sentence.startswith(wanted)]
    given = {name: values for name, values in {**WELL, **changes}.items() if values is not None}
    check(given, {where: number}, program, tmp_path)


def check(given: Mapping[str, str], wanted: Mapping[str, int], program: Callable[..., str], folder: Path) -> None:
    """That these series lead to these findings, by where they are."""
    (query,) = json.loads(json.dumps(verdict().build(), cls=JSONEncoder))["targets"]
    series = [{"series": name, "values": values} for name, values in given.items()]
    samples = [{"labels": where, "value": number} for where, number in wanted.items()]
    asked = {"expr": substituted(query["expr"]), "eval_time": "1h", "exp_samples": samples}
    test = {"interval": "1m", "input_series": series, "promql_expr_test": [asked]}
    (folder / "test.yaml").write_text(json.dumps({"rule_files": [], "tests": [test]}))  # which is YAML too
    command = [program("promtool"), "test", "rules", str(folder / "test.yaml")]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def test_what_is_wrong_is_ranked_with_the_worst_of_each_feed(program: Callable[..., str], tmp_path: Path) -> None:
    another = FEED.replace("video", "lip_sync")
    changes = DOWN | {
        f"videotask_stalled_tasks{{{FEED}}}": "1x60",
        f"videotask_up{{{another}}}": "1x60",
        f"videotask_stalled_tasks{{{another}}}": "2x60",
    }
    says = [finding.says for finding in findings(CHOSEN)]
    down, stalled = (says.index(next(one for one in says if part in one)) for part in ("cannot be read", "progress"))
    assert down < stalled
    check({**WELL, **changes}, {IN_FEED: down, IN_FEED.replace("video", "lip_sync"): stalled}, program, tmp_path)


def test_every_finding_has_a_case() -> None:
    for finding in findings(CHOSEN):
        assert any(finding.says.startswith(wanted) for _, wanted, _ in CASES.values()), finding.says
