"""Keeps this replica's leases: renews them in time, shares the providers out, takes over what is free."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

from exporter.ledger.errors import StoreError
from exporter.replicas.holding import Holding
from exporter.replicas.leases import LeaseOverview, Leases, ticks
from exporter.replicas.shares import plan

log = logging.getLogger(__name__)

T = TypeVar("T")

RENEWALS = 3
"""How often a lease is renewed before it would expire."""

RETRIES = 12
"""How often a failed step is retried within the length of a lease."""

AT_ONCE = 64
"""Providers that one call acquires: replicas that start together share them out, and the first ones are polled soon."""

NAMED = 5
"""Most names in a line of the log."""

HASTE = 0.1
"""Seconds within which replicas act on news, each at its own moment."""


class Polling(Protocol):
    """What polls the providers that are held."""

    async def follow(self) -> None:
        """Polls what is held, and nothing else; what is no longer held ends first.

        Returns once nothing is written any more for what has ended. Raises StoreError where something could not begin.
        """

    def polls(self, provider: str) -> bool:
        """Whether a provider that is held has begun to be polled."""


class Keeper:
    """The life of this replica among the others, from `start` to `stop`."""

    def __init__(self, leases: Leases, monotonic: Callable[[], float] = ticks) -> None:
        self.me, self.name = leases.me, leases.name
        """The id of this replica, and its name for people."""
        self.holding = Holding(leases, monotonic)
        self.overview = LeaseOverview()
        """As it was last read."""
        self.providers: Sequence[str] = ()
        """Those that the configuration names."""
        self.failure = ""
        """Why acquired providers could not be polled, at the last acquisition; empty if they could."""
        self.is_ready = False
        """Whether this replica has held its share since the configuration was loaded."""
        self._is_settled = False
        self._troubles = {"share": "the leases have not been read yet"}  # by what has failed
        self._leases = leases
        self._monotonic = monotonic
        self._has_joined = False
        self._accounts = ""
        self._differs = False
        self._told: set[str] = set()  # digests of other accounts
        self._news = asyncio.Event()
        self._lost = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None
        self._others: list[asyncio.Task[None]] = []

    def wants(self, providers: Sequence[str], accounts: str = "") -> None:
        """From now on the configuration names these providers, with accounts of this digest."""
        self.providers, self._accounts, self._has_joined = providers, accounts, False
        self.is_ready = self._is_settled = False
        self._news.set()

    def hear(self) -> None:
        """Another replica has freed leases, has come or has gone."""
        self._news.set()

    def refused(self, provider: str, epoch: int) -> None:
        """The database has refused a write under this epoch: another replica holds the provider."""
        if self.holding.lose(provider, epoch):
            self._lose([provider])

    @property
    def holders(self) -> dict[str, str]:
        """The name of the replica that holds a provider, if any: this one's as they are, the others' as last read."""
        names = self.overview.names
        others = {name: names.get(one, one) for name, one in self.overview.holders.items() if one != self.me}
        return others | dict.fromkeys(self.holding.held, self.name)

    @property
    def trouble(self) -> str:
        """Why leases cannot be renewed or acquired; empty while they can."""
        return next(iter(self._troubles.values()), "")

    def settle(self) -> str:
        """What the replica waits for before it holds its share, as a sentence; empty once it does."""
        self.is_ready = self._is_settled
        if self.is_ready:
            return ""
        return f"Waiting for the leases{': ' * bool(self.trouble)}{self.trouble}."

    def start(self, polling: Polling) -> None:
        """Starts to renew and share leases; does nothing if already started."""
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew_for_ever(), name="leases: renew")
            self._others = [
                asyncio.create_task(self._share_for_ever(polling), name="leases: share"),
                asyncio.create_task(self._drop_for_ever(polling), name="leases: drop"),
            ]

    async def pause(self) -> None:
        """Stops taking and giving up leases, but keeps renewing them."""
        await _ended(*self._others)

    async def stop(self) -> None:
        """Releases all leases, so that others take over at once. Nothing may be written under them any more."""
        await self.pause()
        try:
            await self._leases.release(self.holding.give_up(list(self.holding.held)))
            await self._leases.leave()
        except StoreError as error:
            log.warning("leases not released; other replicas must wait for them to expire", extra={"error": str(error)})
        if self._renewing:
            await _ended(self._renewing)

    async def renew(self) -> None:
        """One renewal of all leases. Raises StoreError."""
        if lost := await self.holding.renew():
            self._lose(lost)

    async def share(self, polling: Polling) -> bool:
        """Gives up the surplus and takes free providers; returns whether any was taken. Raises StoreError."""
        if not self._has_joined:
            self._has_joined = True
            try:
                await self._leases.join(self.providers, self._accounts)
            except BaseException:
                self._has_joined = False
                raise
        self.overview = await self._leases.overview()
        self._has_joined = self.me in self.overview.replicas  # else it was silent for so long that it was forgotten
        self._compare()
        steps = plan(self.me, self.holding.held.keys(), self.overview)
        if steps.surplus:
            await self._give_up(steps.surplus, polling)
        taken = await self.holding.acquire(steps.wanted, min(steps.most, AT_ONCE)) if steps.most else {}
        if taken:
            log.info("acquired providers", extra={"providers": _listed(taken)})
        failed = await self._begin(taken, polling) if taken else False
        # It holds its share, and others hold the rest, or are about to.
        self._is_settled = self._is_settled or (self._has_joined and len(taken) == min(steps.most, len(steps.wanted)))
        return bool(taken) and not failed

    async def _begin(self, taken: Collection[str], polling: Polling) -> bool:
        """Polls the acquired providers; gives up those that cannot begin, and returns whether there were any."""
        before, self.failure = self.failure, ""
        try:
            await polling.follow()
            return False
        except StoreError as error:
            self.failure = str(error)
        except Exception as error:  # a slip of ours
            log.error("providers cannot be polled; this is a bug in the exporter", exc_info=error)
            self.failure = f"unexpected {type(error).__name__}"
        if self.failure != before:
            log.warning("providers that were acquired cannot be polled", extra={"error": self.failure})
        await self._give_up([name for name in taken if not polling.polls(name)], polling)
        return True

    async def _give_up(self, providers: Sequence[str], polling: Polling) -> None:
        given = self.holding.give_up(providers)
        if given:
            log.info("released providers", extra={"providers": _listed(given)})
        with suppress(StoreError):  # what could not begin is no reason to keep these
            await polling.follow()
        await self._leases.release(given)

    def _lose(self, providers: Collection[str]) -> None:
        """Ends the polling of providers that another replica took over, or whose leases were not renewed in time."""
        log.warning("lost providers", extra={"providers": _listed(providers)})
        self._lost.set()

    def _compare(self) -> None:
        """Logs once what differs: providers that only some replicas know, or different accounts for a provider name.

        Both happen for a moment while a configuration is rolled out.
        """
        replicas, names = self.overview.replicas, self.overview.names
        known = frozenset().union(*replicas.values())
        unknown = {name for name in known if any(name not in some for some in replicas.values())}
        if unknown and not self._differs:
            lacking = {names.get(one, one) for one, some in replicas.items() if unknown - some}
            log.warning(
                "replicas have different configurations: only some of them know these providers",
                extra={"providers": _listed(unknown), "unknown_to": _listed(lacking)},
            )
        self._differs = bool(unknown)
        others = {
            names.get(one, one): digest
            for one, digest in self.overview.accounts.items()
            if replicas.get(one) == replicas.get(self.me) and digest != self.overview.accounts.get(self.me, digest)
        }
        if not self._told.issuperset(others.values()):
            log.warning(
                "replicas use different accounts for the same provider name: a type, base_url or key differs; their "
                "tasks are counted together; give all replicas the same configuration, or each its own database",
                extra={"differ_from_here": _listed(others)},
            )
        self._told.update(others.values())

    async def _renew_for_ever(self) -> None:
        while True:
            await self._tried("renew", self.renew())
            await asyncio.sleep(self._rest_after("renew") * random.uniform(0.8, 1.0))  # no secret

    async def _share_for_ever(self, polling: Polling) -> None:
        """Shares out when there is news, and otherwise once in a third of a lease."""
        while True:
            self._news.clear()
            if not await self._tried("share", self.share(polling)):
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._rest_after("share")):
                        await self._news.wait()
                await asyncio.sleep(random.uniform(0, HASTE))  # no secret

    def _rest_after(self, what: str) -> float:
        """Seconds until a step is due again, which are fewer where it has failed."""
        return self._leases.length / (RETRIES if what in self._troubles else RENEWALS)

    async def _drop_for_ever(self, polling: Polling) -> None:
        """Ends the polling of what is no longer held: lost to another replica, or not renewed in time."""
        while True:
            rest = self._leases.length / RETRIES  # leases may be acquired meanwhile
            if (ends := self.holding.ends) is not None:
                rest = max(0.0, min(rest, ends - self._monotonic()))
            with suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._lost.wait()
            if lapsed := self.holding.lapsed():
                self._lose(lapsed)
            if self._lost.is_set():
                self._lost.clear()
                await self._tried("drop", polling.follow())
                self._news.set()  # what ended may be free

    async def _tried(self, what: str, step: Awaitable[T]) -> T | None:
        """What a step returns; None if it fails. An outage of the database is logged as it begins and as it ends."""
        try:
            result = await step
        except StoreError as error:
            trouble = str(error)
        except Exception as error:  # a slip of ours must not end what keeps the leases
            log.error("leases could not be renewed or acquired; this is a bug in the exporter", exc_info=error)
            trouble = f"unexpected {type(error).__name__}"
        else:
            if self._troubles.pop(what, "") and not self._troubles:
                log.info("leases can be renewed and acquired again")
            return result
        if not self._troubles:
            log.warning("cannot renew or acquire leases", extra={"error": trouble})
        self._troubles[what] = trouble
        return None


def _listed(names: Collection[str]) -> str:
    first = sorted(names)[:NAMED]
    return ", ".join(first) + f" and {len(names) - len(first)} more" * (len(names) > len(first))


async def _ended(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
