"""Vendors' callbacks: what a feed takes of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from exporter.config.models import Secret


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What takes the vendor's callbacks for one feed."""

    secret: Secret | None
    """What a callback has to bring; without one, none is accepted."""
    id_key: str
    """What the vendor calls a task's id in a callback's body."""
    ids_in: Callable[[object], Sequence[str]]
    """The ids that a body names. Anybody may have sent it."""
    hint: Callable[[Iterable[str]], Awaitable[None]]
    """Has tasks looked up soon. Raises StoreError, TooMany."""
