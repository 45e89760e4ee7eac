"""Made-up vendors, declared as a file would declare them, that give the answers of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from typing import Any

import httpx
import pytest

from exporter.client.client import Client
from exporter.vendors.declared.declaration import Declaration
from exporter.vendors.declared.vendor import vendor_of
from tests.harness import Connection, MemoryVault, ScriptedVendor

Declare = Callable[..., "Connection"]

RENDER: dict[str, Any] = {
    "list": {
        "path": "/v2/renders",
        "query": {"page": "{page}", "size": "{page_size}"},
        "rows": "data.renders",
        "paging": {"type": "page"},
    },
    "detail": {"path": "/v2/renders/{id}", "row": "data"},
    "fields": {
        "id": "id",
        "state": "status",
        "progress": "percent",
        "submitted": "created_at",
        "started": "started_at",
        "ended": {"path": "ended_at", "when": "end"},
        "dated": "updated_at",
        "output": "seconds",
        "model": "model",
        "usage": {"path": "cost", "unit": "credits"},
        "code": "error.code",
        "text": "error.message",
        "result": "url",
    },
    "states": {
        "queued": ["waiting"],
        "running": ["rendering"],
        "succeeded": ["done"],
        "failed": ["failed", "expired"],
        "cancelled": ["stopped"],
    },
    "reasons": {
        "moderation": ["E_UNSAFE", "^Sensitive"],
        "insufficient_balance": ["E_CREDIT"],
        "rate_limited": ["E_BUSY"],
        "timeout": ["expired"],
    },
}


def declared(feed: dict[str, Any] | None = None, **vendor: Any) -> dict[str, Any]:
    """The declaration of Acme, with what a test changes; keys of the feed are merged into those that are there."""
    render = deepcopy(RENDER)
    for key, value in (feed or {}).items():
        if value is None:
            render.pop(key, None)
        elif isinstance(value, dict) and isinstance(render.get(key), dict):
            render[key] = {k: v for k, v in (render[key] | value).items() if v is not None}
        else:
            render[key] = value
    return {
        "title": "Acme",
        "base_url": "https://api.acme.example",
        "credentials": ["api_key"],
        "auth": {"type": "bearer"},
        "feeds": {"render": render},
    } | vendor


def shown(*rows: Any, **more: Any) -> dict[str, Any]:
    """A page of Acme's list."""
    return {"data": {"renders": list(rows), **more}}


@pytest.fixture
async def declare() -> AsyncIterator[Declare]:
    """Connects a provider of a declared vendor, which gives these answers."""
    clients: list[Client] = []

    def make(declaration: dict[str, Any], *answers: Any, **settings: Any) -> Connection:
        parsed = Declaration.model_validate(declaration)
        assert list(parsed.faults()) == []
        type_ = vendor_of("acme", parsed)
        vendor = ScriptedVendor(*answers)
        credentials = {name: f"SECRET-{name}" for name in parsed.credentials}
        given = type_.settings.model_validate({"name": "test", "type": "acme", **credentials, **settings})
        client = Client(given.base_url, rate=1e9, timeout=5, transport=httpx.MockTransport(vendor))
        clients.append(client)
        return Connection({one.kind: one for one in type_.feeds(given, client, MemoryVault())}, client, vendor)

    yield make
    for client in clients:
        await client.aclose()
