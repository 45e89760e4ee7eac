"""What the tests of vendors are given."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Connect, Line, Load, MemoryVault

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture
def load() -> Load:
    """Reads a fixture file, such as `chanjing/video_list.json`."""
    return lambda name: json.loads((FIXTURES / name).read_text())


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connects a provider of given settings to a vendor of given answers."""
    lines: list[Line] = []

    def make(settings: dict[str, Any], *answers: Any, token_store: MemoryVault | None = None) -> Line:
        lines.append(Line(settings, *answers, token_store=token_store))
        return lines[-1]

    yield make
    for line in lines:
        await line.client.aclose()


@pytest.fixture
def token_store() -> MemoryVault:
    return MemoryVault()
