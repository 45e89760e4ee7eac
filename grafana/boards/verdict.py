"""One sentence at the top of every dashboard: is anything wrong, and whose fault is it."""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.models import units

from exporter.tasks import Reason, State
from grafana import palette, panels
from grafana.balances import DAY, lasts, left
from grafana.boards.frame import once_ours
from grafana.promql import CHOSEN, Scope, by

THEIRS = (Reason.PROVIDER_INTERNAL, Reason.TIMEOUT, Reason.RATE_LIMITED, Reason.UNKNOWN)
THE_REQUESTS = (Reason.MODERATION, Reason.INVALID_INPUT)
"""Who has to answer for a failure; the other reasons, credentials and credit, are the account's: ours."""

FEW = 5
"""With fewer ends than this within the recent window, a ratio of failures says nothing."""
TOO_MANY = 0.2
"""The ratio of recent failures from which on something is wrong."""
FRESH = "10m"
"""How long a failure counts as news."""


@dataclass(frozen=True)
class Finding:
    """A sentence, and when it is true: if the expression returns anything. It must return no labels."""

    holds: str
    says: str
    colour: str


def findings(select: Scope) -> list[Finding]:
    """What can be wrong, the worst first: only the first that holds is said."""
    feed = by("provider", "kind")
    ends = f"sum {feed} ({select('recent_tasks', state=(State.SUCCEEDED, State.FAILED))})"

    def fails(*reasons: Reason) -> str:
        failed = f"sum {feed} ({select('recent_failures', reason=reasons)})"
        return f"count(({failed} / ({ends} >= {FEW})) > {TOO_MANY})"

    def refused(error: str) -> str:
        # Of feeds that are down: a token that is renewed when it is refused is no news.
        news = f"sum {by('provider')} (increase({select('api_errors_total', error=error)}[{FRESH}])) > 0"
        return f"count(({news}) and on (provider) {select('videotask_up')} == 0)"

    def failed(reason: Reason) -> str:
        return f"count(increase({select('failures_total', reason=reason)}[{FRESH}]) > 0)"

    age = f"(time() - {select('last_successful_poll_timestamp_seconds')})"
    interval = select("poll_interval_seconds")
    return [
        Finding(
            f"count(({once_ours('up', select)}) == 0)",
            "Ours: an exporter does not answer Prometheus. Look at its process and its log.",
            palette.BAD,
        ),
        Finding(
            f"vector(0) unless on () count({select('exporter_build_info')})",
            "No exporter reports. Start videotask-exporter, let Prometheus scrape it (port 10186), check the choices "
            "above.",
            palette.WARNING,
        ),
        Finding(
            f"{refused('auth')} or {failed(Reason.AUTH)}",
            "Ours: a vendor refuses our credentials. Renew the key or token in the configuration.",
            palette.BAD,
        ),
        Finding(
            f"{refused('insufficient_balance')} or {failed(Reason.INSUFFICIENT_BALANCE)}",
            "Ours: an account has no credit left. Top it up at the vendor.",
            palette.BAD,
        ),
        Finding(
            f"count({left(select)} == 0)",
            "Ours: nothing is left in an account. Accounts: which one. Top it up at the vendor.",
            palette.BAD,
        ),
        Finding(
            f"count({select('videotask_up')} == 0)",
            "The vendor's or the network's: a feed cannot be read. Overview: which one. Provider: the errors.",
            palette.BAD,
        ),
        Finding(
            f"count({age} > 3 * {interval})",
            "Ours: a feed's data is old although its last sweep succeeded. Exporter: the sweeps.",
            palette.WARNING,
        ),
        Finding(
            fails(*THEIRS),
            "The vendor's: many tasks fail there. Provider: the reasons. Ask the vendor's support.",
            palette.BAD,
        ),
        Finding(
            fails(*THE_REQUESTS),
            "The requests': the vendor refuses many tasks for what they ask. Provider: the reasons. Ask the people who "
            "submit them.",
            palette.WARNING,
        ),
        Finding(
            f"count({lasts(select)} < {DAY})",
            "Ours: an account will be empty within a day. Accounts: which one. Top it up at the vendor.",
            palette.WARNING,
        ),
        Finding(
            f"count({select('stalled_tasks')} > 0)",
            "The vendor's: tasks run without progress. Overview: which feed. Provider: since when.",
            palette.WARNING,
        ),
        Finding(
            f"count({select('exporter_config_last_reload_successful')} == 0)",
            "Ours: the new configuration is wrong, the old one is in force. Run check-config.",
            palette.WARNING,
        ),
        Finding(
            f"(vector(0) unless on () count({select('videotask_up')})) and on () "
            f"count({select('exporter_build_info')})",
            "Starting: no feed has been read yet. If this stays, the log says why; run doctor.",
            palette.NEUTRAL,
        ),
    ]


def verdict(select: Scope = CHOSEN) -> stat.Panel:
    """The first finding that holds; that all is well if none does."""
    found = findings(select)
    numbered = [f"0 * ({finding.holds}) + {number}" for number, finding in enumerate(found)]
    all_well = len(found)
    words = {str(number): (finding.says, finding.colour) for number, finding in enumerate(found)}
    words[str(all_well)] = ("All feeds are read, and nothing stands out.", palette.GOOD)
    return panels.number(
        "Is anything wrong, and whose fault is it?",
        panels.latest("\nor ".join([*numbered, f"vector({all_well})"])),
        about="The worst thing that is true now, and who can mend it: the operator of the exporter (ours), the vendor, "
        "or the people who submit tasks (the requests'). Good: nothing stands out. Alerts say more, but later. "
        f"Ratios count from {FEW} ends within the recent window on.",
        empty="Prometheus does not answer: check the data source",
        size=(24, 3),
        unit=units.Short,
        words=words,
    )
