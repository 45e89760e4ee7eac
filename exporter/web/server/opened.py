"""The open connections: how many, how much memory they take together, and which one goes when it is too much."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Limits:
    """Times in seconds, sizes in bytes."""

    connections: int = 512
    """Open at once. One more closes the one that has waited longest for its client."""
    request: float = 10.0
    """For a whole request to arrive, with its body; for a TLS handshake as well."""
    answer: float = 60.0
    """For an answer to be made and taken."""
    idle: int = 75
    """Between two requests: longer than the usual scrape interval, so that a scrape finds its connection open."""
    url: int = 8 * 1024
    head: int = 16 * 1024
    body: int = 1024 * 1024
    memory: int = 32 * 1024 * 1024
    """For the bodies of requests and the large ones of answers, of all connections together."""


AT_ONCE = 16
"""Connections that go on with what they sent before their turn, until everything else has had a turn."""


class OpenConnection(Protocol):
    """One connection, as far as it matters here."""

    @property
    def is_stuck(self) -> bool:
        """Whether the next step is the client's: to send the rest of a request, or to take its answer."""

    def go_on(self) -> None:
        """Takes what has come already: the next request, or more of a body."""


class Opened:
    """The open connections; those first whose last step is the longest ago."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._transports: dict[OpenConnection, asyncio.BaseTransport] = {}
        self._ready: deque[OpenConnection] = deque()
        self._turn: asyncio.Handle | None = None
        self._held: dict[OpenConnection, int] = {}
        self._total = 0

    def add(self, connection: OpenConnection, transport: asyncio.BaseTransport) -> None:
        """Notes a new connection and what it runs on. Above the limit, the one that is stuck longest is closed."""
        self._transports.setdefault(connection, transport)
        if len(self._transports) > self.limits.connections:
            self.make_room(besides=connection)

    def used(self, connection: OpenConnection) -> None:
        """Notes a step: what was waited for has come, and something else is waited for."""
        if connection in self._transports:
            self._transports[connection] = self._transports.pop(connection)

    def make_room(self, besides: OpenConnection | None = None) -> None:
        """Closes the connection that is stuck longest; where none is stuck, the one that is answered longest."""
        others = [one for one in self._transports if one is not besides]
        if others:
            self.drop(next((one for one in others if one.is_stuck), others[0]))

    def later(self, connection: OpenConnection) -> None:
        """Has a connection go on with what it sent before its turn: after others, a few at a time."""
        self._ready.append(connection)
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        for _ in range(min(AT_ONCE, len(self._ready))):
            self._ready.popleft().go_on()
        self._turn = asyncio.get_running_loop().call_soon(self._go_on) if self._ready else None

    def hold(self, connection: OpenConnection, size: int) -> bool:
        """Notes how many bytes a connection takes in memory now; False if that is too much for all together.

        Before it is, the connections that take some and are stuck longest are closed.
        """
        self._total += size - self._held.pop(connection, 0)
        if size:
            self._held[connection] = size
        while size and self._total > self.limits.memory:
            stuck = next((one for one in self._transports if one in self._held and one.is_stuck), connection)
            if stuck is connection:
                return False
            self.drop(stuck)
        return True

    def drop(self, connection: OpenConnection) -> None:
        """Closes it at once, whatever state it is in."""
        transport = self._transports.get(connection)
        self.remove(connection)
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()

    def remove(self, connection: OpenConnection) -> None:
        """Forgets one that has ended."""
        self._transports.pop(connection, None)
        self.hold(connection, 0)
