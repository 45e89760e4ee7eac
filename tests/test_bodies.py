"""Answers that are fit to be given away: what stays as it is, and what stands for the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.client.reasons import reason_of
from exporter.client.redaction.bodies import Names, Redactor, sent_in
from exporter.tasks import Reason

KEY = "k3y-of-the-studio"


def redactor(names: Names | None = None) -> Redactor:
    return Redactor({KEY, "abc"}, {"moonbase-7", "42"}, names or Names())


def redacted(body: Any, *ids: str) -> Any:
    made = redactor()
    made.learn(body, ids)
    return made.redacted(body)


@pytest.mark.parametrize(
    "body",
    [
        {"code": 0, "msg": "ok", "success": True, "data": None, "empty": "", "list": []},
        {"status": "In Progress", "state": "处理中", "phase": "DONE_OK", "job_type": "flexus_2d"},
        {"error": {"code": "InputImageSensitiveContentDetected.PrivacyInformation"}, "error_code": "E_1001"},
        {"created_at": 1790000000, "createdAt": "2026-09-21T10:00:00.5Z", "at": "Mon, 21 Sep 2026 10:00:00 GMT"},
        {"submit_time": "2026-09-21 10:00:00", "ms": 1790000000123, "day": "2026-09-21", "again": "1790000000123"},
        {"percent": "42%", "progress": 0.5, "seconds": "5s", "length": "0:00:07", "size": "1280x720", "ratio": "16:9"},
        {"model": "kling-v1-6-20250101", "model_name": "doubao-seedance-1-0-pro-250528"},
        {"usage": {"total_tokens": 3000, "credits": 1.5}, "balance": "12.50", "account": {"balance": 5, "plan": "pro"}},
        {"page": 2, "next_page": 3, "total": 42, "more": False, "user_count": 3},
        {"object": "video", "platform": "suno", "action": "text2video", "quality": "1080p"},
        {"user": {"status": "active", "created_at": 1790000000}},
    ],
    ids=lambda body: next(iter(body)),
)
def test_what_tells_of_tasks_and_of_nobody_stays(body: Any) -> None:
    assert redacted(body) == body


@pytest.mark.parametrize(
    ("body", "instead"),
    [
        ({"prompt": "sunset"}, {"prompt": "(text)"}),
        ({"input": {"text": "a cat", "ratio": "16:9"}}, {"input": {"text": "(text)", "ratio": "16:9"}}),
        ({"anything": "a cat on a mat"}, {"anything": "(text)"}),
        ({"status": "a cat on a mat"}, {"status": "(text)"}),
        ({"file": "cat.mp4", "out": "cat.mp4"}, {"file": "(text)", "out": "(text)"}),
        ({"message": "violates our content policy: cats"}, {"message": "(text, moderation)"}),
        ({"fail_reason": "too many cats"}, {"fail_reason": "(text)"}),
        ({"url": "https://cdn.example/x.mp4?sig=1"}, {"url": "https://url.invalid/url-1"}),
        ({"image": "data:image/png;base64,AAAA"}, {"image": "https://url.invalid/url-1"}),
        ({"token": "x", "total_tokens": 3}, {"token": "(secret)", "total_tokens": 3}),
        ({"a": f"Bearer {KEY}", "b": KEY.upper()}, {"a": "(secret)", "b": "(secret)"}),
        ({"a": "abc", "b": "abcd"}, {"a": "(secret)", "b": "abcd"}),
        ({KEY: 1, "a cat": 2}, {"key-1": 1, "key-2": 2}),
        ({"note": "moonbase-7", "status": "moonbase-7-done"}, {"note": "user-1", "status": "id-1"}),
        ({"user_id": 9981, "userName": "Li"}, {"user_id": 1000001, "userName": "user-2"}),
        ({"user": {"id": "u-1", "name": "Li"}}, {"user": {"id": "user-1", "name": "user-2"}}),
        ({"x": "li@example.com"}, {"x": "user-1@email.invalid"}),
        ({"x": "13800138000", "y": 13800138000, "z": "+1 555 010 9999"},
         {"x": "+10000000000", "y": 10000000000, "z": "+10000000000"}),
        ({"x": '{"prompt": "a cat", "percent": 5}'}, {"x": '{"prompt": "(text)", "percent": 5}'}),
        ({"sha": "9f86d081884c7d659a2feaa0c55ad015"}, {"sha": "id-1"}),
        ({"next_cursor": "eyJwIjoyfQ=="}, {"next_cursor": "id-1"}),
    ],
    ids=str,
)  # fmt: skip
def test_what_may_be_content_or_tell_whose_it_is_goes(body: Any, instead: Any) -> None:
    assert redacted(body) == instead


def test_an_id_has_the_same_name_wherever_it_stands() -> None:
    body = {
        "items": [{"id": "task_01jhj", "ref": "TASK_01JHJ", "parent": "task_01jhj"}, {"id": 1234567}, {"id": 17}],
        "by_id": {"task_01jhj": {"percent": 17}},
        "text": '{"id": "task_01jhj", "n": "1234567"}',
    }
    made = redacted(body)
    assert made["items"][0] == {"id": "id-1", "ref": "(text)", "parent": "id-1"}
    assert made["items"][1:] == [{"id": 1000002}, {"id": 1000003}]
    assert made["by_id"] == {"id-1": {"percent": 17}}
    assert json.loads(made["text"]) == {"id": "id-1", "n": "1000002"}


def test_ids_that_are_known_by_other_means_are_replaced_too() -> None:
    body = {"name": "operations/cat", "job": "r-1", "percent": 7}
    assert redacted(body, "operations/cat", "r-1", "7") == {"name": "id-1", "job": "id-2", "percent": 7}


def test_ids_at_the_key_where_the_feed_has_its_own_are_replaced_in_rows_of_other_feeds_too() -> None:
    body = {"assets": [{"ref": "orb_5512", "type": "image", "input": {"ref": "a"}}]}
    one = redactor(Names())
    one.learn(body, (), "ref")
    assert one.redacted(body)["assets"][0]["ref"] == "id-1"


def test_answers_that_have_names_in_common_have_ids_in_common() -> None:
    names = Names()
    bodies = [{"data": [{"promptId": "p-1001"}]}, {"data": {"promptId": "p-1001"}}]
    made = []
    for body in bodies:
        one = redactor(names)
        one.learn(body)
        made.append(one.redacted(body))
    assert made == [{"data": [{"promptId": "id-1"}]}, {"data": {"promptId": "id-1"}}]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("sensitive content", Reason.MODERATION),
        ("余额不足", Reason.INSUFFICIENT_BALANCE),
        ("invalid parameter: x", Reason.INVALID_INPUT),
        ("too many requests", Reason.RATE_LIMITED),
        ("the access token is wrong", Reason.AUTH),
        ("internal error of ours", Reason.PROVIDER_INTERNAL),
        ("it timed out", Reason.TIMEOUT),
    ],
)
def test_what_stands_for_the_words_of_a_failure_tells_the_same_reason(said: str, reason: Reason) -> None:
    (instead,) = redacted({"fail_reason": f"{said} 猫猫"}).values()
    assert instead.startswith("(text, ")
    assert reason_of(text=f"{said} 猫猫") is reason
    assert reason_of(text=instead) is reason


def test_credentials_are_found_in_headers() -> None:
    headers = {"Authorization": "Bearer T0K", "access_token": "A", "X-Api-Key": "K", "Accept": "x", "X-Sdk-Date": "d"}
    assert set(sent_in(headers)) == {"Bearer T0K", "Bearer", "T0K", "A", "K"}


SECRETS = (KEY, "a cat on a mat", "https://cdn.example/x?sig=1", "li.lei@example.com", "moonbase-7")
KEYS = st.sampled_from(["status", "id", "code", "user", "data", "message", "url", "model", "input", "type", "error"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(SECRETS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.sampled_from(SECRETS), inner, max_size=4),
    max_leaves=20,
)


def shape(value: Any) -> Any:
    match value:
        case dict():
            return [shape(one) for one in value.values()]
        case list():
            return [shape(one) for one in value]
    return type(value)


@given(body=VALUES)
def test_no_shape_of_an_answer_lets_content_out_or_is_lost(body: Any) -> None:
    made = redacted(body)
    text = json.dumps(made, ensure_ascii=False)
    assert [secret for secret in SECRETS if secret in text] == []
    assert shape(made) == shape(body)


def test_an_answer_that_is_nested_beyond_measure_ends_somewhere() -> None:
    body: Any = "a cat on a mat"
    for _ in range(150):
        body = {"data": [body]}
    assert "cat" not in json.dumps(redacted(body))
