"""Whether the file that a database has open is still the file that its path names, as it was left."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_HEAD = 100
"""Bytes of SQLite's header: it changes whenever another database is written over the file."""


class HeldFile:
    """A file that is in use, with the write-ahead log beside it. Only SQLite may change them between two notes.

    SQLite goes on writing to a file that was deleted or replaced, and nothing of that is found after a restart.
    """

    def __init__(self, path: str) -> None:
        """Opens the file and makes it if there is none. Raises OSError."""
        self._path = path
        if (status := _status(path)) and not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        self._file = os.fdopen(os.open(path, os.O_CREAT | os.O_RDWR, 0o600), "rb", 0)  # it may come to hold tokens
        self._log = f"{os.path.realpath(path)}-wal"
        self._log_status: os.stat_result | None = None
        self._size = 0
        self._head = b""
        self._spoiled = ""

    def note(self) -> None:
        """Takes the files as they are now for right, after SQLite has written."""
        if self._spoiled:
            return
        self._size = os.fstat(self._file.fileno()).st_size
        self._head = os.pread(self._file.fileno(), _HEAD, 0)
        self._log_status = _status(self._log)

    @property
    def trouble(self) -> str:
        """What has happened to the file since the last note; empty if nothing has. Raises OSError.

        A file that comes back to its path is right again. One that was written over is not, whatever it holds then.
        """
        if self._spoiled:
            return self._spoiled
        if not _is_same(_status(self._path), held := os.fstat(self._file.fileno())):
            what = "replaced by another file" if os.path.lexists(self._path) else "deleted or moved away"
            return f"{what} while it is in use; put it back, or restart"
        if held.st_size < self._size or os.pread(self._file.fileno(), _HEAD, 0) != self._head:
            self._spoiled = "written over or cut short by another program while it is in use; restart the exporter"
        elif self._log_status and (log := _status(self._log)):
            if not _is_same(log, self._log_status):
                return "its write-ahead log was replaced by another file while it is in use; put it back"
            if log.st_size < self._log_status.st_size:
                self._spoiled = "its write-ahead log was cut short by another program; restart the exporter"
        return self._spoiled

    @property
    def has_lost_log(self) -> bool:
        """Whether the log is gone: what SQLite goes on writing to it would not outlive the process. Raises OSError."""
        return self._log_status is not None and _status(self._log) is None

    def close(self) -> None:
        """To be called once SQLite has closed the file: before, this would give up SQLite's lock on it."""
        self._file.close()


def _status(path: str) -> os.stat_result | None:
    try:
        return Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_same(one: os.stat_result | None, other: os.stat_result) -> bool:
    return one is not None and (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
