"""What the tests of deployments share: the vendors of the examples that come with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from exporter.simulator import Credentials, World
from tests.harness import Door, Site

KEYS = Credentials(chanjing_app_id="1001")
"""With the user and the application that the example configurations name."""


@pytest.fixture(name="keys")
def _keys() -> dict[str, str]:
    """The right secrets, by the names that the examples give them."""
    return {
        "deerapi_api_key": KEYS.deerapi_api_key,
        "deerapi_user_token": KEYS.deerapi_user_token,
        "chanjing_secret_key": KEYS.chanjing_secret_key,
    }


@pytest.fixture
def aimed(door: Door) -> Callable[[str], str]:
    """Makes a configuration call simulated vendors, and often; all else stays as it is."""
    door.behind = site = Site(World(rate=0), door.url, KEYS)

    def aim(text: str) -> str:
        config: dict[str, Any] = yaml.safe_load(text)
        for provider in config["providers"]:
            provider["base_url"] = site.account(provider["type"])["base_url"]
        return yaml.safe_dump(config | {"poll_interval": "50ms"})

    return aim
