"""Whatever stands in a row, reading it gives an observation or a ValueError, and what is broken is named."""

from __future__ import annotations

import math
import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from exporter.client.errors import ContractBroken
from exporter.tasks import Field, Observation, Reason, State
from exporter.vendors.builtin._gateway import rows
from exporter.vendors.declared.declaration import FeedDeclaration
from exporter.vendors.declared.reading.expressions import Expression
from exporter.vendors.fields import Length, Percent, TaskId, Timestamp, Wire, observation, read_rows, shaped
from exporter.vendors.registry import declaration_of
from tests.harness import VENDORS, Line


def value_of(kind: Any, raw: object) -> Any:
    """What a field of this type holds, or "broken"."""
    try:
        return TypeAdapter(kind).validate_python(raw)
    except ValidationError:
        return "broken"


NOW = datetime(2026, 3, 1, 8, 0, 0, 250000, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (1772352000, 1772352000),
        (1772352000.25, NOW),
        (1772352000250, NOW),
        (1772352000250000, NOW),
        (1772352000250000000, NOW),
        ("1772352000250", NOW),
        (" 1772352000 ", 1772352000),
        ("2026-03-01T08:00:00.250Z", NOW),
        ("2026-03-01T16:00:00.250+08:00", NOW),
        ("2026-03-01 08:00:00.25", NOW),
        ("20260301T080000Z", 1772352000),
        (1, 1),
        (99999999999, 99999999999),
        (100000000000, 100000000),  # 1973, in milliseconds
        (-1, -1),
        (0, None),
        (0.0, None),
        ("0", None),
        ("", None),
        (None, None),
        ("0001-01-01T00:00:00Z", None),
        (-62135596800, None),
        ("0000-00-00 00:00:00", None),
        ("Sun, 01 Mar 2026 08:00:00 GMT", 1772352000),
        (True, "broken"),
        ("soon", "broken"),
        ("nan", "broken"),
        (math.inf, "broken"),
        ("1" * 5000, "broken"),
        (10**400, "broken"),
        ("2026-02-30T00:00:00Z", "broken"),
        ([1772352000], "broken"),
        ({}, "broken"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_timestamps(raw: object, seconds: object) -> None:
    assert value_of(Timestamp, raw) == (pytest.approx(seconds, abs=1e-3) if isinstance(seconds, float) else seconds)


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone of a process can only be set on Unix")
def test_a_time_without_a_zone_is_utc_wherever_we_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "CST-8")
        time.tzset()
        seconds = value_of(Timestamp, "2026-03-01T08:00:00")
    time.tzset()
    assert seconds == 1772352000


@pytest.mark.parametrize(
    ("raw", "ratio"),
    [
        (0, 0.0),
        (45, 0.45),
        (45.5, 0.455),
        (100, 1.0),
        ("45", 0.45),
        ("45%", 0.45),
        (" 45 % ", 0.45),
        ("100%", 1.0),
        (None, None),
        ("", None),
        (101, "broken"),
        (-1, "broken"),
        ("%", "broken"),
        ("half", "broken"),
        (True, "broken"),
        ([], "broken"),
        (10**400, "broken"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_percents(raw: object, ratio: object) -> None:
    assert value_of(Percent, raw) == ratio


@pytest.mark.parametrize(
    ("raw", "length"),
    [
        (34, 34.0),
        (0, 0.0),
        ("12345", 12345.0),
        (61.5, 61.5),
        (None, None),
        ("", None),
        (-1, "broken"),
        (1e10, "broken"),
        (math.nan, "broken"),
        ("long", "broken"),
        (False, "broken"),
        ({}, "broken"),
    ],
    ids=repr,
)
def test_lengths(raw: object, length: object) -> None:
    assert value_of(Length, raw) == length


@pytest.mark.parametrize(
    ("raw", "task_id"),
    [
        ("task_1", "task_1"),
        (313902995386602, "313902995386602"),
        ("x" * 512, "x" * 512),
        ("..", ".."),
        ("", "broken"),
        ("x" * 513, "broken"),
        ("a\nb", "broken"),
        ("\u202eabc", "broken"),
        (10**600, "broken"),
        (10**4200, "broken"),
        (1.5, "broken"),
        (True, "broken"),
        (None, "broken"),
        (["a"], "broken"),
    ],
    ids=lambda value: repr(value)[:20] if not isinstance(value, int) else f"{value:e}"[:9] if value < 1e300 else "huge",
)
def test_ids(raw: object, task_id: object) -> None:
    assert value_of(TaskId, raw) == task_id


class Row(Wire):
    id: TaskId
    progress: Annotated[Percent, Field.PROGRESS] = None
    nested: Annotated[Row | None, Field.REASON] = None
    unmarked: int = 0


@pytest.mark.parametrize(
    ("raw", "broken"),
    [
        ({"id": "a", "other": object()}, set()),
        ({"id": "a", "progress": "x"}, {Field.PROGRESS}),
        ({"id": "a", "progress": "x", "nested": {"id": None}}, {Field.PROGRESS, Field.REASON}),
        ({"id": "a", "unmarked": "x"}, set()),
    ],
    ids=["good", "one", "nested", "unmarked"],
)
def test_a_broken_value_is_left_out_and_its_part_is_named(raw: object, broken: set[Field]) -> None:
    row, named = Row.read(raw)
    assert (row.id, row.unmarked) == ("a", 0)
    assert named == broken


@pytest.mark.parametrize("raw", [None, 7, "a", [], {}, {"id": None}, {"id": None, "progress": "x"}], ids=repr)
def test_without_an_id_there_is_no_row(raw: object) -> None:
    with pytest.raises(ValueError):
        Row.read(raw)


def test_a_page_keeps_the_good_rows() -> None:
    def read(raw: object) -> Observation:
        return Observation(Row.read(raw)[0].id, State.RUNNING)

    assert read_rows([{"id": "a"}, None, {"id": ""}, {"id": "b"}], read) == (
        [Observation("a", State.RUNNING), Observation("b", State.RUNNING)],
        2,
    )


def test_an_envelope_of_another_shape_is_told_by_the_place_alone() -> None:
    class Inner(BaseModel):
        items: list[int]

    class Envelope(BaseModel):
        data: Inner

    with pytest.raises(ContractBroken) as error:
        shaped(Envelope, {"data": {"items": ["a SECRET"]}})
    assert str(error.value) == "the answer is not of the documented shape at data.items.0"


@pytest.mark.parametrize(
    ("state", "reason", "words", "seen"),
    [
        (None, None, "", (State.UNKNOWN, None, {Field.STATE})),
        (State.UNKNOWN, None, "", (State.UNKNOWN, None, set())),
        (State.FAILED, Reason.TIMEOUT, "late", (State.FAILED, Reason.TIMEOUT, set())),
        (State.FAILED, None, "odd", (State.FAILED, Reason.UNKNOWN, {Field.REASON})),
        (State.FAILED, None, "  ", (State.FAILED, Reason.UNKNOWN, set())),
        (State.RUNNING, Reason.TIMEOUT, "late", (State.RUNNING, None, set())),
    ],
)
def test_what_no_table_maps_is_named(
    state: State | None, reason: Reason | None, words: str, seen: tuple[State, Reason | None, set[Field]]
) -> None:
    one = observation("a", state, frozenset({Field.OUTPUT}), reason=reason, words=[words])
    assert (one.state, one.reason) == seen[:2]
    assert one.unmapped == seen[2] | {Field.OUTPUT}


# Any JSON at all.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.integers(10**300, 10**301),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ANYTHING = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LIKELY = st.sampled_from(
    [
        *("SUCCESS", "FAILURE", "SUCCEED", "FAILED", "PROCESSING", 2, 10, 20, 30, 45, 55, "100%", "1e308", ""),
        *(0, -1.5, math.inf, 10**4200, 1772352000250, "2026-03-01T08:00:00Z", "0001-01-01T00:00:00Z"),
        *("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "1" * 5000),
    ]
)


def named(model: type[BaseModel]) -> list[str]:
    """The fields of a model as the vendor spells them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def keys_of(feed: FeedDeclaration) -> list[str]:
    """The keys of a declared row, the id's first."""
    paths = [value if isinstance(value, Expression) else value.path for _, value in feed.fields if value is not None]
    return list(dict.fromkeys(re.findall(r"\w+", path.text)[0] for path in paths))


def rows_of(keys: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Rows with a good id and anything in the other fields, or without them."""
    task_id, *others = keys
    return st.fixed_dictionaries({task_id: st.just("a")}, optional=dict.fromkeys(others, JSON | LIKELY))


@ANYTHING
@given(data=st.data())
def test_any_json_in_any_field_of_a_row_is_survived(data: st.DataObject) -> None:
    row, broken = rows.GatewayRow.read(data.draw(rows_of(named(rows.GatewayRow))))
    assert named(rows.GatewayRow)[0] in row.model_dump(by_alias=True)
    assert broken <= set(Field)


SETTINGS: dict[str, dict[str, Any]] = {
    "deerapi": {"api_key": "KEY"},
    "chanjing": {"access_token": "TOKEN"},
    "huawei_metastudio": {"project_id": "p", "auth_token": "TOKEN"},
    "facewap": {"base_url": "https://facewap.example", "token": "TOKEN"},
}
KINDS = [(name, kind) for name in SETTINGS for kind in VENDORS[name].kinds]


def numbers_of(one: Observation) -> list[float | None]:
    return [one.submitted, one.started, one.ended, one.dated, one.progress, one.output_seconds]


@pytest.mark.parametrize(("vendor", "kind"), KINDS)
@ANYTHING
@given(data=st.data())
def test_any_row_with_a_good_id_is_an_observation(vendor: str, kind: str, data: st.DataObject) -> None:
    observe: Any = Line({"type": vendor, **SETTINGS[vendor]}).feeds[kind]
    declared = declaration_of(vendor)
    keys = keys_of(declared.feeds[kind]) if declared else named(rows.GatewayRow)
    one = observe.observe(data.draw(rows_of(keys)))
    assert isinstance(one, Observation)
    assert one.id == "a"
    assert (one.reason is not None) == (one.state is State.FAILED)
    assert all(number is None or math.isfinite(number) for number in numbers_of(one))
    assert one.progress is None or 0 <= one.progress <= 1
    assert one.output_seconds is None or one.output_seconds > 0
    assert one.unmapped <= set(Field)
    with suppress(ValueError):
        assert isinstance(observe.observe(data.draw(JSON)), Observation)


def test_the_words_of_a_failure_do_not_repeat_what_else_the_row_holds() -> None:
    prompt = "a lighthouse keeper dances in the rain"
    words = f"blocked: {prompt} (code 7)"
    row = {"id": "a", "msg": words, "input": {"texts": [prompt]}}
    one = observation("a", State.FAILED, frozenset(), reason=Reason.MODERATION, words=[words], raw=row)
    assert one.said == "blocked: (content) (code 7)"


def failed(words: str, **row: object) -> Observation:
    return observation(
        "a", State.FAILED, frozenset(), reason=Reason.MODERATION, words=[words], raw={"id": "a", "msg": words, **row}
    )


def test_words_do_not_repeat_the_start_of_a_text_of_the_row_either() -> None:
    prompt = "a lighthouse keeper dances in the rain; " * 200_000
    assert failed(f"blocked: {prompt} (code 7)", prompt=prompt).said == "blocked: (content)"


def test_a_row_of_megabytes_that_quotes_itself_is_read_with_little_work() -> None:
    prompt = "a lighthouse keeper dances in the rain"
    texts = [f"t{number:07d}" for number in range(200_000)]
    one = failed(f"blocked: {prompt} " + "x y " * 1_000_000, texts=texts, prompt=prompt)
    assert one.said == "(words of a task that is too large to be searched for content)"
    assert (one.state, one.reason) == (State.FAILED, Reason.MODERATION)
    deep: object = texts
    for _ in range(6):
        deep = {"a": [deep]}
    assert failed("blocked", deep=deep).said in ("blocked", one.said)
    assert failed("x y " * 1_000_000, texts=texts[:500]).said.startswith("x y x y")


def test_what_did_not_fail_says_nothing() -> None:
    assert observation("a", State.RUNNING, frozenset()).said == ""
