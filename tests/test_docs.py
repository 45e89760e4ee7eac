"""The documents that are made from the code are those that the code makes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from docs import generate
from exporter.metrics import EXPORTER_METRICS, FEED_METRICS, PREFIX, PROVIDER_METRICS, TASK_METRICS, Metric

ROOT = Path(__file__).parent.parent
CATALOGUE: tuple[Metric[Any], ...] = (*TASK_METRICS, *FEED_METRICS, *PROVIDER_METRICS, *EXPORTER_METRICS)
NAMES = {f"{PREFIX}{one.name}" for one in CATALOGUE}
PARTS = re.compile(r"_(bucket|sum|count|gcount|gsum)$")


def test_the_page_of_metrics_is_what_the_catalogue_makes() -> None:
    assert generate.FILE.read_text(encoding="utf-8") == generate.metrics(), "run make docs"


def test_the_page_of_metrics_has_each_metric_once() -> None:
    rows = re.findall(r"(?m)^\| `(videotask_\w+)` \|", generate.metrics())
    assert len(rows) == len(NAMES)
    assert set(rows) == NAMES


def test_the_description_of_the_api_is_what_the_models_make() -> None:
    assert generate.OPENAPI.read_text(encoding="utf-8") == generate.description(), "run make docs"
    assert generate.API.read_text(encoding="utf-8") == generate.api(), "run make docs"


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_documents_name_no_metric_that_there_is_not(page: Path) -> None:
    named = set(re.findall(r"videotask_[a-z_]+[a-z](?![a-z_*])", page.read_text(encoding="utf-8")))
    assert {name for name in named if PARTS.sub("", name) not in NAMES and name not in NAMES} == set()


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    here = [link for link in links if "://" not in link]
    assert [link for link in here if not (page.parent / link).exists()] == []
