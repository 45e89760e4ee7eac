"""Who may come in: users with bcrypt passwords, as HTTP basic authentication sends them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import bcrypt

from exporter.settings import Secret

REMEMBERED = 100
"""Log-ins whose success is remembered, so that a scrape costs no bcrypt; the least used is forgotten first."""

QUEUE = 16
"""Log-ins that may wait for their check."""

_BCRYPT_LENGTH = 72
"""Bytes of a password that bcrypt looks at; tools that make hashes cut it there without a word."""

# One at a time, since each takes a core for up to seconds; the library lets other threads go on meanwhile.
_CHECKER = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")


class Busy(Exception):
    """More log-ins wait for their check than may."""


class Users:
    """The users of one reading of the file. What is remembered of log-ins ends with it."""

    def __init__(self, hashes: Mapping[str, Secret]) -> None:
        self._hashes = {name.encode(): hashed.reveal().encode() for name, hashed in hashes.items()}
        self._order = list(self._hashes.values())
        self._key = secrets.token_bytes(32)
        self._admitted: dict[bytes, None] = {}
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0

    async def admit(self, authorization: bytes) -> bool:
        """Whether the value of an Authorization header names a user with the right password. Raises Busy."""
        given = _credentials(authorization)
        if given is None:
            return False
        user, password = given
        mark = self._mark(user, password)
        if self._remembers(mark):
            return True
        if self._waiting >= QUEUE:
            raise Busy
        self._waiting += 1
        try:
            async with self._turn:
                return self._remembers(mark) or await self._check(user, password, mark)
        finally:
            self._waiting -= 1

    async def _check(self, user: bytes, password: bytes, mark: bytes) -> bool:
        # An unknown user is checked against the hash of a known one, always the same, and so takes as long as that one.
        unlucky = self._order[int.from_bytes(self._mark(user, b"")[:8], "big") % len(self._order)]
        hashed = self._hashes.get(user, unlucky)
        loop = asyncio.get_running_loop()
        right = await loop.run_in_executor(_CHECKER, bcrypt.checkpw, password[:_BCRYPT_LENGTH], hashed)
        if not right or user not in self._hashes:
            return False
        self._admitted[mark] = None
        if len(self._admitted) > REMEMBERED:
            del self._admitted[next(iter(self._admitted))]
        return True

    def _remembers(self, mark: bytes) -> bool:
        if mark not in self._admitted:
            return False
        self._admitted[mark] = self._admitted.pop(mark)
        return True

    def _mark(self, user: bytes, password: bytes) -> bytes:
        """Stands for a log-in in memory: nobody can find the password from it, nor compare it with other marks."""
        text = len(user).to_bytes(8, "big") + user + password
        return hashlib.blake2b(text, key=self._key, digest_size=32).digest()


def _credentials(authorization: bytes) -> tuple[bytes, bytes] | None:
    scheme, _, encoded = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except ValueError:
        return None
    return (user, password) if colon else None
