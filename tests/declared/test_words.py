"""What a vendor's words mean: whole words without case, beginnings, and those that a user adds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.vendors.words import LONGEST, plain
from exporter.tasks import Reason, State
from exporter.vendors.declared.reading.words import Words

STATES = Words[State](
    {
        State.QUEUED: ["waiting", "10", "false"],
        State.RUNNING: ["Rendering", " In Progress ", "20"],
        State.SUCCEEDED: ["完成", "30", "0", "true"],
    }
)
REASONS = Words[Reason](
    {
        Reason.MODERATION: ["E_UNSAFE", "^Sensitive", "^sensitive.quota.word"],
        Reason.INSUFFICIENT_BALANCE: ["^Sensitive.Quota", "E_CREDIT"],
        Reason.TIMEOUT: ["^E_"],
    }
)


@pytest.mark.parametrize(
    ("value", "state"),
    [
        ("waiting", State.QUEUED),
        ("WAITING", State.QUEUED),
        (" Waiting\n", State.QUEUED),
        ("rendering", State.RUNNING),
        ("in progress", State.RUNNING),
        ("完成", State.SUCCEEDED),
        (10, State.QUEUED),
        (10.0, State.QUEUED),
        ("10", State.QUEUED),
        (20, State.RUNNING),
        (30.0, State.SUCCEEDED),
        (0, State.SUCCEEDED),
        (0.0, State.SUCCEEDED),
        (True, State.SUCCEEDED),
        (False, State.QUEUED),
        ("True", State.SUCCEEDED),
    ],
)
def test_a_whole_word_is_known_whatever_its_case_and_type(value: Any, state: State) -> None:
    assert STATES.meaning(value) is state


@pytest.mark.parametrize(
    "value",
    ["", " ", None, "wait", "waiting!", 1, 30.5, "30.0", [], {}, ["waiting"], {"waiting": 1}, 10**400, float("nan")],
    ids=lambda value: str(value)[:20],
)
def test_other_values_mean_nothing(value: Any) -> None:
    assert STATES.meaning(value) is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("SensitiveContentDetected", Reason.MODERATION),
        ("sensitive", Reason.MODERATION),
        ("Sensitive.Quota.Reached", Reason.INSUFFICIENT_BALANCE),
        ("sensitive.quota.words", Reason.MODERATION),
        ("E_UNSAFE", Reason.MODERATION),
        ("E_UNSAFE_2", Reason.TIMEOUT),
        ("e_credit", Reason.INSUFFICIENT_BALANCE),
        ("Sensitive" + "x" * 5000, Reason.MODERATION),
        ("insensitive", None),
        ("^sensitive", None),
    ],
)
def test_a_whole_word_goes_before_beginnings_and_the_longest_of_these_before_the_others(
    value: str, reason: Reason | None
) -> None:
    assert REASONS.meaning(value) is reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("E_CREDIT", Reason.RATE_LIMITED),  # a whole word of both
        ("E_UNSAFE", Reason.INVALID_INPUT),  # a beginning of the user's, a whole word of ours
        ("Sensitive.Quota.Reached", Reason.AUTH),  # a shorter beginning of the user's
        ("sensitive.quota.words", Reason.AUTH),
        ("E_OTHER", Reason.TIMEOUT),  # only ours
        ("E_NEW", Reason.PROVIDER_INTERNAL),  # only the user's
    ],
)
def test_the_words_of_a_user_go_before_ours(value: str, reason: Reason) -> None:
    users = Words[Reason](
        {
            Reason.RATE_LIMITED: ["e_credit"],
            Reason.INVALID_INPUT: ["^E_UN"],
            Reason.AUTH: ["^sens"],
            Reason.PROVIDER_INTERNAL: ["E_NEW"],
        },
        otherwise=REASONS,
    )
    assert users.meaning(value) is reason
    assert REASONS.meaning("E_CREDIT") is Reason.INSUFFICIENT_BALANCE  # ours are as they were


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("CONTENT_BLOCKED", Reason.MODERATION),
        ("Blocked: no credit", Reason.MODERATION),  # both parts: the first of the table
        ("No credit left", Reason.INSUFFICIENT_BALANCE),
        ("credit_check", Reason.TIMEOUT),  # a beginning goes before a part
        ("~blocked", Reason.MODERATION),
        ("block", None),
    ],
)
def test_parts_may_stand_anywhere_and_come_after_whole_words_and_beginnings(value: str, reason: Reason | None) -> None:
    table = {
        Reason.MODERATION: ["~Blocked"],
        Reason.INSUFFICIENT_BALANCE: ["~credit"],
        Reason.TIMEOUT: ["^credit_"],
    }
    assert Words[Reason](table).meaning(value) is reason
    assert Words[Reason](table, Words[Reason]({})).meaning(value) is reason
    assert Words[Reason]({Reason.AUTH: ["~b"]}, Words[Reason](table)).meaning("blocked") is Reason.AUTH


def test_a_table_without_words_is_empty() -> None:
    assert not Words[State]({})
    assert not Words[State]({State.QUEUED: []})
    assert STATES
    assert Words[Reason]({Reason.AUTH: ["^a"]})
    assert Words[State]({}, STATES)


@given(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.integers())
    | st.dictionaries(st.text(), st.none())
)
def test_any_value_is_a_short_word_in_small_letters_or_none(value: Any) -> None:
    word = plain(value)
    assert word == word.strip()
    assert len(word) <= 3 * (LONGEST + 1)  # a small letter may be longer than its capital
    assert STATES.meaning(value) in (None, *State)
    if isinstance(value, int) and abs(value) < 10**15:
        assert plain(value) in (str(value), str(value).lower())
        assert type(value) is bool or plain(float(value)) == plain(value)
