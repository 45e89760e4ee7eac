"""Shares come out even with few moves, and no provider that somebody knows stays without a holder."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from exporter.replicas.leases import LeaseOverview
from exporter.replicas.shares import plan, shares

Held = dict[str, str]
"""The replica that holds a provider."""


def settled(replicas: dict[str, frozenset[str]], held: Held, *, at_once: bool = False) -> tuple[Held, int]:
    """Who holds what once nobody has anything left to do, and how many providers were given up on the way.

    Replicas act one after the other, or all `at_once` on what they saw at the same time.
    """
    given_up = 0
    for _ in range(100):
        before = dict(held)
        for me in replicas:
            mine = [name for name, holder in held.items() if holder == me]
            steps = plan(me, mine, LeaseOverview(replicas, {}, before if at_once else held))
            given_up += len(steps.surplus)
            held = {name: holder for name, holder in held.items() if not (holder == me and name in steps.surplus)}
            taken = [name for name in steps.wanted if name not in held]
            held |= dict.fromkeys(taken[: steps.most], me)
        if held == before:
            return held, given_up
    raise AssertionError("it never settles")


names = st.lists(st.sampled_from("abcdefghijklmnop"), unique=True)
ids = st.lists(st.sampled_from(["one", "two", "three", "four"]), unique=True, min_size=1)


@given(names, ids, st.booleans(), st.data())
def test_shares_become_even_and_no_more_than_the_surplus_moves(
    providers: list[str], replicas: list[str], at_once: bool, data: st.DataObject
) -> None:
    holders = st.sampled_from([*replicas, None])
    held = {name: holder for name in providers if (holder := data.draw(holders)) is not None}
    before = Counter(held.values())
    settled_on, given_up = settled(dict.fromkeys(replicas, frozenset(providers)), held, at_once=at_once)
    counts = Counter(settled_on.values())
    assert settled_on.keys() == set(providers)
    assert max(counts[one] for one in replicas) - min(counts[one] for one in replicas) <= 1
    share = shares({one: before[one] for one in replicas}, len(providers))
    assert given_up <= sum(max(0, before[one] - share[one]) for one in replicas)


@given(ids, st.data())
def test_with_different_configurations_everything_is_held_by_one_that_knows_it(
    replicas: list[str], data: st.DataObject
) -> None:
    known = {one: frozenset(data.draw(names)) for one in replicas}
    everything = frozenset[str]().union(*known.values())
    holders = {name: [one for one in replicas if name in known[one]] for name in everything}
    held = {name: data.draw(st.sampled_from([*holders[name], None])) for name in sorted(everything)}
    settled_on, _ = settled(known, {name: holder for name, holder in held.items() if holder is not None})
    assert settled_on.keys() == everything
    assert all(name in known[holder] for name, holder in settled_on.items())


def test_a_replica_that_the_database_does_not_know_does_nothing() -> None:
    assert plan("me", ["a"], LeaseOverview({"other": frozenset("ab")}, {}, {"a": "me"})).surplus == ()


def test_what_is_its_own_by_a_call_whose_answer_was_lost_is_taken_again() -> None:
    overview = LeaseOverview({"me": frozenset("a")}, {}, {"a": "me"})
    assert list(plan("me", [], overview).wanted) == ["a"]
    assert list(plan("me", ["a"], overview).wanted) == []
