"""Kling's older calls: both ways to authenticate, kinds by choice, states and reasons, lists without a total."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest

from exporter.cli import main
from exporter.client.errors import AuthRefused
from exporter.config.load import ConfigError
from exporter.simulator import Life, fake_of
from exporter.tasks import Cause, Field, Observation, Reason, State
from exporter.vendors import registry
from exporter.vendors.api import Position
from tests.harness import NOW, counted, load, settings_of
from tests.vendors.conftest import OpenAccount, Scripted

CREATED = 1772331200000
DONE: dict[str, Any] = {
    "task_id": "770000000000000001",
    "task_status": "succeed",
    "task_status_msg": "",
    "task_info": {"external_task_id": "mine"},
    "created_at": CREATED,
    "updated_at": CREATED + 60_500,
    "task_result": {"videos": [{"id": "v1", "url": "https://example.invalid/v.mp4", "duration": "10.1"}]},
    "final_unit_deduction": "3.5",
    "final_balance_deduction": {"quota": "0", "list_price": "0"},
}
REFUSED: dict[str, Any] = {
    "task_id": "770000000000000003",
    "task_status": "failed",
    "task_status_msg": "Risk control refused the content",
    "task_info": {},
    "created_at": CREATED,
    "updated_at": CREATED + 30_000,
}
BY_KEY = {"access_key": None, "secret_key": None, "api_key": "demo-kling-legacy-api-key"}


def good(data: Any) -> dict[str, Any]:
    return {"code": 0, "message": "SUCCEED", "request_id": "req-2", "data": data}


async def test_the_documented_rows(scripted: Scripted) -> None:
    at = scripted("kling_legacy", good([DONE, REFUSED]))
    listed = await at.feeds["image2video"].list_page(Position(2, 1000))
    assert listed.observations == [
        Observation(
            "770000000000000001",
            State.SUCCEEDED,
            submitted=CREATED / 1000,
            ended=(CREATED + 60_500) / 1000,
            output_seconds=10.1,
            usage=(("units", 3.5),),
        ),
        Observation(
            "770000000000000003",
            State.FAILED,
            Reason.MODERATION,
            submitted=CREATED / 1000,
            ended=(CREATED + 30_000) / 1000,
            said="Risk control refused the content",
        ),
    ]
    assert not listed.last
    (request,) = at.vendor.requests
    assert str(request.url) == "https://vendor.example/v1/videos/image2video?pageNum=3&pageSize=500"


async def test_a_list_without_a_total_ends_with_an_empty_page(scripted: Scripted) -> None:
    assert (await scripted("kling_legacy", good([])).feed.list_page()).last
    assert (await scripted("kling_legacy", good(None)).feed.list_page()).last


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("submitted", State.QUEUED),
        ("processing", State.RUNNING),
        ("succeed", State.SUCCEEDED),
        ("succeeded", State.SUCCEEDED),
        ("failed", State.FAILED),
        ("asleep", State.UNKNOWN),
    ],
)
async def test_states_in_both_spellings(scripted: Scripted, word: str, state: State) -> None:
    seen = await scripted("kling_legacy", good({**DONE, "task_status": word})).observe(DONE["task_id"])
    assert seen.state is state
    assert (Field.STATE in seen.unmapped) == (state is State.UNKNOWN)


async def test_the_message_around_an_answer_is_no_reason(scripted: Scripted) -> None:
    row = {**REFUSED, "task_status_msg": ""}
    seen = await scripted("kling_legacy", good(row)).observe(REFUSED["task_id"])
    assert (seen.reason, seen.said, seen.unmapped) == (Reason.UNKNOWN, "", frozenset())


@pytest.mark.parametrize("answer", [(404, {"code": 1203, "message": "none"}), (400, {"code": 1201, "message": "none"})])
async def test_an_unknown_id_is_an_answer(scripted: Scripted, answer: Any) -> None:
    at = scripted("kling_legacy", answer)
    await at.knows_not("770000000000000009")
    assert str(at.vendor.requests[0].url).endswith("/v1/videos/text2video/770000000000000009")


async def test_a_request_carries_a_token_that_the_secret_key_signs(scripted: Scripted) -> None:
    at = scripted("kling_legacy", good([]))
    before = int(time.time())
    await at.feed.list_page()
    scheme, _, token = at.vendor.requests[0].headers["Authorization"].partition(" ")
    head, body, _ = (token + "==").split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    assert scheme == "Bearer"
    assert json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": "HS256", "typ": "JWT"}
    assert claims == {
        "iss": "DEMO-KLING-ACCESS-KEY",
        "nbf": pytest.approx(before - 5, abs=5),
        "exp": pytest.approx(before + 1800, abs=5),
    }


async def test_an_api_key_is_sent_as_it_is(scripted: Scripted) -> None:
    at = scripted("kling_legacy", good([]), **BY_KEY)
    await at.feed.list_page()
    assert at.vendor.requests[0].headers["Authorization"] == "Bearer demo-kling-legacy-api-key"


async def test_both_ways_are_let_in_by_the_fake(open_account: OpenAccount) -> None:
    for given in ({}, BY_KEY):
        account = open_account("kling_legacy", **given)
        await account.rig.sweep(2)
        assert account.rig.all_up()
        assert account.rig.errors == {}


@pytest.mark.parametrize("given", [{"secret_key": "wrong"}, {"access_key": "WRONG"}])
async def test_a_token_of_wrong_keys_is_refused(open_account: OpenAccount, given: dict[str, str]) -> None:
    account = open_account("kling_legacy", **given)
    with pytest.raises(AuthRefused):
        await account.rig.loop_of(kind="text2video").feed.list_page()


def test_exactly_one_way_to_authenticate_is_given() -> None:
    keys = fake_of("kling_legacy").keys
    for wrong in ({}, {**keys, "api_key": "KEY"}, {"access_key": "A"}):
        with pytest.raises(ValueError, match="exactly one of api_key, or access_key with secret_key"):
            settings_of({"type": "kling_legacy", **wrong})


def test_a_clock_matters_where_requests_are_signed() -> None:
    vendor = registry.built_in()["kling_legacy"]
    signed = settings_of({"type": "kling_legacy", **fake_of("kling_legacy").keys})
    assert vendor.signs(signed)
    assert not vendor.signs(settings_of({"type": "kling_legacy", "api_key": "KEY"}))
    assert vendor.advise(Cause.SIGNATURE, signed)


def test_a_kind_that_the_site_lacks_is_no_fault_of_the_address_alone() -> None:
    settings = settings_of({"type": "kling_legacy", "api_key": "KEY"})
    assert "take it out of `feeds`" in registry.built_in()["kling_legacy"].advise(Cause.WRONG_URL, settings)


def config(tmp_path: Path, feeds: str) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(f"providers:\n  - {{name: k, type: kling_legacy, api_key: KEY-0123, feeds: [{feeds}]}}\n")
    return file


def test_further_kinds_are_polled_where_they_are_named(tmp_path: Path) -> None:
    (provider,) = load(config(tmp_path, "multi-image2video, avatar/image2video")).providers
    vendor = registry.built_in()["kling_legacy"]
    assert vendor.kinds == ("text2video", "image2video", "omni-video")
    assert {"multi-image2video", "avatar/image2video"} < set(vendor.more_kinds)
    connected = registry.connect(provider, {})  # type: ignore[arg-type]
    assert [feed.kind for feed in connected.feeds] == ["multi-image2video", "avatar/image2video"]


def test_further_kinds_are_told_by_the_list_of_vendors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vendors"]) == 0
    assert "with `feeds` also: multi-image2video, " in capsys.readouterr().out


def test_a_kind_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean multi-image2video"):
        load(config(tmp_path, "multi_image2video"))


async def test_a_kind_of_two_parts_has_its_own_path(scripted: Scripted) -> None:
    at = scripted("kling_legacy", good([DONE]), feeds=["avatar/image2video"])
    await at.feeds["avatar/image2video"].list_page()
    await scripted("kling_legacy", good(DONE), feeds=["effects"]).observe(DONE["task_id"])
    assert at.vendor.requests[0].url.path == "/v1/videos/avatar/image2video"


async def test_the_fake_keeps_thirty_days_and_pages_by_number(open_account: OpenAccount) -> None:
    account = open_account("kling_legacy", page_size=2, history="60d", feeds=["omni-video"])
    ages = {"71": 31 * 86400, "72": 29 * 86400, "73": 3 * 86400, "74": 60, "75": 30}
    await account.submit(
        *(Life(name, "kling_legacy", "omni-video", NOW - age, 1.0, 5.0, State.SUCCEEDED) for name, age in ages.items())
    )
    await account.rig.sweep(2)
    assert counted(account.rig.loop_of(kind="omni-video").tracker, "finished_total") == {"succeeded": 4}
    assert account.rig.errors == {}
