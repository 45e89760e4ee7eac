"""The registry: every vendor's feeds, from settings to a provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from exporter.tasks import Clock
from exporter.vendors.registry import built_in, connect

if TYPE_CHECKING:
    from tests.providers.conftest import MemoryVault

SETTINGS: dict[str, dict[str, Any]] = {
    "deerapi": {"api_key": "KEY"},
    "chanjing": {"access_token": "TOKEN"},
    "huawei_metastudio": {"project_id": "p", "auth_token": "TOKEN"},
    "facewap": {"base_url": "https://facewap.example", "token": "TOKEN"},
}


def test_the_vendors_of_the_first_release_are_there() -> None:
    first = {
        "deerapi": ("sora",),
        "chanjing": ("lip_sync", "video"),
        "huawei_metastudio": ("digital_human",),
        "facewap": ("face_swap",),
    }
    assert {name: built_in()[name].kinds for name in first} == first
    assert all(name == vendor.name for name, vendor in built_in().items())


@pytest.mark.parametrize("name", SETTINGS)
async def test_a_provider_has_the_feeds_that_its_vendor_names(name: str, token_store: MemoryVault) -> None:
    settings = built_in()[name].settings.model_validate({"name": "test", "type": name} | SETTINGS[name])
    provider = connect(settings, token_store)
    assert tuple(feed.kind for feed in provider.feeds) == built_in()[name].kinds
    assert all(feed.clock in Clock for feed in provider.feeds)
    assert (provider.name, provider.client.base_url) == ("test", settings.base_url)
    await provider.aclose()


async def test_only_the_feeds_asked_for_are_polled(token_store: MemoryVault) -> None:
    raw = {"name": "test", "type": "chanjing", "feeds": ["video"]} | SETTINGS["chanjing"]
    provider = connect(built_in()["chanjing"].settings.model_validate(raw), token_store)
    assert [feed.kind for feed in provider.feeds] == ["video"]
    await provider.aclose()
