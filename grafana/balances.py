"""What is left in the accounts and how long it lasts, in PromQL."""

from __future__ import annotations

from grafana.promql import Scope, by

BALANCE = by("provider", "unit")
DAY = 86400


def left(select: Scope, **labels: str | tuple[str, ...]) -> str:
    """What is left, once for each account and unit, however many exporters read it."""
    return f"max {BALANCE} ({select('account_balance', **labels)})"


def spent(select: Scope, at: str = "", **labels: str | tuple[str, ...]) -> str:
    """What is spent in a day at the pace of the last six hours: all steps down; top-ups and refunds are left out.

    `at` is a modifier of PromQL, for the six hours before another time.
    """
    balance = select("account_balance", **labels)
    return f"1440 * max {BALANCE} (avg_over_time(clamp_min({balance} offset 1m - {balance}, 0)[6h:1m]{at}))"


def lasts(select: Scope) -> str:
    """Seconds until nothing is left at that pace; not of accounts that are billed later."""
    return f"{DAY} * ({left(select)} >= 0) / ({spent(select)} > 0)"
