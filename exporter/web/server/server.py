"""Listens and serves: the addresses, and a uvicorn that leaves signals to its owner and speaks TLS as configured."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import socket
import ssl
import time
from asyncio.sslproto import SSLProtocol
from collections.abc import Iterator, Sequence
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from exporter.config.files.reread import in_background
from exporter.web.access.guard import guarded
from exporter.web.access.webconfig import WebConfig
from exporter.web.server.address import AddressError, host_and_port
from exporter.web.server.framing import framed
from exporter.web.server.limits import READ, HTTPConnection, limited
from exporter.web.server.opened import Limits, Opened
from exporter.web.server.prefix import prefixed

log = logging.getLogger(__name__)

GRACE = 2
"""Seconds that answers under way get when the server ends."""

ACCEPTED = 128
"""Connections that are accepted at once, before anything else has its turn; where few fit, a quarter of those: it takes
some turns until the ones above the limit are closed, and files are left for as many."""

QUEUED = 1024
"""Connections that the kernel keeps until they are accepted."""

UNREAD = 128 * 1024
"""Bytes of answers that the kernel keeps for a connection, until its client reads them; it takes twice as much."""

REREAD = 1.0
"""Seconds between two looks at the files of the web configuration."""

REMINDED = 300.0
"""Seconds after which a condition that lasts is logged again."""


class Server(uvicorn.Server):
    """Serves an application on sockets until `should_exit`, as the web configuration demands and within limits."""

    def __init__(self, app: ASGIApp, web: WebConfig | None = None, limits: Limits = Limits(), prefix: str = "") -> None:  # noqa: B008
        # What clients send wrong is theirs; a port scan must not fill the log.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        app = limited(app, limits)
        super().__init__(
            uvicorn.Config(
                framed(prefixed(guarded(app, web) if web else app, prefix)),
                http=self._accept,  # type: ignore[arg-type]  # it is only called, with keywords
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=limits.idle,
                timeout_graceful_shutdown=GRACE,
                backlog=min(ACCEPTED, max(1, limits.connections // 4)),
                h11_max_incomplete_event_size=limits.head,
            )
        )
        self.secure = web is not None and web.secure
        """Whether TLS is spoken."""
        self._web = web
        self._opened = Opened(limits)
        self._complained = -math.inf
        self._following: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(self._handle)
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(QUEUED)  # asyncio uses one number for both
        if self._web:
            self._following = asyncio.create_task(_follow(self._web))

    def _handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Takes what the event loop complains of: that it cannot accept a connection, it would log each second."""
        if not str(context.get("message")).startswith("socket.accept() out of system resource"):
            loop.default_exception_handler(context)
            return
        self._opened.make_room()
        if time.monotonic() - self._complained > REMINDED:
            self._complained = time.monotonic()
            log.error(
                "no more connections can be accepted; raise the limit of open files",
                extra={"error": str(context.get("exception"))},
            )

    def _accept(self, **given: Any) -> asyncio.Protocol | asyncio.BufferedProtocol:
        """What speaks on a new connection: with the newest certificates, where uvicorn would keep the first."""
        access = self._web.access if self._web else None
        connection = HTTPConnection(self._opened, access.knows if access else lambda _: True, **given)
        return _Secured(self._opened, connection, access.context) if access and access.context else connection

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # An answer that the end cuts off is no error of ours; uvicorn would log it as two.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        if self._following:
            self._following.cancel()
        await super().shutdown(sockets)
        asyncio.get_running_loop().set_exception_handler(None)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _follow(web: WebConfig) -> None:
    """Has the files of the web configuration read again when they change, beside the event loop: a disk may hang."""
    while True:
        await asyncio.sleep(REREAD)
        await asyncio.wrap_future(in_background(web.reread))


class _Secured(SSLProtocol):
    """TLS under a connection, as asyncio itself puts it there, and counted from before the handshake."""

    max_size = READ  # of the buffer that each connection has

    def __init__(self, opened: Opened, connection: HTTPConnection, context: ssl.SSLContext) -> None:
        super().__init__(
            asyncio.get_running_loop(),
            connection,
            context,
            None,  # type: ignore[arg-type]  # nothing waits for the handshake
            server_side=True,
            ssl_handshake_timeout=opened.limits.request,  # type: ignore[arg-type]  # any number does
            ssl_shutdown_timeout=GRACE,
        )
        self._opened, self._connection = opened, connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._opened.add(self._connection, transport)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._opened.remove(self._connection)
        super().connection_lost(exc)


def listen(addresses: Sequence[str]) -> list[socket.socket]:
    """Sockets that listen on addresses such as `:10186`, `127.0.0.1:10186`, `[::1]:10186`. Raises AddressError."""
    sockets: list[socket.socket] = []
    try:
        for address in addresses:
            sockets.append(_listen(address))
    except AddressError:
        for opened in sockets:
            opened.close()
        raise
    return sockets


def _listen(address: str) -> socket.socket:
    host, port = host_and_port(address)
    try:
        if not host:
            both = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if both else socket.AF_INET
            return _prompt(socket.create_server(("", port), family=family, dualstack_ipv6=both, backlog=128))
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return _prompt(socket.create_server((host, port), family=family, backlog=128))
    except (OSError, UnicodeError) as error:  # the latter for names that no host can have
        raise AddressError(
            f"cannot listen on {address}: {_why(error)}; choose another with --web.listen-address"
        ) from None


def _prompt(listener: socket.socket) -> socket.socket:
    """A listener whose connections asyncio sends on without delay: it does so only where the protocol is said.

    What the kernel keeps for clients that do not read is bounded; by default it grows to megabytes for each.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD)
    return socket.socket(listener.family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=listener.detach())


def _why(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "not a host"
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno)  # without the address, which `create_server` puts into its text
