"""The fake DeerAPI answers as the gateway's documents say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from exporter.simulator import SORA, HandClock, Life, Simulator, World, app
from exporter.simulator.vendors.deerapi import DeerAPI
from exporter.tasks import Reason, State

START = int(HandClock().now)
KEY = {"Authorization": "Bearer demo-api-key"}
USER = {"Authorization": "demo-user-token", "New-Api-User": "1001"}
LIST = "/deerapi/api/task/self"
Reach = Callable[[Simulator], httpx.Client]


def detail(http: httpx.Client, task_id: str) -> Any:
    answer = http.get(f"/deerapi/sora/v1/videos/{task_id}", headers=KEY)
    assert answer.status_code == 200
    assert answer.json()["code"] == "success"
    return answer.json()["data"]


def ids(http: httpx.Client, **params: str | int) -> list[str]:
    data = http.get(LIST, headers=USER, params=params).json()["data"]
    return [row["task_id"] for row in (data if isinstance(data, list) else data["items"])]


def test_a_task_passes_through_all_statuses(http: httpx.Client, world: World, clock: HandClock) -> None:
    world.add(Life("task_a", *SORA, START, 100, 100, State.SUCCEEDED, output_seconds=5))
    seen = []
    for after in (0, 20, 50, 150, 200):
        clock.now = START + after
        task = detail(http, "task_a")
        seen.append((task["status"], task["progress"], task["start_time"] - START, task["finish_time"] - START))
    assert seen == [
        ("NOT_START", "0%", -START, -START),
        ("SUBMITTED", "10%", -START, -START),
        ("QUEUED", "20%", -START, -START),
        ("IN_PROGRESS", "65%", 100, -START),
        ("SUCCESS", "100%", 100, 200),
    ]


def test_the_envelope_has_the_documented_fields(http: httpx.Client, world: World, clock: HandClock) -> None:
    world.add(Life("task_a", *SORA, START, 10, 10, State.SUCCEEDED, output_seconds=5))
    clock.now += 20
    task = detail(http, "task_a")
    assert list(task) == [
        *("task_id", "notify_hook", "action", "status", "fail_reason"),
        *("submit_time", "start_time", "finish_time", "progress", "data"),
    ]
    assert task["action"] == "sora-video"
    assert task["submit_time"] == START
    assert task["data"]["generations"][0]["encodings"]["source"]["duration_secs"] == 5


def test_bodies_hold_content_that_must_not_leak(http: httpx.Client, world: World, clock: HandClock) -> None:
    world.add(Life("task_a", *SORA, START, 10, 10, State.SUCCEEDED, output_seconds=5))
    clock.now += 20
    body = http.get("/deerapi/sora/v1/videos/task_a", headers=KEY).text
    assert all(marker in body for marker in ("PROMPT-MARKER", "Signature=SIGNATURE-MARKER", "user-MARKER"))


def test_a_failure_is_whole_percent_and_has_its_text(http: httpx.Client, world: World, clock: HandClock) -> None:
    world.add(Life("task_a", *SORA, START, 10, 10, State.FAILED, Reason.TIMEOUT))
    clock.now += 20
    task = detail(http, "task_a")
    assert (task["status"], task["progress"], task["fail_reason"]) == ("FAILURE", "100%", "任务超时（20分钟）")


def test_a_failure_without_reason_has_no_finish_time(http: httpx.Client, world: World, clock: HandClock) -> None:
    world.add(Life("task_a", *SORA, START, 10, 10, State.FAILED, Reason.UNKNOWN))
    clock.now += 20
    task = detail(http, "task_a")
    assert (task["status"], task["fail_reason"], task["finish_time"]) == ("FAILURE", "", 0)


def test_some_successes_keep_the_result_address_in_fail_reason(
    http: httpx.Client, world: World, clock: HandClock
) -> None:
    world.add(*(Life(f"task_{n}", *SORA, START, 1, 1, State.SUCCEEDED) for n in range(40)))
    clock.now += 2
    texts = [detail(http, f"task_{n}")["fail_reason"] for n in range(40)]
    assert "" in texts
    assert any(text.startswith("https://") for text in texts)


def test_a_task_that_jumps_to_its_end_has_no_start_time(http: httpx.Client, world: World, clock: HandClock) -> None:
    world.add(Life("task_a", *SORA, START, 55, None, State.SUCCEEDED))
    clock.now += 55
    task = detail(http, "task_a")
    assert (task["status"], task["start_time"], task["finish_time"]) == ("SUCCESS", 0, START + 55)


def test_an_unknown_task_does_not_exist(http: httpx.Client) -> None:
    answer = http.get("/deerapi/sora/v1/videos/task_x", headers=KEY)
    assert answer.status_code == 400
    assert (answer.json()["code"], answer.json()["data"]) == ("task_not_exist", None)


def test_a_vanished_task_does_not_exist(http: httpx.Client, world: World, clock: HandClock) -> None:
    world.add(Life("task_a", *SORA, START, 10, 10, State.SUCCEEDED, vanishes_after=5))
    assert ids(http) == ["task_a"]
    clock.now += 5
    assert ids(http) == []
    assert http.get("/deerapi/sora/v1/videos/task_a", headers=KEY).status_code == 400


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "demo-api-key"}])
def test_a_wrong_key_is_refused(http: httpx.Client, headers: dict[str, str]) -> None:
    answer = http.get("/deerapi/sora/v1/videos/task_a", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "new_api_error"
    assert answer.json()["error"]["message"] == ("无效的令牌" if headers else "未提供令牌")


def test_the_new_list_pages_from_one_newest_first(http: httpx.Client, world: World) -> None:
    world.add(*(Life(f"task_{n}", *SORA, START - n) for n in range(120)))
    first = http.get(LIST, headers=USER, params={"p": 1, "page_size": 50}).json()
    assert first["success"] is True
    assert {key: first["data"][key] for key in ("page", "page_size", "total")} == {
        "page": 1,
        "page_size": 50,
        "total": 120,
    }
    assert ids(http, page_size=50) == [f"task_{n}" for n in range(50)]
    assert ids(http, p=3, page_size=50) == [f"task_{n}" for n in range(100, 120)]
    assert ids(http, p=4, page_size=50) == []
    assert len(ids(http)) == 10
    assert len(ids(http, page_size=500)) == 100


def test_the_new_list_filters(http: httpx.Client, world: World) -> None:
    world.add(Life("done", *SORA, START - 60, 1, 1, State.SUCCEEDED), Life("waits", *SORA, START - 30, 9999, 1))
    assert ids(http, status="SUCCESS") == ["done"]
    assert ids(http, start_timestamp=START - 40) == ["waits"]
    assert ids(http, end_timestamp=START - 40) == ["done"]
    assert ids(http, task_id="waits") == ["waits"]


def test_the_new_list_takes_the_token_with_or_without_bearer_and_needs_no_user(http: httpx.Client) -> None:
    for value in ("demo-user-token", "Bearer demo-user-token"):
        assert http.get(LIST, headers={"Authorization": value}).json()["success"] is True


def test_the_new_list_refuses_the_api_key(http: httpx.Client) -> None:
    answer = http.get(LIST, headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (401, "AUTH_UNAUTHORIZED")


@pytest.fixture
def old(http: httpx.Client, simulator: Simulator) -> httpx.Client:
    simulator.the(DeerAPI).dialect = "old"
    return http


def test_the_old_list_pages_from_zero_by_ten_without_a_total(world: World, old: httpx.Client) -> None:
    world.add(*(Life(f"task_{n}", *SORA, START - n) for n in range(15)))
    assert ids(old) == ids(old, p=0, page_size=100) == [f"task_{n}" for n in range(10)]
    assert ids(old, p=1) == [f"task_{n}" for n in range(10, 15)]
    assert ids(old, p=2) == []


def test_the_old_list_refuses_a_wrong_token_with_http_200(old: httpx.Client) -> None:
    answer = old.get(LIST, headers={"Authorization": "wrong", "New-Api-User": "1001"})
    assert (answer.status_code, answer.json()["success"]) == (200, False)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "demo-user-token"}, {**USER, "New-Api-User": "7"}])
def test_the_old_list_refuses_a_missing_or_wrong_user_with_http_401(old: httpx.Client, headers: dict[str, str]) -> None:
    answer = old.get(LIST, headers=headers)
    assert (answer.status_code, answer.json()["success"]) == (401, False)


def test_too_many_requests_get_an_empty_429(world: World, reach: Reach) -> None:
    http = reach(app(world, limits={"deerapi": (2, 60)}))
    answers = [http.get(LIST, headers=USER) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].content == b""
