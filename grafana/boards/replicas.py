"""The replicas of an exporter, in a row that is closed: without a shared ledger there is nothing in it."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from grafana import palette, panels
from grafana.panels import COUNT, Column, columns, graph, query
from grafana.promql import EACH_INTERVAL, Scope, by

NO_REPLICAS = "Nothing to show: no ledger is shared by replicas (ledger.url)"


def replicas(select: Scope) -> dashboard.Row:
    """Who polls what, whether each provider is polled once, and how often that changes."""
    row = panels.row("Replicas (with a shared ledger)")
    for panel in _panels(select):
        row.with_panel(panel)
    return row


def _panels(select: Scope) -> list[panels.Panel]:
    named = f"group_left (replica) {select('replica_info')}"
    return [
        columns(
            "Who polls what",
            {
                "job": Column("Job", hidden=True),
                "provider": Column("Provider"),
                "replica": Column("Replica"),
                "instance": Column("Exporter"),
            },
            [
                (
                    Column("Held", COUNT, hidden=True),
                    f"max {by('job', 'instance', 'provider', 'replica')} "
                    f"(({select('lease_held')} == 1) * on (job, instance) {named})",
                ),
            ],
            about="The replica that holds the lease of each provider now. Good: every provider once, and about as many "
            "for each replica.",
            empty=NO_REPLICAS,
            size=(12, 8),
            unit=COUNT,
        ),
        graph(
            "Providers held by none or by two",
            query(f"sum {by('job', 'provider')} ({select('lease_held')}) != 1", "{{provider}}"),
            about="How many replicas hold a provider, where that is not one. Good: nothing here, but for a moment when "
            "replicas start or end. 0: see the log of a replica for what the database says. 2: two databases are in "
            "use, or one replica is scraped twice.",
            empty="Good: each provider is held by one replica, or no ledger is shared",
            size=(12, 8),
            unit=COUNT,
            steps=[(0, palette.BAD), (1, palette.GOOD), (2, palette.BAD)],
        ),
        graph(
            "Changes of leases",
            query(
                f"sum {by('instance', 'change')} (increase({select('lease_changes_total')}[{EACH_INTERVAL}])) > 0",
                "{{instance}} {{change}}",
            ),
            about="Leases that each replica acquired, released or lost, in each minute or more. Good: nothing but at "
            "starts and ends. Lost: the database did not answer in time, or the process stood still.",
            empty="Good: no lease changed in the time range, or no ledger is shared",
            size=(12, 8),
            unit=COUNT,
            bars=True,
            stacked=True,
            interval="1m",
        ),
        graph(
            "Errors of the database",
            query(
                f"sum {by('instance', 'failure')} "
                f"(increase({select('exporter_database_errors_total')}[{EACH_INTERVAL}])) > 0",
                "{{instance}} {{failure}}",
            ),
            about="Failures of the shared database as each replica has seen them, in each minute or more. Good: "
            "nothing. Connection: it is away, or takes no more. Timeout: it is slow, or a lock is held. Refused: "
            "see the replica's log. What failed is tried again.",
            empty="Good: the database has not failed in the time range, or no ledger is shared",
            size=(12, 8),
            unit=COUNT,
            bars=True,
            stacked=True,
            interval="1m",
        ),
    ]
