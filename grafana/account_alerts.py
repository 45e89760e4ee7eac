"""The alerts about what is left in the accounts.

`predict_linear` alone is not enough. A top-up bends the line upwards, one large purchase bends it down for hours, and
a range keeps the old values of a balance that has been withdrawn. So a forecast counts only if each half of the window
makes it by itself, and the balance is known now: a step lies in one half, and the other one is flat.
"""

from __future__ import annotations

from grafana.alerting import AMOUNT, COUNT, PROVIDER_NAME, UNIT_NAME, Alert, Subject
from grafana.promql import EVERYWHERE
from grafana.queries import ACCOUNT, increase, now, total
from grafana.thresholds import Forecast, Thresholds, seconds


def of_accounts(t: Thresholds) -> list[Alert]:
    """Alerts about balances."""
    low, forecast, unread = t.balance_low, t.balance_running_out, t.balance_unreadable
    below = [f"{EVERYWHERE('account_balance', unit=unit)} < {least:.15g}" for unit, least in low.below.items()]
    failed = total(increase("api_errors_total", unread.window, endpoint="account"), of=ACCOUNT)
    # Errors stay in the window when a provider was removed; the time of the last reading shows an unlimited account.
    known = total(now("provider_info"), of=ACCOUNT)
    read = total(now("account_last_success_timestamp_seconds"), of=ACCOUNT)
    return [
        Alert(
            "balance_low",
            Subject.BALANCE,
            low,
            " or ".join(below),
            limit=max(low.below.values()),  # which is true of all: each unit has been compared already
            below=True,
            summary="Little is left in an account at a vendor.",
            description=f"{PROVIDER_NAME} has {AMOUNT} left. First top the account up, or see who spends so much if "
            "this comes as a surprise.",
        ),
        Alert(
            "balance_running_out",
            Subject.BALANCE,
            forecast,
            _forecast(forecast),
            below=True,
            summary="An account at a vendor will soon be empty.",
            description=f"{PROVIDER_NAME} has no {UNIT_NAME} left within {forecast.ahead} if spending goes on as in "
            f"the last {forecast.window}. First see on the dashboard which tasks and models spend it, then top the "
            "account up.",
        ),
        Alert(
            "balance_unreadable",
            Subject.BALANCE,
            unread,
            f"{failed} and {known} unless {read}",
            summary="What is left in an account at a vendor cannot be read.",
            description=f"{COUNT} attempts to read the balance of {PROVIDER_NAME} failed within {unread.window}, and "
            "none succeeded, so the alerts about it cannot fire. First see the reason on the exporter's "
            "status page; the tasks are read as before.",
        ),
    ]


def _forecast(of: Forecast) -> str:
    """What will be left, where it will be nothing by each half of the window too."""
    balance = EVERYWHERE("account_balance")
    half, ahead = seconds(of.window) // 2, seconds(of.ahead)
    return (
        f"predict_linear({balance}[{of.window}], {ahead}) "
        f"and predict_linear({balance}[{half}s], {ahead}) < 0 "
        f"and predict_linear({balance}[{half}s] offset {half}s, {ahead + half}) < 0 "
        f"and {balance} > 0"
    )
