"""Feeds whose names have two parts: their tasks, their callbacks and the files of their answers are found as others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from exporter.client.client import Exchange
from exporter.commands.answers.recording import Recording
from exporter.simulator import HandClock, Life, World, fake_of
from tests.harness import NOW, Door, Rig, Site

FEED = ("kling_legacy", "avatar/image2video")
SECRET = "a-secret-between-us-0123456789"


@pytest.fixture
async def rig(door: Door) -> AsyncIterator[Rig]:
    """An account with one feed of such a name, which has a task with a slash in its id."""
    profiles = fake_of(FEED[0]).profiles
    world = World(rate=0, clock=HandClock(NOW), profiles=(*profiles, replace(profiles[0], feed=FEED)))
    world.add(Life("7001", *FEED, NOW - 60, 1.0, 900.0), Life("a/b", *FEED, NOW - 50, 1.0, 900.0))
    door.behind = site = Site(world, door.url)
    rig = Rig(site.clock)
    rig.add(site.settings(FEED[0], name="k", feeds=[FEED[1]], watch={"callback_secret": SECRET}))
    await rig.sweep(2)
    yield rig
    await rig.aclose()


@pytest.mark.parametrize("task_id", ["7001", "a/b"])
@pytest.mark.parametrize("kind", ["avatar/image2video", "avatar%2Fimage2video"])
async def test_a_task_has_its_page_and_its_place_in_the_api(http: httpx.AsyncClient, kind: str, task_id: str) -> None:
    found = await http.get(f"/api/v1/tasks/k/{kind}/{task_id}")
    assert (found.status_code, found.json()["kind"], found.json()["id"]) == (200, FEED[1], task_id)
    page = await http.get(f"/tasks/k/{kind}/{task_id}")
    assert (page.status_code, task_id in page.text) == (200, True)


async def test_the_pages_link_to_it(http: httpx.AsyncClient) -> None:
    listed = await http.get("/tasks")
    assert "tasks/k/avatar%2Fimage2video/7001" in listed.text


@pytest.mark.parametrize(
    "path", ["k/avatar/7001", "k/image2video/7001", "k/avatar/other/7001", "j/avatar/image2video/1"]
)
async def test_another_feed_is_none(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(f"/api/v1/tasks/{path}")).status_code == 404
    assert (await http.get(f"/tasks/{path}")).status_code == 404


@pytest.mark.parametrize("kind", ["avatar/image2video", "avatar%2Fimage2video"])
async def test_a_callback_is_taken(http: httpx.AsyncClient, kind: str) -> None:
    headers = {"X-Callback-Secret": SECRET}
    answer = await http.post(f"/api/v1/callbacks/k/{kind}", headers=headers, json={"task_id": "7001"})
    assert answer.status_code == 204
    assert (await http.post("/api/v1/callbacks/k/avatar", headers=headers, json={"task_id": "7001"})).status_code == 403


async def test_its_answers_are_recorded_in_one_folder(rig: Rig, tmp_path: Path) -> None:
    provider = rig.loop_of("k").provider
    seen: list[Exchange] = []

    class Shoulder:
        def asked(self, endpoint: str) -> None:
            """Prevents nothing."""

        def answered(self, exchange: Exchange) -> None:
            seen.append(exchange)

    provider.client.observer = Shoulder()
    await rig.sweep()
    written = Recording(str(tmp_path)).write(provider.settings, FEED[1], seen, ["7001", "a/b"])
    assert written[0] == str(tmp_path / "k-avatar-image2video-list.json")
