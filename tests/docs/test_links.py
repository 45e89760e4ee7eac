"""Links between the documents, and from them to files, lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.tools.reader import PAGES, ROOT, Page

BY_PATH = {page.path: page for page in PAGES}
TOP = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in {"build", "dist"}}
MADE = {"venv"}
"""Folders that a reader makes."""

pages = pytest.mark.parametrize("page", PAGES, ids=str)


@pages
def test_a_link_leads_to_a_file_and_to_a_heading_of_it(page: Page) -> None:
    lost = []
    for link in page.links:
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        if not target.exists() or (anchor and (target not in BY_PATH or anchor not in BY_PATH[target].anchors)):
            lost.append(link)
    assert lost == []


@pages
def test_a_link_stays_within_the_project(page: Page) -> None:
    here = [page.path.parent / link.partition("#")[0] for link in page.links if not re.match(r"\w+:", link)]
    assert [path for path in here if not path.resolve().is_relative_to(ROOT)] == []


@pages
def test_a_file_that_is_named_is_there(page: Page) -> None:
    """Code such as `grafana/thresholds.yaml`; a `*` stands for what it matches."""
    named = {span for span in page.spans if re.fullmatch(r"[\w.*-]+(/[\w.*-]+)*/?", span)}
    paths = {span for span in named if span.split("/")[0] in TOP and "/" in span}
    assert [path for path in sorted(paths) if not list(ROOT.glob(path.rstrip("/")))] == []


def test_readme_leads_to_every_document() -> None:
    readme = BY_PATH[ROOT / "README.md"]
    led = {(ROOT / link.partition("#")[0]).resolve() for link in readme.links}
    apart = {".github", "deploy", "grafana"}
    missing = [path for path in BY_PATH if path.relative_to(ROOT).parts[0] not in apart and path not in led]
    assert missing == [ROOT / "README.md"]


def test_a_document_is_where_it_says() -> None:
    """The reader of documents sees headings, and tells apart those of the same name."""
    page = next(page for page in PAGES if page.path == ROOT / "docs" / "runbook.md")
    assert {"runbook", "videotaskexporterdown", "how-tasks-end"} <= page.anchors
    assert "nothing-of-that-name" not in page.anchors
    assert Path("docs/runbook.md") in {one.path.relative_to(ROOT) for one in PAGES}
