"""Small files read with a bound in size and time, whatever their path names: a pipe, a device, a mount that hangs."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

GLANCE = 0.04
"""Seconds that the event loop may wait for a file."""

PATIENCE = 5.0
"""Seconds that a file system has to answer."""

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "Is a directory"),
    (stat.S_ISFIFO, "Is a pipe"),
    (stat.S_ISSOCK, "Is a socket"),
    (lambda mode: not stat.S_ISREG(mode), "Is a device"),
)

_waiting: dict[Path, Future[bytes]] = {}
"""The latest reading in each folder that has not been answered in time."""


def read(path: Path, limit: int, patience: float = PATIENCE) -> bytes:
    """What a regular file holds, `limit` bytes at most. Links are followed. Raises OSError, ValueError."""
    if (before := _waiting.get(path.parent)) and not before.done():
        raise _silent()  # many files on one mount that hangs are waited for once
    reading = _waiting[path.parent] = in_background(lambda: content_of(path, limit))
    try:
        return waited_for(reading, patience)
    finally:
        if reading.done():
            _waiting.pop(path.parent, None)


def in_background(call: Callable[[], T]) -> Future[T]:
    """A call in a thread of its own, which keeps no process alive if the call never returns."""
    future: Future[T] = Future()

    def run() -> None:
        future.set_running_or_notify_cancel()
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001  # raised where the result is wanted
            future.set_exception(error)

    threading.Thread(target=run, name="file", daemon=True).start()
    return future


def waited_for(future: Future[T], patience: float) -> T:
    """The result of a call, if it comes in time. Raises OSError, and what the call raises."""
    try:
        return future.result(patience)
    except TimeoutError:
        if future.done():
            raise
        raise _silent() from None


def stamp_of(path: Path) -> tuple[int, int, int] | None:
    """What differs when a file does; None where none can be reached."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _silent() -> OSError:
    return OSError(errno.ETIMEDOUT, "The file system does not answer")


def content_of(path: Path, limit: int) -> bytes:
    """Like `read`, for as long as it takes. Raises OSError, ValueError."""
    _check(path.stat().st_mode)  # before it is opened: to open a device may already do something
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY), "rb") as file:
        _check(os.fstat(file.fileno()).st_mode)
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"the file is larger than {limit // 1024} KiB")
    return content


def _check(mode: int) -> None:
    for is_kind, words in _KINDS:
        if is_kind(mode):
            raise OSError(errno.EINVAL, words)


class RereadFile(Generic[T]):
    """A file that is read again when it has changed. One that is bad, or does not answer, changes nothing."""

    def __init__(self, path: Path, limit: int, parse: Callable[[bytes], T]) -> None:
        """`parse` makes of its content what is wanted, or raises ValueError."""
        self._path = path
        self._limit = limit
        self._parse = parse
        self._stamp: tuple[int, int, int] | None = None  # of the file as it was last read well
        self._value: T | None = None
        self._reading: Future[None] | None = None
        self._late = False  # whether this reading has been waited for in vain

    def at_once(self) -> T | None:
        """What it holds, or held when it last answered; None if it was never read well. Waits for GLANCE at most."""
        reading = self._begun()
        if not self._late:
            self._late = not wait([reading], GLANCE).done
        return self._value

    async def in_time(self) -> T | None:
        """The same, waiting for PATIENCE at most, without holding the event loop."""
        reading = self._begun()
        if not self._late:
            done, _ = await asyncio.wait([asyncio.wrap_future(reading)], timeout=PATIENCE)
            self._late = not done
        return self._value

    def _begun(self) -> Future[None]:
        """The reading that is under way, or else a new one."""
        if self._reading is None or self._reading.done():
            self._reading, self._late = in_background(self._read), False
        return self._reading

    def _read(self) -> None:
        with suppress(OSError, ValueError):  # a file that is being replaced: the next call sees the new one
            stamp = stamp_of(self._path)
            if stamp and stamp != self._stamp:
                self._value = self._parse(content_of(self._path, self._limit))
                self._stamp = stamp
