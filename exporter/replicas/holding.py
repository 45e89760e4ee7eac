"""What this replica holds, by its own clock: a little less than what the database grants it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from exporter.replicas.leases import Change, Leases, ticks

MARGIN = 0.1
"""The share of a lease that is left unused at its end: for what still runs, and for clocks that go at other speeds."""


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A lease of this replica."""

    epoch: int
    until: float
    """When this replica stops to use it, in seconds of `ticks`."""


class Holding:
    """The leases of this replica. An expired lease is not held, whether anything has noticed that or not."""

    def __init__(self, leases: Leases, monotonic: Callable[[], float] = ticks) -> None:
        self._leases = leases
        self._monotonic = monotonic
        self._held: dict[str, HeldLease] = {}
        self.changes: Counter[tuple[str, Change]] = Counter()
        """How often each lease has changed, by provider and by what happened."""

    def holds(self, provider: str, epoch: int) -> bool:
        """Whether this replica may poll and show a provider under this epoch now."""
        held = self._held.get(provider)
        return held is not None and held.epoch == epoch and self._monotonic() < held.until

    @property
    def held(self) -> Mapping[str, int]:
        """The epochs of all providers that are held now."""
        now = self._monotonic()
        return {name: one.epoch for name, one in self._held.items() if now < one.until}

    @property
    def ends(self) -> float | None:
        """When the first lease ends if none is renewed; None without any."""
        return min((one.until for one in self._held.values()), default=None)

    async def renew(self) -> set[str]:
        """Prolongs all leases; returns the providers that another replica has taken over. Raises StoreError."""
        asked, until = self.held, self._next_end()
        renewed = await self._leases.renew(asked)
        # A lease may have been given up or lost, and acquired again, while the answer was on its way.
        still = {name for name, epoch in asked.items() if name in self._held and self._held[name].epoch == epoch}
        self._held |= {name: HeldLease(asked[name], until) for name in still & renewed}
        return {name for name in still - renewed if self.lose(name, asked[name])}

    async def acquire(self, providers: Collection[str], most: int) -> dict[str, int]:
        """Takes up to so many of these providers that are free; returns their epochs. Raises StoreError."""
        until = self._next_end()
        taken = await self._leases.acquire([name for name in providers if name not in self._held], most)
        self._held |= {name: HeldLease(epoch, until) for name, epoch in taken.items()}
        self.changes.update((name, Change.ACQUIRED) for name in taken)
        return taken

    def lapsed(self) -> set[str]:
        """Lets go of the leases whose time is over; returns their providers.

        They are not renewed any more: to hold such a provider again takes a new epoch, so that nothing which was begun
        under the old one can be written.
        """
        now = self._monotonic()
        return {name for name, one in list(self._held.items()) if now >= one.until and self.lose(name, one.epoch)}

    def lose(self, provider: str, epoch: int) -> bool:
        """Lets go of a lease that another replica may have; whether it was still there."""
        held = self._held.get(provider)
        if held is None or held.epoch != epoch:
            return False
        del self._held[provider]
        self.changes[provider, Change.LOST] += 1
        return True

    def give_up(self, providers: Collection[str]) -> dict[str, int]:
        """No longer holds these; returns the epochs, to be released once nothing is written under them any more."""
        given = {name: self._held.pop(name).epoch for name in providers if name in self._held}
        self.changes.update((name, Change.RELEASED) for name in given)
        return given

    def _next_end(self) -> float:
        """When a lease ends that the database grants from now on: measured before it is asked, as it may be slow."""
        return self._monotonic() + self._leases.length * (1 - MARGIN)
