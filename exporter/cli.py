"""The command line: flags and subcommands. Wires the parts together; nobody imports it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import platform
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from exporter import __version__, logs, simulator
from exporter.collector import Collector
from exporter.config import Config, ConfigError, LedgerSettings, load
from exporter.exposition import Exposition
from exporter.ledger import Ledger
from exporter.metrics import Reloads
from exporter.providers import VENDORS
from exporter.settings import seconds_of
from exporter.store import Store, StoreError
from exporter.web import app as web
from exporter.web.server import AddressError, Server, listen

log = logging.getLogger("exporter")

NAME = "videotask-exporter"
COMMANDS = ("run", "check-config", "demo", "simulate")
STOP_WITHIN = 4.0
"""Seconds after which a stop no longer waits for anything; five are promised."""
LEAVE_WITHIN = 0.5
"""Seconds that threads get after everything has been closed."""
DEMO_RATE = 10.0
DEMO_HISTORY = 600.0
"""Seconds before the start from which simulated tasks are there already."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; the exit code is 0 if all went well, 1 if it could not be done, 2 for a wrong command line."""
    given = list(sys.argv[1:] if argv is None else argv)
    if not given or (given[0] not in COMMANDS and given[0] not in ("-h", "--help", "--version")):
        given.insert(0, "run")
    arguments = _parser().parse_args(given)
    try:
        code: int = arguments.command(arguments)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    except (StoreError, AddressError) as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        NAME,
        description="Prometheus exporter for video-generation tasks at vendors' asynchronous APIs.",
        allow_abbrev=False,
    )
    version = f"{NAME} {__version__} (Python {platform.python_version()})"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.add_argument("--version", action="version", version=version)
        sub.set_defaults(command=run)
        return sub

    run = command("run", _run, "poll the configured providers and serve metrics (the default command)")
    check = command(
        "check-config", _check_config, "check a configuration: exit 0 if it is good, 1 with its faults if not"
    )
    demo = command("demo", _demo, "run on simulated vendors: no key, no configuration, nothing leaves this machine")
    simulate = command("simulate", _simulate, "serve the simulated vendors alone")
    for sub in (run, check):
        sub.add_argument("--config.file", dest="config", required=True, metavar="FILE", help="the configuration, YAML")
    for sub, address in ((run, ":10186"), (demo, "127.0.0.1:10186"), (simulate, "127.0.0.1:10187")):
        sub.add_argument(
            "--web.listen-address",
            dest="addresses",
            action="append",
            metavar="[HOST]:PORT",
            help=f"where to listen, may be repeated (default {address})",
        )
        sub.set_defaults(default_address=address)
    run.add_argument(
        "--web.enable-lifecycle", dest="lifecycle", action="store_true", help="allow a reload by POST /-/reload"
    )
    for sub in (demo, simulate):
        sub.add_argument(
            "--seed", type=int, default=1, metavar="N", help="the same seed makes the same tasks (default 1)"
        )
        sub.add_argument("--speed", type=_speed, default=10.0, metavar="FACTOR", help="how fast they live (default 10)")
        sub.add_argument(
            "--arrivals-for", type=_duration, metavar="DURATION", help="no new tasks after this time (default: never)"
        )
    demo.add_argument("--poll-interval", type=_interval, default=1.0, metavar="DURATION", help="(default 1s)")
    for sub in (run, demo, simulate):
        sub.add_argument("--log.level", dest="level", choices=logs.LEVELS, default="info", help="(default info)")
        sub.add_argument("--log.format", dest="style", choices=logs.FORMATS, default="logfmt", help="(default logfmt)")
    return parser


def _duration(text: str) -> float:
    try:
        return seconds_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _interval(text: str) -> float:
    seconds = _duration(text)
    if seconds < 0.01:
        raise argparse.ArgumentTypeError("too short; the shortest is 10ms")
    return seconds


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= 10_000:
        raise argparse.ArgumentTypeError("not a speed; write a number above 0, such as 10")
    return speed


