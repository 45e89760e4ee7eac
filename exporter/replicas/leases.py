"""Leases by provider: what replicas ask of the database that they share.

The database's clock alone decides when a lease ends. A lease carries an epoch, which grows by one each time the lease
is acquired. A commit checks the epoch in its own transaction (see `Fenced` in the ledger), so what follows here only
decides who polls; it never has to be right for the counters to be right.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def ticks() -> float:
    """Seconds that have passed, those of a suspended machine among them where the system counts them."""
    return time.clock_gettime(CLOCK)


class Change(StrEnum):
    """What happened to a lease of this replica: a value of the label `change`."""

    ACQUIRED = "acquired"
    RELEASED = "released"
    LOST = "lost"


@dataclass(frozen=True)
class LeaseOverview:
    """Who is there and who holds what, by the database's clock."""

    replicas: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The replicas that live, by id, and the providers that the configuration of each one names."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The name of each of them, for people; two may share one."""
    holders: Mapping[str, str] = field(default_factory=dict)
    """The id of the replica that holds a provider. A provider without a valid lease is not among them."""
    accounts: Mapping[str, str] = field(default_factory=dict)
    """A digest of the accounts that each of them knows by the names of its providers; none of an older version."""


class Leases(Protocol):
    """The leases as one replica sees them. Every call raises StoreError, after a bounded time.

    A call that fails may have had its effect.
    """

    @property
    def me(self) -> str:
        """The id of this replica: another one after each start."""

    @property
    def name(self) -> str:
        """The name of this replica, for people."""

    @property
    def length(self) -> float:
        """Seconds for which a lease holds, from when the database acquires or renews it."""

    async def join(self, providers: Collection[str], accounts: str = "") -> None:
        """Tells the others that this replica lives, which providers it knows, and a digest of their accounts."""

    async def renew(self, held: Mapping[str, int]) -> set[str]:
        """Prolongs the leases of these providers at these epochs, and this replica's life; returns those that hold."""

    async def acquire(self, providers: Collection[str], most: int) -> dict[str, int]:
        """Takes up to so many of these providers that are free, or this replica's by a call whose answer was lost.

        Returns the new epoch of each one taken. One whose holder is writing just now is left for the next time.
        """

    async def release(self, held: Mapping[str, int]) -> None:
        """Frees the leases of these providers at these epochs, and notifies the others."""

    async def leave(self) -> None:
        """Tells the others that this replica has ended. It has released its leases before."""

    async def overview(self) -> LeaseOverview:
        """Who is there and who holds what."""
