"""Reads the balance of an account: seldom, independent of the feeds, and at no cost to them."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

from exporter.client.errors import CallError, TaskNotFound
from exporter.polling.budget import Budget
from exporter.snapshot import BalanceSnapshot
from exporter.tasks import Cause
from exporter.vendors.vendor import Balance, Provider

log = logging.getLogger(__name__)

PACE_WINDOW = 6 * 3600.0
"""Seconds over which the pace of spending is worked out."""

LEAST_SPAN = 600.0
"""Seconds that readings have to span before a pace is shown."""

FAILED_LONGER = 4
"""Most intervals between two tries while the balance cannot be read."""


class AccountLoop:
    """Reads the balance of one provider, every `account_interval`. Times are Unix seconds."""

    def __init__(
        self,
        provider: Provider,
        wall_clock: Callable[[], float] = time.time,
        announce: Callable[[], object] = lambda: None,
        budget: Budget | None = None,
    ) -> None:
        self._provider = provider
        self._wall_clock = wall_clock
        self._announce = announce
        self._budget = budget
        self._state = BalanceSnapshot(amount=None, unit="", succeeded=None, interval=self.interval)
        self._failures = 0
        self._readings: deque[tuple[float, float]] = deque()
        self._running: asyncio.Task[None] | None = None

    @property
    def interval(self) -> float:
        return self._provider.settings.account_interval

    def start(self, spread: float = 0.0) -> None:
        """Starts to read, at a random moment within `spread` seconds; does nothing if the vendor reports no balance."""
        if self._provider.account is not None and self.interval:
            self._running = asyncio.create_task(self._run(spread), name=f"{self._provider.name}/account")

    async def stop(self) -> None:
        running, self._running = self._running, None
        if running:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def _run(self, spread: float) -> None:
        await asyncio.sleep(random.uniform(0, spread))  # no secret
        while True:
            pause = self._provider.client.limit.pause_left
            await asyncio.sleep(min(pause, self.interval))  # a vendor's pause says nothing about the account
            try:
                await self.ask()
            except Exception as error:  # a slip of ours: the feeds go on, and the next try may be better
                log.error("the balance could not be read; this is a bug in the exporter", exc_info=error)
            more = min(2**self._failures, FAILED_LONGER)
            await asyncio.sleep(self.interval * more * random.uniform(0.95, 1.05))

    async def ask(self) -> None:
        """One reading. Whatever the vendor answers ends here, as a balance or as the reason why there is none."""
        account = self._provider.account
        if account is None or (self._budget and not self._budget.remaining):
            return
        try:
            balance = await account.balance()
        except (CallError, TaskNotFound) as error:
            self._failed(error)
        else:
            self._read(balance)
        self._announce()

    def _read(self, balance: Balance | None) -> None:
        now = self._wall_clock()
        if self._state.trouble:
            log.info("the balance can be read again", extra={"provider": self._provider.name})
        amount, unit = (balance.amount, balance.unit) if balance else (None, "")
        if amount is None or self._state.unit not in ("", unit):
            self._readings.clear()
        self._state, self._failures = BalanceSnapshot(amount, unit, now, self.interval), 0
        if amount is not None:
            self._readings.append((now, amount))
        while self._readings and not now - PACE_WINDOW <= self._readings[0][0] <= now:
            self._readings.popleft()

    def _failed(self, error: CallError | TaskNotFound) -> None:
        cause = error.cause if isinstance(error, CallError) else Cause.CONTRACT
        words = str(error) or "the vendor knows no such account"
        since = self._state.since
        if since is None:
            log.warning("the balance cannot be read", extra={"provider": self._provider.name, "error": words})
            since = self._wall_clock()
        self._failures += 1
        advice = self._provider.advice(cause)
        self._state = replace(self._state, amount=None, unit="", trouble=words, cause=cause, advice=advice, since=since)

    @property
    def pace(self) -> float | None:
        """What is spent in a second, by the readings of the last six hours; what was added meanwhile is left out."""
        if len(self._readings) < 2:
            return None
        span = self._readings[-1][0] - self._readings[0][0]
        spent = sum(max(0.0, before - after) for (_, before), (_, after) in pairwise(self._readings))
        return spent / span if span >= LEAST_SPAN else None

    def snapshot(self) -> BalanceSnapshot | None:
        """What is known now; None where the vendor reports no balance, or is not to be asked."""
        if self._provider.account is None or not self.interval:
            return None
        return replace(self._state, pace=self.pace)