def _check_config(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    feeds = sum(len(one.feeds or VENDORS[one.type].kinds) for one in config.providers)
    print(f"{arguments.config}: good; providers: {len(config.providers)}, feeds: {feeds}")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    logs.configure(arguments.level, arguments.style)
    read = partial(load, arguments.config)
    addresses = arguments.addresses or [arguments.default_address]
    return _lived(_serve(read(), addresses, reread=read, lifecycle=arguments.lifecycle))


def _demo(arguments: argparse.Namespace) -> int:
    logs.configure(arguments.level, arguments.style)
    return _lived(_serve_demo(arguments))


def _simulate(arguments: argparse.Namespace) -> int:
    logs.configure(arguments.level, arguments.style)
    return _lived(_serve_simulator(arguments))


def _lived(life: Coroutine[Any, Any, int]) -> int:
    """Like asyncio.run, but a thread that hangs, such as one that asks a dead name server, keeps no process alive."""
    with asyncio.Runner() as runner:
        code = runner.run(life)
        last_resort = threading.Timer(LEAVE_WITHIN, os._exit, [code])
        last_resort.daemon = True
        last_resort.start()
        return code


async def _serve(
    config: Config,
    addresses: Sequence[str],
    *,
    reread: Callable[[], Config] | None = None,
    lifecycle: bool = False,
    welcome: Callable[[Sequence[str]], None] | None = None,
) -> int:
    """The exporter's life: start, serve until a signal, stop. `reread` makes it reload on SIGHUP."""
    # Names are resolved in threads: so many that vendors with dead name servers leave some for the others.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(64, thread_name_prefix="resolver"))
    sockets = listen(addresses)
    store = Store(config.ledger.path)
    ledger = Ledger(store, config.ledger.retention)
    collector = Collector(ledger)
    reloads = Reloads(succeeded_at=time.time(), ledger_losses=store.losses)

    async def reload() -> None:
        if server.should_exit:
            return
        try:
            fresh = (reread or (lambda: config))()
            await collector.apply(fresh.providers)
        except (ConfigError, StoreError) as error:
            reloads.successful = False
            log.error("the configuration was not reloaded", extra={"error": "; ".join(str(error).splitlines())})
            raise
        reloads.successful, reloads.succeeded_at = True, time.time()
        log.info("configuration reloaded", extra={"providers": len(fresh.providers)})
        if fresh.ledger != config.ledger:
            log.warning("the ledger's settings have changed; they take effect with a restart")

    exposition = Exposition(collector, reloads, time.time)
    server = Server(web.create(collector, exposition, reload=reload if lifecycle else None))
    async with _signals(server, reload if reread else None):
        serving = asyncio.create_task(server.serve(sockets))
        try:
            await collector.apply(config.providers)
            (welcome or _log_addresses)([_url(one) for one in sockets])
            await serving
        finally:
            server.should_exit = True
            await _within(STOP_WITHIN, serving, collector.stop())
            await ledger.close()
    log.info("stopped")
    return 0


@asynccontextmanager
async def _signals(server: Server, reload: Callable[[], Awaitable[None]] | None) -> AsyncIterator[None]:
    """SIGTERM and SIGINT end the server, a second one at once; SIGHUP reloads."""
    loop = asyncio.get_running_loop()
    reloading: set[asyncio.Task[None]] = set()

    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    async def reload_quietly() -> None:
        with suppress(ConfigError, StoreError):  # it has been logged
            await (reload() if reload else asyncio.sleep(0))

    def hang_up() -> None:
        task = asyncio.create_task(reload_quietly())
        reloading.add(task)
        task.add_done_callback(reloading.discard)

    handlers = {signal.SIGTERM: stop, signal.SIGINT: stop} | ({signal.SIGHUP: hang_up} if reload else {})
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)


async def _within(seconds: float, *awaitables: Awaitable[object]) -> None:
    """Waits for these together, but no longer than so many seconds; what takes longer is cancelled."""
    tasks = [asyncio.ensure_future(one) for one in awaitables]
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            log.error("an error while stopping", extra={"error": type(result).__name__})


def _log_addresses(urls: Sequence[str]) -> None:
    for url in urls:
        log.info("listening", extra={"url": url})


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{port}/"


async def _serve_demo(arguments: argparse.Namespace) -> int:
    fake = _simulator(arguments)
    async with simulator.running(fake) as url, _arrivals(fake, arguments):

        def welcome(urls: Sequence[str]) -> None:
            status = urls[0]
            print(
                "The exporter runs on simulated vendors; nothing leaves this machine.\n"
                f"  status page  {status}\n"
                f"  metrics      {status}metrics\n"
                f"  the truth    {url}/truth  (what the simulated vendors know)\n"
                f"Tasks live {arguments.speed:g} times as fast as real ones. Ctrl+C ends the demo.",
                flush=True,
            )

        addresses = arguments.addresses or [arguments.default_address]
        return await _serve(_demo_config(url, fake, arguments.poll_interval), addresses, welcome=welcome)


async def _serve_simulator(arguments: argparse.Namespace) -> int:
    fake = _simulator(arguments)
    sockets = listen(arguments.addresses or [arguments.default_address])
    server = Server(fake)
    async with _signals(server, None), _arrivals(fake, arguments):
        url = _url(sockets[0]).rstrip("/")
        print("Simulated vendors; their base URLs:")
        for name, prefix in simulator.PREFIXES.items():
            print(f"  {name:18} {url}{prefix}")
        print(f"  {'(the truth)':18} {url}/truth\nCtrl+C ends them.", flush=True)
        await server.serve(sockets)
    return 0


def _simulator(arguments: argparse.Namespace) -> simulator.Simulator:
    world = simulator.World(arguments.seed, arguments.speed, rate=DEMO_RATE / arguments.speed, history=DEMO_HISTORY)
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


def _demo_config(url: str, fake: simulator.Simulator, poll_interval: float) -> Config:
    """Every feed of every vendor, at the simulator, with the keys that it takes."""
    keys, at = fake.credentials, {name: url + prefix for name, prefix in simulator.PREFIXES.items()}
    providers = (
        {
            "type": "deerapi",
            "api_key": keys.deerapi_api_key,
            "user_token": keys.deerapi_user_token,
            "user_id": keys.deerapi_user_id,
        },
        {"type": "chanjing", "app_id": keys.chanjing_app_id, "secret_key": keys.chanjing_secret_key},
        {
            "type": "huawei_metastudio",
            "project_id": keys.huawei_project_id,
            "access_key": keys.huawei_access_key,
            "secret_key": keys.huawei_secret_key,
        },
        {"type": "facewap", "token": keys.facewap_token},
    )
    common = {
        "poll_interval": f"{round(poll_interval * 1000)}ms",
        "rate_limit": "100/s",
        "stalled_after": "1m",
        "task_series_limit": "20",
    }
    settings = [
        VENDORS[one["type"]].settings.model_validate(
            {**common, **one, "name": one["type"], "base_url": at[one["type"]]}
        )
        for one in providers
    ]
    return Config(ledger=LedgerSettings(path=":memory:"), providers=settings)
