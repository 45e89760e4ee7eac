"""JMESPath expressions: what they select, what is refused, and that no answer makes one take long.

Work is counted in values that were gone through, never in seconds.
"""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jmespath.exceptions import JMESPathError

from exporter.vendors.declared.reading.expressions import (
    DEEPEST,
    LONGEST,
    MOST_WORK,
    Expression,
    ExpressionFailed,
    expression,
)

ANSWER = {
    "code": 0,
    "data": {"items": [{"id": "a", "n": 3}, {"id": "b", "n": 1}], "more": False, "by_id": {"a": {"n": 3}}},
    "odd-key": {"x.y": 1},
    "nothing": None,
    "none": [],
}


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("code", 0),
        ("data.items", ANSWER["data"]["items"]),  # type: ignore[index]
        ("data.items[].id", ["a", "b"]),
        ("data.items[*].id", ["a", "b"]),
        ("data.items[?n > `1`].id", ["a"]),
        ("data.items[?id == 'b'] | [0].n", 1),
        ("data.items[-1].id", "b"),
        ("data.items[0:1][].id", ["a"]),
        ("sort_by(data.items, &n)[0].id", "b"),
        ("max_by(data.items, &n).id", "a"),
        ("map(&id, data.items)", ["a", "b"]),
        ("values(data.by_id)", [{"n": 3}]),
        ("data.by_id.*.n", [3]),
        ("keys(data.by_id)", ["a"]),
        ("length(data.items)", 2),
        ("join(', ', data.items[].id)", "a, b"),
        ("sum(data.items[].n)", 4),
        ("to_string(data.by_id)", '{"a":{"n":3}}'),
        ("to_number('42')", 42),
        ("contains(data.items[].id, 'a')", True),
        ("starts_with(data.items[0].id, 'a')", True),
        ("{id: data.items[0].id, n: code}", {"id": "a", "n": 0}),
        ("[code, data.more]", [0, False]),
        ("code == `0`", True),
        ("code == `0` && 'good' || 'bad'", "good"),
        ("!data.more", True),
        ("!data.items", False),
        ("!data.items[0].id", False),
        ("!data.items[7].id", True),
        ("!data.items[?n > `10`]", True),
        ("!data.items[].x", True),
        ("!!data.more", False),
        ("!(data.more)", True),
        ("!data.more && code == `0`", True),
        ("[!data.more, !nothing.x]", [True, True]),
        ("nothing || 'x'", "x"),
        ("'a' < 'b'", True),
        ("split('models/veo/operations/1', '/')[1]", "veo"),
        ("split('models/veo/operations/1', '/')[-3]", "veo"),
        ("split('ab', '')", ["a", "b"]),
        ("split('', '/')", [""]),
        ("contains(lower('Refused for SAFETY'), 'safety')", True),
        ("data < `1`", None),
        ("data.more < `1`", None),
        ("`true` == `1`", False),
        ('"odd-key"."x.y"', 1),
        ("@", ANSWER),
        ("missing", None),
        ("missing.deeper.still", None),
        ("code.deeper", None),
        ("data.items.id", None),
        ("none[0]", None),
        ("avg(none)", None),
    ],
)
def test_what_an_expression_selects(text: str, selected: Any) -> None:
    assert Expression(text)(ANSWER) == selected


@pytest.mark.parametrize("value", [None, True, 5, "text", [], [1], {}])
def test_a_path_through_anything_else_leads_to_nothing(value: Any) -> None:
    assert Expression("a")(value) is None
    assert Expression("a.b")(value) is None
    assert Expression("a.b[].c")(value) is None
    assert not Expression("a.b").is_empty_in(value)
    assert not Expression("a.b || c").is_empty_in({"a": value})
    assert Expression("@")(value) == value


