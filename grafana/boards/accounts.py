"""The Accounts: what is left, how fast it goes, and what for."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import units

from exporter.tasks import UNITS, Reason, State
from grafana import identity, palette, panels
from grafana.balances import BALANCE, DAY, lasts, left, spent
from grafana.boards import frame
from grafana.boards.scales import ANY_IS_NOTABLE, FEED
from grafana.boards.verdict import verdict
from grafana.panels import AMOUNT, COUNT, Column, Ranked, columns, graph, latest, number, query
from grafana.promql import AT_END, CHOSEN, EACH_INTERVAL, WHOLE_RANGE, Scope, by

MONEY = ("usd", "cny")
OTHERS = tuple(unit for unit in UNITS if unit not in MONEY)

LASTS_STEPS = [(0, palette.BAD), (DAY, palette.WARNING), (3 * DAY, palette.GOOD)]
READ_STEPS = [(0, palette.GOOD), (1800, palette.WARNING)]

COST = by("provider", "kind", "unit")
MODEL_COST = by("provider", "kind", "model", "unit")
WASTE_STEPS = [(0, palette.GOOD), (0.05, palette.WARNING), (0.2, palette.BAD)]

NO_COSTS = "No costs: no task ended, or the vendor does not say what tasks cost"
NO_BALANCE = "No balance: the vendor reports none, the account has no limit, or it cannot be read"
NOTHING_SPENT = "Nothing was spent within six hours, or no balance is known"


def accounts(select: Scope = CHOSEN) -> dashboard.Dashboard:
    """The dashboard for the questions how long the credit lasts and what it is spent on."""
    rows: frame.Rows = {
        "": [verdict(select), *_numbers(select), _table(select)],
        "What is left": _balances(select),
        "What it is spent on": _costs(select),
        "What goes wrong": _trouble(select),
    }
    about = "What is left in the accounts, how long it lasts, and what it is spent on. Balances and costs are as the "
    return frame.board(identity.ACCOUNTS, f"{about}vendors report them; not all do.", rows, select)


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
            about="Accounts whose balance is known now. Not all vendors report one, and an account without a limit has "
            "none.",
            empty="No balance",
            size=(6, 3),
            unit=COUNT,
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
            unit=COUNT,
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
            (Column("Left", AMOUNT), left(select)),
            (Column("Spent per day", AMOUNT), spent(select)),
            (Column("Lasts", units.Seconds, steps=LASTS_STEPS), lasts(select)),
        ],
        about="What is left in each account, what is spent in a day at the pace of the last six hours, and how long it "
        "lasts at that pace. A dash: nothing is spent, or the balance is negative because the vendor bills later.",
        empty=NO_BALANCE,
        size=(24, 7),
        unit=AMOUNT,
        signed=True,
    )


def _costs(select: Scope) -> list[panels.Panel]:
    def grown(metric: str, group: str, window: str, **labels: State) -> str:
        return f"sum {group} (increase({select(metric, **labels)}[{window}]))"

    def per_success(window: str) -> str:
        succeeded = grown("finished_total", FEED, window, state=State.SUCCEEDED)
        return f"{grown('usage_total', COST, window)} / on (provider, kind) group_left () ({succeeded} > 0)"

    def per_success_of_model(window: str) -> str:
        succeeded = grown("model_finished_total", by("provider", "kind", "model"), window, state=State.SUCCEEDED)
        cost = grown("model_usage_total", MODEL_COST, window)
        return f"{cost} / on (provider, kind, model) group_left () ({succeeded} > 0)"

    def wasted(group: str, window: str) -> str:
        failed = grown("usage_total", group, window, state=State.FAILED)
        return f"{failed} / ({grown('usage_total', group, window)} > 0)"

    def per_day(metric: str, group: str) -> str:
        return f"{DAY} * sum {group} (rate({select(metric)}[{EACH_INTERVAL}])) > 0"

    of_provider = grown("model_usage_total", BALANCE, WHOLE_RANGE)
    of_model = grown("model_usage_total", MODEL_COST, WHOLE_RANGE)
    return [
        columns(
            "What tasks cost",
            {"provider": Column("Provider"), "kind": Column("Kind"), "unit": Column("Unit", width=90)},
            [
                (Column("Cost", AMOUNT), grown("usage_total", COST, WHOLE_RANGE)),
                (Column("Of failures", AMOUNT), grown("usage_total", COST, WHOLE_RANGE, state=State.FAILED)),
                (Column("Failures' share", units.PercentUnit, steps=WASTE_STEPS), wasted(COST, WHOLE_RANGE)),
                (Column("Per success", AMOUNT), per_success(WHOLE_RANGE)),
            ],
            about="What the tasks that ended in the time range cost, what failed ones cost of it, and what each video "
            "cost in the end: all costs, those of failures too, by the tasks that succeeded. A dash: nothing ended.",
            empty=NO_COSTS,
            size=(24, 6),
            unit=AMOUNT,
        ),
        columns(
            "What models cost",
            {
                "provider": Column("Provider", width=150),
                "kind": Column("Kind", width=130),
                "model": Column("Model"),
                "unit": Column("Unit", width=90),
            },
            [
                (Column("Cost", AMOUNT, width=140), of_model),
                (
                    Column("Share", units.PercentUnit, width=80),
                    f"{of_model} / on (provider, unit) group_left () ({of_provider} > 0)",
                ),
                (Column("Per success", AMOUNT, width=120), per_success_of_model(WHOLE_RANGE)),
            ],
            about="What the tasks of each model cost in the time range, which part of the provider's costs that is, "
            "and what each video cost in the end, failures included. Good: the dear ones are those that are worth it.",
            empty=f"{NO_COSTS}, or of which model they are",
            size=(24, 8),
            unit=AMOUNT,
        ),
        graph(
            "Costs per day",
            Ranked(per_day("usage_total", COST), "{{provider}} {{kind}} {{unit}}"),
            about="What ended tasks cost, as the vendors say, at the pace of each 30 minutes or more. Compare with the "
            "burn above: what is missing here is spent by others, or on tasks that are still in flight.",
            empty=NO_COSTS,
            size=(12, 8),
            unit=AMOUNT,
            interval="30m",
        ),
        graph(
            "Cost per success",
            Ranked(per_success(EACH_INTERVAL), "{{provider}} {{kind}} {{unit}}"),
            about="All costs in each hour or more, those of failures too, by the tasks that succeeded in it. Good: "
            "steady. A rise is longer videos, a dearer model, or failures that cost.",
            empty=NO_COSTS,
            size=(12, 8),
            unit=AMOUNT,
            interval="1h",
        ),
        graph(
            "Costs per day by model",
            Ranked(per_day("model_usage_total", MODEL_COST), "{{provider}} {{kind}} {{model}} {{unit}}"),
            about="The same by model. No value is good or bad: a rise is more tasks, longer ones, or a dearer model; "
            "the table above shows which.",
            empty=f"{NO_COSTS}, or of which model they are",
            size=(24, 8),
            unit=AMOUNT,
            interval="30m",
        ),
        graph(
            "Cost per success by model",
            Ranked(per_success_of_model(EACH_INTERVAL), "{{provider}} {{kind}} {{model}} {{unit}}"),
            about="The same by model: what a video costs in the end, failures included. Good: steady.",
            empty=f"{NO_COSTS}, or of which model they are",
            size=(24, 8),
            unit=AMOUNT,
            interval="1h",
        ),
        graph(
            "Failures' share of the costs",
            Ranked(wasted(COST, EACH_INTERVAL), "{{provider}} {{kind}} {{unit}}"),
            about="Which part of the costs in each hour or more was for tasks that failed. Good: 0, where vendors do "
            "not charge for failures. Else see the reasons on the Provider dashboard.",
            empty=NO_COSTS,
            size=(24, 8),
            unit=units.PercentUnit,
            maximum=1,
            interval="1h",
            steps=WASTE_STEPS,
        ),
    ]


def _trouble(select: Scope) -> list[panels.Panel]:
    def errors(**labels: str) -> str:
        return f"increase({select('api_errors_total', **labels)}[{EACH_INTERVAL}])"

    unpaid = f"increase({select('failures_total', reason=Reason.INSUFFICIENT_BALANCE)}[{EACH_INTERVAL}])"
    return [
        graph(
            "Refused for want of credit",
            Ranked(f"(sum by (provider) ({errors(error='insufficient_balance')} or {unpaid})) > 0", "{{provider}}"),
            about="Calls and tasks that a vendor refused because the account has no credit, in each five minutes or "
            "more. Good: none. Else top the account up and submit the tasks again.",
            empty="Good: nothing was refused for want of credit",
            size=(12, 8),
            unit=COUNT,
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
            unit=COUNT,
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
            Ranked(
                balance,
                "{{provider}} {{unit}}",
                lowest=True,
                dashed=f"clamp_min(({balance} >= 0) - {spent(select, unit=which)}, 0)",
            ),
            about=f"{about} The dashed line of an account is what will be left 24 hours later at the pace of the last "
            "six: where it lies at 0, top up. A gap is a balance that could not be read.",
            empty=NO_BALANCE,
            size=(12, 8),
            unit=AMOUNT,
            signed=True,
        )

    return [
        forecast("Money and its forecast", MONEY, "US dollars and yuan, as the vendors report them."),
        forecast(
            "Other units and their forecast",
            OTHERS,
            "Credits, tokens, seconds of video, requests and units of accounts that do not count in money.",
        ),
        graph(
            "Burn per day",
            Ranked(f"{spent(select)} > 0", "{{provider}} {{unit}}", by=spent(select, at=AT_END)),
            about="What the account spends in a day at the pace of the last six hours, by the exporter's tasks and by "
            "other users of the account. Top-ups and refunds are left out. Good: steady.",
            empty=NOTHING_SPENT,
            size=(12, 8),
            unit=AMOUNT,
        ),
        graph(
            "Days that accounts last",
            Ranked(f"{lasts(select)} / {DAY}", "{{provider}} {{unit}}", by=spent(select, at=AT_END)),
            about="Time until nothing is left at the pace of the last six hours. Good: above three days. A line that "
            "falls by a day each day means that the account is not topped up.",
            empty=NOTHING_SPENT,
            size=(12, 8),
            unit=AMOUNT,
            steps=[(seconds / DAY, colour) for seconds, colour in LASTS_STEPS],
        ),
    ]
