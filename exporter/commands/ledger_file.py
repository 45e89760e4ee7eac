"""A look into the ledger's file that leaves it alone: a running exporter has it locked, and keeps what is its own."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from exporter.ledger.errors import StoreError
from exporter.ledger.sqlite.file import SqliteFile

log = logging.getLogger(__name__)


class LedgerFile:
    """What a copy of the file holds. The copy is made when it is first needed; nothing is written back."""

    def __init__(self, path: str, folder: Path) -> None:
        self._path = Path(path)
        self._folder = folder

    async def load_token(self, owner: str) -> tuple[str, float] | None:
        """A token that the exporter has obtained, and when it ends."""
        return await asyncio.to_thread(lambda: self._copy.load_token(owner) if self._copy else None)

    async def save_token(self, owner: str, token: str, expires: float) -> None:
        """Forgets it: the file belongs to the exporter."""

    def asked_for(self, provider: str, kind: str) -> list[str]:
        """The ids that the exporter was asked to follow."""
        return self._copy.watched(provider, kind) if self._copy else []

    def providers(self) -> list[str]:
        """The names of all providers that it has tasks of."""
        return self._copy.providers() if self._copy else []

    @cached_property
    def _copy(self) -> SqliteFile | None:
        if not self._path.is_file():  # ":memory:" is none either
            return None
        try:
            for path in (self._path, self._path.with_name(f"{self._path.name}-wal")):
                if path.exists():
                    shutil.copyfile(path, self._folder / path.name)
            return SqliteFile(str(self._folder / self._path.name))
        except (OSError, StoreError) as error:
            log.debug("the ledger cannot be read", exc_info=error)
            return None

    def close(self) -> None:
        if "_copy" in vars(self) and self._copy:
            self._copy.close()


@contextmanager
def borrowed(path: str) -> Iterator[LedgerFile]:
    """The ledger's file, until the block is left; then the copy is gone, with the tokens in it."""
    with TemporaryDirectory(prefix="videotask-") as folder:
        file = LedgerFile(path, Path(folder))
        try:
            yield file
        finally:
            file.close()
