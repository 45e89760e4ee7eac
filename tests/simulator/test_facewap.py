"""The fake faceWap answers as the vendor's documents say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from exporter.simulator import FACE_SWAP, HandClock, Life, Simulator, World
from exporter.simulator.vendors.facewap import FaceWap
from exporter.tasks import Reason, State

START = int(HandClock().now)
EIGHT_HOURS = 28800
TOKEN = {"Authorization": "demo-facewap-token"}
Reach = Callable[[Simulator], httpx.Client]


def history(http: httpx.Client, **body: Any) -> Any:
    answer = http.post("/facewap/videoTaskHistory", headers=TOKEN, json=body)
    assert answer.status_code == 200
    return answer.json()


def info(http: httpx.Client, prompt_id: str) -> Any:
    return http.get("/facewap/getTaskInfo", headers=TOKEN, params={"promptId": prompt_id}).json()


def test_a_swap_passes_through_its_states(http: httpx.Client, world: World, clock: HandClock) -> None:
    world.add(Life("313902995386602", *FACE_SWAP, START, 10, 100, State.SUCCEEDED))
    seen = []
    for after in (0, 50, 110):
        clock.now = START + after
        row = history(http)["data"][0]
        seen.append((row["state"], row["createdAt"] + EIGHT_HOURS - START))
        assert info(http, "313902995386602")["data"]["state"] == row["state"]
    assert seen == [(10, 0), (20, 0), (30, 110)]


def test_a_row_has_the_documented_fields(http: httpx.Client, world: World) -> None:
    world.add(Life("313902995386602", *FACE_SWAP, START, 10, 100, State.SUCCEEDED))
    answer = history(http)
    row = answer["data"][0]
    assert (answer["code"], answer["msg"]) == (200, "SUCCESS")
    assert list(row) == [
        *("id", "styleId", "taskId", "promptId", "covering", "origin", "reason", "state", "createdAt", "videoTemp"),
    ]
    assert isinstance(row["taskId"], str)
    assert row["promptId"] == "313902995386602"
    assert row["videoTemp"]["prompt"].startswith("PROMPT-MARKER")


@pytest.mark.parametrize(("reason", "words"), [(Reason.MODERATION, "new_sensitive"), (Reason.UNKNOWN, "unknown error")])
def test_a_failure_says_why(http: httpx.Client, world: World, clock: HandClock, reason: Reason, words: str) -> None:
    world.add(Life("1", *FACE_SWAP, START, 1, 1, State.FAILED, reason))
    clock.now += 2
    row = history(http)["data"][0]
    assert (row["state"], row["reason"]) == (2, words)


def test_the_history_pages_newest_first_and_ends_empty(http: httpx.Client, world: World) -> None:
    world.add(*(Life(str(n), *FACE_SWAP, START - n) for n in range(25)))
    assert [row["promptId"] for row in history(http, page=2, pageSize=10)["data"]] == [str(n) for n in range(10, 20)]
    assert len(history(http)["data"]) == 20
    assert history(http, page=4, pageSize=10)["data"] == []


def test_an_unknown_id_is_no_data(http: httpx.Client) -> None:
    assert info(http, "1") == {"code": 900, "msg": "no data", "data": None}


@pytest.mark.parametrize("body", [{"page": 0}, {"page": "1"}, {"pageSize": -1}])
def test_bad_parameters_are_refused_in_the_body(http: httpx.Client, body: dict[str, Any]) -> None:
    assert history(http, **body)["code"] == 800


@pytest.mark.parametrize("value", ["", "wrong", "Bearer demo-facewap-token"])
def test_a_wrong_token_is_refused(http: httpx.Client, value: str) -> None:
    headers = {"Authorization": value}
    assert http.post("/facewap/videoTaskHistory", headers=headers).status_code == 401
    assert http.get("/facewap/getTaskInfo?promptId=1", headers=headers).status_code == 401


def test_a_bearer_token_is_taken_where_configured(http: httpx.Client, simulator: Simulator) -> None:
    simulator.the(FaceWap).bearer = True
    for value in ("Bearer demo-facewap-token", "demo-facewap-token"):
        answer = http.post("/facewap/videoTaskHistory", headers={"Authorization": value})
        assert answer.status_code == 200
