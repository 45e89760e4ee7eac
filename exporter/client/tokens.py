"""Tokens that may end while we use them: given by the operator, or obtained by us."""

from __future__ import annotations

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from exporter.client.errors import AuthRefused, CallError
from exporter.config.models import Secret
from exporter.tasks import Cause

T = TypeVar("T")

MARGIN = 300.0
"""A token is renewed this many seconds before its end, a short-lived one at half of its life."""
YOUNG = 600.0
"""A token refused within so many seconds of its issue was invalidated by another holder's renewal."""
LONGEST_WAIT = 600.0


class TokenStore(Protocol):
    """Where a token outlives the process; the ledger's store is one."""

    async def load_token(self, owner: str) -> tuple[str, float] | None:
        """The token and the Unix time at which it ends."""

    async def save_token(self, owner: str, token: str, expires: float) -> None: ...


class TokenWithheld(AuthRefused):
    """A new token is needed, and is not to be asked for."""

    cause = Cause.TOKEN_NOT_FETCHED


class Token(ABC):
    """A token, and what to do when the vendor refuses it."""

    async def use(self, attempt: Callable[[str], Awaitable[T]]) -> T:
        """Makes an attempt with the token and, if that is refused and there is another token by now, one with that."""
        token = await self.current()
        try:
            return await attempt(token)
        except AuthRefused as refused:
            try:
                other = await self.instead_of(token)
            except CallError as error:
                error.before = refused
                raise
            if other == token:
                raise
        return await attempt(other)

    @abstractmethod
    async def current(self) -> str:
        """The token to use. Raises CallError where none can be had."""

    @abstractmethod
    async def instead_of(self, refused: str) -> str:
        """The token to use after this one was refused; the same one where there is no other."""


class GivenToken(Token):
    """A token out of the settings: another program renews it, and writes it to its file."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    async def current(self) -> str:
        return await self._secret.fresh()

    async def instead_of(self, refused: str) -> str:
        return await self._secret.fresh()


class ObtainedToken(Token):
    """A token that we ask the vendor for, and keep across restarts.

    At some vendors a new token invalidates every other holder's. So it is renewed only when it is about to end or is
    refused, and ever more seldom if tokens are refused early (another holder renews too), so that two holders do not
    invalidate each other's tokens in turn.
    """

    def __init__(
        self,
        owner: str,
        obtain: Callable[[], Awaitable[tuple[str, float]]],
        token_store: TokenStore,
        wall_clock: Callable[[], float] = time.time,
        *,
        given_by: str = "",
    ) -> None:
        """`obtain` asks the vendor: the token and the Unix time of its end. `owner` is the store's key for it.

        `given_by` names the setting that takes a token which somebody else renews, where the vendor has one.
        """
        self._owner = owner
        self._obtain = obtain
        self._token_store = token_store
        self._wall_clock = wall_clock
        self._given_by = f" ({given_by})" if given_by else ""
        self._renewing = asyncio.Lock()
        self._token: str | None = None  # until the token_store has been asked
        self._due = 0.0
        self._obtained = -math.inf
        self._refused: float | None = None
        self._wait = 0.0

    async def current(self) -> str:
        async with self._renewing:
            token = await self._known()
            return token if token and self._wall_clock() < self._due else await self._renew()

    async def _known(self) -> str:
        """The current token, out of the store the first time; empty if there is none. Raises StoreError."""
        if self._token is None:
            kept = await self._token_store.load_token(self._owner)
            self._token, self._due = (kept[0], kept[1] - MARGIN) if kept else ("", 0.0)
        return self._token

    async def instead_of(self, refused: str) -> str:
        async with self._renewing:
            if refused == self._token:  # else another feed of this provider has renewed it meanwhile
                now = self._wall_clock()
                if self._refused is None:
                    self._refused = now
                life = self._refused - self._obtained
                if now - self._obtained < self._wait:
                    raise AuthRefused(
                        f"the token was refused {life:.0f} s after we obtained it: another holder renews it too; "
                        f"give both the same token{self._given_by}, or the exporter credentials of its own",
                        cause=Cause.TOKEN_RENEWED_ELSEWHERE,
                    )
                self._wait = min(max(5.0, 2 * self._wait), LONGEST_WAIT) if life < YOUNG else 0.0
                return await self._renew()
            return await self._known()

    async def _renew(self) -> str:
        token, expires = await self._obtain()
        self._token = token
        self._obtained = now = self._wall_clock()
        self._refused = None
        # One that seems to have ended at its birth (clocks differ) serves until it is refused.
        self._due = expires - min(MARGIN, (expires - now) / 2) if expires > now else math.inf
        # Also when the caller is cancelled.
        await asyncio.shield(asyncio.create_task(self._token_store.save_token(self._owner, token, expires)))
        return token
