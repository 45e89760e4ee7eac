"""The exporter's life: it starts, serves and polls until a signal, reloads in between, and stops in order."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from exporter.commands.ledgers.joining import held_by, leases_of
from exporter.commands.ledgers.opening import open_store
from exporter.config.load import Config, ConfigError, EnvironmentBroken, check_environment
from exporter.config.mistakes.accounts import renamed
from exporter.ledger.errors import StoreError
from exporter.metrics.exposition import Exposition
from exporter.polling.collector import Collector
from exporter.snapshot import Reloads
from exporter.web import app as web
from exporter.web.access.webconfig import WebConfig
from exporter.web.server.capacity import connections, raise_open_files
from exporter.web.server.opened import Limits
from exporter.web.server.place import Place
from exporter.web.server.server import Server, listen

log = logging.getLogger("exporter")

STOP_WITHIN = 4.0
"""Seconds after which a stop no longer waits for anything; five are promised."""

LEAVE_WITHIN = 0.5
"""Seconds that threads get after everything has been closed."""


@dataclass(frozen=True)
class Options:
    """How the exporter is run, besides its configuration."""

    addresses: Sequence[str]
    lifecycle: bool = False
    """Whether POST /-/reload is allowed."""
    auto_reload: float | None = None
    """Seconds between two looks at whether the configuration has changed; None to reload only on request."""
    watch_api: bool = False
    """Whether POST /api/v1/tasks is allowed to anybody who reaches it."""
    place: Place = field(default_factory=Place)
    """Under which address others reach the exporter."""
    web: WebConfig | None = None
    """TLS and users; without it, anyone who reaches the exporter reads what it knows."""


def tune() -> None:
    """Keeps the event loop from being held up: by the thread that prepares /metrics, and by the collection of garbage.

    benchmarks/README.md has the figures. After each system call the loop waits for a thread that computes to give way,
    by default for 5 ms. A full collection looks at every task there is, 80 ms for 100,000; those of the young are short
    as long as there are few of them.
    """
    sys.setswitchinterval(0.0005)
    gc.set_threshold(1000, 10, 20_000)


def run_process(life: Coroutine[Any, Any, int]) -> int:
    """Like asyncio.run, but a thread that hangs, such as one that asks a dead name server, keeps no process alive."""
    tune()
    with asyncio.Runner() as runner:
        code = runner.run(life)
        last_resort = threading.Timer(LEAVE_WITHIN, os._exit, [code])
        last_resort.daemon = True
        last_resort.start()
        return code


async def serve(
    config: Config,
    options: Options,
    *,
    reread: Callable[[], Config] | None = None,
    has_changed: Callable[[], bool] = lambda: False,
    on_ready: Callable[[Sequence[str]], None] | None = None,
) -> int:
    """The exporter's life: start, serve until a signal, stop.

    `reread` makes it reload on SIGHUP, and with `auto_reload` also when the configuration `has_changed`.

    Raises AddressError, ConfigError, StoreError.
    """
    # Names are resolved in threads: so many that vendors with dead name servers leave some for the others.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(64, thread_name_prefix="resolver"))
    sockets = listen(options.addresses)
    store = await open_store(config.ledger)
    leases = leases_of(config)
    held = held_by(config, store, leases)
    collector = Collector(held)
    plug_ins = tuple(config.types.broken.values()) if config.types else ()
    reloads = Reloads(succeeded_at=time.time(), ledger_losses=store.losses, remarks=config.remarks, plug_ins=plug_ins)
    for told in plug_ins:
        log.error("a vendor plug-in failed to load; other vendors are unaffected", extra={"error": told})
    _log_remarks(config)
    if left := sorted(set(await store.providers()) - {one.name for one in config.providers}):
        log.warning(
            "the ledger has tasks of providers that are not configured; if you renamed one, restore its old name to "
            "keep its counters",
            extra={"providers": ", ".join(left)},
        )
    reloading = asyncio.Lock()  # what is read later is applied later
    next_reload: asyncio.Task[None] | None = None

    async def reload() -> None:
        """One reload for all who ask for it before it begins."""
        nonlocal next_reload
        if next_reload is None:
            next_reload = asyncio.create_task(reload_in_turn())
        await asyncio.shield(next_reload)

    async def reload_in_turn() -> None:
        nonlocal next_reload
        async with reloading:
            next_reload = None
            await reload_now()

    async def reload_now() -> None:
        nonlocal reloads
        if server.should_exit:
            return
        before = [one.provider.settings for one in collector.polled.by_name.values()]
        try:
            fresh = await asyncio.to_thread(reread or (lambda: config))
            await asyncio.to_thread(check_environment, fresh)
            await collector.apply(fresh.providers, fresh.types)
        except Exception as error:
            failure = error
            if not isinstance(error, (ConfigError, StoreError)):  # a slip of ours must not end what waits for a change
                log.debug("unexpected error in a reload", exc_info=error)
                failure = ConfigError([f"unexpected {type(error).__name__}; this is a bug in the exporter"])
            tried_again = isinstance(failure, (EnvironmentBroken, StoreError))
            if not tried_again or reloads.error != str(failure):
                log.error("the configuration was not reloaded", extra={"error": "; ".join(str(failure).splitlines())})
            reloads = replace(reloads, successful=False, error=str(failure))
            raise failure from None
        reloads = replace(reloads, successful=True, succeeded_at=time.time(), error="", remarks=fresh.remarks)
        log.info("configuration reloaded", extra={"providers": len(fresh.providers)})
        _log_remarks(fresh)
        for old, new in renamed(before, fresh.providers):
            log.warning(
                "provider renamed: its counters begin again under the new name; restore the old name to continue "
                "the old counters",
                extra={"old": old, "new": new},
            )
        if (fresh.ledger.without_password, fresh.replica) != (config.ledger.without_password, config.replica):
            log.warning("the ledger's settings have changed; they take effect with a restart")

    polled = collector.polled
    exposition = Exposition(
        polled.snapshot,
        lambda: reloads,
        time.time,
        polled.awaited,
        polled.is_held,
        take_in_turns=polled.snapshot_in_turns,
    )
    application = web.create(
        polled,
        exposition,
        reload=reload if options.lifecycle else None,
        reloads=lambda: reloads,
        takes_tasks=lambda: options.watch_api or (options.web is not None and options.web.has_users),
        web_trouble=lambda: options.web.trouble if options.web else "",
        place=options.place,
    )
    limits = Limits(connections=connections(raise_open_files()))
    server = Server(application, options.web, limits, prefix=options.place.prefix)
    looking = _reload_on_change(has_changed, options.auto_reload, reload) if options.auto_reload else None
    hearing = leases.listen(held.keeper.hear, polled.hear) if leases and held.keeper else None
    async with signals(server, reload if reread else None), _meanwhile(looking), _meanwhile(hearing):
        serving: list[asyncio.Task[None]] = []
        try:
            # The ports are open and clients wait: a body from before this would miss all series that the ledger has.
            await collector.apply(config.providers, config.types)
            async with _meanwhile(exposition.keep_fresh(collector.news)):
                serving.append(asyncio.create_task(server.serve(sockets)))
                (on_ready or _log_addresses)([_below(one, server, options.place) for one in sockets])
                await serving[0]
        finally:
            server.should_exit = True
            await _within(STOP_WITHIN, *serving, collector.stop())
            await asyncio.gather(store.close(), leases.close() if leases else asyncio.sleep(0))
    log.info("stopped")
    return 0


@asynccontextmanager
async def signals(server: Server, reload: Callable[[], Awaitable[None]] | None) -> AsyncIterator[None]:
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


async def _reload_on_change(
    has_changed: Callable[[], bool], every: float, reload: Callable[[], Awaitable[None]]
) -> None:
    """Looks for ever, every so many seconds.

    What was read once is not read again, were it good or not, unless it was the environment or the ledger that could
    not be used.
    """
    again = False
    while True:
        await asyncio.sleep(every)
        if again or await asyncio.to_thread(has_changed):
            again = False
            try:
                await asyncio.shield(asyncio.ensure_future(reload()))  # the end waits for a reload under way
            except (EnvironmentBroken, StoreError):
                again = True
            except ConfigError:
                pass  # it has been logged


@asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, None] | None) -> AsyncIterator[None]:
    """Something that goes on in the background for as long."""
    task = asyncio.create_task(work) if work else None
    try:
        yield
    finally:
        if task:
            task.cancel()


async def _within(seconds: float, *awaitables: Awaitable[object]) -> None:
    """Waits for these together, but no longer than so many seconds; what takes longer is cancelled."""
    tasks = [asyncio.ensure_future(one) for one in awaitables]
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            log.error("an error while stopping", extra={"error": type(result).__name__})


def _log_remarks(config: Config) -> None:
    for remark in config.remarks:
        log.warning("configuration warning", extra={"remark": remark})


def _log_addresses(urls: Sequence[str]) -> None:
    for url in urls:
        log.info("listening", extra={"url": url})


def _below(listener: socket.socket, server: Server, place: Place) -> str:
    """Where the status page is on this machine."""
    return url_of(listener, secure=server.secure) + f"{place.prefix}/".removeprefix("/")


def url_of(listener: socket.socket, *, secure: bool = False) -> str:
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http{'s' if secure else ''}://{shown}:{port}/"
