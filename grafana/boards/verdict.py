"""The sentences at the top of every dashboard: is anything wrong, where, and who has to fix it."""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.builders import table

from exporter.tasks import Reason, State
from grafana import palette, panels
from grafana.balances import DAY, lasts, left
from grafana.boards.frame import PROVIDER_PAGE, once_ours
from grafana.panels import Column
from grafana.promql import CHOSEN, Scope, by

THEIRS = (Reason.PROVIDER_INTERNAL, Reason.TIMEOUT, Reason.RATE_LIMITED, Reason.UNKNOWN)
THE_REQUESTS = (Reason.MODERATION, Reason.INVALID_INPUT)
"""Who has to answer for a failure; the other reasons, credentials and credit, are the account's: ours."""

FEW = 10
"""With fewer ends than this within the recent window, a ratio of failures says nothing."""
HANDFUL = 5
"""So many recent failures may be chance, whatever their ratio."""
TOO_MANY = 0.2
"""The ratio of recent failures from which on something is wrong."""
FRESH = "10m"
"""How long a refused call counts as news."""

WELL = "All feeds are read, and nothing stands out."


@dataclass(frozen=True)
class Finding:
    """A sentence, and of what it is true: what the expression returns, by provider and kind, or by instance."""

    holds: str
    says: str
    colour: str


def findings(select: Scope) -> list[Finding]:
    """What can be wrong, the worst first: of a feed, only the first that holds is said."""
    of = by("provider", "kind")
    ends = f"sum {of} ({select('recent_tasks', state=(State.SUCCEEDED, State.FAILED))})"
    down = f"min {of} ({select('videotask_up')}) == 0"

    def fails(*reasons: Reason) -> str:
        failed = f"sum {of} ({select('recent_failures', reason=reasons)})"
        return f"({failed} > {HANDFUL}) / ({ends} >= {FEW}) > {TOO_MANY}"

    def refused(error: str) -> str:
        # Of feeds that are down: a token that is renewed when it is refused is no news.
        return f"({down}) and on (provider) (increase({select('api_errors_total', error=error)}[{FRESH}]) > 0)"

    polled = select("last_successful_poll_timestamp_seconds")
    # When it was scraped, not now: slow scraping does not make the data of a fast poll old.
    age = f"max {of} (timestamp({polled}) - {polled})"
    interval, length = (f"max {of} ({select(f'poll_{part}_seconds')})" for part in ("interval", "duration"))
    gone = f"min {by('instance')} ({once_ours('up', select)}) == 0"
    return [
        Finding(
            gone,
            "Ours: the exporter does not answer Prometheus. Look at its process and its log.",
            palette.BAD,
        ),
        Finding(
            f"vector(0) unless on () (count({select('exporter_build_info')}) or count({gone}))",
            "No exporter reports. Start videotask-exporter, let Prometheus scrape it (port 10186), check the choices "
            "above.",
            palette.WARNING,
        ),
        Finding(
            f"({refused('auth')}) or ({fails(Reason.AUTH)})",
            "Ours: the vendor refuses our credentials. Renew the key or token in the configuration.",
            palette.BAD,
        ),
        Finding(
            f"({refused('insufficient_balance')}) or ({fails(Reason.INSUFFICIENT_BALANCE)})",
            "Ours: the account has no credit left. Top it up at the vendor.",
            palette.BAD,
        ),
        Finding(
            f"min {by('provider')} ({left(select)}) == 0",
            "Ours: nothing is left in the account. Top it up at the vendor.",
            palette.BAD,
        ),
        Finding(
            down,
            "The vendor's or the network's: the feed cannot be read. Provider: the errors.",
            palette.BAD,
        ),
        Finding(
            f"{age} > 3 * ({interval} + {length})",
            "Ours: the feed's data is old although its last sweep succeeded. Exporter: the sweeps.",
            palette.WARNING,
        ),
        Finding(
            fails(*THEIRS),
            "The vendor's: many tasks fail there. Provider: the reasons. Ask the vendor's support.",
            palette.BAD,
        ),
        Finding(
            fails(*THE_REQUESTS),
            "The requests': the vendor refuses many tasks for what they ask. Provider: the reasons.",
            palette.WARNING,
        ),
        Finding(
            f"min {by('provider')} ({lasts(select)}) < {DAY}",
            "Ours: the account will be empty within a day. Top it up at the vendor.",
            palette.WARNING,
        ),
        Finding(
            f"sum {of} ({select('stalled_tasks')}) > 0",
            "The vendor's: tasks run without progress. Provider: since when.",
            palette.WARNING,
        ),
        Finding(
            f"min {by('instance')} ({select('exporter_config_last_reload_successful')}) == 0",
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


def verdict(select: Scope = CHOSEN) -> table.Panel:
    """The worst finding of each feed, account and exporter, the worst first; that all is well if there is none."""
    found = findings(select)
    numbered = [f"0 * ({finding.holds}) + {number}" for number, finding in enumerate(found)]
    words = {str(number): (finding.says, finding.colour) for number, finding in enumerate(found)}
    words[str(len(found))] = (WELL, palette.GOOD)
    every = "\nor ".join(numbered)
    to_provider = ("Look at this feed in depth", PROVIDER_PAGE)
    return panels.columns(
        "Is anything wrong, and whose fault is it?",
        {
            "provider": Column("Provider", link=to_provider, width=180),
            "kind": Column("Kind", link=to_provider, width=160),
            "instance": Column("Exporter", width=180),
        },
        [
            (
                Column("What is wrong", panels.COUNT, words=words, left=True),
                f"sort(({every})\nor on () vector({len(found)}))",
            )
        ],
        as_sentences=True,
        about="What is wrong now, the worst first, with the worst of each feed, account and exporter, and who can mend "
        "it: the operator of the exporter (ours), the vendor, or the people who submit tasks (the requests'). Good: "
        f"nothing stands out. Alerts say more, but later. Ratios of failures count from {FEW} ends and more than "
        f"{HANDFUL} failures within the recent window on.",
        empty="Prometheus does not answer: check the data source",
        size=(24, 5),
        unit=panels.COUNT,
    )
