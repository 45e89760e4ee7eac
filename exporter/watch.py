"""The ids of tasks to follow in feeds that cannot be listed: out of the settings, and out of files that change."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from exporter.settings import WatchSettings

log = logging.getLogger(__name__)

_SIZE_LIMIT = 64 * 1024 * 1024
_ID_LENGTH = 128

Stamp = tuple[int, int]


class Watch:
    """What one provider is told to watch; files are read again when they change, a bad one keeps its last good ids."""

    def __init__(self, provider: str, settings: WatchSettings) -> None:
        self._provider = provider
        self._settings = settings
        self._files: dict[Path, tuple[Stamp, dict[str, list[str]]]] = {}

    def ids(self, kind: str) -> list[str]:
        """The ids to follow in a feed, each once, in the order in which they were given."""
        self._refresh()
        ids = list(self._settings.tasks.get(kind, ()))
        for _, kinds in self._files.values():
            ids += kinds.get(kind, ())
        return list(dict.fromkeys(ids))

    def _refresh(self) -> None:
        found = {path for pattern in self._settings.files for path in _matching(pattern)}
        for gone in self._files.keys() - found:
            del self._files[gone]
        for path in sorted(found):
            stamp, kinds = self._files.get(path, ((0, 0), {}))
            try:
                status = path.stat()
                now = (status.st_mtime_ns, status.st_size)
                if now == stamp:
                    continue
                stamp = now
                kinds = _read(path)
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                log.warning(
                    "a watch file cannot be used, its last good ids are kept",
                    extra={"provider": self._provider, "file": str(path), "error": why},
                )
            self._files[path] = stamp, kinds


def _matching(pattern: str) -> list[Path]:
    path = Path(pattern)
    return sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))) if path.anchor else Path().glob(pattern))


def _read(path: Path) -> dict[str, list[str]]:
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
            if not isinstance(task_id, str) or not 0 < len(task_id) <= _ID_LENGTH or not task_id.isprintable():
                raise ValueError(f"an id is not a text of 1 to {_ID_LENGTH} printable characters")
            kinds.setdefault(group["kind"], []).append(task_id)
    return kinds
