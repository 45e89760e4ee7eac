"""Files that name ids: read again when they change, a bad one keeps its last good ids."""

from __future__ import annotations

import glob
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from exporter.config.files.reread import content_of, stamp_of
from exporter.polling.watch import groups

log = logging.getLogger(__name__)

_SIZE_LIMIT = 64 * 1024 * 1024


@dataclass
class _File:
    """What is known of one file."""

    stamp: object = ()
    """Of the file as it was last read, well or not; None if it could not be reached."""
    kinds: Mapping[str, list[str]] = field(default_factory=dict)
    trouble: str = ""
    is_up: bool = False
    """Whether ids could be read, if not all of them."""


class WatchedFiles:
    """The files that match some patterns. The feeds of a provider share them, each from a thread of its own."""

    def __init__(self, provider: str, patterns: Sequence[str], only: str | None, known: frozenset[str]) -> None:
        """`only` is the kind that is meant where a file names none, `known` are all kinds that one may name."""
        self._provider = provider
        self._patterns = patterns
        self._only = only
        self._known = known
        self._absent: dict[str, str] = {}  # what is wrong with patterns that no file matches
        self._files: dict[Path, _File] = {}
        self.up: tuple[tuple[str, bool], ...] = ()
        """Each pattern, and whether its ids could be read: there is a file, and none that cannot be used at all."""
        self._refreshing = threading.Lock()

    def by_file(self, kind: str) -> list[Sequence[str]]:
        """The ids of a feed as each file names them."""
        with self._refreshing:
            self._refresh()
            return [file.kinds.get(kind, ()) for file in self._files.values()]

    @property
    def troubles(self) -> list[str]:
        """Which files cannot be read now, wholly or in part, and why."""
        absent = [f"{pattern}: {trouble}" for pattern, trouble in self._absent.items()]
        return absent + [f"{path}: {file.trouble}" for path, file in list(self._files.items()) if file.trouble]

    def _refresh(self) -> None:
        matching = {one: glob.glob(one, recursive=True) for one in self._patterns}  # noqa: PTH207  # never raises
        found = {Path(name) for names in matching.values() for name in names}
        absent = {
            pattern: "no file matches" if glob.has_magic(pattern) else "no such file"
            for pattern, names in matching.items()
            if not names
        }
        for pattern in sorted(absent.keys() - self._absent.keys()):
            about = {"provider": self._provider, "file": pattern, "error": absent[pattern]}
            log.warning("a watch file is missing", extra=about)
        self._absent = absent
        # A new mapping, in the order of the names: a reader of the troubles keeps the old one.
        self._files = {path: self._files.get(path) or _File() for path in sorted(found)}
        for path, file in self._files.items():
            stamp = stamp_of(path)
            if stamp == file.stamp:
                continue
            file.stamp = stamp
            told = "some ids in a watch file cannot be read"
            try:
                named = groups.read(content_of(path, _SIZE_LIMIT), self._only, self._known)
                file.kinds, file.trouble, file.is_up = named.kinds, named.trouble, True
            except (OSError, ValueError) as error:
                file.trouble, file.is_up = str(getattr(error, "strerror", error) or "cannot be read"), False
                told = "a watch file cannot be used, its last good ids are kept"
            if file.trouble:
                log.warning(told, extra={"provider": self._provider, "file": str(path), "error": file.trouble})
        self.up = tuple(
            (pattern, bool(names) and all(self._files[Path(name)].is_up for name in names))
            for pattern, names in matching.items()
        )
