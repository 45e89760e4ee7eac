"""The one stable import for vendors that packages bring: what they are made of. docs/vendors/plug-in.md has an example.

Names here keep their meaning within a major version; everything else in this package may move. A package names its
vendors by entry points of the group `videotask_exporter.vendors`. Each is a `Vendor`, or a mapping of types to
declarations, as a file of `vendor_files` holds it.

A vendor  `Vendor`, `Feed`, `Page`, `Position`, `START`, `Document`, `Tells`; `Account` and `Balance`, where it
          reports what is left
Settings  `ProviderSettings` and what its fields may be: `Secret`, `BaseUrl`, `WebUrl`, `Duration`, `Interval`, `Rate`,
          `Name`; `Settings` for parts of them, `fault` for what a validator finds wrong
Calls     `Client.call` with a `read` function: it gets an `Answer`, and returns what that holds or raises an error,
          which `refusal` chooses by status, code and words. `GivenToken`, `ObtainedToken`: tokens that end,
          which a `TokenStore` keeps
Tasks     `Observation`, `State`, `Reason`, `Clock`, `Cause`, and `Part`, a part of an observation that may be broken
Rows      `Wire` and its types `TaskId`, `Timestamp`, `Percent`, `Length`, `Text`; `observation`, `read_page`,
          `read_rows`, `read_task`, `shaped`, `segment`, `reason_of`
"""

from __future__ import annotations

from exporter.client.answers import Answer
from exporter.client.client import Client
from exporter.client.errors import (
    AuthRefused,
    BalanceExhausted,
    CallError,
    ContractBroken,
    RateLimited,
    RequestInvalid,
    TaskNotFound,
    VendorFailed,
    refusal,
)
from exporter.client.reasons import reason_of
from exporter.client.tokens import GivenToken, ObtainedToken, TokenStore
from exporter.config.models import ProviderSettings, Secret, Settings
from exporter.config.values import BaseUrl, Duration, Interval, Name, Rate, WebUrl, fault
from exporter.tasks import Cause, Clock, Observation, Reason, State
from exporter.tasks import Field as Part
from exporter.vendors.fields import (
    Length,
    Percent,
    TaskId,
    Text,
    Timestamp,
    Wire,
    observation,
    read_page,
    read_rows,
    read_task,
    segment,
    shaped,
)
from exporter.vendors.vendor import START, Account, Balance, Document, Feed, Page, Position, Tells, Vendor

__all__ = [
    "START",
    "Account",
    "Answer",
    "AuthRefused",
    "Balance",
    "BalanceExhausted",
    "BaseUrl",
    "CallError",
    "Cause",
    "Client",
    "Clock",
    "ContractBroken",
    "Document",
    "Duration",
    "Feed",
    "GivenToken",
    "Interval",
    "Length",
    "Name",
    "Observation",
    "ObtainedToken",
    "Page",
    "Part",
    "Percent",
    "Position",
    "ProviderSettings",
    "Rate",
    "RateLimited",
    "Reason",
    "RequestInvalid",
    "Secret",
    "Settings",
    "State",
    "TaskId",
    "TaskNotFound",
    "Tells",
    "Text",
    "Timestamp",
    "TokenStore",
    "Vendor",
    "VendorFailed",
    "WebUrl",
    "Wire",
    "fault",
    "observation",
    "read_page",
    "read_rows",
    "read_task",
    "reason_of",
    "refusal",
    "segment",
    "shaped",
]
