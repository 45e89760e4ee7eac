"""Times, lengths, shares and closed words as a page says them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

from exporter.tasks import Reason, State

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))

STATES: dict[State, str] = {
    State.QUEUED: "Waiting at the vendor.",
    State.RUNNING: "The vendor works on it.",
    State.BLOCKED: "Frozen by the vendor.",
    State.UNKNOWN: "The vendor names a state that the exporter does not know.",
    State.SUCCEEDED: "Done.",
    State.FAILED: "Ended without a result.",
    State.CANCELLED: "Cancelled.",
    State.LOST: "Disappeared at the vendor before finishing.",
}

REASONS: dict[Reason, str] = {
    Reason.MODERATION: "The vendor's moderation refused it. Change the prompt or the material.",
    Reason.INSUFFICIENT_BALANCE: "The account has no credit left. Top it up at the vendor.",
    Reason.INVALID_INPUT: "The vendor rejected the request as invalid. Check what was submitted.",
    Reason.RATE_LIMITED: "Too many tasks at once for the account. Submit fewer, or ask the vendor for more.",
    Reason.AUTH: "The vendor refused the credentials of the program that submitted it.",
    Reason.PROVIDER_INTERNAL: "A fault at the vendor. Submit the task again; if it keeps failing, contact the vendor.",
    Reason.TIMEOUT: "It took the vendor too long. Submit it again, or make it smaller.",
    Reason.UNKNOWN: "The vendor gives no reason, or one that the exporter does not know.",
}


def plain(word: str) -> str:
    """A word of a closed set as people write it: `insufficient_balance` is "insufficient balance"."""
    return word.replace("_", " ")


def several(count: float, what: str) -> str:
    """So many: "1 task", "2 tasks"."""
    return f"{count:.0f} {what}" + "s" * (count != 1)


def rough(seconds: float) -> str:
    """How long something is or was ago, in one unit: "119 s", "2 min", "2 h", "2 d"."""
    for unit, length in _UNITS[:-1]:
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def lasting(seconds: float) -> str:
    """A duration in at most two units: "0.4 s", "42 s", "5 min 12 s", "1 h", "2 d 3 h"."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    for (unit, size), (smaller, part) in pairwise(_UNITS):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def ago(at: float, now: float) -> str:
    """A moment from here: "12 s ago", "in 3 s", "now"."""
    if abs(now - at) < 0.5:
        return "now"
    return f"{rough(now - at)} ago" if at < now else f"in {rough(at - now)}"


def percent(ratio: float) -> str:
    return f"{100 * ratio:.0f} %"


CURRENCIES = {"usd": "USD", "cny": "CNY"}


def amount(number: float, unit: str) -> str:
    """So much of a unit: "1,234 credits", "37.66 USD", "0.5 units"."""
    shown = f"{number:,.2f}" if unit in CURRENCIES else f"{number:,.1f}".removesuffix(".0")
    return f"{shown} {CURRENCIES.get(unit, unit)}"


def utc(at: float) -> str:
    """The whole time, for people: `2026-11-21 01:05:45 UTC`."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(at: float) -> str:
    """The same for machines."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
