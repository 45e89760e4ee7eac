"""The exporter on simulated vendors, and these vendors alone: what the commands `demo` and `simulate` serve."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from exporter import simulator
from exporter.commands.run import Options, serve, signals, url_of
from exporter.config.load import Config, LedgerSettings
from exporter.vendors.registry import built_in
from exporter.web.server.place import Place
from exporter.web.server.server import Server, listen

RATE = 10.0
HISTORY = 600.0
"""Seconds before the start from which simulated tasks are there already."""


async def serve_demo(arguments: argparse.Namespace) -> int:
    fake = _simulator(arguments)
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
        return await serve(_config(url, fake, arguments.poll_interval), options, on_ready=on_ready)


async def serve_simulator(arguments: argparse.Namespace) -> int:
    fake = _simulator(arguments)
    sockets = listen(arguments.web_listen_address or [arguments.default_address])
    server = Server(fake)
    async with signals(server, None), _arrivals(fake, arguments):
        url = url_of(sockets[0]).rstrip("/")
        print("Simulated vendors; their base URLs:")
        for name, prefix in simulator.PREFIXES.items():
            print(f"  {name:18} {url}{prefix}")
        print(f"  {'(the truth)':18} {url}/truth\nCtrl+C ends them.", flush=True)
        await server.serve(sockets)
    return 0


def _simulator(arguments: argparse.Namespace) -> simulator.Simulator:
    world = simulator.World(arguments.seed, arguments.speed, rate=RATE / arguments.speed, history=HISTORY)
    return simulator.app(world, limits={})


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
    keys = fake.credentials
    vendors = {name: vendor for name, vendor in built_in().items() if name in simulator.PREFIXES}
    common = {
        "poll_interval": f"{round(poll_interval * 1000)}ms",
        "rate_limit": "100/s",
        "stalled_after": "1m",
        "task_series_limit": "20",
    }
    settings = [
        vendor.settings.model_validate(
            {
                **common,
                **keys.to_renew_with(name),
                "name": name,
                "type": name,
                "base_url": url + simulator.PREFIXES[name],
            }
        )
        for name, vendor in vendors.items()
    ]
    return Config(ledger=LedgerSettings(path=":memory:"), providers=settings)
