"""Times, lengths, progress and amounts, as vendors write them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.vendors.declared.reading.values import (
    amount_reader,
    framed_length_reader,
    length_reader,
    number,
    progress_reader,
    time_reader,
)
from exporter.vendors.declared.row_fields import zone_of

AT = 1_790_000_000.0
"""2026-09-21 14:13:20 UTC."""

NO_NUMBERS: tuple[Any, ...] = (True, False, [], {}, [1], {"a": 1}, "soon", math.nan, math.inf, "nan", "-inf", 10**400)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("unit", [1, 1000, 1_000_000, 1_000_000_000])
@pytest.mark.parametrize("at", [AT, 946_684_800.0, 4_102_444_800.0], ids=["today", "2000", "2100"])
def test_a_number_is_seconds_or_finer_by_its_magnitude(at: float, unit: int) -> None:
    read = time_reader()
    number = int(at) * unit
    assert read(number) == read(float(number)) == read(str(number)) == read(f" {number} ") == at


def test_parts_of_a_second_are_kept() -> None:
    assert time_reader()(1790000000.25) == time_reader()("1790000000.25") == 1790000000.25
    assert time_reader()(1790000000250) == 1790000000.25


@pytest.mark.parametrize(
    "text",
    [
        "2026-09-21T14:13:20Z",
        "2026-09-21t14:13:20z",
        "2026-09-21T14:13:20+00:00",
        "2026-09-21T14:13:20",
        "2026-09-21 14:13:20",
        " 2026-09-21 14:13:20 ",
        "2026-09-21 14:13:20Z",
        "2026-09-21 14:13:20 Z",
        "2026-09-21 14:13:20 UTC",
        "2026-09-21 14:13:20 GMT",
        "2026-09-21 14:13:20 +0000",
        "2026-09-21T22:13:20+08:00",
        "2026-09-21T22:13:20+0800",
        "2026-09-21T22:13:20+08",
        "2026-09-21 22:13:20 +0800",
        "2026-09-21 22:13:20 +08:00",
        "2026-09-21 22:13:20 UTC+08:00",
        "2026-09-21 22:13:20 GMT+0800",
        "2026-09-21T09:43:20-04:30",
        "20260921T141320Z",
        "20260921T221320+0800",
        "Mon, 21 Sep 2026 14:13:20 GMT",
        "Mon, 21 Sep 2026 22:13:20 +0800",
        "21 Sep 2026 14:13:20 GMT",
        "Mon Sep 21 14:13:20 2026",
        "Monday, 21-Sep-26 14:13:20 GMT",
    ],
)
def test_a_text_is_a_time_in_any_usual_form(text: str) -> None:
    assert time_reader()(text) == AT


@pytest.mark.parametrize("mark", ".,")
@pytest.mark.parametrize("zone", ["", "Z", "+00:00", " UTC"])
@pytest.mark.parametrize(
    ("digits", "part"),
    [("5", 0.5), ("25", 0.25), ("125", 0.125), ("1250000", 0.125), ("125000000", 0.125), ("0" * 40, 0.0)],
)
def test_a_fraction_may_have_any_number_of_digits(digits: str, part: float, zone: str, mark: str) -> None:
    assert time_reader()(f"2026-09-21T14:13:20{mark}{digits}{zone}") == AT + part


@pytest.mark.parametrize(
    "unset",
    [
        None,
        "",
        "  ",
        0,
        0.0,
        -0.0,
        "0",
        "0.0",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00",
        "0001-01-01 00:00:00 +0800",
        "0001-01-01T08:05:43+08:05",
        "0000-00-00 00:00:00",
        "0000-00-00T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "01 Jan 0001 00:00:00 GMT",
        "Mon, 1 Jan 0001 08:00:00 +0800",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        -62135596800,
        "-62135596800",
    ],
)
@pytest.mark.parametrize("offset", [0.0, 28800.0])
def test_what_stands_for_no_time_is_unset(unset: Any, offset: float) -> None:
    assert time_reader(offset)(unset) is None


@pytest.mark.parametrize(
    "wrong",
    [
        *NO_NUMBERS,
        "2026-09-21",
        "2026-13-01T00:00:00Z",
        "2026-09-31 00:00:00",
        "2026-09-21T25:00:00Z",
        "2026-09-21T14:13:20 CST",
        "2026-09-21T14:13:20+99:00",
        "2026-09-21T14:13:20Zebra",
        "yesterday",
        "Mon, 32 Sep 2026 14:13:20 GMT",
        "Mon, 21 Sep 99999999999999 14:13:20 GMT",
        "Mon, 21 Sep 2026 99999999999999:13:20 GMT",
        "٢٠٢٦-09-21T14:13:20Z",
        "1790000000 s",
        "1" * 101,
        "2026-09-21T14:13:20" + " " * 100 + "Z",
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_time_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError):
        time_reader()(wrong)


def test_a_time_without_a_zone_is_in_the_declared_one() -> None:
    read = time_reader(zone=ZoneInfo("Asia/Shanghai"))
    assert read("2026-09-21 22:13:20") == read("Mon, 21 Sep 2026 22:13:20") == AT
    assert read("2026-09-21T14:13:20Z") == read("Mon, 21 Sep 2026 14:13:20 GMT") == read(AT) == AT  # these tell theirs


def test_a_zone_may_be_what_it_is_ahead_of_utc() -> None:
    assert time_reader(zone=zone_of("+08:00"))("2026-09-21 22:13:20") == AT
    assert time_reader(zone=zone_of("-03:30"))("2026-09-21 10:43:20") == AT
    for wrong in ("+8", "+24:00", "+08:60", "08:00"):
        with pytest.raises(ValueError):
            zone_of(wrong)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-01-15 12:00:00", "2026-01-15T11:00:00Z"),
        ("2026-07-15 12:00:00", "2026-07-15T10:00:00Z"),
        ("2026-03-29 01:59:59", "2026-03-29T00:59:59Z"),
        ("2026-03-29 03:00:00", "2026-03-29T01:00:00Z"),
        ("2026-10-25 03:00:00", "2026-10-25T02:00:00Z"),
    ],
)
def test_a_zone_with_summer_time_is_kept_to(text: str, utc: str) -> None:
    assert time_reader(zone=ZoneInfo("Europe/Berlin"))(text) == time_reader()(utc)


@pytest.mark.parametrize("offset", [28800.0, -1800.0])
@pytest.mark.parametrize("value", [1790000000, "1790000000", 1790000000000, "2026-09-21T14:13:20Z"])
def test_an_offset_is_added_to_a_time_of_any_form(value: Any, offset: float) -> None:
    assert time_reader(offset)(value) == AT + offset


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001  # the zone comes next
    st.integers(-14 * 60, 14 * 60),
)
def test_what_python_writes_is_read_back(naive: datetime, minutes: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    read = time_reader()
    assert read(moment.isoformat()) == pytest.approx(moment.timestamp(), abs=1e-5)
    assert read(moment.strftime("%Y-%m-%d %H:%M:%S.%f %z")) == pytest.approx(moment.timestamp(), abs=1e-5)
    assert read(format_datetime(moment)) == moment.replace(microsecond=0).timestamp()
    assert read(moment.astimezone(UTC).replace(tzinfo=None).isoformat()) == read(moment.isoformat())


PIECES = st.sampled_from(
    [*"0123456789:-+.,TtZz ", "Mon, ", "Sep", "2026", "GMT", "0001-01-01", "T00:00", "99999999999"]
)


@given(JSON | st.lists(PIECES, max_size=12).map("".join), st.sampled_from(["UTC", "Asia/Shanghai", "Europe/Berlin"]))
@example("9999-12-31T23:59:59-14:00", "UTC")
@example("9999-12-31 23:59:59", "Asia/Shanghai")
@example("0001-01-02T00:00:00+14:00", "Europe/Berlin")
@example("0002-01-01 00:00:00", "Asia/Shanghai")
@example(-(10**300), "UTC")
def test_any_value_is_a_finite_time_or_none_or_refused(value: Any, zone: str) -> None:
    try:
        at = time_reader(-3600.0, ZoneInfo(zone))(value)
    except ValueError:
        return
    assert at is None or (type(at) is float and math.isfinite(at))


@pytest.mark.parametrize(
    ("unit", "value", "ratio"),
    [
        ("percent", 42, 0.42),
        ("percent", 57, 0.57),
        ("percent", 42.5, 0.425),
        ("percent", "42", 0.42),
        ("percent", "42%", 0.42),
        ("percent", " 42 % ", 0.42),
        ("percent", "100%", 1.0),
        ("percent", 0, 0.0),
        ("percent", 100, 1.0),
        ("percent", 1, 0.01),
        ("ratio", 0.42, 0.42),
        ("ratio", "0.42", 0.42),
        ("ratio", "42%", 0.42),
        ("ratio", 0, 0.0),
        ("ratio", 1, 1.0),
        ("ratio", None, None),
        ("percent", "", None),
        ("percent", "  ", None),
    ],
)
def test_progress_is_a_ratio(unit: str, value: Any, ratio: float | None) -> None:
    assert progress_reader(unit)(value) == ratio


@pytest.mark.parametrize("wrong", [*NO_NUMBERS, "%", "42%%", "4 2", "42‰"], ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("unit", ["percent", "ratio"])
def test_what_is_no_progress_is_refused(unit: str, wrong: Any) -> None:
    with pytest.raises(ValueError):
        progress_reader(unit)(wrong)


@pytest.mark.parametrize(
    ("unit", "wrong"), [("percent", -1), ("percent", 101), ("percent", "101%"), ("ratio", 1.01), ("ratio", 42)]
)
def test_progress_out_of_its_range_is_refused(unit: str, wrong: Any) -> None:
    with pytest.raises(ValueError):
        progress_reader(unit)(wrong)


@pytest.mark.parametrize(
    ("unit", "value", "seconds"),
    [
        ("s", 5, 5.0),
        ("s", 5.041, 5.041),
        ("s", "5", 5.0),
        ("s", "5.041", 5.041),
        ("s", "5s", 5.0),
        ("s", "5 s", 5.0),
        ("s", "5.5S", 5.5),
        ("s", "5sec", 5.0),
        ("s", "5 seconds", 5.0),
        ("s", "1 second", 1.0),
        ("s", "2m", 120.0),
        ("s", "2 min", 120.0),
        ("s", "1.5 minutes", 90.0),
        ("s", "5041ms", 5.041),
        ("s", "0:00:07", 7.0),
        ("s", "00:00:07.5", 7.5),
        ("s", "1:02", 62.0),
        ("s", "1:00:02", 3602.0),
        ("ms", 5041, 5.041),
        ("ms", 1001, 1.001),
        ("ms", "5041", 5.041),
        ("ms", "5041 ms", 5.041),
        ("ms", "5s", 5.0),  # what the text says itself counts more
        ("ms", "0:00:07", 7.0),
        ("s", 0, None),
        ("s", "0", None),
        ("s", "0s", None),
        ("s", None, None),
        ("ms", "", None),
        ("ms", "  ", None),
    ],
)
def test_the_length_of_a_clip_is_seconds(unit: str, value: Any, seconds: float | None) -> None:
    assert length_reader(unit)(value) == seconds


@pytest.mark.parametrize(
    "wrong",
    [*NO_NUMBERS, -5, "-5s", "5h", "5 clips", "s", "1:02:03:04", "1:", ":07", "5" * 101, 2e9, "999999999999s"],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_length_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError):
        length_reader("s")(wrong)


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ((5000, None, None), 5.0),
        ((5000, 241, 24), 5.0),
        ((None, 120, 24), 5.0),
        ((0, 120, 24), 5.0),
        (("", "121", "24"), pytest.approx(5.0417, abs=1e-4)),
        ((None, 120, None), None),
        ((None, None, 24), None),
        ((None, 0, 24), None),
    ],
)
def test_the_length_of_a_clip_may_be_its_frames(values: tuple[Any, Any, Any], seconds: float | None) -> None:
    assert framed_length_reader("ms")(values) == seconds


@pytest.mark.parametrize(
    "wrong", [("soon", 120, 24), (None, "many", 24), (None, 120, 0), (None, 120, -24), (None, -1, 1)]
)
def test_what_is_no_number_of_frames_is_refused(wrong: tuple[Any, Any, Any]) -> None:
    with pytest.raises(ValueError):
        framed_length_reader("s")(wrong)


@pytest.mark.parametrize(
    ("scale", "value", "amount"),
    [
        (1.0, 5, 5.0),
        (1.0, 0.25, 0.25),
        (1.0, "1,234.50", 1234.5),
        (1.0, "1,234,567", 1234567.0),
        (1.0, "0.5", 0.5),
        (1.0, ".5", 0.5),
        (1.0, "-3", -3.0),
        (1.0, "1e3", 1000.0),
        (0.01, 250, 2.5),
        (0.01, "1,250", 12.5),
        (-1.0, -5, 5.0),
        (1.0, 0, 0.0),
        (1.0, None, None),
        (1.0, "", None),
        (1.0, "  ", None),
    ],
)
def test_an_amount_is_a_number_in_the_declared_unit(scale: float, value: Any, amount: float | None) -> None:
    assert amount_reader(scale)(value) == pytest.approx(amount)


@pytest.mark.parametrize(
    "wrong",
    [*NO_NUMBERS, "1,23", "1.234,50", "12,34,567", "$5", "5 credits", "+", ".", ",", "1_000", 1e300, "9" * 101],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_amount_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError):
        amount_reader()(wrong)


@given(JSON | st.text("0123456789.,:eE+-%smin ", max_size=12))
def test_any_value_is_a_finite_number_or_none_or_refused(value: Any) -> None:
    for read in (
        progress_reader("percent"),
        progress_reader("ratio"),
        length_reader("s"),
        length_reader("ms"),
        lambda given: framed_length_reader("s")((None, given, 24)),
        lambda given: framed_length_reader("s")((None, 120, given)),
        amount_reader(0.01),
        number,
    ):
        try:
            found = read(value)
        except ValueError:
            continue
        assert found is None or (type(found) is float and math.isfinite(found))
