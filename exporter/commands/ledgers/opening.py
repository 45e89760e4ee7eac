"""The store that the configuration names."""

from __future__ import annotations

from exporter.config.load import LedgerSettings
from exporter.ledger.errors import StoreError
from exporter.ledger.sqlite.store import SqliteStore
from exporter.ledger.store import Store


async def open_store(settings: LedgerSettings) -> Store:
    """Opens the ledger, and makes it if there is none. Raises StoreError."""
    if settings.url is None:
        return await SqliteStore.open(settings.path)
    check_driver()
    from exporter.ledger.postgresql.store import PostgresqlStore

    return await PostgresqlStore.open(settings.url, settings.password)


def check_driver() -> None:
    """Raises StoreError where nothing here speaks to PostgreSQL."""
    try:
        import psycopg  # noqa: F401
    except ImportError:  # not installed, or without libpq
        told = "ledger.url needs psycopg, which is not installed; run: pip install 'videotask-exporter[postgresql]'"
        raise StoreError(told) from None
