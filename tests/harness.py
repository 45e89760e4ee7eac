"""What tests of several rooms share: providers that are polled when a test says so, on a clock set by hand."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from exporter.config.load import Config
from exporter.config.load import load as load_with
from exporter.polling.feed.loop import FeedLoop
from exporter.snapshot import Outage
from exporter.vendors.registry import built_in

T = TypeVar("T")


def made(making: Coroutine[Any, Any, T]) -> T:
    """What a coroutine makes, for those who cannot await it: it is run in a thread, and waited for."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, making).result()


def outage_of(loop: FeedLoop) -> Outage:
    """Why a feed is down, which it has to be."""
    assert loop.status.outage is not None
    return loop.status.outage


def load(path: str | Path, environment: Mapping[str, str] = os.environ) -> Config:
    """A configuration of the built-in vendors. Raises ConfigError."""
    return load_with(path, environment, vendors=built_in())
