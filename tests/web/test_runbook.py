"""The runbook's pages, to which alerts link."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pytest

from exporter.web.pages.routes import RUNBOOK
from grafana import runbook

from .serving import served, studio

if TYPE_CHECKING:
    from pathlib import Path


def test_the_pages_are_those_of_the_present_runbook() -> None:
    outdated: list[Path] = [path for path, text in runbook.files().items() if path.read_text(encoding="utf-8") != text]
    assert outdated == [], "run make dashboards"


async def test_every_alert_has_a_page_and_the_list_leads_to_it() -> None:
    async with studio() as rig, served(rig.app()) as http:
        listed = (await http.get("/runbook")).text
        links = re.findall(r'href="([^"]*runbook/\w+)"', listed)
        assert [urljoin("/runbook", link) for link in links] == [f"/runbook/{title}" for title in RUNBOOK]
        for title in RUNBOOK:
            answer = await http.get(f"/runbook/{title}")
            assert answer.status_code == 200
            assert f"<h1>{title}</h1>" in answer.text
            assert "<strong>Do:</strong>" in answer.text
            within = re.findall(r'<a href="(\w+)">', answer.text)
            assert {urljoin(f"/runbook/{title}", link) for link in within} <= {f"/runbook/{one}" for one in RUNBOOK}
            assert "](" not in answer.text


async def test_every_page_leads_to_the_runbook_which_stays_still_while_it_is_read() -> None:
    async with studio() as rig, served(rig.app()) as http:
        for path in ("/", "/tasks", "/runbook", "/runbook/VideoTaskStalled", "/nowhere/at/all"):
            page = (await http.get(path)).text
            (href, current) = re.findall(r'<a href="([^"]+)"( aria-current="page")?>Runbook</a>', page)[0]
            assert urljoin(path, href) == "/runbook"
            assert bool(current) == path.startswith("/runbook")
            assert not path.startswith("/runbook") or 'data-refresh="0"' in page


async def test_the_name_of_an_alert_may_be_in_any_case() -> None:
    async with studio() as rig, served(rig.app()) as http:
        answer = await http.get("/runbook/videotaskfeeddown")
        assert (answer.status_code, "<h1>VideoTaskFeedDown</h1>" in answer.text) == (200, True)


@pytest.mark.parametrize("name", ["Nothing", "<script>", "x" * 3000])
async def test_an_unknown_alert_is_answered_with_the_list(name: str) -> None:
    async with studio() as rig, served(rig.app()) as http:
        answer = await http.get(f"/runbook/{name}")
        assert answer.status_code == 404
        assert all(title in answer.text for title in RUNBOOK)
        assert "<script>" not in answer.text.replace("<script src", "")
        assert len(answer.content) < 10_000
