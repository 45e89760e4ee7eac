"""The ready-made faults, as a client sees them."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from exporter.simulator import LIP_SYNC, HandClock, Life, Simulator, World
from exporter.tasks import State
from tests.simulator import faults

LIST = "/chanjing/open/v1/video_lip_sync/list"
DETAIL = "/chanjing/open/v1/video_lip_sync/detail?id=b"
FEED = "chanjing/lip_sync"
TOKEN = {"access_token": "demo-access-token"}


@pytest.fixture
def world(clock: HandClock) -> World:
    world = World(rate=0, clock=clock)
    world.add(*(Life(name, *LIP_SYNC, clock.now - 100, 0.0, 5.0, State.SUCCEEDED) for name in "ab"))
    return world


def listed(http: httpx.Client) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = http.post(LIST, headers=TOKEN).json()["data"]["list"]
    return rows


@pytest.mark.parametrize("fault", [faults.reset, faults.broken_off])
def test_a_broken_connection_is_no_answer(http: httpx.Client, simulator: Simulator, fault: Any) -> None:
    simulator.faults[FEED] = fault
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        http.post(LIST, headers=TOKEN)
    simulator.faults.clear()
    assert len(listed(http)) == 2


def test_a_drip_never_ends(http: httpx.Client, simulator: Simulator) -> None:
    simulator.faults[FEED] = faults.drip
    with http.stream("POST", LIST, headers=TOKEN) as answer:
        pieces = answer.iter_raw()
        assert [next(pieces) for _ in range(5)] == [b" "] * 5


def test_without_keys_the_vendor_refuses_in_its_own_way(http: httpx.Client, simulator: Simulator) -> None:
    simulator.faults["chanjing"] = simulator.faults["facewap"] = faults.keyless
    assert http.post(LIST, headers=TOKEN).json()["code"] == 10400
    assert http.post("/facewap/videoTaskHistory", headers={"Authorization": "demo-facewap-token"}).status_code == 401


def test_a_date_to_wait_for_lies_ahead(http: httpx.Client, simulator: Simulator) -> None:
    begin = time.time()
    simulator.faults[FEED] = faults.until_a_date
    answer = http.post(LIST, headers=TOKEN)
    assert answer.status_code == 429
    ahead = parsedate_to_datetime(answer.headers["retry-after"]).timestamp() - begin
    assert -1 < ahead <= 1 + time.time() - begin


def test_rows_of_lists_and_details_are_changed(http: httpx.Client, simulator: Simulator) -> None:
    simulator.faults[FEED] = faults.rows(faults.each(faults.unheard_of))
    assert [row["status"] for row in listed(http)] == [777, 777]
    assert http.get(DETAIL, headers=TOKEN).json()["data"]["status"] == 777
    simulator.faults[FEED] = faults.rows(lambda rows: [])
    assert listed(http) == []
    assert http.get(DETAIL, headers=TOKEN).json()["data"] is None


def test_a_clock_that_is_off_moves_the_times(http: httpx.Client, simulator: Simulator, clock: HandClock) -> None:
    simulator.faults[FEED] = faults.skewed(3600)
    assert {row["create_time"] for row in listed(http)} == {int(clock.now) - 100 + 3600}
    simulator.faults["huawei_metastudio"] = faults.skewed(-3600)
    simulator.world.add(Life("job", "huawei_metastudio", "digital_human", 1_700_000_000.0 - 60))
    path = "/huawei/v1/demo-project-id/digital-human-videos"
    (job,) = http.get(path, headers={"X-Auth-Token": "demo-auth-token"}).json()["jobs"]
    assert job["create_time"] == "2023-11-14T21:12:20Z"


def test_a_list_may_shift_while_it_is_read(http: httpx.Client, simulator: Simulator, clock: HandClock) -> None:
    simulator.faults[FEED] = faults.arriving(
        lambda: simulator.world.add(Life("new", *LIP_SYNC, clock.now - 1, 0.0, 0.5, State.SUCCEEDED))
    )
    assert [row["id"] for row in listed(http)] == ["b", "a"]
    simulator.faults.clear()
    assert [row["id"] for row in listed(http)] == ["new", "b", "a"]


def test_a_truncated_body_is_no_json(http: httpx.Client, simulator: Simulator) -> None:
    simulator.faults[FEED] = faults.said(faults.cut)
    answer = http.post(LIST, headers=TOKEN)
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"."):
        answer.json()
