"""What the store says to PostgreSQL. All that is put together here are constants of ours."""

# ruff: noqa: S105, S608

from __future__ import annotations

from exporter.ledger.counting.last_day import STEP
from exporter.ledger.counting.late import USAGE
from exporter.ledger.sqlite.rows import COLUMNS, MEASURED
from exporter.ledger.store import STEPS_SHOWN
from exporter.tasks import State

NAMES = (*COLUMNS.split(", "), "placed", "is_end")
"""The columns of a task, but for its feed."""

_WRITTEN = ", ".join(NAMES)
_FEED = "(SELECT id FROM videotask.feeds WHERE provider = %s AND kind = %s)"
_IDS = "SELECT json_array_elements_text(%s::json)"
_TASKS = f"SELECT {COLUMNS} FROM videotask.tasks WHERE feed = {_FEED} AND"

# Rows arrive as one text in JSON: of what a driver can send, it is the least work for both sides, but for COPY into a
# table of the session's own, which a role may not make and a pooler may not keep.

KEEP_FEED = """
INSERT INTO videotask.feeds AS f (provider, kind, since, horizon, polled, version) VALUES (%s, %s, %s, %s, %s, 1)
ON CONFLICT (provider, kind) DO UPDATE SET
    since = excluded.since, horizon = excluded.horizon, polled = excluded.polled, version = f.version + 1
WHERE %s::bigint IS NULL OR f.version = %s
"""
KNOW_FEED = "INSERT INTO videotask.feeds (provider, kind) VALUES (%s, %s) ON CONFLICT DO NOTHING"
KEEP_TASKS = f"""
INSERT INTO videotask.tasks (feed, {_WRITTEN})
SELECT {_FEED}, {_WRITTEN} FROM json_populate_recordset(NULL::videotask.tasks, %s::json)
ON CONFLICT (feed, id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in NAMES[1:])}
"""
FORGET_TASKS = f"DELETE FROM videotask.tasks WHERE feed = {_FEED} AND id IN ({_IDS})"
KEEP_STEPS = f"""
INSERT INTO videotask.steps (feed, id, at, state, progress)
SELECT {_FEED}, id, at, state, progress FROM json_populate_recordset(NULL::videotask.steps, %s::json)
ON CONFLICT DO NOTHING
"""
FORGET_STEPS = f"""
DELETE FROM videotask.steps WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM videotask.steps WHERE feed = {_FEED} AND at < %s ORDER BY at LIMIT %s
))
"""
KEEP_COUNTS = f"""
INSERT INTO videotask.counts (feed, key, value)
SELECT {_FEED}, key, value FROM json_populate_recordset(NULL::videotask.counts, %s::json)
ON CONFLICT (feed, key) DO UPDATE SET value = excluded.value
"""
WATCH = f"""
INSERT INTO videotask.watched (feed, id, at) SELECT {_FEED}, id, %s FROM ({_IDS} AS id) AS ids
ON CONFLICT DO NOTHING
"""
UNWATCH = f"DELETE FROM videotask.watched WHERE feed = {_FEED} AND id IN ({_IDS})"
SAVE_TOKEN = """
INSERT INTO videotask.tokens (owner, token, expires) VALUES (%s, %s, %s)
ON CONFLICT (owner) DO UPDATE SET token = excluded.token, expires = excluded.expires
"""
SAVE_SPENT = """
INSERT INTO videotask.budgets (provider, spent) VALUES (%s, %s)
ON CONFLICT (provider) DO UPDATE SET spent = excluded.spent
"""
FENCE = "SELECT FROM videotask.leases WHERE provider = %s AND holder = %s AND epoch = %s FOR KEY SHARE"
"""The row stays locked until the commit, and no replica takes the lease over before; renewals do not wait for it.

Whether the lease has ended does not matter as long as no other replica has acquired it. The epoch alone shows that; the
holder's name shows it too where a standby that takes over has forgotten the last epoch.
"""

