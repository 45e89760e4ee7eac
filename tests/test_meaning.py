"""Words that no table maps: what of them is shown, what is guessed, and the setting that maps them."""

from __future__ import annotations

import pytest
import yaml

from exporter.client.redaction.words import is_showable
from exporter.tasks import Field, Reason, State
from exporter.vendors.meaning import likely, setting


@pytest.mark.parametrize(
    "word",
    [
        "weird",
        "done_ok",
        "in progress",
        "e_unsafe",
        "e1001",
        "err-403",
        "50412",
        "mss.00010009",
        "3",
        "处理中",
        "text2video",
    ],
)
def test_what_has_the_form_of_a_code_is_shown(word: str) -> None:
    assert is_showable(word)


@pytest.mark.parametrize(
    "word",
    [
        "",
        "a cat on a mat",
        "一只猫在唱歌",
        "hunter2",
        "sk-abcd1234",
        "bearer abcdefgh",
        "user_8842",
        "task_01",
        "13800138000",
        "li@example.com",
        "https://x.example/a",
        "qwzrtxpsdfghklmnvbzz",
        "eyjhbgcioijiuzi1nij9",
        "x" * 41,
        "word\u202e",
    ],
)
def test_what_may_be_content_or_a_credential_or_an_id_is_not(word: str) -> None:
    assert not is_showable(word)


@pytest.mark.parametrize("word", ["studio", "the studio", "my-studio-done", "42"])
def test_what_is_ours_is_not_shown(word: str) -> None:
    assert not is_showable(word, ["Studio", "42"])


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("done_ok", State.SUCCEEDED),
        ("ok", State.SUCCEEDED),
        ("finished_with_error", State.FAILED),
        ("not-started", State.QUEUED),
        ("generated", State.SUCCEEDED),
        ("generating", State.RUNNING),
        ("wait_audit", State.QUEUED),
        ("canceling", State.CANCELLED),
        ("on_hold", State.BLOCKED),
        ("处理中", State.RUNNING),
        ("已完成", State.SUCCEEDED),
        ("incomplete", None),
        ("not_ready", None),
        ("broken_token", None),
        ("weird", None),
    ],
)
def test_a_state_is_guessed_where_something_hints_at_it(word: str, meaning: State | None) -> None:
    assert likely(Field.STATE, word) is meaning


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("e_unsafe", Reason.MODERATION),
        ("no_credit", Reason.INSUFFICIENT_BALANCE),
        ("e_limit", Reason.RATE_LIMITED),
        ("generate_x", None),
        ("e1001", None),
    ],
)
def test_a_reason_is_guessed_likewise(word: str, meaning: Reason | None) -> None:
    assert likely(Field.REASON, word) is meaning


def test_the_setting_is_yaml_that_maps_each_word() -> None:
    words = {"done_ok": State.SUCCEEDED, "weird": None, "null": None, "finished": State.SUCCEEDED}
    line = setting(Field.STATE, words, "sora")
    assert line == 'states: {sora: {succeeded: [done_ok, finished], STATE: [weird, "null"]}}'
    assert yaml.safe_load(line) == {
        "states": {"sora": {"succeeded": ["done_ok", "finished"], "STATE": ["weird", "null"]}}
    }
    assert setting(Field.REASON, {"e1": Reason.AUTH}) == "reasons: {auth: [e1]}"
