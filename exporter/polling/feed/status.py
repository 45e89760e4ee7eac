"""What a failure does to the status of a feed."""

from __future__ import annotations

from dataclasses import replace

from exporter.client.errors import CallError, FailedCall
from exporter.ledger.errors import StoreError
from exporter.snapshot import FeedStatus, Outage
from exporter.tasks import Cause
from exporter.vendors.vendor import Provider

FAILED_CALLS_KEPT = 20


def noted(status: FeedStatus, error: CallError, now: float) -> FeedStatus:
    """The status with the failed call that raised this error; during a pause the vendor asked for there was no call."""
    call = FailedCall.of(error, now)
    return status if call is None else replace(status, failed_calls=(*status.failed_calls, call)[-FAILED_CALLS_KEPT:])


def failed(status: FeedStatus, error: Exception, now: float, provider: Provider) -> FeedStatus:
    """The status after a sweep that failed with this error."""
    match error:
        case CallError():
            label, cause = error.error, error.cause
        case StoreError():
            label, cause = "ledger", Cause.LEDGER
        case _:
            label, cause = "bug", Cause.BUG
    since = now if status.outage is None else status.outage.since
    return replace(status, up=False, outage=Outage(label, str(error), cause, provider.advice(cause), since))
