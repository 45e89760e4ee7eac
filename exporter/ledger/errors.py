"""What the ledger refuses, or cannot do."""

from __future__ import annotations

from enum import StrEnum


class DatabaseFailure(StrEnum):
    """How a database that is shared has failed: a value of the label `failure`."""

    CONNECTION = "connection"
    """None could be made, or it was lost."""
    TIMEOUT = "timeout"
    """No answer came in time, or the server gave up the wait for a lock or a disk."""
    REFUSED = "refused"
    """The server answered with another error."""


class StoreError(Exception):
    """The ledger's file cannot be used. The text says why, and holds no task's content."""


class LeaseLost(StoreError):
    """A write for a provider whose lease another replica has taken over; nothing of it was written."""


class TooMany(Exception):
    """More ids were asked for than the feed may follow; none was taken. The text says how many it may."""
