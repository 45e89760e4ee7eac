"""The leases of this replica, where the configuration names a database that several exporters share."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from exporter.config.load import Config
from exporter.ledger.ledger import Ledger
from exporter.ledger.store import Store
from exporter.polling.held import Alone, Among
from exporter.replicas.keeper import Keeper

if TYPE_CHECKING:
    from exporter.replicas.postgresql import PostgresqlLeases


def leases_of(config: Config) -> PostgresqlLeases | None:
    """None where the ledger is a file, which one process has for itself."""
    if config.ledger.url is None:
        return None
    from exporter.ledger.postgresql.database import ANSWER_WITHIN, Database
    from exporter.replicas.postgresql import PostgresqlLeases

    patience = min(ANSWER_WITHIN, max(2.0, config.ledger.lease / 5))  # time is left for another try
    database = Database(config.ledger.url, config.ledger.password, patience=patience, connections=1)
    return PostgresqlLeases(database, config.replica or socket.gethostname(), config.ledger.lease)


def held_by(config: Config, store: Store, leases: PostgresqlLeases | None) -> Alone | Among:
    """What this process polls of the providers: all, or those whose leases it holds."""
    if leases:
        from exporter.ledger.postgresql.store import PostgresqlStore

        if isinstance(store, PostgresqlStore):
            ledger, own = store.database, leases.database
            failures = lambda: ledger.failures + own.failures  # noqa: E731
            return Among(store, config.ledger.retention, Keeper(leases), leases.tell, failures)
    return Alone(Ledger(store, config.ledger.retention))
