"""The fake Chanjing answers as the vendor's documents say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from exporter.simulator import LIP_SYNC, VIDEO, HandClock, Life, Simulator, World, app
from exporter.simulator.vendors.chanjing import Chanjing
from exporter.tasks import Reason, State

START = int(HandClock().now)
TOKEN = {"access_token": "demo-access-token"}
APP = {"app_id": "demo-app-id", "secret_key": "demo-app-secret"}
ROOT = "/chanjing/open/v1"
Reach = Callable[[Simulator], httpx.Client]


def call(http: httpx.Client, method: str, path: str, token: str = "demo-access-token", **more: Any) -> Any:
    """Every business answer is HTTP 200 in the same envelope."""
    answer = http.request(method, ROOT + path, headers={"access_token": token}, **more)
    assert answer.status_code == 200
    assert set(answer.json()) == {"trace_id", "code", "msg", "data"}
    return answer.json()


def test_a_lip_sync_passes_through_its_numbers(http: httpx.Client, world: World, clock: HandClock) -> None:
    world.add(Life("a", *LIP_SYNC, START, 10, 100, State.SUCCEEDED, output_seconds=12.345))
    seen = []
    for after in (0, 60, 110):
        clock.now = START + after
        row = call(http, "GET", "/video_lip_sync/detail?id=a")["data"]
        seen.append((row["status"], row["progress"], row["msg"], row.get("duration")))
    assert seen == [(0, 0, "", None), (10, 50, "", None), (20, 100, "success", 12345)]


def test_a_failed_lip_sync_has_the_number_of_a_succeeded_video(
    http: httpx.Client, world: World, clock: HandClock
) -> None:
    world.add(Life("a", *LIP_SYNC, START, 0, 1, State.FAILED, Reason.INSUFFICIENT_BALANCE))
    world.add(Life("b", *VIDEO, START, 0, 1, State.SUCCEEDED, output_seconds=34))
    clock.now += 1
    failed = call(http, "GET", "/video_lip_sync/detail?id=a")["data"]
    succeeded = call(http, "GET", "/video?id=b")["data"]
    assert (failed["status"], failed["msg"]) == (30, "蝉豆不足扣费失败")
    assert (succeeded["status"], succeeded["msg"], succeeded["duration"]) == (30, "", 34)


@pytest.mark.parametrize(
    ("reason", "tens"), [(Reason.INVALID_INPUT, 4), (Reason.INSUFFICIENT_BALANCE, 4), (Reason.PROVIDER_INTERNAL, 5)]
)
def test_a_failed_video_is_forty_something_or_fifty_something(
    http: httpx.Client, world: World, clock: HandClock, reason: Reason, tens: int
) -> None:
    world.add(Life("a", *VIDEO, START, 0, 1, State.FAILED, reason))
    assert call(http, "GET", "/video?id=a")["data"]["status"] == 10
    clock.now += 1
    row = call(http, "GET", "/video?id=a")["data"]
    assert row["status"] // 10 == tens
    assert row["msg"]


def test_the_two_lists_spell_their_keys_differently(http: httpx.Client, world: World) -> None:
    world.add(*(Life(f"a{n}", *LIP_SYNC, START - n) for n in range(25)))
    world.add(*(Life(f"b{n}", *VIDEO, START - n) for n in range(25)))
    lip_sync = call(http, "POST", "/video_lip_sync/list", json={"page": 3, "page_size": 10})["data"]
    video = call(http, "POST", "/video_list", json={"page": 1, "page_size": 10})["data"]
    assert [row["id"] for row in lip_sync["list"]] == [f"a{n}" for n in range(20, 25)]
    assert lip_sync["page_info"] == {"page": 3, "size": 10, "total_count": 25, "total_page": 3}
    assert [row["id"] for row in video["List"]] == [f"b{n}" for n in range(10)]
    assert video["PageInfo"] == {"page": 1, "size": 10, "total_count": 25, "total_page": 3}


@pytest.mark.parametrize("path", ["/video_lip_sync/list", "/video_list"])
def test_an_empty_body_is_the_first_page_of_ten(http: httpx.Client, path: str) -> None:
    data = call(http, "POST", path)["data"]
    info = data.get("page_info") or data["PageInfo"]
    assert info == {"page": 1, "size": 10, "total_count": 0, "total_page": 0}


@pytest.mark.parametrize(("body", "code"), [(b"[]", 400), (b"{", 400), (b'{"page":"1"}', 400), (b'{"page":0}', 40000)])
def test_bad_parameters_are_refused_in_the_body(http: httpx.Client, body: bytes, code: int) -> None:
    assert call(http, "POST", "/video_list", content=body)["code"] == code


def test_an_unknown_id_is_a_parameter_error(http: httpx.Client) -> None:
    for path in ("/video_lip_sync/detail?id=x", "/video?id=x", "/video"):
        answer = call(http, "GET", path)
        assert (answer["code"], answer["data"]) == (40000, None)


def test_a_wrong_token_is_refused_with_http_200(http: httpx.Client) -> None:
    assert call(http, "POST", "/video_list", token="wrong")["code"] == 10400
    assert call(http, "GET", "/video_lip_sync/detail?id=x", token="wrong")["code"] == 10400


def test_a_new_token_logs_the_old_one_out(http: httpx.Client, simulator: Simulator) -> None:
    first = call(http, "POST", "/access_token", json=APP)["data"]
    assert first["expire_in"] == START + 86400
    assert call(http, "POST", "/video_list")["code"] == 10400
    assert call(http, "POST", "/video_list", token=first["access_token"])["code"] == 0
    second = call(http, "POST", "/access_token", json=APP)["data"]
    assert call(http, "POST", "/video_list", token=first["access_token"])["code"] == 10400
    assert call(http, "POST", "/video_list", token=second["access_token"])["code"] == 0
    assert simulator.the(Chanjing).tokens_issued == simulator.vendors["chanjing"].requests["token"] == 2


def test_another_holder_can_take_the_account_over(http: httpx.Client, simulator: Simulator) -> None:
    theirs = simulator.the(Chanjing).renew_elsewhere()
    assert call(http, "POST", "/video_list")["code"] == 10400
    assert call(http, "POST", "/video_list", token=theirs)["code"] == 0
    assert simulator.the(Chanjing).tokens_issued == 0


def test_a_token_expires_after_a_day(http: httpx.Client, clock: HandClock) -> None:
    token = call(http, "POST", "/access_token", json=APP)["data"]["access_token"]
    clock.now += 86399
    assert call(http, "POST", "/video_list", token=token)["code"] == 0
    clock.now += 1
    assert call(http, "POST", "/video_list", token=token)["code"] == 10400


def test_wrong_app_credentials_get_no_token(http: httpx.Client) -> None:
    answer = call(http, "POST", "/access_token", json={**APP, "secret_key": "wrong"})
    assert (answer["code"], answer["data"]) == (10400, None)


def test_too_many_requests_get_a_code_in_an_http_200(world: World, reach: Reach) -> None:
    http = reach(app(world, limits={"chanjing/lip_sync/list": (3, 60)}))
    assert [call(http, "POST", "/video_lip_sync/list")["code"] for _ in range(4)] == [0, 0, 0, 40001]
    assert call(http, "POST", "/video_list")["code"] == 0


def test_bodies_hold_signed_addresses(http: httpx.Client, world: World, clock: HandClock) -> None:
    world.add(Life("b", *VIDEO, START, 0, 1, State.SUCCEEDED, output_seconds=34))
    clock.now += 1
    assert "Signature=SIGNATURE-MARKER" in call(http, "GET", "/video?id=b")["data"]["video_url"]
