"""Log lines for people and machines: logfmt or JSON, one line per event, no tracebacks.

What a line says beside its message comes as `extra` of the call and is printed as fields.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Literal, get_args

Level = Literal["debug", "info", "warn", "error"]
LEVELS: tuple[str, ...] = get_args(Level)
FORMATS = ("logfmt", "json")

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_BARE = re.compile(r"[\w.,:/@+%()<>\[\]-]+")


def configure(level: str, style: str) -> None:
    """Sends all log lines to standard error in one style."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else LogfmtFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)


def set_level(level: str) -> None:
    """Shows lines of this level and graver ones from now on."""
    number = logging.getLevelNamesMapping()[{"warn": "WARNING"}.get(level, level.upper())]
    logging.getLogger().setLevel(number)
    for chatty in ("httpx", "httpcore", "aiohttp", "uvicorn", "asyncio"):  # they log URLs, and every request
        logging.getLogger(chatty).setLevel(max(number, logging.WARNING))


class LogfmtFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{key}={_quoted(value)}" for key, value in _fields(record).items())


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return _json(_fields(record))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    fields: dict[str, Any] = {
        "ts": at,
        "level": {"WARNING": "warn", "CRITICAL": "error"}.get(record.levelname, record.levelname.lower()),
        "msg": record.getMessage().strip(),
    }
    fields |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
    if record.exc_info and record.exc_info[1] is not None:
        trace = record.exc_info[1].__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        fields["exception"] = record.exc_info[1].__class__.__name__
        if trace:
            fields["at"] = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
    return fields


def _quoted(value: object) -> str:
    text = str(value)
    return text if _BARE.fullmatch(text) else _json(text)


def _json(value: object) -> str:
    """As JSON; in ASCII alone where it holds what would break a line, or steer a terminal."""
    readable = json.dumps(value, ensure_ascii=False, default=str)
    return readable if readable.isprintable() else json.dumps(value, default=str)
