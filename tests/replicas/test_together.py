"""That the proof notices what it is there to notice."""

from __future__ import annotations

import time

import pytest

from tests.harness.postgresql import Server

from .together import Call, Leases, never_polled_by_two


def test_a_second_call_after_the_end_of_a_lease_is_noticed(postgresql: Server, ledger_url: str) -> None:
    leases = Leases(postgresql)

    def passes_to(replica: str) -> None:
        postgresql.execute(
            f"UPDATE videotask.leases SET holder = '{replica}-id', epoch = epoch + 1, expires = now() + interval '1 h'"  # noqa: S608
        )

    def call(replica: str, path: str = "/vendor/list") -> Call:
        return Call("vendor", replica, path, time.time())

    postgresql.execute(
        "INSERT INTO videotask.leases (provider) VALUES ('vendor')",
        "INSERT INTO videotask.replicas VALUES ('one-id', 'one', '', '{}', now()), ('two-id', 'two', '', '{}', now())",
    )
    passes_to("one")
    calls = [call("one"), call("one")]
    passes_to("two")
    calls += [call("two"), call("one"), call("one", "/vendor/account")]  # they were in flight
    never_polled_by_two(calls, leases)
    with pytest.raises(AssertionError):
        never_polled_by_two([*calls, call("one")], leases)
    with pytest.raises(AssertionError):
        never_polled_by_two([call("three")], leases)
