"""The runbook has what an alert's link promises."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from exporter.web.pages.routes import RUNBOOK as SERVED_SECTIONS
from grafana.promql import CLOSED, SERVED
from grafana.rules_files import ALERTS, HERE

PAGE = HERE.parent / "docs" / "runbook.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"(?ms)^### (\w+)\n(.*?)(?=^##|\Z)", TEXT))
PARTS = ("Means:", "Likely at fault:", "Look at:", "Do:", "Ignore if")
QUERIES = re.findall(r"(?s)```promql\n(.*?)\n```", TEXT)


def test_every_alert_has_a_section_and_no_other_thing_has() -> None:
    rules = [rule for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
    assert list(SECTIONS) == [rule["alert"] for rule in rules]
    pages = "http://localhost:10186/runbook/"  # of the exporter, which serves every section
    assert [rule["annotations"]["runbook_url"] for rule in rules] == [pages + title for title in SECTIONS]
    assert list(SERVED_SECTIONS) == list(SECTIONS)
    assert TEXT.count("\n### ") == len(SECTIONS)


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_says_what_it_is_whose_fault_and_what_to_do(title: str) -> None:
    assert tuple(re.findall(r"(?m)^\*\*(.*?)\*\*", SECTIONS[title])) == PARTS
    assert "```promql" in SECTIONS[title]


def test_links_within_the_page_lead_to_sections() -> None:
    anchors = re.findall(r"\]\(#([^)]+)\)", TEXT)
    assert anchors
    assert set(anchors) <= {title.lower() for title in SECTIONS}


def test_queries_are_valid_and_about_what_is_served(program: Callable[[str], str], tmp_path: Path) -> None:
    rules = [{"record": f"query:{index}", "expr": query} for index, query in enumerate(QUERIES)]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "runbook", "rules": rules}]}))
    checked = subprocess.run(
        [program("promtool"), "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    for query in QUERIES:
        names = set(re.findall(r"\bvideotask_\w+|\b(?:up|process_\w+)(?={)", query))
        assert names
        assert names <= SERVED.keys()
        for label, value in re.findall(r'(\w+)="([^"]*)"', query):
            assert value in CLOSED.get(label, {value})
