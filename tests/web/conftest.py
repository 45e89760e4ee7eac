"""What the tests of the HTTP side share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import trustme

from tests.harness import Rig

from .serving import Folder, served, studio


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """An account whose vendor cannot be reached."""
    async with studio() as rig:
        yield rig


@pytest.fixture
async def http(rig: Rig) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the web application."""
    async with served(rig.app()) as client:
        yield client


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def folder(tmp_path: Path, authority: trustme.CA) -> Folder:
    made = Folder(tmp_path, authority)
    made.certify("server", "localhost", "127.0.0.1")
    made.write(ca_pem=authority.cert_pem.bytes())
    return made