FEEDS_OF = "SELECT id, provider, kind, since, horizon, polled, version FROM videotask.feeds WHERE provider = ANY(%s)"
COUNTS_OF = "SELECT key, value, feed FROM videotask.counts WHERE feed = ANY(%s) AND key LIKE ANY(%s)"
IN_FLIGHT_OF = f"SELECT {COLUMNS}, feed FROM videotask.tasks WHERE feed = ANY(%s) AND NOT is_end"
ENDED_OF = f"""
SELECT {COLUMNS}, feed FROM unnest(%s::integer[], %s::double precision[]) AS wanted (number, ended_since)
JOIN videotask.tasks ON feed = number AND is_end AND placed >= ended_since ORDER BY placed, id
"""

PROVIDERS = "SELECT DISTINCT provider FROM videotask.feeds ORDER BY provider"
DATES = "SELECT since, horizon, polled, version FROM videotask.feeds WHERE provider = %s AND kind = %s"
COUNTS = f"SELECT key, value FROM videotask.counts WHERE feed = {_FEED}"
IN_FLIGHT = f"{_TASKS} NOT is_end"
TASK = f"{_TASKS} id = %s"
ALL_OF_ID = f"""
SELECT (SELECT provider FROM videotask.feeds AS f WHERE f.id = feed),
       (SELECT kind FROM videotask.feeds AS f WHERE f.id = feed), {COLUMNS}
FROM videotask.tasks WHERE feed = ANY(ARRAY(SELECT f.id FROM videotask.feeds AS f)) AND id = %s
"""
STORY = f"""
SELECT id, at, state, progress FROM videotask.steps WHERE feed = {_FEED} AND id = %s
ORDER BY at DESC LIMIT {STEPS_SHOWN}
"""
ENDED_SINCE = f"{_TASKS} is_end AND placed >= %s ORDER BY placed, id"


def _by_step(feeds: str) -> str:
    """The steps of the feeds that a condition selects; the last columns name the feed."""
    return f"""
WITH ends AS (
    SELECT feed AS of, floor(least(placed, coalesce(submitted, first_seen)) / {STEP})::bigint AS begun_in,
        floor(placed / {STEP})::bigint AS ended_in, count(*) AS number,
        count(*) FILTER (WHERE state = '{State.FAILED}') AS failed
    FROM videotask.tasks
    WHERE {feeds} AND is_end AND placed >= %s AND coalesce(ended, seen_ended, dated, submitted) IS NOT NULL
    GROUP BY of, begun_in, ended_in
), steps AS (
    SELECT of, begun_in AS step, number AS begun, 0 AS ended, 0 AS failed FROM ends
    UNION ALL SELECT of, ended_in, 0, number, failed FROM ends
)
SELECT step, sum(begun)::bigint, sum(ended)::bigint, sum(failed)::bigint, provider, kind
FROM steps JOIN videotask.feeds ON of = id GROUP BY provider, kind, step
"""


ENDED_BY_STEP = _by_step(f"feed = {_FEED}")
ENDED_BY_STEP_OF = _by_step("feed = ANY(ARRAY(SELECT id FROM videotask.feeds WHERE provider = ANY(%s)))")
UNPAID_SINCE = f"""
{_TASKS} is_end AND placed >= %s AND state IN ({MEASURED}) AND ' ' || told || ' ' NOT LIKE '%% {USAGE} %%'
ORDER BY placed DESC, id DESC LIMIT %s
"""
ENDED_AMONG = f"SELECT id FROM videotask.tasks WHERE feed = {_FEED} AND is_end AND id IN ({_IDS})"
IN_FLIGHT_AMONG = f"SELECT id FROM videotask.tasks WHERE feed = {_FEED} AND NOT is_end AND id IN ({_IDS})"
ENDED_BEFORE = f"""
SELECT id FROM videotask.tasks WHERE feed = {_FEED} AND is_end AND placed < %s AND changed < %s
ORDER BY placed, id LIMIT %s
"""
WATCHED = f"SELECT id FROM videotask.watched WHERE feed = {_FEED} ORDER BY at, id"
TOKEN = "SELECT token, expires FROM videotask.tokens WHERE owner = %s"
SPENT = "SELECT spent FROM videotask.budgets WHERE provider = %s"
