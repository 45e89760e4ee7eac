"""The exporter on simulated vendors, and these vendors alone: what the commands `demo` and `simulate` serve."""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from exporter import simulator
from exporter.commands.run import Options, serve, signals, url_of
from exporter.config.load import Config, LedgerSettings
from exporter.history.display import display
from exporter.history.export import ExportOptions as ExportOptions
from exporter.history.export import read, write_out
from exporter.history.span import SampleTimes
from exporter.history.state import ExportState, StateError, remove
from exporter.simulator.vendor import FakeVendor as Fake
from exporter.vendors.registry import built_in
from exporter.vendors.vendor import Vendor
from exporter.web.server.place import Place
from exporter.web.server.server import Server, listen

RATE = 10.0
IDS_EVERY = "2s"
"""How often the ids of tasks are asked for that a vendor does not list."""
HISTORY = 600.0
"""Seconds before the start from which simulated tasks are there already."""
DAY = 86400.0
"""The same where a history is written; fewer tasks come then, so that a day of them is soon read."""
FEWER = 1 / 15
STEP = 30.0
"""Seconds between samples of the history: what Grafana's shortest rates, over a minute, find two of."""


async def serve_demo(arguments: argparse.Namespace) -> int:
    path = Path(arguments.history_output) if arguments.history_output else None
    is_wanted = path is not None and not path.exists()
    fake = _simulator(arguments, with_day=is_wanted)
    place = Place.of(arguments.web_external_url, arguments.web_route_prefix, arguments.web_telemetry_path)
    async with simulator.running(fake) as url, _arrivals(fake, arguments):

        def on_ready(urls: Sequence[str]) -> None:
            status = urls[0]
            print(
                "The exporter runs on simulated vendors; nothing leaves this machine.\n"
                f"  status page  {status}\n"
                f"  metrics      {status}{place.metrics.removeprefix('/')}\n"
                f"  the truth    {url}/truth  (what the simulated vendors know)\n"
                f"Tasks live {arguments.speed:g} times as fast as real ones. Ctrl+C ends the demo.",
                flush=True,
            )

        options = Options(arguments.web_listen_address or [arguments.default_address], place=place)
        config = _config(url, fake, arguments.poll_interval)
        if path and is_wanted:
            try:
                await _write_history(config, path, dict(arguments.label))
            except (OSError, StateError, sqlite3.Error) as error:  # the demo is worth seeing without it
                print(f"no history was written: {error}", file=sys.stderr)
        return await serve(config, options, on_ready=on_ready)


async def serve_simulator(arguments: argparse.Namespace) -> int:
    fake = _simulator(arguments, with_day=False)
    sockets = listen(arguments.web_listen_address or [arguments.default_address])
    server = Server(fake)
    async with signals(server, None), _arrivals(fake, arguments):
        url = url_of(sockets[0]).rstrip("/")
        print(_as_configuration(url, fake), flush=True)
        await server.serve(sockets)
    return 0


def _simulator(arguments: argparse.Namespace, *, with_day: bool) -> simulator.Simulator:
    profiles = simulator.profiles_of(arguments.vendors)
    rate, past = (RATE * FEWER, DAY) if with_day else (RATE, HISTORY)
    rate /= arguments.speed
    world = simulator.World(arguments.seed, arguments.speed, rate=rate, history=past, profiles=profiles)
    return simulator.app(world, limits={})


async def _write_history(config: Config, path: Path, labels: Mapping[str, str]) -> None:
    """Writes the last day, for promtool. Raises OSError, StateError, sqlite3.Error."""
    options = ExportOptions(DAY, 0.0, STEP, path, labels=labels, fetch_token=True)
    remove(options.state)
    state = ExportState.open(options.state, SampleTimes.of(DAY, 0.0, STEP, time.time()))
    try:
        with display() as shown:
            feeds = await read(config, options, state, shown, time.time)
            if feeds:
                write_out(options, state, feeds, shown)
    finally:
        state.close()


@asynccontextmanager
async def _arrivals(fake: simulator.Simulator, arguments: argparse.Namespace) -> AsyncIterator[None]:
    """Ends the arrival of new tasks after the time that was asked for."""
    loop = asyncio.get_running_loop()
    seconds: float | None = arguments.arrivals_for
    timer = None if seconds is None else loop.call_later(seconds, fake.world.stop_arrivals)
    try:
        yield
    finally:
        if timer:
            timer.cancel()


def _config(url: str, fake: simulator.Simulator, poll_interval: float) -> Config:
    """Every feed of every vendor, at the simulator, with the keys that it takes."""
    known = built_in()
    common = {
        "poll_interval": f"{round(poll_interval * 1000)}ms",
        "rate_limit": "100/s",
        "stalled_after": "1m",
        "history": "1h",  # the rest of a past is in its history
        "task_series_limit": "20",
    }
    settings = [
        known[name].settings.model_validate({**common, **_provider(url, vendor, _keys(fake, name))})
        for name, vendor in fake.vendors.items()
    ]
    return Config(ledger=LedgerSettings(path=":memory:"), providers=settings)


def _as_configuration(url: str, fake: simulator.Simulator) -> str:
    """A configuration that reads every simulated vendor, with a comment that says so."""
    lines = ["# Simulated vendors, as a configuration with the keys that they take.", f"# What they know: {url}/truth"]
    lines += [f"# {name}: {url}{prefix}" for name, prefix in fake.prefixes.items() if name not in fake.vendors]
    lines.append("providers:")
    for vendor in fake.vendors.values():
        provider = _provider(url, vendor, vendor.lets_in(fake.credentials))
        lines.append("  - " + yaml.safe_dump(provider, default_flow_style=True, sort_keys=False, width=1000).strip())
    return "\n".join([*lines, "# Ctrl+C ends them."])


def _keys(fake: simulator.Simulator, name: str) -> dict[str, Any]:
    """What lets the exporter in, as a program that asks for its tokens itself."""
    return fake.credentials.to_renew_with(name) or fake.vendors[name].lets_in(fake.credentials)


def _provider(url: str, vendor: Fake, keys: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that read a simulated vendor."""
    place = {"name": vendor.type, "type": vendor.type, "base_url": url + vendor.prefix}
    return {**place, **keys, **_ids(url, built_in()[vendor.type], keys)}


def _ids(url: str, vendor: Vendor, given: Mapping[str, Any]) -> dict[str, Any]:
    """Where the ids of tasks come from that the vendor does not list with what is given."""
    tells = vendor.tells.values()
    may_list = any(one.listed and (not one.list_needs or one.list_needs in given) for one in tells)
    listed = may_list and simulator.fake_of(vendor.name).lists_in_flight
    return {} if listed else {"watch": {"http": [{"url": f"{url}/ids/{vendor.name}", "interval": IDS_EVERY}]}}
