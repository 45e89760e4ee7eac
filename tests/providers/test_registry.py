"""The registry: every vendor's feeds, from settings to a provider."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from exporter.tasks import Clock
from exporter.vendors.registry import connect
from tests.harness import VENDORS, MemoryVault, settings_of

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
    assert {name: VENDORS[name].kinds for name in first} == first
    assert all(name == vendor.name for name, vendor in VENDORS.items())


@pytest.mark.parametrize("name", SETTINGS)
async def test_a_provider_has_the_feeds_that_its_vendor_names(name: str, token_store: MemoryVault) -> None:
    settings = settings_of({"type": name} | SETTINGS[name])
    provider = connect(settings, token_store)
    assert tuple(feed.kind for feed in provider.feeds) == VENDORS[name].kinds
    assert all(feed.clock in Clock for feed in provider.feeds)
    assert (provider.name, provider.client.base_url) == ("test", settings.base_url)
    await provider.aclose()


async def test_only_the_feeds_asked_for_are_polled(token_store: MemoryVault) -> None:
    provider = connect(settings_of({"type": "chanjing", "feeds": ["video"]} | SETTINGS["chanjing"]), token_store)
    assert [feed.kind for feed in provider.feeds] == ["video"]
    await provider.aclose()


@pytest.mark.parametrize(
    "given",
    [
        {"type": "huawei_metastudio", **SETTINGS["huawei_metastudio"]},
        {"type": "fal", "api_key": "ID:KEY", "endpoints": ["fal-ai/acme"]},
    ],
    ids=lambda given: given["type"],
)
def test_a_page_is_no_larger_than_the_vendor_allows(given: dict[str, Any]) -> None:
    assert settings_of({**given, "page_size": 100}).page_size == 100
    with pytest.raises(ValidationError, match="less than or equal to 100"):
        settings_of({**given, "page_size": 101})
