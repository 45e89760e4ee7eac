"""Redaction: what comes out of a vendor's texts, and that nothing else does."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.client.redaction.error_words import CHINESE, ENGLISH
from exporter.client.redaction.redaction import EXCERPT_LENGTH, READ, WORDS_LENGTH, excerpt, redacted
from exporter.simulator import MARKERS
from exporter.simulator.world.content import prompt, signed_url, user
from exporter.simulator.world.profiles import PROFILES

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
HEX = "d41d8cd98f00b204e9800998ecf8427e"

HIDDEN = {
    "upload to https://cdn.example/a.mp4?Signature=abc failed": "upload to (URL) failed",
    "无法下载https://cdn.example/一.mp4，请重试": "无法下载(URL)，请重试",
    "cannot read oss://bucket/key, try again": "cannot read (URL) try again",
    "cannot read www.example.com/a": "cannot read (URL)",
    "cannot read media.example.com/a/b.mp4?sig=aaa": "cannot read (URL)",
    "image data:image/png;base64,AAAA is broken": "image (data) is broken",
    "header Authorization: Bearer abc.def.ghi refused": "header (credential) refused",
    "Bearer abcdef is wrong": "(credential) is wrong",
    "the api_key=abc is wrong": "the (credential) is wrong",
    "密钥：abc，已失效": "(credential)，已失效",
    'sent {"password": "abc"}': 'sent {"(credential)',
    "invalid key sk-ab12": "invalid key (credential)",
    f"token {TOKEN} has expired": "token (id) has expired",
    f"task {HEX} is gone": "task (id) is gone",
    "write to someone.else@example.co.uk": "write to (e-mail)",
    "联系someone@example.cn，或www.example.cn": "联系(e-mail)，或(URL)",
    "call +86 138-0013-8000": "call (number)",
    "电话13800138000": "电话(number)",
    "tel.13800138000": "tel.(number)",
    "密钥sk-ab12无效": "密钥(credential)",
    "文案'一个灯塔看守人在雨中翩翩起舞，然后去睡觉'不合法": "文案(quoted)不合法",
    "user 4711 is banned": "(user) is banned",
    "user_id: mary is banned": "(user) is banned",
    "用户ID：mary 已封禁": "(user) 已封禁",
    'the text "a lighthouse keeper dances" is not allowed': "the text (quoted) is not allowed",
    "the text 'a lighthouse keeper dances' is not allowed": "the text (quoted) is not allowed",
    "文案“一个灯塔看守人在雨中翩翩起舞”含敏感词": "文案(quoted)含敏感词",
    'cut off: "a lighthouse keeper dances in': "cut off: (quoted)",
    "refused, prompt: a lighthouse keeper dances": "refused, (prompt)",
    "提示词：灯塔看守人": "(prompt)",
    "the text 'a lighthouse keeper who doesn't dance' is not allowed": "the text (quoted) is not allowed",
    'cut off before" and "a lighthouse keeper dances" is not allowed': 'cut off before" and (quoted) is not allowed',
    'open "a lighthouse keeper, and "a keeper dances" is not allowed': "open (quoted) is not allowed",
    'token: "a lighthouse keeper dances" is not allowed': "(credential) is not allowed",
    "write to x_some_one_else@example.com": "write to (e-mail)",
    "two\nlines,\x1b[31m red, \u202eturned": "two lines, [31m red, turned",
}
KEPT = (
    "upstream returned error",
    "it's not allowed, don't retry because it's wrong",
    "InputTextRiskDetection: sensitive",
    "获取渠道信息失败，请联系管理员，渠道ID：12",
    'unsupported format "webp"',
    'the format "webp" is not supported by the model that was asked for',
    "input new_sensitive (1026)",
    "MSS.00010009: the tenant differs",
)


@pytest.mark.parametrize(("said", "shown"), HIDDEN.items())
def test_what_a_vendor_says_of_a_failed_task_is_shown_without_what_is_to_be_hidden(said: str, shown: str) -> None:
    assert redacted(said) == shown


@pytest.mark.parametrize(
    "said", [*KEPT, *(failure.words for profile in PROFILES.values() for failure in profile.failures)]
)
def test_words_without_anything_to_hide_are_shown_as_they_are(said: str) -> None:
    assert redacted(said) == said


@given(st.text(), st.sampled_from((signed_url("1", "a.mp4"), TOKEN, HEX, f'"{prompt("1")}"', f"user_id={user('1')}")))
def test_tagged_content_does_not_come_out_of_words(around: str, content: str) -> None:
    shown = redacted(f"{around} {content} {around}")
    assert [marker for marker in (*MARKERS, TOKEN, HEX) if marker in shown] == []


@given(st.text(max_size=50), st.text(st.characters(categories=["L", "N", "P"]), min_size=4, max_size=40))
def test_a_known_secret_does_not_come_out_of_words(around: str, secret: str) -> None:
    shown = redacted(f"{around}{secret} {secret}{around}", [secret])
    assert not any(secret in part for part in re.split(r"\([A-Za-z-]+\)", shown))


@pytest.mark.parametrize("before", [0, 290, READ - 20, READ - 1])
def test_a_known_secret_does_not_come_out_of_long_words_in_part(before: int) -> None:
    secret = "correct horse battery staple " * 500
    hidden = '"' + "b" * max(before - 4, 0) + '" '  # which is shown as one short word
    assert not re.search("horse|staple", redacted(f"{hidden[:before]}{secret} is wrong", [secret.strip()]))


def test_an_id_of_which_long_words_hold_the_first_half_alone_is_not_shown() -> None:
    words = "wait ".ljust(READ - 8, ".") + " "
    assert "3f9a" not in redacted(f"{words}3f9a1b2c3d4e5f60718293a4b5c6d7e8", limit=READ)


@given(st.text())
def test_words_are_one_line_of_a_bounded_length(said: str) -> None:
    shown = redacted(said * 50)
    assert len(shown) <= WORDS_LENGTH
    assert shown.isprintable()


def test_words_are_cut_between_two_of_them() -> None:
    shown = redacted("upstream says that the model is overloaded; " * 50)
    assert 250 < len(shown) <= WORDS_LENGTH
    assert set(re.findall(r"\w+", shown)) == {"upstream", "says", "that", "the", "model", "is", "overloaded"}
    assert redacted("one two three four", limit=14) == "one two three…"
    assert redacted("one two three four", limit=13) == "one two…"
    assert redacted("服务器繁忙请稍后再试", limit=5) == "服务器繁…"


@pytest.mark.parametrize(
    "piece", ['"', "“", "a.", "?a=", "user ", "1 ", "token", "-", "data:", "x" * 50, "{[", "@a.", "_a"]
)
def test_words_made_to_keep_a_pattern_busy_do_not(piece: str) -> None:
    assert len(redacted(piece * 1_000_000)) <= WORDS_LENGTH


EXCERPTS: dict[bytes, str] = {
    b"": "empty",
    b" \n": "empty",
    b"\x89PNG\x0d\x0a\x1a\x0a\x00": "binary, 9 bytes",
    "服务器繁忙，请稍后再试".encode("gbk"): "binary, 22 bytes",
    "服务器繁忙，请稍后再试".encode(): "text, 33 bytes: 服务器繁忙，请稍后再试",
    b"<html><style>h1 { color: red }</style><h1>Bad Gateway</h1><!-- x --><hr>nginx/1.18": (
        "HTML, 82 bytes: Bad Gateway …"
    ),
    b"upstream connect error or disconnect": "text, 36 bytes: upstream connect error or …",
    b"a lighthouse keeper dances in the rain": "text, 38 bytes",
    b"unauthorized " * 20: f"text, 260 bytes: {'unauthorized ' * 11}…",
    "请求过于频繁，请稍后再试。".encode() * 40: f"text, 1560 bytes: {'请求过于频繁，请稍后再试。' * 11}请求过于频繁…",
    b"[]": "[]",
    b'"a lighthouse keeper"': "text(19)",
    b"4711": "number",
    b'{"code": 0, "data": {"list": [{"id": "1': "text, 39 bytes: code: …, data: list: [id: …",
}
ENVELOPES: tuple[tuple[Any, str], ...] = (
    (
        {"code": 10400, "msg": "AccessToken验证失败", "data": None},
        '{code: 10400, msg: "AccessToken验证失败", data: null}',
    ),
    ({"code": 40001, "msg": "超出QPS限制"}, '{code: 40001, msg: "超出QPS限制"}'),
    (
        {"error_code": "APIGW.0301", "error_msg": "Incorrect IAM authentication information: expired"},
        '{error_code: "APIGW.0301", error_msg: "Incorrect IAM authentication information: expired"}',
    ),
    (
        {"error": {"code": "", "message": "该令牌额度已用尽 TokenStatusExhausted[sk-ab*]", "type": "new_api_error"}},
        '{error: {code: "", message: "该令牌额度已用尽 TokenStatusExhausted[…]", type: "new_api_error"}}',
    ),
    (
        {"success": False, "message": "Your IP 1.2.3.4 is not allowed"},
        '{success: false, message: "Your IP … is not allowed"}',
    ),
    (
        {"message": prompt("1"), "name": "token", "status": 7, "user_id": 1001},
        "{message: text(54), name: text(5), status: 7, user_id: number}",
    ),
    ({"code": 13800138000}, "{code: number}"),
    (
        {"data": {"list": [{"id": "1", "lighthouse": 1.5}, {}], "page": {}}},
        "{data: {list: [2 × {id: text(1), other: number}], page: {}}}",
    ),
    ({"a": {"a": {"a": {"a": {"a": 1}}}}}, "{a: {a: {a: {a: {…}}}}}"),
    (dict.fromkeys(sorted(ENGLISH)[:20], 1), f"{{{', '.join(f'{one}: number' for one in sorted(ENGLISH)[:12])}, …}}"),
)


@pytest.mark.parametrize(("body", "shown"), EXCERPTS.items())
def test_a_body_that_is_no_envelope_is_told_by_its_words_or_its_size(body: bytes, shown: str) -> None:
    assert excerpt(body) == shown


@pytest.mark.parametrize(("body", "shown"), ENVELOPES)
def test_an_envelope_is_told_by_its_structure_and_what_it_says_of_the_error(body: Any, shown: str) -> None:
    assert excerpt(json.dumps(body).encode()) == shown


FREE = st.one_of(
    st.text(max_size=40),
    st.text("AaZz09-_.=:'\" \n火灯塔", max_size=40),
    st.sampled_from((prompt("1"), signed_url("1", "a"), user("1"), TOKEN, HEX, "the s3cr3t-TAG is invalid")),
)
BODIES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), FREE),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(FREE, st.sampled_from(("code", "msg", "error", "data"))), inner, max_size=4),
    ),
    max_leaves=12,
)
OURS = ENGLISH | {"html", "text", "binary", "bytes", "number", "other", "null", "true", "false"}
_CODE = re.compile(r"\b[A-Z]{2,8}\.\d{4,9}\b")


def unknown(shown: str) -> list[str]:
    """What in an excerpt is neither one of our words, nor a code, nor a number."""
    for phrase in CHINESE:
        shown = shown.replace(phrase, " ")
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", _CODE.sub(" ", shown))
    return [word for word in re.findall(r"[^\W\d_]+|\d{9,}", words) if word.lower() not in OURS]


@given(BODIES)
def test_out_of_json_nothing_comes_but_words_that_are_known(body: Any) -> None:
    shown = excerpt(json.dumps(body).encode())
    assert unknown(shown) == []
    assert [marker for marker in (*MARKERS, "TAG", TOKEN, HEX) if marker in shown] == []
    assert len(shown) <= EXCERPT_LENGTH


@example(b'A"A')
@given(st.one_of(st.binary(), FREE.map(str.encode), BODIES.map(lambda one: b"<p>" + json.dumps(one).encode())))
def test_out_of_anything_else_nothing_comes_but_words_that_are_known(body: bytes) -> None:
    shown = excerpt(body)
    assert unknown(shown) == []
    assert len(shown) <= EXCERPT_LENGTH
    assert shown.isprintable()


@pytest.mark.parametrize("secret", ["server error", "Unauthorized", "APIGW.0301", "40001", "7", "令牌无效"])
def test_a_secret_that_looks_like_an_error_message_does_not_come_out(secret: str) -> None:
    value = int(secret) if secret.isdigit() else secret
    for body in (
        {"code": value, "msg": f"the token {secret} is invalid"},
        {secret: secret},
        {"data": {"error": f"{secret}!"}},
    ):
        assert secret not in excerpt(json.dumps(body).encode(), [secret])
    if not secret.isdigit():
        assert secret not in excerpt(f"invalid token {secret}".encode(), [secret])


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":' * 200_000,
        b"[" * 9_000_000,
        b'{"msg": "' + b"error " * 1_500_000 + b'"}',
        b"<" * 9_000_000,
        b"<script" * 1_000_000,
        b"&lt;" * 1_000_000,
        b"\xff" * 9_000_000,
        json.dumps(
            {"error": {f"k{n}": {f"k{m}": {"msg": "error " * 9} for m in range(12)} for n in range(12)}}
        ).encode(),
        json.dumps({"msg": "_a" * 100_000, "_a" * 10_000: "unauthorized" * 1000}).encode(),
    ],
    ids=lambda body: f"{body[:8]!r}",
)
def test_a_large_body_has_a_short_excerpt(body: bytes) -> None:
    assert len(excerpt(body)) <= EXCERPT_LENGTH


def test_known_words_are_no_words_of_prompts() -> None:
    assert all(word.isascii() and word.islower() for word in ENGLISH)
    assert not {"lighthouse", "keeper", "dances", "rain"} & ENGLISH
