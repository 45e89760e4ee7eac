"""What tests of several rooms share: providers that are polled when a test says so, on a clock set by hand."""

from __future__ import annotations

from exporter.polling.feed.loop import FeedLoop
from exporter.snapshot import Outage


def outage_of(loop: FeedLoop) -> Outage:
    """Why a feed is down, which it has to be."""
    assert loop.status.outage is not None
    return loop.status.outage
