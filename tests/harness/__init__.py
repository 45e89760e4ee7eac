"""What tests are built of: fake vendors, an exporter that runs when a test says so, and the time that they live in.

A `Site` is simulated vendors at an address, a `Line` one vendor that answers as the test says. A `Rig` has what the
exporter has inside: ledger, providers, metrics, web application. A `Desk` is the ledger of one feed alone. Vendors are
looked up here and nowhere else in the tests.
"""

from tests.harness.desk import DAY, START, Desk, counted, measured, told
from tests.harness.json_vendor import JsonVendor, served
from tests.harness.leaping import leaping
from tests.harness.making import load, made
from tests.harness.process import Exporter, Start, exporters
from tests.harness.rig import STEP, Poll, Rig, outage_of
from tests.harness.scripted import Connect, Connection, Line, Load, MemoryVault, ScriptedVendor
from tests.harness.vendors import (
    ALL_FEEDS,
    NOW,
    NOWHERE,
    RENEWED,
    UNLISTED,
    VENDORS,
    Door,
    Site,
    account,
    connected,
    ended,
    endless,
    every_feed,
    page_of,
    settings_of,
)
from tests.harness.waiting import PATIENCE, side_by_side, until, wait_for, with_turns_of_others

__all__ = [
    "ALL_FEEDS",
    "DAY",
    "NOW",
    "NOWHERE",
    "PATIENCE",
    "RENEWED",
    "START",
    "STEP",
    "UNLISTED",
    "VENDORS",
    "Connect",
    "Connection",
    "Desk",
    "Door",
    "Exporter",
    "JsonVendor",
    "Line",
    "Load",
    "MemoryVault",
    "Poll",
    "Rig",
    "ScriptedVendor",
    "Site",
    "Start",
    "account",
    "connected",
    "counted",
    "ended",
    "endless",
    "every_feed",
    "exporters",
    "leaping",
    "load",
    "made",
    "measured",
    "outage_of",
    "page_of",
    "served",
    "settings_of",
    "side_by_side",
    "told",
    "until",
    "wait_for",
    "with_turns_of_others",
]
