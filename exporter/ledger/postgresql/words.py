"""What goes wrong at PostgreSQL, in one line: what it was, and what to do about it. No value of a row is repeated."""

from __future__ import annotations

import psycopg

from exporter.ledger.errors import DatabaseFailure

_BY_CODE = {
    "28P01": "; check ledger.password_file",
    "28000": "; check the role of ledger.url and the server's pg_hba.conf",
    "3D000": "; create it, or name another in ledger.url",
    "25006": "; it is a standby or was set so; name the primary in ledger.url",
    "42501": "; docs/high-availability.md says what the role needs",
    "42P01": "; the ledger's tables are gone, restart the exporter to have them made",
    "3F000": "; the ledger's tables are gone, restart the exporter to have them made",
    "25P03": "; this process or its network stood still in the middle of a commit",
    "53100": "; the disk of the database is full",
    "53300": "; raise the limit: each replica needs up to 6",
    "57014": "; the database is overloaded, or its disk is slow",
    "55P03": "; something else holds a lock on the ledger's tables",
}
_BY_TEXT = {
    "password authentication failed": _BY_CODE["28P01"],
    "no password supplied": "; set ledger.password_file",
    "pg_hba.conf": _BY_CODE["28000"],
    "not permitted to log in": _BY_CODE["28000"],
    "too many": _BY_CODE["53300"],
    "remaining connection slots": _BY_CODE["53300"],
    "Connection refused": "; is the server running there?",
    "timeout expired": "; check the network and the server",
    "unsupported startup parameter": "; the pooler refuses a setting of ledger.url",
    "root certificate file": "; give sslrootcert in ledger.url",
    "certificate verify failed": "; give sslrootcert in ledger.url",
    "does not support SSL": "; turn it on there, or set another sslmode in ledger.url",
    "does not match host name": "; name the host in ledger.url as its certificate does",
    "does not exist": "; create it, or name another in ledger.url",
    "resolve host": "; check the host in ledger.url",
    "on socket": "; is the server running there?",
    "not a primary": "; name the primary in ledger.url",
    "session is read-only": "; it is a standby or was set so; name the primary in ledger.url",
}
"""The server's code of a refused connection is not passed on, only its words."""


_TIMEOUTS = {"57014", "55P03", "25P03"}
_LOST = ("08", "57P")
"""How the codes begin of connections that the server ends, or does not take yet."""


def failure_of(error: Exception, *, gave_up: bool) -> DatabaseFailure:
    """What kind of failure an error is; `gave_up` if it was our own patience that ended."""
    code = error.sqlstate if isinstance(error, psycopg.Error) else None
    if gave_up or isinstance(error, TimeoutError) or code in _TIMEOUTS:
        return DatabaseFailure.TIMEOUT
    if code.startswith(_LOST) if code else isinstance(error, psycopg.OperationalError | OSError):
        return DatabaseFailure.CONNECTION
    return DatabaseFailure.REFUSED


def words_of(error: Exception, waited: float | None = None) -> str:
    """What an error says; if it was our own patience that ended, after how many seconds."""
    if waited is not None:
        return f"no answer within {waited:g} s; check the network and the server"
    if isinstance(error, psycopg.Error) and error.sqlstate:
        said = error.diag.message_primary or error.sqlstate
        return said + (_BY_CODE.get(error.sqlstate) or "")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        said = _first_line(str(error))
        return said + next((advice for text, advice in _BY_TEXT.items() if text in said), "")
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return f"a value that cannot be written ({type(error).__name__})"


def _first_line(text: str) -> str:
    """The first line, from where the server or the protocol speaks if one does."""
    line = text.strip().splitlines()[0] if text.strip() else "the connection failed"
    for sign in ("FATAL:", "fe_sendauth:"):
        line = line.rpartition(sign)[2]
    return line.removeprefix("connection failed:").removeprefix("connection is bad:").strip()
