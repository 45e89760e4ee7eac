"""What the configuration's files hold, and whether that has changed since it was read."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from exporter.config.files import reread
from exporter.config.files.document import ConfigDocument
from exporter.config.network.trust import at_home

SIZE_LIMIT = 4 * 1024 * 1024
"""Bytes of one file."""

Reader = Callable[[Path], bytes]


class ConfigError(Exception):
    """A configuration that cannot be used: one line per fault, in the order of its files."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def of_any(path: Path) -> bytes:
    """What a file holds, which may be a pipe, up to a byte more than it may. Raises OSError."""
    with path.open("rb") as file:
        return file.read(SIZE_LIMIT + 1)


def of_regular(path: Path) -> bytes:
    """What a regular file holds. Raises OSError, ValueError."""
    return reread.read(path, SIZE_LIMIT)


class Contents:
    """Reads files, and remembers what they held and which there were."""

    def __init__(self) -> None:
        self._held: dict[Path, tuple[Reader, bytes | None]] = {}
        self._matched: dict[str, list[Path]] = {}

    def document(self, path: Path, environment: Mapping[str, str] | None, read: Reader = of_any) -> ConfigDocument:
        """The document that a file holds. Raises ConfigError where it cannot be read, or is too large for one."""
        self._held[path] = read, None
        try:
            text = read(path)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise ConfigError([f"{path}: cannot be read: {why}; name a readable file"]) from None
        self._held[path] = read, _digest(text)
        if len(text) > SIZE_LIMIT:
            raise ConfigError([f"{path}: larger than {SIZE_LIMIT // 2**20} MiB; that is not a configuration"])
        return ConfigDocument(str(path), text, environment)

    def matching(self, pattern: str, folder: Path) -> list[Path]:
        """The files that a pattern matches, by their names; it is relative to a folder."""
        whole = str(Path(glob.escape(str(folder))) / at_home(pattern))
        self._matched[whole] = _matching(whole)
        return self._matched[whole]

    def has_changed(self) -> bool:
        """Whether a file holds something else than when it was read, or a pattern matches other files than then."""
        return any(_held_now(path, read) != held for path, (read, held) in self._held.items()) or any(
            _matching(pattern) != found for pattern, found in self._matched.items()
        )


def read_document(
    path: str | Path, environment: Mapping[str, str] | None, *, is_regular: bool = False
) -> ConfigDocument:
    """The document that a file holds, with its faults noted in it. Raises ConfigError if there is none to read.

    If it has to be a regular file, no pipe is waited for.
    """
    return Contents().document(Path(path), environment, of_regular if is_regular else of_any)


def _matching(pattern: str) -> list[Path]:
    found = glob.glob(pattern, recursive=True)  # noqa: PTH207  # never raises
    return sorted(path for name in found if not (path := Path(name)).is_dir())


def _held_now(path: Path, read: Reader) -> bytes | None:
    try:
        return _digest(read(path))
    except (OSError, ValueError):
        return None


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