@pytest.mark.parametrize("value", [True, 5, "text", [], [1]])
def test_whether_something_else_blocks_a_path(value: Any) -> None:
    assert Expression("a.b").is_blocked_in(value)
    assert Expression("a.b.c").is_blocked_in({"a": value})
    assert Expression("x || a.b.c").is_blocked_in({"a": value})
    assert not Expression("a.b").is_blocked_in({"a": {"b": value}})
    assert not Expression("a.b").is_blocked_in({})
    assert not Expression("a.b").is_blocked_in({"a": None})
    assert not Expression("a.b").is_blocked_in(None)


def test_whether_the_answer_says_that_there_is_nothing() -> None:
    for text in ("data.items", "data.items || items", "@.data.items"):
        assert Expression(text).is_empty_in({"data": {"items": None}})
        assert Expression(text).is_empty_in({"data": {"items": []}})
        assert not Expression(text).is_empty_in({"data": {"items": [1]}})
        assert not Expression(text).is_empty_in({"data": {}})
    assert not Expression("values(items)").is_empty_in({"items": None})


@pytest.mark.parametrize(
    "text",
    [
        "sum(data.items)",
        "join(',', data.items)",
        "length(code)",
        "length(missing)",
        "sort_by(data.items, &missing)",
        "to_number('9') > 'a'",
        "ceil('x')",
        "merge(code, code)",
        "data.items[::0]",
        "ceil(to_number('inf'))",
        "abs()",
        "map(code, data)",
        "split(code, '/')",
        "lower(code)",
    ],
)
def test_a_value_that_an_expression_does_not_suit_is_told_without_the_value(text: str) -> None:
    with pytest.raises(ExpressionFailed) as failed:
        Expression(text)({**ANSWER, "secret": "SECRET"})
    assert str(failed.value).endswith(" in the expression")
    assert failed.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("data.", "it is incomplete or has a wrong sign"),
        ("data[", "it is incomplete"),
        ("a b", "unexpected 'b' at character 3"),
        ("$.data.items", "unexpected '$' at character 1"),
        ("data/items", "unexpected '/' at character 5"),
        ("a == ", "it is incomplete"),
        ("loop(data)", "no function has the name loop; allowed: abs avg"),
        ("data[?open('x')]", "no function has the name open"),
        ("x" * (LONGEST + 1), f"longer than {LONGEST} characters"),
        ("!" * DEEPEST + "@", f"nested more than {DEEPEST} levels deep"),
        ("!" * 900 + "@", "nested more than"),
        ("[" * 450 + "@" + "]" * 450, "nested more than"),
        ("@" + "|@" * 400, "nested more than"),
        ("to_array(" * 90 + "@" + ")" * 90, "nested more than"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_expression_is_told_in_words(text: str, told: str) -> None:
    with pytest.raises(ValueError, match="not a JMESPath expression") as fault:
        expression(text)
    assert told in str(fault.value)
    assert len(str(fault.value)) < 400


@pytest.mark.parametrize("value", [None, 5, "", "  ", ["a"], {"a": 1}, True])
def test_an_expression_in_the_configuration_is_a_text(value: Any) -> None:
    with pytest.raises(ValueError, match="not a text; write a JMESPath expression"):
        expression(value)


def test_as_many_levels_as_are_allowed_can_be_followed() -> None:
    value: Any = "end"
    for _ in range(LONGEST // 2):
        value = {"a": value}
    assert Expression(".".join("a" * (LONGEST // 2)))(value) == "end"
    nested = "to_array(" * (DEEPEST - 1) + "@" + ")" * (DEEPEST - 1)
    assert Expression(nested)("x") == ["x"]
    assert Expression("!" * (DEEPEST - 1) + "@")("x") is False


TOUCHED = [0]


class Counting(list[Any]):
    """A list that counts what is taken out of it."""

    def __iter__(self) -> Iterator[Any]:
        for one in super().__iter__():
            TOUCHED[0] += 1
            yield one


Counting.__name__ = "list"  # for the library asks for a type's name


@pytest.fixture(scope="module")
def largest() -> dict[str, Any]:
    """As many values as an answer may have. It takes half a second to make, and expressions change nothing of it."""
    return {
        "items": Counting({"id": f"task-{index}", "n": index, "type": "video"} for index in range(30_000)),
        "numbers": Counting(range(100_000)),
        "empties": Counting(Counting() for _ in range(100_000)),
        "text": "x" * (8 * 1024 * 1024),
        "texts": Counting("x" for _ in range(100_000)),
    }


@pytest.fixture
def large(largest: dict[str, Any]) -> dict[str, Any]:
    TOUCHED[0] = 0
    return largest


@pytest.mark.parametrize(
    "text",
    [
        "items",
        "items[?type == 'video'].{id: id, n: n}",
        "items[?n > `10` && type != 'image'] | [].id",
        "sort_by(items, &n)[].id",
        "reverse(items)",
        "length(numbers)",
        "sum(numbers)",
        "items[?contains(id, '99')]",
        "texts[]",
        "map(&to_string(n), items)",
    ],
)
def test_a_few_passes_over_the_largest_answer_are_allowed(text: str, large: dict[str, Any]) -> None:
    assert Expression(text)(large)


DOUBLED = "|[@,@][]" * 15  # 32768 references
EXPLODING = [
    "numbers" + DOUBLED,
    "[numbers]" + DOUBLED + "|map(&sum(@), @)",
    "[numbers]" + DOUBLED + "|map(&max(@), @)",
    "[numbers]" + DOUBLED + "|map(&contains(@, `-1`), @)",
    "[numbers]" + DOUBLED + "|map(&sort(@), @)",
    "[numbers]" + DOUBLED + "|[?@ == `[1]`]",
    "[{a: numbers, b: numbers}]" + DOUBLED + "|[?a == b]",
    "[{a: items, b: items}]" + DOUBLED + "|[?[a] != [b]]",
    "[empties]" + DOUBLED + "|map(&[], @)",
    "[empties]" + DOUBLED + "|[*][]",
    "[numbers]" + DOUBLED + "|map(&[?@ > `5`], @)",
    "[items]" + DOUBLED + "|[*][*].id",
    "[items]" + DOUBLED + "|map(&to_string(@), @)",
    "[text]" + DOUBLED + "|map(&reverse(@), @)",
    "[text]" + DOUBLED + "|map(&ends_with(@, 'y'), @)",
    "[text]" + DOUBLED + "|[?@ < 'xy']",
    "[@" + ",@" * 400 + "][].items[].id",
    "numbers|[@" + ",@" * 450 + "][]",
    "numbers|[@" + ",@" * 100 + "]|[@" + ",@" * 100 + "][][]",
    "join(text, texts)",
    "text|join('', [@" + ",@" * 400 + "])",
    "text|[@]|to_string([to_string([to_string([to_string([to_string([to_string(@)])])])])])",
    "to_string(@)",
]


@pytest.mark.parametrize("text", EXPLODING, ids=lambda text: f"{text[:20]}...{text[-20:]}")
def test_what_would_explode_is_stopped_before_it_does(text: str, large: dict[str, Any]) -> None:
    select = Expression(text)
    with pytest.raises(ExpressionFailed, match="the expression takes too long on this answer"):
        select(large)
    assert TOUCHED[0] <= 3 * MOST_WORK


@pytest.mark.parametrize(
    "text",
    [
        "numbers" + DOUBLED,
        "numbers" + "|[@,@]" * 20 + "|to_string(@)",
        "[@" + ",@" * 200 + "]|[@" + ",@" * 200 + "][][]",
    ],
)
def test_the_less_an_answer_holds_the_less_an_expression_may_do_with_it(text: str) -> None:
    """A page has a thousand rows: what one of them may take is taken as often."""
    TOUCHED[0] = 0
    row = {"id": "a", "numbers": Counting(range(10))}
    with pytest.raises(ExpressionFailed, match="takes too long"):
        Expression(text)(row)
    assert TOUCHED[0] < 5000


def test_a_small_row_allows_for_a_long_expression() -> None:
    text = " || ".join(["a.b[0].c[?d == 'x'].e | [0]"] * 30)
    assert Expression(text)({}) is None


@pytest.mark.parametrize("text", EXPLODING[-7:], ids=lambda text: f"{text[:20]}...{text[-20:]}")
def test_what_would_take_much_memory_is_stopped_before_it_does(text: str, large: dict[str, Any]) -> None:
    select = Expression(text)
    tracemalloc.start()
    try:
        with pytest.raises(ExpressionFailed):
            select(large)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 128 * 1024 * 1024


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
LEAVES = st.sampled_from(
    ["@", "a", "b", "c", "*", "[*]", "[]", "[0]", "[-1]", "[1:]", "[::-1]", "`1`", "`[]`", "`{}`", "'a'", "`null`"]
)


def _composed(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    ones = ("abs", "avg", "ceil", "floor", "keys", "length", "max", "min", "not_null", "reverse", "sort", "sum", "type")
    more = ("to_array", "to_number", "to_string", "values", "merge")
    return st.one_of(
        st.tuples(st.sampled_from([*ones, *more]), inner).map(lambda of: f"{of[0]}({of[1]})"),
        st.tuples(st.sampled_from(["contains", "join", "starts_with", "ends_with", "merge"]), inner, inner).map(
            lambda of: f"{of[0]}({of[1]}, {of[2]})"
        ),
        st.tuples(st.sampled_from(["sort_by", "max_by", "min_by"]), inner, inner).map(
            lambda of: f"{of[0]}({of[1]}, &{of[2]})"
        ),
        st.tuples(inner, inner).map(lambda of: f"map(&{of[0]}, {of[1]})"),
        st.tuples(inner, st.sampled_from(["|", "||", "&&", "==", "!=", "<", ">=", "."]), inner).map(" ".join),
        st.tuples(inner, inner).map(lambda of: f"[{of[0]}, {of[1]}]"),
        st.tuples(inner, inner).map(lambda of: f"{{x: {of[0]}, y: {of[1]}}}"),
        inner.map(lambda one: f"!{one}"),
        inner.map(lambda one: f"({one})"),
        st.tuples(inner, inner).map(lambda of: f"{of[0]}[?{of[1]}]"),
        inner.map(lambda one: f"{one}[]"),
    )


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(st.recursive(LEAVES, _composed, max_leaves=8), JSON)
def test_any_expression_over_any_answer_selects_or_is_refused(text: str, value: Any) -> None:
    try:
        select = Expression(text)
    except ValueError:
        return
    before = json.dumps(value)
    with suppress(ExpressionFailed):
        select(value)
    assert json.dumps(value) == before  # an expression changes nothing of the answer
    select.is_empty_in(value)
    select.is_blocked_in(value)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(st.recursive(LEAVES, _composed, max_leaves=8), JSON)
def test_an_expression_selects_what_the_library_selects(text: str, value: Any) -> None:
    if "!" in text.replace("!=", ""):
        return  # of which more is read as meant
    try:
        select = Expression(text)
    except ValueError:
        return
    try:
        expected = jmespath.search(text, value)
    except (JMESPathError, TypeError, ValueError, OverflowError, AttributeError):
        with pytest.raises(ExpressionFailed):
            select(value)
    else:
        assert repr(select(value)) == repr(expected)


@given(st.text("abc.[]{}()|&!@*?`'\"\\,:<=>-0 \n$é", max_size=30))
def test_any_text_is_an_expression_or_told_to_be_none(text: str) -> None:
    told = ""
    if "`" not in text:  # of what is no JSON between these the library warns
        try:
            Expression(text)
        except ValueError as error:
            told = str(error)
    assert not told or told.isprintable()


def test_an_expression_that_is_one_key_tells_it() -> None:
    assert [Expression(text).key for text in ("id", "task_id", "data.id", "id || x", '"a-b"')] == [
        "id",
        "task_id",
        "",
        "",
        "",
    ]
