"""The tables of the ledger's file, format by format: a new file takes all steps, an older one the rest of them."""

from __future__ import annotations

import sqlite3

_FIRST = """
CREATE TABLE feeds (
    id INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    kind TEXT NOT NULL,
    since REAL,    -- when the first complete sweep ended
    horizon REAL,  -- what ended before this is not counted any more
    polled REAL,   -- when the last successful sweep ended
    UNIQUE (provider, kind)
) STRICT;
CREATE TABLE tasks (
    feed INTEGER NOT NULL REFERENCES feeds,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    first_seen REAL NOT NULL,
    changed REAL NOT NULL,
    appeared INTEGER NOT NULL,
    reason TEXT,
    progress REAL,
    submitted REAL,
    started REAL,
    ended REAL,
    dated REAL,
    seen_started REAL,
    seen_ended REAL,
    output_seconds REAL,
    missing INTEGER NOT NULL,
    told TEXT NOT NULL,
    placed REAL,   -- the date of an ended task; NULL while in flight
    is_end INTEGER NOT NULL,
    PRIMARY KEY (feed, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tasks_placed ON tasks (feed, placed) WHERE is_end;
CREATE INDEX tasks_in_flight ON tasks (feed) WHERE NOT is_end;
CREATE TABLE counts (
    feed INTEGER NOT NULL REFERENCES feeds,
    key TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (feed, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE tokens (owner TEXT PRIMARY KEY, token TEXT NOT NULL, expires REAL NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE losses (  -- one row: how many ledgers before this one were set aside
    count INTEGER NOT NULL
) STRICT;
"""

_SECOND = """
ALTER TABLE tasks ADD COLUMN said TEXT NOT NULL DEFAULT '';
CREATE TABLE steps (  -- what was seen of a task and when: its states, and the tenths of its progress
    feed INTEGER NOT NULL REFERENCES feeds,
    id TEXT NOT NULL,
    at REAL NOT NULL,
    state TEXT NOT NULL,
    progress REAL,
    UNIQUE (feed, id, at)
) STRICT;
CREATE TABLE watched (  -- ids to follow that no file and no setting names
    feed INTEGER NOT NULL REFERENCES feeds,
    id TEXT NOT NULL,
    at REAL NOT NULL,  -- when it was asked for
    PRIMARY KEY (feed, id)
) STRICT, WITHOUT ROWID;
"""

_THIRD = """
CREATE TABLE budgets (  -- the requests that a provider was sent, as its budget writes them down
    provider TEXT PRIMARY KEY,
    spent TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO budgets SELECT substr(owner, 1, length(owner) - 9), token FROM tokens WHERE substr(owner, -9) = ':requests';
DELETE FROM tokens WHERE substr(owner, -9) = ':requests';
"""
"""The second format kept budgets among the tokens, where an owner ends in a hash."""

_FOURTH = """
ALTER TABLE tasks ADD COLUMN model TEXT NOT NULL DEFAULT '';
"""

_STEPS = (_FIRST, _SECOND, _THIRD, _FOURTH)

VERSION = len(_STEPS)


def upgrade(db: sqlite3.Connection, version: int) -> None:
    """Brings the tables of an earlier version, 0 if there are none, to this one; to be called within a transaction."""
    for step in _STEPS[version:]:
        for statement in step.split(";\n"):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {VERSION}")
