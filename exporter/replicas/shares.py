"""Fair shares: what a replica gives up and what it may take, so that shares are even and few providers move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from exporter.replicas.leases import LeaseOverview


@dataclass(frozen=True)
class Plan:
    """What a replica does next."""

    surplus: Sequence[str] = ()
    """Providers to give up: others have room for them."""
    wanted: Sequence[str] = ()
    """Free providers that it may take, in this order."""
    most: int = 0
    """How many of them."""


def shares(counts: Mapping[str, int], total: int) -> dict[str, int]:
    """How many of so many providers each replica is to hold, given how many each one holds now.

    Shares differ by one at most. Those who hold the most have the larger ones, so that no provider moves for the
    difference. Every replica works out the same from the same counts.
    """
    if not counts:
        return {}
    least, larger = divmod(total, len(counts))
    order = sorted(counts, key=lambda one: (-counts[one], one))
    return {one: least + (place < larger) for place, one in enumerate(order)}


def plan(me: str, mine: Collection[str], overview: LeaseOverview) -> Plan:
    """What the replica `me`, which holds the providers `mine`, does next.

    Where configurations differ, a provider goes to a replica that knows it: it is kept if no replica with room
    knows it, and is taken beyond the share if no other replica with room does.
    """
    replicas = overview.replicas
    if me not in replicas:
        return Plan()
    known = frozenset().union(*replicas.values())
    counts = Counter(holder for name, holder in overview.holders.items() if name in known and holder != me)
    counts = Counter({one: len(mine) if one == me else counts[one] for one in replicas})
    share = shares(counts, len(known))
    room = {one: share[one] - counts[one] for one in replicas if one != me and share[one] > counts[one]}
    takers: Counter[str] = Counter()  # by provider, how many others with room know it
    for one in room:
        takers.update(replicas[one])
    over = min(len(mine) - share[me], sum(room.values()))
    movable = sorted(name for name in mine if takers[name])
    surplus = [*sorted(set(mine) - replicas[me]), *movable[: max(0, over)]]
    others = {name for name, holder in overview.holders.items() if holder != me}
    free = sorted(replicas[me] - set(mine) - others)  # also what is its own by a call whose answer was lost
    only_mine = [name for name in free if not takers[name]]
    most = max(0, share[me] - len(mine))
    if len(only_mine) >= most:
        return Plan(surplus, only_mine, len(only_mine))
    return Plan(surplus, [*only_mine, *(name for name in free if takers[name])], most)
