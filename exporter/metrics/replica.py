"""The metrics of a replica among others, the part of the catalogue that is served only with a shared ledger."""

from __future__ import annotations

from exporter.ledger.errors import DatabaseFailure
from exporter.metrics.catalogue import Metric
from exporter.snapshot import ReplicaSnapshot

REPLICA_METRICS: tuple[Metric[ReplicaSnapshot], ...] = (
    Metric(
        "lease_held",
        "gauge",
        ("provider",),
        "1 on the replica that polls the provider, 0 on the others. Served only with ledger.url.",
        lambda replica: [((name,), float(is_held)) for name, is_held in replica.held.items()],
    ),
    Metric(
        "lease_changes_total",
        "counter",
        ("provider", "change"),
        "Leases that this replica acquired, released, or did not renew in time (lost). Served only with ledger.url.",
        lambda replica: replica.changes.items(),
    ),
    Metric(
        "replica_info",
        "gauge",
        ("replica",),
        "1, with the name of this replica. Served only with ledger.url.",
        lambda replica: [((replica.name,), 1)],
    ),
    Metric(
        "exporter_database_errors_total",
        "counter",
        ("failure",),
        "Failures of the database as this replica saw them; it retries. Served only with ledger.url.",
        lambda replica: [((failure,), replica.database_failures.get(failure, 0)) for failure in DatabaseFailure],
    ),
)
