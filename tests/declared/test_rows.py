"""Rows as observations: each part by itself, and a broken one costs itself alone."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.client.answers import Answer
from exporter.tasks import Field, Observation, Reason, State
from exporter.vendors.declared.declaration import Declaration
from exporter.vendors.declared.reading.rows import MODEL_LENGTH, RowReader
from exporter.vendors.declared.vendor import reader_of
from tests.declared.conftest import declared

AT = 1_790_000_000.0


def reader(feed: dict[str, Any] | None = None, **added: Any) -> RowReader:
    return reader_of(Declaration.model_validate(declared(feed)).feeds["render"], **added)


def observe(feed: dict[str, Any] | None = None, /, **row: Any) -> Observation:
    return reader(feed)({"id": "r-1", **row})


WHOLE = {
    "id": "r-1",
    "status": "done",
    "percent": 100,
    "created_at": AT,
    "started_at": AT + 10,
    "ended_at": AT + 60,
    "updated_at": AT + 61,
    "seconds": "5s",
    "model": "acme-2",
    "cost": "1,250",
    "url": "https://cdn.example/1.mp4",
}
READ = Observation(
    "r-1",
    State.SUCCEEDED,
    progress=1.0,
    submitted=AT,
    started=AT + 10,
    ended=AT + 60,
    dated=AT + 61,
    output_seconds=5.0,
    model="acme-2",
    usage=(("credits", 1250.0),),
)


def test_a_whole_row() -> None:
    assert reader()(WHOLE) == READ


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("waiting", State.QUEUED),
        ("Rendering", State.RUNNING),
        ("DONE", State.SUCCEEDED),
        ("failed", State.FAILED),
        ("expired", State.FAILED),
        ("stopped", State.CANCELLED),
    ],
)
def test_states_by_the_table(word: str, state: State) -> None:
    seen = observe(status=word)
    assert seen.state is state
    assert Field.STATE not in seen.unmapped


@pytest.mark.parametrize("word", ["dreaming", None, "", 7, [], {"a": 1}, True])
def test_a_state_of_no_table_is_unknown_and_named(word: Any) -> None:
    seen = observe(status=word)
    assert (seen.state, seen.unmapped) == (State.UNKNOWN, frozenset({Field.STATE}))


def test_a_state_may_be_decided_by_an_expression() -> None:
    feed = {"fields": {"state": "error && 'failed' || url && 'done' || 'rendering'"}}
    assert observe(feed).state is State.RUNNING
    assert observe(feed, url="x").state is State.SUCCEEDED
    assert observe(feed, url="x", error={"code": "E_UNSAFE"}).reason is Reason.MODERATION
    broken = observe({"fields": {"state": "sum(status)"}}, status="done", percent=5)
    assert (broken.state, broken.unmapped, broken.progress) == (State.UNKNOWN, frozenset({Field.STATE}), 0.05)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"error": {"code": "e_unsafe"}}, Reason.MODERATION),
        ({"error": {"code": "SensitiveContentDetected"}}, Reason.MODERATION),
        ({"error": {"code": 7, "message": "Sensitive words"}}, Reason.MODERATION),
        ({"error": {"code": "E_CREDIT", "message": "sensitive"}}, Reason.INSUFFICIENT_BALANCE),
        ({"error": {"code": "E_7", "message": "insufficient balance"}}, Reason.INSUFFICIENT_BALANCE),
        ({"error": {"message": "internal error"}}, Reason.PROVIDER_INTERNAL),
        ({"status": "expired"}, Reason.TIMEOUT),
        ({"status": "expired", "error": {"code": "E_UNSAFE"}}, Reason.MODERATION),
        ({}, Reason.UNKNOWN),
        ({"error": {"code": "", "message": "  "}}, Reason.UNKNOWN),
        ({"error": None}, Reason.UNKNOWN),
    ],
)
def test_why_a_task_failed_by_code_by_words_by_its_state(row: dict[str, Any], reason: Reason) -> None:
    seen = observe(**{"status": "failed"} | row)
    assert (seen.state, seen.reason, seen.unmapped) == (State.FAILED, reason, frozenset())


@pytest.mark.parametrize("error", [{"code": "E_42"}, {"code": 42}, {"message": "oops"}, {"code": 42.0}])
def test_a_reason_of_no_table_is_unknown_and_named(error: dict[str, Any]) -> None:
    seen = observe(status="failed", error=error)
    assert (seen.reason, seen.unmapped) == (Reason.UNKNOWN, frozenset({Field.REASON}))


@pytest.mark.parametrize("status", ["waiting", "rendering", "done", "stopped"])
def test_only_a_failed_task_has_a_reason(status: str) -> None:
    seen = observe(status=status, error={"code": "E_UNSAFE", "message": "prompt refused"})
    assert (seen.reason, seen.said, seen.unmapped) == (None, "", frozenset())


def test_what_a_user_adds_goes_first() -> None:
    read = reader(
        more_states={State.RUNNING: ["dreaming"], State.QUEUED: ["rendering"]},
        more_reasons={Reason.INVALID_INPUT: ["E_42", "e_unsafe"]},
    )
    assert read({"id": "a", "status": "dreaming"}).state is State.RUNNING
    assert read({"id": "a", "status": "rendering"}).state is State.QUEUED
    assert read({"id": "a", "status": "done"}).state is State.SUCCEEDED
    assert read({"id": "a", "status": "failed", "error": {"code": "E_42"}}).reason is Reason.INVALID_INPUT
    assert read({"id": "a", "status": "failed", "error": {"code": "E_UNSAFE"}}).reason is Reason.INVALID_INPUT
    assert read({"id": "a", "status": "failed", "error": {"code": "E_CREDIT"}}).reason is Reason.INSUFFICIENT_BALANCE


def test_a_time_that_is_only_meant_at_the_end_is_believed_then() -> None:
    for word, ended in (("waiting", None), ("rendering", None), ("dreaming", None), ("done", AT), ("stopped", AT)):
        assert observe(status=word, ended_at=AT).ended == ended
    assert observe(status="rendering", ended_at="odd").unmapped == frozenset()  # it was not asked for


@pytest.mark.parametrize(("word", "seconds"), [("done", 5.0), ("failed", None), ("stopped", None), ("rendering", None)])
def test_only_a_task_that_ended_well_has_an_output(word: str, seconds: float | None) -> None:
    assert observe(status=word, seconds=5).output_seconds == seconds


def test_frames_tell_the_length_where_no_seconds_do() -> None:
    feed = {"fields": {"output": {"path": "seconds", "frames": "clip.frames", "frame_rate": "clip.fps"}}}
    clip = {"frames": 120, "fps": 24}
    assert observe(feed, status="done", clip=clip).output_seconds == 5.0
    assert observe(feed, status="done", clip=clip, seconds=7).output_seconds == 7.0
    assert observe(feed, status="done").output_seconds is None
    assert observe(feed, status="failed", clip=clip).output_seconds is None
    odd = observe(feed, status="done", clip={"frames": "many", "fps": 24})
    assert (odd.output_seconds, odd.unmapped) == (None, frozenset({Field.OUTPUT}))


@pytest.mark.parametrize(
    ("row", "result", "fault"),
    [
        ({"url": "https://cdn.example/1.mp4"}, True, None),
        ({"url": ""}, False, None),
        ({"error": {"code": "E_UNSAFE"}}, False, Reason.MODERATION),
        ({"error": {"code": "E_42"}}, False, Reason.UNKNOWN),
        ({}, False, None),
    ],
)
def test_evidence_of_an_end_is_told_where_the_state_is_unknown(
    row: dict[str, Any], result: bool, fault: Reason | None
) -> None:
    seen = observe(status="dreaming", **row)
    assert (seen.result, seen.fault) == (result, fault)
    known = observe(status="rendering", **row)
    assert (known.result, known.fault) == (False, None)


def test_a_cost_may_be_in_several_units() -> None:
    units = [{"path": "cost", "unit": "units"}, {"path": "price", "unit": "usd", "scale": 0.01}]
    assert observe({"fields": {"usage": units}}, cost=2, price=150).usage == (("units", 2.0), ("usd", 1.5))
    odd = observe({"fields": {"usage": units}}, status="done", cost="two", price=150)
    assert (odd.usage, odd.unmapped) == ((("usd", 1.5),), frozenset({Field.USAGE}))


@pytest.mark.parametrize("unit", ["credits", "tokens", "usd"])
def test_a_cost_is_in_its_unit_and_scale(unit: str) -> None:
    feed = {"fields": {"usage": {"path": "cost", "unit": unit, "scale": 0.01}}}
    assert observe(feed, cost=250).usage == ((unit, 2.5),)
    assert observe(feed, cost=0).usage == observe(feed, cost=None).usage == observe(feed).usage == ()


@pytest.mark.parametrize("cost", [-1, "-0.5", "free", True, [], 1e300])
def test_a_cost_that_cannot_be_one_counts_nothing(cost: Any) -> None:
    """A counter never goes back."""
    seen = observe(status="done", cost=cost)
    assert (seen.usage, seen.unmapped) == ((), frozenset({Field.USAGE}))


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("acme-2", "acme-2"),
        (" acme-2 ", "acme-2"),
        (2, "2"),
        (None, ""),
        (True, ""),
        (["acme"], ""),
        ("x" * 9999, "x" * MODEL_LENGTH),
        (10**4000, "1" + "0" * (MODEL_LENGTH - 1)),
    ],
    ids=lambda value: str(value)[:12],
)
def test_the_name_of_a_model(model: Any, name: str) -> None:
    assert observe(model=model).model == name


@pytest.mark.parametrize(("value", "task_id"), [("a", "a"), (17, "17"), ("任务 1", "任务 1"), (10**30, "1" + "0" * 30)])
def test_an_id_is_a_text_or_a_whole_number(value: Any, task_id: str) -> None:
    assert reader()({"id": value}).id == task_id


def test_a_row_may_be_nothing_but_an_id() -> None:
    feed = {"fields": {"id": "@", "state": "'rendering'"}}
    assert reader(feed)("r-1") == Observation("r-1", State.RUNNING)
    assert reader({"fields": {"id": "[0]", "state": "[1]"}})(["r-1", "failed"]).reason is Reason.UNKNOWN


@pytest.mark.parametrize(
    "row",
    [
        None,
        True,
        5,
        "r-1",
        [],
        ["r-1"],
        {},
        {"id": None},
        {"id": ""},
        {"id": 1.5},
        {"id": True},
        {"id": ["a"]},
        {"id": {"a": 1}},
        {"id": "a\nb"},
        {"id": "x" * 513},
        {"id": 10**4200},
        {"ID": "a"},
    ],
    ids=lambda row: str(row)[:20],
)
def test_a_row_without_a_usable_id_is_no_task(row: Any) -> None:
    with pytest.raises(ValueError):
        reader()(row)


ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e308,
    10**400,
    10**4200,
    math.nan,
    math.inf,
    "",
    " ",
    "odd",
    "\x00",
    "9" * 5000,
    "-" * 5000,
    [],
    [[]],
    ["done"],
    {},
    {"a": {"b": [1]}},
    [{"id": "x"}] * 100,
)
PARTS = {
    "status": Field.STATE,
    "percent": Field.PROGRESS,
    "created_at": Field.SUBMITTED,
    "started_at": Field.STARTED,
    "ended_at": Field.ENDED,
    "updated_at": Field.ENDED,
    "seconds": Field.OUTPUT,
    "cost": Field.USAGE,
    "model": None,
    "url": None,
    "error": Field.REASON,
}
ARGUMENTS = {
    "percent": "progress",
    "created_at": "submitted",
    "started_at": "started",
    "ended_at": "ended",
    "updated_at": "dated",
    "seconds": "output_seconds",
    "cost": "usage",
    "model": "model",
}


@pytest.mark.parametrize("odd", ODD, ids=lambda value: f"{type(value).__name__} {str(value)[:12]!r}")
@pytest.mark.parametrize("key", PARTS)
def test_an_odd_value_costs_itself_alone(key: str, odd: Any) -> None:
    seen = reader()(deepcopy(WHOLE) | {key: odd})
    assert seen.unmapped <= {PARTS[key]}
    if key == "status":
        return  # by which the others are judged
    argument = ARGUMENTS.get(key)
    others = replace(seen, unmapped=frozenset())
    if argument:
        others = replace(others, **{argument: getattr(READ, argument)})
        assert getattr(seen, argument) in (None, (), "") or not seen.unmapped
    assert others == READ


@pytest.mark.parametrize("odd", ODD, ids=lambda value: f"{type(value).__name__} {str(value)[:12]!r}")
@pytest.mark.parametrize("key", ["code", "message"])
@pytest.mark.parametrize("status", ["failed", "dreaming"])
def test_odd_words_of_a_failure_are_no_reason(key: str, odd: Any, status: str) -> None:
    seen = observe(status=status, error={key: odd}, created_at=AT)
    assert seen.reason in ((Reason.UNKNOWN,) if status == "failed" else (None,))
    assert seen.submitted == AT
    assert seen.unmapped <= {Field.STATE, Field.REASON}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["done", "failed", "5%", AT]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["code", "message", "a"]), inner),
    max_leaves=6,
)
EXPRESSIVE = {
    "fields": {
        "id": "to_string(id)",
        "state": "error.code && 'failed' || status[0] || status",
        "progress": {"path": "percent[0] || percent", "unit": "ratio"},
        "submitted": {"path": "to_number(created_at)", "offset": "-8h"},
        "ended": "max([started_at, ended_at])",
        "output": {"path": "sum(seconds)", "unit": "ms"},
        "model": "join('-', model)",
        "usage": {"path": "cost.total || cost", "unit": "tokens"},
        "code": "error.*.code | [0] || error.code",
        "text": "error.message || to_string(error)",
        "result": "length(url) > `0`",
    }
}


@given(st.dictionaries(st.sampled_from(["id", *PARTS]), JSON), st.sampled_from([None, EXPRESSIVE]))
def test_any_row_is_an_observation_or_no_task(row: dict[str, Any], feed: dict[str, Any] | None) -> None:
    try:
        seen = reader(feed)(row)
    except ValueError:
        assert feed or not isinstance(row.get("id"), str | int) or type(row["id"]) is bool or not usable(row["id"])
        return
    assert seen.unmapped <= {*Field}
    for argument in ("progress", "submitted", "started", "ended", "dated", "output_seconds"):
        value = getattr(seen, argument)
        assert value is None or (type(value) is float and math.isfinite(value))
    assert seen.progress is None or 0 <= seen.progress <= 1
    assert all(amount > 0 and math.isfinite(amount) for _, amount in seen.usage)
    assert (seen.reason is not None) == (seen.state is State.FAILED)
    assert isinstance(seen.model, str)


def usable(value: Any) -> bool:
    return 0 < len(str(value)) <= 512 and str(value).isprintable()


@pytest.mark.parametrize("number", ["1" + "0" * 4200, "1" + "0" * 5000, "-" + "9" * 400, "1e400", "NaN", "Infinity"])
@pytest.mark.parametrize("key", [*PARTS, "id"])
def test_a_number_that_is_none_in_an_answer_costs_itself_too(key: str, number: str) -> None:
    body = json.dumps(WHOLE | {key: "@"}).replace('"@"', number).encode()
    try:
        row = Answer(200, {}, body).json()  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001  # the answer as a whole is refused
        return
    try:
        seen = reader()(row)
    except ValueError:
        assert key == "id"
        return
    assert seen.unmapped <= {PARTS.get(key)}


def test_words_of_a_failure_are_shown_without_the_content_of_the_row() -> None:
    row = {"prompt": "a harbour at dawn", "image": "https://cdn.example/a.png?sig=abc"}
    seen = observe(status="failed", error={"code": "E_42", "message": "bad words: a harbour at dawn"}, input=row)
    assert seen.said == "E_42 bad words: (content)"


def test_the_word_for_the_state_is_no_content() -> None:
    seen = observe(status="failed", error={"message": "frame check failed: a harbour"}, input={"prompt": "a harbour"})
    assert seen.said == "frame check failed: (content)"


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        ("E_VAGUE", "so it is", Reason.INVALID_INPUT),
        ("E_VAGUE", "blocked by moderation", Reason.MODERATION),
        ("E_UNSAFE", "the service is unavailable", Reason.MODERATION),
        ("E_OTHER", "so it is", Reason.UNKNOWN),
    ],
)
def test_a_vague_code_tells_less_than_the_words_beside_it(code: str, message: str, reason: Reason) -> None:
    feed = {"vague_reasons": {"invalid_input": ["E_VAGUE"]}}
    assert observe(feed, status="failed", error={"code": code, "message": message}).reason is reason
