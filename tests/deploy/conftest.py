"""What the tests of deployments share: the vendors of the examples that come with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from exporter.simulator import PREFIXES, Credentials, World, app, serve

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


@pytest.fixture(name="aimed")
def _aimed() -> Iterator[Callable[[str], str]]:
    """Makes a configuration call simulated vendors, and often; all else stays as it is."""
    with serve(app(World(rate=0), KEYS, limits={})) as address:

        def aimed(text: str) -> str:
            config: dict[str, Any] = yaml.safe_load(text)
            for provider in config["providers"]:
                provider["base_url"] = address.url + PREFIXES[provider["type"]]
            return yaml.safe_dump(config | {"poll_interval": "50ms"})

        yield aimed
