"""Log lines: one for each event, readable by people and by machines, without tracebacks."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from exporter.config import logs

log = logging.getLogger("exporter.test")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging as it was, so that other tests see what they expect."""
    root = logging.getLogger()
    loggers = [root, *(logging.getLogger(name) for name in ("httpx", "httpcore", "aiohttp", "uvicorn", "asyncio"))]
    levels, handlers = [one.level for one in loggers], root.handlers[:]
    yield
    root.handlers[:] = handlers
    for one, level in zip(loggers, levels, strict=True):
        one.setLevel(level)


def line(message: str, style: str = "logfmt", /, **fields: Any) -> str:
    """A line as it is printed."""
    formatter = logs.JsonFormatter() if style == "json" else logs.LogfmtFormatter()
    record = logging.makeLogRecord({"msg": message, "levelname": "INFO", "created": 1.5, "name": "x", **fields})
    return formatter.format(record)


def test_a_line_has_time_level_message_and_fields() -> None:
    expected = 'ts=1970-01-01T00:00:01.500Z level=info msg="feed is down" provider=deerapi tasks=3'
    assert line("feed is down", provider="deerapi", tasks=3) == expected


def test_a_json_line_has_the_same() -> None:
    assert json.loads(line("feed is down", "json", provider="deerapi", tasks=3)) == {
        "ts": "1970-01-01T00:00:01.500Z",
        "level": "info",
        "msg": "feed is down",
        "provider": "deerapi",
        "tasks": 3,
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("word", "word"),
        ("http://127.0.0.1:10186/", "http://127.0.0.1:10186/"),
        ("a/b,c;d", '"a/b,c;d"'),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "x"', r'"say \"x\""'),
        ("back\\slash", r'"back\\slash"'),
        ("two\nlines", r'"two\nlines"'),
        ("two\r\nlines", r'"two\r\nlines"'),
        ("\x1b[31m", r'"\u001b[31m"'),
        ("\x9b31m", r'"\u009b31m"'),
        ("a\u2028b", r'"a\u2028b"'),
        ("a\x85b", r'"a\u0085b"'),
        ("\ud800", r'"\ud800"'),
        ("漢字", "漢字"),
        ("漢 字", '"漢 字"'),
        (None, "None"),
        (0.5, "0.5"),
    ],
)
def test_a_value_is_quoted_where_it_must_be(value: object, shown: str) -> None:
    assert line("x", key=value).removeprefix("ts=1970-01-01T00:00:01.500Z level=info msg=x key=") == shown


@pytest.mark.parametrize("style", logs.FORMATS)
@pytest.mark.parametrize("hostile", ["a\nlevel=error msg=forged", "\u2028", "\x85", "\x1b[2J", "\ud800"])
def test_nothing_breaks_a_line_in_two_or_steers_a_terminal(style: str, hostile: str) -> None:
    for text in (line(hostile, style), line("x", style, key=hostile)):
        assert text.isprintable()
        assert len(text.splitlines()) == 1


@pytest.mark.parametrize("style", logs.FORMATS)
def test_an_exception_is_named_and_placed_without_a_traceback(style: str) -> None:
    def fail() -> None:
        raise KeyError("s3cr3t")

    with pytest.raises(KeyError) as caught:
        fail()
    text = line("broken", style, exc_info=(KeyError, caught.value, caught.tb))
    assert "KeyError" in text
    assert f"{__name__}:{fail.__code__.co_firstlineno + 1}" in text
    assert len(text.splitlines()) == 1
    assert "s3cr3t" not in text
    assert "Traceback" not in text


def test_a_call_without_an_exception_names_none() -> None:
    assert line("x", exc_info=(None, None, None)) == "ts=1970-01-01T00:00:01.500Z level=info msg=x"


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warn", "error"]),
        ("info", ["info", "warn", "error"]),
        ("warn", ["warn", "error"]),
        ("error", ["error"]),
    ],
)
def test_a_level_shows_itself_and_what_is_graver(
    capsys: pytest.CaptureFixture[str], level: str, shown: list[str]
) -> None:
    logs.configure(level, "json")
    log.debug("x")
    log.info("x")
    log.warning("x")
    log.error("x")
    out, err = capsys.readouterr()
    assert [json.loads(one)["level"] for one in err.splitlines()] == shown
    assert out == ""


@pytest.mark.parametrize("name", ["httpx", "httpcore.http11", "aiohttp.client", "uvicorn.protocols", "asyncio"])
def test_libraries_that_log_every_request_are_quiet_even_while_we_debug(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    logs.configure("debug", "logfmt")
    logging.getLogger(name).info("GET https://vendor.example/?token=s3cr3t")
    logging.getLogger(name).debug("GET https://vendor.example/?token=s3cr3t")
    logging.getLogger(name).warning("trouble")
    lines = capsys.readouterr().err.splitlines()
    assert [one.partition(" ")[2] for one in lines] == ["level=warn msg=trouble"]


@pytest.mark.parametrize("name", ["exporter.test", "uvicorn.protocols", "httpx"])
def test_the_level_changes_while_it_runs_for_libraries_too(capsys: pytest.CaptureFixture[str], name: str) -> None:
    logs.configure("error", "logfmt")
    logging.getLogger(name).warning("one")
    logs.set_level("warn")
    logging.getLogger(name).warning("two")
    logs.set_level("error")
    logging.getLogger(name).warning("three")
    assert [one.partition(" ")[2] for one in capsys.readouterr().err.splitlines()] == ["level=warn msg=two"]


def test_configuring_twice_prints_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "logfmt")
    logs.configure("info", "logfmt")
    log.info("x")
    assert len(capsys.readouterr().err.splitlines()) == 1
