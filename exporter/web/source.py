"""What the web side may ask of what polls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from exporter.config.models import Secret
from exporter.snapshot import Snapshot
from exporter.tasks import Step, Task, Verdict


class CallbackTaker(Protocol):
    """What takes the vendor's callbacks for one feed."""

    @property
    def secret(self) -> Secret | None: ...

    @property
    def id_key(self) -> str: ...

    @property
    def ids_in(self) -> Callable[[object], Sequence[str]]: ...

    @property
    def hint(self) -> Callable[[Iterable[str]], Awaitable[None]]: ...


class Source(Protocol):
    """What is polled: read as a snapshot, and from the ledger; ids are handed in to it."""

    def snapshot(self) -> Snapshot: ...

    async def everything(self) -> Snapshot:
        """The same, and what other replicas poll."""

    def stuck(self) -> Sequence[str]:
        """The feeds whose loop is stuck although it was restarted."""

    def unready(self) -> str:
        """What this process has yet to do before it is ready, as a sentence; empty once it is."""

    async def find(self, provider: str, kind: str, task_id: str) -> tuple[Task, list[Step]] | None:
        """All that the ledger knows of one task. Raises StoreError."""

    async def find_all(self, task_id: str) -> Mapping[tuple[str, str], Task]:
        """The tasks in the ledger that have this id, by provider and kind. Raises StoreError."""

    async def follow(self, provider: str, kind: str, ids: Iterable[str]) -> Verdict | None:
        """Follows tasks until their ends are counted; None if the feed is not polled. Raises StoreError, TooMany."""

    def callbacks(self, provider: str, kind: str) -> CallbackTaker | None:
        """What takes the callbacks of a feed; None if it is not polled."""
