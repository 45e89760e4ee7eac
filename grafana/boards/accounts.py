"""The Accounts: what is left, how fast it goes, and what for."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import units

from exporter.tasks import UNITS, Reason
from grafana import identity, palette, panels
from grafana.boards import frame
from grafana.boards.scales import ANY_IS_NOTABLE
from grafana.boards.verdict import verdict
from grafana.panels import Column, columns, graph, latest, number, query
from grafana.promql import CHOSEN, EACH_INTERVAL, WHOLE_RANGE, Scope, by

BALANCE = by("provider", "unit")
MONEY = ("usd", "cny")
OTHERS = tuple(unit for unit in UNITS if unit not in MONEY)

DAY = 86400
LASTS_STEPS = [(0, palette.BAD), (DAY, palette.WARNING), (3 * DAY, palette.GOOD)]
READ_STEPS = [(0, palette.GOOD), (1800, palette.WARNING)]

NO_BALANCE = "No balance: the vendor tells none, the account has no limit, or it cannot be read"
NOTHING_SPENT = "Nothing was spent within six hours, or no balance is known"


def accounts(select: Scope = CHOSEN) -> dashboard.Dashboard:
    """The dashboard for the questions how long the credit lasts and what it is spent on."""
    rows: frame.Rows = {
        "": [verdict(select), *_numbers(select), _table(select)],
        "What is left": _balances(select),
        "What goes wrong": _trouble(select),
    }
    about = "What is left in the accounts, how long it lasts, and what it is spent on. Balances and costs are as the "
    return frame.board(identity.ACCOUNTS, f"{about}vendors tell them; not all do.", rows, select)


def left(select: Scope, **labels: str | tuple[str, ...]) -> str:
    """What is left, once for each account and unit, however many exporters read it."""
    return f"max {BALANCE} ({select('account_balance', **labels)})"


def spent(select: Scope, **labels: str | tuple[str, ...]) -> str:
    """What is spent in a day at the pace of the last six hours: all steps down; top-ups and refunds are left out."""
    balance = select("account_balance", **labels)
    return f"1440 * max {BALANCE} (avg_over_time(clamp_min({balance} offset 1m - {balance}, 0)[6h:1m]))"


def lasts(select: Scope) -> str:
    """Seconds until nothing is left at that pace."""
    return f"{DAY} * clamp_min({left(select)}, 0) / ({spent(select)} > 0)"


def _numbers(select: Scope) -> list[panels.Panel]:
    account = by("job", "instance", "provider")
    asked = f"sum {account} (increase({select('api_requests_total', endpoint='account')}[{WHOLE_RANGE}])) > 0"
    read = f"{select('account_last_success_timestamp_seconds')}"
    return [
        number(
            "First account to be empty",
            latest(f"min({lasts(select)})"),
            about="How long the account lasts that is empty first, at the pace of the last six hours. Good: more than "
            "three days. Which one it is, is in the table.",
            empty="Nothing is spent",
            size=(6, 3),
            unit=units.Seconds,
            steps=LASTS_STEPS,
        ),
        number(
            "Accounts with a balance",
            latest(f"count(max by (provider) ({select('account_balance')}))"),
            about="Accounts whose balance is known now. Not all vendors tell one, and an account without a limit has "
            "none.",
            empty="No balance",
            size=(6, 3),
            unit=units.Short,
        ),
        number(
            "Balances that cannot be read",
            latest(
                f"count(({asked}) unless on (job, instance, provider) {read}) or 0 * count({select('provider_info')})"
            ),
            about="Accounts that were asked within the time range, and of which no reading succeeded for three "
            "intervals. Good: none. The exporter's status page says why.",
            empty="No exporter",
            size=(6, 3),
            unit=units.Short,
            steps=ANY_IS_NOTABLE,
        ),
        number(
            "Oldest reading",
            latest(f"time() - min({read})"),
            about="Age of the balance that was read least recently. Good: little more than account_interval (five "
            "minutes by default). The threshold fits intervals of up to ten minutes.",
            empty="No balance was read",
            size=(6, 3),
            unit=units.Seconds,
            steps=READ_STEPS,
        ),
    ]


def _table(select: Scope) -> panels.Panel:
    return columns(
        "Accounts",
        {"provider": Column("Provider"), "unit": Column("Unit", width=120)},
        [
            (Column("Left", units.NoUnit), left(select)),
            (Column("Spent per day", units.NoUnit), spent(select)),
            (Column("Lasts", units.Seconds, steps=LASTS_STEPS), lasts(select)),
        ],
        about="What is left in each account, what is spent in a day at the pace of the last six hours, and how long it "
        "lasts at that pace. A dash: nothing is spent. A balance may be negative where the vendor bills later.",
        empty=NO_BALANCE,
        size=(24, 7),
        unit=units.NoUnit,
        signed=True,
    )


def _trouble(select: Scope) -> list[panels.Panel]:
    def errors(**labels: str) -> str:
        return f"increase({select('api_errors_total', **labels)}[{EACH_INTERVAL}])"

    unpaid = f"increase({select('failures_total', reason=Reason.INSUFFICIENT_BALANCE)}[{EACH_INTERVAL}])"
    return [
        graph(
            "Refused for want of credit",
            query(f"sum by (provider) ({errors(error='insufficient_balance')})", "{{provider}} calls"),
            query(f"sum by (provider) ({unpaid})", "{{provider}} tasks"),
            about="Calls and tasks that a vendor refused because the account has no credit, in each five minutes or "
            "more. Good: none. Else top the account up and submit the tasks again.",
            empty=frame.NO_CALLS,
            size=(12, 8),
            unit=units.Short,
            bars=True,
            stacked=True,
            interval="5m",
        ),
        graph(
            "Why balances cannot be read",
            query(f"sum by (error) ({errors(endpoint='account')})", "{{error}}"),
            about="Failed calls for the balance by class, in each five minutes or more. Good: none. auth: the key may "
            "not see the account; contract: the vendor changed its API. The feeds do not depend on these calls.",
            empty="No vendor is asked for a balance",
            size=(12, 8),
            unit=units.Short,
            bars=True,
            stacked=True,
            interval="5m",
            colours=palette.ERRORS,
        ),
    ]


def _balances(select: Scope) -> list[panels.Panel]:
    def forecast(title: str, which: tuple[str, ...], about: str) -> panels.Panel:
        balance = left(select, unit=which)
        return graph(
            title,
            query(balance, "{{provider}} {{unit}}"),
            query(f"clamp_min({balance} - {spent(select, unit=which)}, 0)", "{{provider}} {{unit}} in 24 h"),
            about=f"{about} The second line of an account is what will be left 24 hours later at the pace of the last "
            "six: where it lies at 0, top up. A gap is a balance that could not be read.",
            empty=NO_BALANCE,
            size=(12, 8),
            unit=units.NoUnit,
            signed=True,
        )

    return [
        forecast("Money and its forecast", MONEY, "US dollars and yuan, as the vendors tell them."),
        forecast(
            "Other units and their forecast",
            OTHERS,
            "Credits, tokens, seconds of video, requests and units of accounts that do not count in money.",
        ),
        graph(
            "Burn per day",
            query(f"{spent(select)} > 0", "{{provider}} {{unit}}"),
            about="What is spent in a day at the pace of the last six hours, whatever for: other users of the account "
            "count too. Top-ups and refunds are left out. Good: steady.",
            empty=NOTHING_SPENT,
            size=(12, 8),
            unit=units.NoUnit,
        ),
        graph(
            "How long accounts last",
            query(lasts(select), "{{provider}} {{unit}}"),
            about="Time until nothing is left at the pace of the last six hours. Good: above three days. A line that "
            "falls by a day each day is an account that nobody tops up.",
            empty=NOTHING_SPENT,
            size=(12, 8),
            unit=units.Seconds,
            steps=LASTS_STEPS,
        ),
    ]
