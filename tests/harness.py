"""What tests of several rooms share: providers that are polled when a test says so, on a clock set by hand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from exporter.config.load import Config
from exporter.config.load import load as load_with
from exporter.polling.feed.loop import FeedLoop
from exporter.snapshot import Outage
from exporter.vendors.registry import VENDORS


def outage_of(loop: FeedLoop) -> Outage:
    """Why a feed is down, which it has to be."""
    assert loop.status.outage is not None
    return loop.status.outage


def load(path: str | Path, environment: Mapping[str, str] = os.environ) -> Config:
    """A configuration of the built-in vendors. Raises ConfigError."""
    return load_with(path, environment, vendors=VENDORS)
