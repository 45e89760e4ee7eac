"""What the dashboards of accounts and models work out, as Prometheus does it from series that are given."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import pytest

from grafana import identity
from grafana.rules_files import RECORDINGS

from .conftest import DASHBOARDS, Board, substituted

TARGET = 'job="videotask-exporter",instance="exporter:10186"'
ANOTHER = 'job="videotask-exporter",instance="exporter-2:10186"'
FEED = 'provider="kling",kind="video"'

HOURS = 8
"""How long the series are: more than what the pace looks back at."""

BALANCES: Mapping[str, str] = {
    # Ten an hour, read every five minutes; topped up in the seventh hour. A second exporter reads the same account.
    f'videotask_account_balance{{{TARGET},provider="kling",unit="units"}}': "500-0.8333333333x72 1000-0.8333333333x24",
    f'videotask_account_balance{{{ANOTHER},provider="kling",unit="units"}}': "500-0.8333333333x72 1000-0.8333333333x24",
    f'videotask_account_balance{{{TARGET},provider="idle",unit="usd"}}': "-3x97",
    # Three credits an hour, which are given back five minutes later.
    f'videotask_account_balance{{{TARGET},provider="refunds",unit="credits"}}': " ".join(["100x10 97 100"] * HOURS)
    + " 100",
}

COSTS: Mapping[str, str] = {
    f'videotask_usage_total{{{TARGET},{FEED},unit="units",state="succeeded"}}': "0+8x97",
    f'videotask_usage_total{{{TARGET},{FEED},unit="units",state="failed"}}': "0+2x97",
    f'videotask_finished_total{{{TARGET},{FEED},state="succeeded"}}': "0+4x97",
    f'videotask_finished_total{{{TARGET},{FEED},state="failed"}}': "0+1x97",
    f'videotask_model_usage_total{{{TARGET},{FEED},model="fast",unit="units"}}': "0+2x97",
    f'videotask_model_usage_total{{{TARGET},{FEED},model="other",unit="units"}}': "0+8x97",
    f'videotask_model_finished_total{{{TARGET},{FEED},model="fast",state="succeeded"}}': "0+3x97",
    f'videotask_model_finished_total{{{TARGET},{FEED},model="fast",state="failed"}}': "0+0x97",
    f'videotask_model_finished_total{{{TARGET},{FEED},model="other",state="succeeded"}}': "0+1x97",
    f'videotask_model_finished_total{{{TARGET},{FEED},model="other",state="failed"}}': "0+1x97",
}

UNITS = '{provider="kling",unit="units"}'
OF_FEED = '{provider="kling",kind="video",unit="units"}'


def of_model(model: str, more: str = "") -> str:
    return f'{{provider="kling",kind="video",model="{model}"{more}}}'


def of_target(labels: str, target: str = TARGET) -> str:
    return f"{{{target},{labels[1:]}"


def by_unit(fast: float, other: float) -> Mapping[str, float]:
    return {of_model(model, ',unit="units"'): value for model, value in (("fast", fast), ("other", other))}


CASES: Mapping[str, tuple[str, str, int, Mapping[str, float]]] = {
    "spending is all steps down, without top-ups and refunds, and once of two exporters": (
        identity.ACCOUNTS,
        "Burn per day",
        0,
        {UNITS: 240, '{provider="refunds",unit="credits"}': 72},
    ),
    "an account lasts as long as the pace lets it": (
        identity.ACCOUNTS,
        "Accounts",
        2,
        {UNITS: 86400 * 980 / 240, '{provider="refunds",unit="credits"}': 86400 * 100 / 72},
    ),
    "a balance is shown as it is, negative ones too": (
        identity.ACCOUNTS,
        "Accounts",
        0,
        {UNITS: 980, '{provider="idle",unit="usd"}': -3, '{provider="refunds",unit="credits"}': 100},
    ),
    "the forecast is that of a day later": (
        identity.ACCOUNTS,
        "Other units and their forecast",
        1,
        {UNITS: 980 - 240, '{provider="refunds",unit="credits"}': 28},
    ),
    "failures have a part in the costs": (identity.ACCOUNTS, "What tasks cost", 1, {OF_FEED: 24}),
    "failures have a share in the costs": (identity.ACCOUNTS, "What tasks cost", 2, {OF_FEED: 0.2}),
    "a success costs what failures cost, too": (identity.ACCOUNTS, "What tasks cost", 3, {OF_FEED: 2.5}),
    "each model has its share in the costs": (identity.ACCOUNTS, "What models cost", 1, by_unit(0.2, 0.8)),
    "a success of a model costs what its failures cost, too": (
        identity.ACCOUNTS,
        "What models cost",
        2,
        by_unit(2 / 3, 8),
    ),
    "each model has its share in the ends": (
        identity.MODELS,
        "What each model did",
        2,
        {of_model("fast"): 0.6, of_model("other"): 0.4},
    ),
    "each model has its success ratio": (
        identity.MODELS,
        "What each model did",
        3,
        {of_model("fast"): 1, of_model("other"): 0.5},
    ),
}
"""By what is worked out: the dashboard, the panel, which of its queries, and the values by labels."""


@pytest.mark.parametrize("case", CASES)
def test_a_dashboard_works_out_what_it_says(case: str, program: Callable[..., str], tmp_path: Path) -> None:
    uid, title, number, wanted = CASES[case]
    board = Board(json.loads((DASHBOARDS / f"{uid}.json").read_text(encoding="utf-8")))
    (panel,) = [panel for panel in board.panels if panel["title"] == title]
    asked = [target["expr"] for target in panel["targets"] if target["refId"][0] == ascii_uppercase[number]]
    expr = substituted(" or ".join(f"({each})" for each in asked))  # of all ranks, where it has some
    check(expr, wanted, program("promtool"), tmp_path)


RECORDED: Mapping[str, Mapping[str, float]] = {
    "account:videotask_account_balance:spent_6h": {
        of_target(UNITS): 60,
        of_target(UNITS, ANOTHER): 60,
        of_target('{provider="idle",unit="usd"}'): 0,
        of_target('{provider="refunds",unit="credits"}'): 18,
    },
    "model:videotask_success:ratio_1h": {of_target(of_model("fast")): 1, of_target(of_model("other")): 0.5},
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_recording_is_what_its_name_says(name: str, program: Callable[..., str], tmp_path: Path) -> None:
    check(name, RECORDED[name], program("promtool"), tmp_path)


def check(expr: str, wanted: Mapping[str, float], promtool: str, folder: Path) -> None:
    """That Prometheus works out these values, by labels, and no others."""
    asked: list[dict[str, Any]] = [
        {"expr": f"count({expr})", "eval_time": f"{HOURS}h", "exp_samples": [{"labels": "{}", "value": len(wanted)}]}
    ]
    for value in set(wanted.values()):
        # Near enough: versions of Prometheus differ in whether a range has its first instant.
        near = f"round(({expr}) / {value}, 0.05) == 1" if value else f"({expr}) * 0 == ({expr})"
        alike = [other for other, its in wanted.items() if its == value]
        samples = [{"labels": other, "value": 1 if value else 0} for other in alike]
        asked.append({"expr": near, "eval_time": f"{HOURS}h", "exp_samples": samples})
    series = [{"series": name, "values": values} for name, values in {**BALANCES, **COSTS}.items()]
    test = {"interval": "5m", "input_series": series, "promql_expr_test": asked}
    content = {"rule_files": [str(RECORDINGS)], "evaluation_interval": "5m", "tests": [test]}
    (folder / "test.yaml").write_text(json.dumps(content))  # which is YAML too
    command = [promtool, "test", "rules", str(folder / "test.yaml")]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
