"""Listens and serves: the addresses, and a uvicorn that leaves signals to its owner."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
from collections.abc import Iterator, Sequence

import uvicorn
from starlette.types import ASGIApp

GRACE = 2
"""Seconds that answers under way get when the server ends."""

_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9_.-]*)):(?P<port>\d{1,5})")


class AddressError(Exception):
    """An address that cannot be listened on, and why."""


class Server(uvicorn.Server):
    """Serves an application on sockets until `should_exit`."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # An answer that the end cuts off is no error of ours; uvicorn would log it as two.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


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
    match = _ADDRESS.fullmatch(address)
    if not match or int(match["port"]) > 65535:
        raise AddressError(f"{address!r} is not an address; write [HOST]:PORT, such as :10186 or 127.0.0.1:10186")
    host, port = match["six"] or match["host"], int(match["port"])
    try:
        if not host:
            both = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if both else socket.AF_INET
            return socket.create_server(("", port), family=family, dualstack_ipv6=both, backlog=128)
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, UnicodeError) as error:  # the latter for names that no host can have
        raise AddressError(
            f"cannot listen on {address}: {_why(error)}; choose another with --web.listen-address"
        ) from None


def _why(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "not a host"
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno)  # without the address, which `create_server` puts into its text
