"""What all fake vendors have in common: the truth, the counts, the faults, the server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import httpx
import pytest
from starlette.responses import Response

from exporter.simulator import (
    DIGITAL_HUMAN,
    FACE_SWAP,
    LIP_SYNC,
    SORA,
    VIDEO,
    Credentials,
    HandClock,
    Simulator,
    World,
    app,
    hang,
    running,
    serve,
)
from exporter.simulator.vendor import VendorLimit

Reach = Callable[[Simulator], httpx.Client]
VIDEO_LIST = "/chanjing/open/v1/video_list"
TOKEN = {"access_token": "demo-access-token"}


def states_shown(http: httpx.Client, feed: tuple[str, str]) -> Iterator[str]:
    """Our word for every row's state, in every list, written down once more from the documents."""
    if feed == SORA:
        words = dict.fromkeys(("NOT_START", "SUBMITTED", "QUEUED"), "queued")
        words |= {"IN_PROGRESS": "running", "SUCCESS": "succeeded", "FAILURE": "failed"}
        for number in range(1, 99):
            query = {"p": number, "page_size": 100}
            answer = http.get("/deerapi/api/task/self", params=query, headers={"Authorization": "demo-user-token"})
            items = answer.json()["data"]["items"]
            yield from (words[row["status"]] for row in items)
            if len(items) < 100:
                return
    elif feed == DIGITAL_HUMAN:
        words = {"WAITING": "queued", "PROCESSING": "running", "BLOCK": "blocked"}
        words |= {"SUCCEED": "succeeded", "FAILED": "failed", "CANCELED": "cancelled"}
        for offset in range(0, 9900, 100):
            path = f"/huawei/v1/demo-project-id/digital-human-videos?limit=100&offset={offset}"
            jobs = http.get(path, headers={"X-Auth-Token": "demo-auth-token"}).json()["jobs"]
            yield from (words[job["state"]] for job in jobs)
            if len(jobs) < 100:
                return
    elif feed == FACE_SWAP:
        body, headers = {"page": 1, "pageSize": 9999}, {"Authorization": "demo-facewap-token"}
        rows = http.post("/facewap/videoTaskHistory", json=body, headers=headers).json()["data"]
        yield from ({10: "queued", 20: "running", 30: "succeeded", 2: "failed"}[row["state"]] for row in rows)
    elif feed == LIP_SYNC:
        path = "/chanjing/open/v1/video_lip_sync/list"
        rows = http.post(path, json={"page_size": 9999}, headers=TOKEN).json()["data"]["list"]
        yield from ({0: "queued", 10: "running", 20: "succeeded", 30: "failed"}[row["status"]] for row in rows)
    else:
        rows = http.post(VIDEO_LIST, json={"page_size": 9999}, headers=TOKEN).json()["data"]["List"]
        yield from ({10: "running", 30: "succeeded"}.get(row["status"], "failed") for row in rows)


@pytest.mark.parametrize("feed", [SORA, LIP_SYNC, VIDEO, DIGITAL_HUMAN, FACE_SWAP])
def test_the_lists_show_what_the_truth_says(reach: Reach, feed: tuple[str, str]) -> None:
    http = reach(app(World(seed=8, clock=HandClock(), history=20_000), limits={}))
    truth = http.get("/truth").json()[feed[0]][feed[1]]
    expected = {state: count for state, count in (truth["in_flight"] | truth["finished"]).items() if count}
    shown = list(states_shown(http, feed))
    assert {state: shown.count(state) for state in set(shown)} == expected
    assert len(shown) == truth["submitted"]


def test_requests_are_counted_by_endpoint_refused_or_not(http: httpx.Client, simulator: Simulator) -> None:
    http.post(VIDEO_LIST, headers=TOKEN)
    http.post(VIDEO_LIST)
    simulator.faults["chanjing"] = Response(status_code=500)
    http.post(VIDEO_LIST)
    http.get("/chanjing/open/v1/video?id=x")
    assert simulator.vendors["chanjing"].requests == {"video/list": 3, "video/detail": 1}


def test_a_fault_answers_for_one_endpoint_until_it_is_removed(http: httpx.Client, simulator: Simulator) -> None:
    simulator.faults["chanjing/video/list"] = Response("<html>", 502, {"Retry-After": "7"})
    answer = http.post(VIDEO_LIST, headers=TOKEN)
    assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (502, "<html>", "7")
    assert http.get("/chanjing/open/v1/video?id=x", headers=TOKEN).json()["code"] == 40000
    del simulator.faults["chanjing/video/list"]
    assert http.post(VIDEO_LIST, headers=TOKEN).json()["code"] == 0


@pytest.mark.parametrize("key", ["chanjing", "chanjing/video", "chanjing/video/list"])
def test_a_fault_is_put_on_a_vendor_a_feed_or_an_endpoint(http: httpx.Client, simulator: Simulator, key: str) -> None:
    simulator.faults[key] = Response(status_code=503)
    assert http.post(VIDEO_LIST, headers=TOKEN).status_code == 503
    others = {"chanjing": 503, "chanjing/video": 200, "chanjing/video/list": 200}
    assert http.post("/chanjing/open/v1/video_lip_sync/list", headers=TOKEN).status_code == others[key]


def test_a_hanging_vendor_lets_the_others_answer_and_the_server_stop(world: World) -> None:
    simulator = app(world)
    simulator.faults["chanjing"] = hang
    before = {*threading.enumerate()}
    with serve(simulator) as server, httpx.Client(base_url=server.url) as http:
        with pytest.raises(httpx.ReadTimeout):
            http.post(VIDEO_LIST, timeout=0.1)
        assert http.get("/truth").status_code == 200
    assert {*threading.enumerate()} <= before


def test_other_credentials_can_be_set(world: World, reach: Reach) -> None:
    http = reach(app(world, Credentials(chanjing_access_token="another")))
    assert http.post(VIDEO_LIST, headers=TOKEN).json()["code"] == 10400
    assert http.post(VIDEO_LIST, headers={"access_token": "another"}).json()["code"] == 0


def test_a_rate_limit_lets_through_again_after_its_time() -> None:
    clock = HandClock()
    limit = VendorLimit(2, 1.0, clock)
    assert [limit.allows() for _ in range(3)] == [True, True, False]
    clock.now += 0.99
    assert not limit.allows()
    clock.now += 0.01
    assert [limit.allows() for _ in range(3)] == [True, True, False]


async def test_the_simulator_runs_inside_an_event_loop(world: World) -> None:
    async with running(app(world)) as url, httpx.AsyncClient() as http:
        assert (await http.get(url + "/truth")).status_code == 200
    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(url + "/truth")


def test_a_taken_port_is_an_error(world: World) -> None:
    simulator = app(world)
    with serve(simulator) as server, pytest.raises(OSError, match="in use"), serve(simulator, port=server.port):
        pass
