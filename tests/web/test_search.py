"""Searches through all tasks: in a thread of their own, so many at once and no more, and everything else goes on."""

from __future__ import annotations

import asyncio
import threading

import httpx
import pytest

from exporter.tasks import Observation, State
from exporter.web.query import RUN, Direction, Sort, TaskQuery, find
from exporter.web.search import WAITING, Searches
from tests.harness import Rig, until

TASK = "/tasks/studio/lip_sync/t"


@pytest.mark.parametrize("path", ["/", "/tasks", TASK, "/api/v1/tasks", "/api/v1/providers", f"/api/v1{TASK}"])
async def test_searches_hold_up_nothing_else_and_too_many_are_sent_away(
    rig: Rig, http: httpx.AsyncClient, path: str
) -> None:
    await rig.show(Observation("t", State.RUNNING))
    ends = threading.Event()
    before = asyncio.create_task(Searches().run(lambda: ends.wait(60), "elsewhere"))
    searches = [asyncio.create_task(http.get(path)) for _ in range(WAITING + 3)]
    try:
        await until("some are sent away", lambda: sum(one.done() for one in searches) == 2)
        assert (await http.get("/-/healthy")).status_code == 200
        assert (await http.get("/metrics")).status_code == 200
    finally:
        ends.set()
    assert await before
    answers = await asyncio.gather(*searches)
    assert sorted(one.status_code for one in answers) == [200] * (WAITING + 1) + [503] * 2
    assert {one.headers.get("retry-after") for one in answers if one.status_code == 503} == {"1"}


@pytest.mark.parametrize("direction", Direction)
async def test_many_tasks_are_found_in_the_same_order_page_by_page(rig: Rig, direction: Direction) -> None:
    count = 3 * RUN + 7
    now = rig.clock.now
    await rig.show()
    await rig.show(*(Observation(f"t{n * 7919 % count:05}", State.QUEUED, submitted=now - n) for n in range(count)))
    query = TaskQuery(sort=Sort.ID, direction=direction, per_page=400)
    found = [find(rig.polled.snapshot(), query.model_copy(update={"page": page}), now) for page in range(1, 6)]
    ids = [row.task.id for page in found for row in page.rows]
    assert ids == sorted(ids, reverse=direction is Direction.DESCENDING)
    assert len(set(ids)) == len(ids) == count
    assert {(page.total, page.known, page.pages) for page in found} == {(count, count, 4)}
