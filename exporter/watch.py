"""The ids of tasks to follow in feeds that cannot be listed: out of the settings, and out of files that change."""

from __future__ import annotations

import glob
import json
import logging
import threading
from pathlib import Path

from exporter.settings import WatchSettings
from exporter.tasks import ID_LENGTH, is_task_id

log = logging.getLogger(__name__)

_SIZE_LIMIT = 64 * 1024 * 1024

Stamp = tuple[int, int, int]
_UNREAD: Stamp = (0, 0, 0)
_UNREACHABLE: Stamp = (-1, -1, -1)


class Watch:
    """What one provider is told to watch; files are read again when they change, a bad one keeps its last good ids.

    The feeds of the provider share it, each from a thread of its own.
    """

    def __init__(self, provider: str, settings: WatchSettings) -> None:
        self._provider = provider
        self._settings = settings
        self._files: dict[Path, tuple[Stamp, dict[str, list[str]]]] = {}
        self._refreshing = threading.Lock()

    def ids(self, kind: str) -> list[str]:
        """The ids to follow in a feed, each once, in the order in which they were given."""
        ids = list(self._settings.tasks.get(kind, ()))
        with self._refreshing:
            self._refresh()
            for _, kinds in self._files.values():
                ids += kinds.get(kind, ())
        return list(dict.fromkeys(ids))

    def _refresh(self) -> None:
        matching = (glob.glob(pattern, recursive=True) for pattern in self._settings.files)  # noqa: PTH207  # never raises
        found = {Path(name) for names in matching for name in names}
        for gone in self._files.keys() - found:
            del self._files[gone]
        for path in sorted(found):
            before, kinds = self._files.get(path, (_UNREAD, {}))
            stamp = _UNREACHABLE
            try:
                status = path.stat()
                stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
                if stamp != before:
                    kinds = _read(path)
            except (OSError, ValueError) as error:
                if stamp != before:
                    log.warning(
                        "a watch file cannot be used, its last good ids are kept",
                        extra={"provider": self._provider, "file": str(path), "error": _why(error)},
                    )
            self._files[path] = stamp, kinds


def _why(error: OSError | ValueError) -> str:
    return error.strerror or "cannot be read" if isinstance(error, OSError) else str(error)


def _read(path: Path) -> dict[str, list[str]]:
    if not path.is_file():
        raise ValueError("not a regular file")
    if path.stat().st_size > _SIZE_LIMIT:
        raise ValueError("larger than 64 MiB")
    try:
        groups = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    expected = 'not of the form [{"kind": "...", "ids": ["..."]}]'
    if not isinstance(groups, list):
        raise ValueError(expected)
    kinds: dict[str, list[str]] = {}
    for group in groups:
        if (
            not isinstance(group, dict)
            or not isinstance(group.get("kind"), str)
            or not isinstance(group.get("ids"), list)
        ):
            raise ValueError(expected)
        for task_id in group["ids"]:
            if not is_task_id(task_id):
                raise ValueError(f"an id is not a text of 1 to {ID_LENGTH} printable characters")
            kinds.setdefault(group["kind"], []).append(task_id)
    return kinds
