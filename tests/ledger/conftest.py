"""Where the ledgers of these tests are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.keeping import DatabasePlace, FilePlace, Place


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each kind of place in turn, with nothing in it."""
    if request.param == "sqlite":
        return FilePlace(tmp_path / "ledger.sqlite3")
    return DatabasePlace(request.getfixturevalue("postgresql"), request.getfixturevalue("ledger_url"))
