"""What a test cannot await where it needs it, and a configuration with the vendors that there are."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from exporter.config.load import Config
from exporter.config.load import load as load_with
from tests.harness.vendors import VENDORS

T = TypeVar("T")


def made(making: Coroutine[Any, Any, T]) -> T:
    """What a coroutine makes, for those who cannot await it: it is run in a thread, and waited for."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, making).result()


def load(path: str | Path, environment: Mapping[str, str] = os.environ) -> Config:
    """A configuration of the built-in vendors. Raises ConfigError."""
    return load_with(path, environment, vendors=VENDORS)
