"""Who may come in: users with bcrypt passwords, as HTTP basic authentication sends them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt

from exporter.config.models import Secret
from exporter.web.access.turns import Busy, Turns

K = TypeVar("K")
V = TypeVar("V")

REMEMBERED = 100
"""Log-ins whose success is remembered, so that a scrape costs no bcrypt; the least used is forgotten first."""

QUEUE = 64
"""Log-ins that may wait for their check."""

NOTED = 1000
"""Connections that failed, and log-ins that were sent away unchecked, of which a note is kept."""

_BCRYPT_LENGTH = 72
"""Bytes of a password that bcrypt looks at; tools that make hashes cut it there without a word."""

# One at a time, since each takes a core for up to seconds; the library lets other threads go on meanwhile.
_CHECKER = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")


class Users:
    """The users of one reading of the file. What is remembered of log-ins goes over to the next: `before` is the last.

    Guesses must not keep a right password out. A known log-in costs no check. Checks go around: first between those
    who have failed on the same connection and those who have not, then between addresses, then between users. Those who
    were sent away while too many waited, and bring the same log-in again, are a group of their own: a guess is new.
    """

    def __init__(
        self,
        hashes: Mapping[str, Secret],
        before: Users | None = None,
        check: Callable[[bytes, bytes], bool] = bcrypt.checkpw,
    ) -> None:
        """`check` returns whether a password has a hash; it is called in a thread."""
        self._check_hash = check
        self._hashes = {name.encode(): hashed.reveal().encode() for name, hashed in hashes.items()}
        self._order = list(self._hashes.values())
        self._key: bytes = before._key if before else secrets.token_bytes(32)
        self._admitted: Latest[bytes, bytes] = before._admitted if before else Latest(REMEMBERED)
        """The hash that each remembered log-in was found right by: it counts for as long as the user has that one."""
        self._turns: Turns = before._turns if before else Turns(QUEUE)
        self._failed: Latest[object, None] = before._failed if before else Latest(NOTED)
        self._sent_away: Latest[bytes, None] = before._sent_away if before else Latest(NOTED)

    async def admit(self, authorization: bytes, client: tuple[str, int] | None = None) -> bool:
        """Whether the value of an Authorization header names a user with the right password. Raises Busy.

        `client` is the address and port that it comes from.
        """
        given = _credentials(authorization)
        if given is None:
            return False
        user, password = given
        mark = self._mark(user, password)
        if self._remembers(user, mark):
            return True
        address = client[0] if client else ""
        known = user if user in self._hashes else None
        try:
            async with self._turns.one((client in self._failed, mark in self._sent_away), address, known):
                right = self._remembers(user, mark) or await self._check(user, password, mark)
        except Busy:
            self._sent_away.put(mark, None)
            raise
        if not right:
            self._failed.put(client, None)
        return right

    async def _check(self, user: bytes, password: bytes, mark: bytes) -> bool:
        # An unknown user is checked against the hash of a known one, always the same, and so takes as long as that one.
        unlucky = self._order[int.from_bytes(self._mark(user, b"")[:8], "big") % len(self._order)]
        hashed = self._hashes.get(user, unlucky)
        loop = asyncio.get_running_loop()
        right = await loop.run_in_executor(_CHECKER, self._check_hash, password[:_BCRYPT_LENGTH], hashed)
        if not right or user not in self._hashes:
            return False
        self._admitted.put(mark, hashed)
        return True

    def _remembers(self, user: bytes, mark: bytes) -> bool:
        if mark not in self._admitted or self._admitted[mark] != self._hashes.get(user):
            return False
        self._admitted.put(mark, self._admitted[mark])
        return True

    def _mark(self, user: bytes, password: bytes) -> bytes:
        """Stands for a log-in in memory: one cannot find the password from it, nor compare it with other marks."""
        text = len(user).to_bytes(8, "big") + user + password
        return hashlib.blake2b(text, key=self._key, digest_size=32).digest()


class Latest(dict[K, V]):
    """So many entries at most: what was put in longest ago is forgotten first."""

    def __init__(self, most: int) -> None:
        self._most = most

    def put(self, key: K, value: V) -> None:
        self.pop(key, None)
        self[key] = value
        if len(self) > self._most:
            del self[next(iter(self))]


def _credentials(authorization: bytes) -> tuple[bytes, bytes] | None:
    scheme, _, encoded = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except ValueError:
        return None
    return (user, password) if colon else None
