"""What a provider and a feed are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from exporter.client.advice import advice
from exporter.client.client import Client
from exporter.client.tokens import TokenStore
from exporter.config.models import ProviderSettings
from exporter.tasks import Cause, Clock, Observation, is_task_id


@dataclass(frozen=True, slots=True)
class Page:
    """One list page: what it shows, whether it is the last, and how many rows were no tasks at all."""

    observations: Sequence[Observation]
    last: bool
    malformed: int = 0
    others: int = 0
    """Rows that are tasks, but not of this feed."""

    @property
    def rows(self) -> int:
        """All that the vendor sent: it may cut the size of a page below what was asked for."""
        return len(self.observations) + self.malformed + self.others


@dataclass(frozen=True, slots=True)
class Document:
    """The vendor's document of a feed, as people look for it; `url` is empty where it is not public."""

    title: str
    url: str = ""


class Feed(ABC):
    """One family of tasks of a provider, with endpoints and a state vocabulary of its own."""

    kind: ClassVar[str]
    clock: ClassVar[Clock]
    document: ClassVar[Document]
    lists: bool = True
    """Whether the vendor has a list endpoint that our credentials may read."""
    lists_in_flight: bool = False
    """Whether `list_page` can be asked for the tasks in flight alone."""
    id_key: ClassVar[str] = "id"
    """What the vendor calls a task's id in the body of a callback."""

    @abstractmethod
    async def list_page(self, index: int, *, received: int = 0, in_flight: bool = False) -> Page:
        """The list page with this number from 0, newest tasks first, after so many rows that were received before it.

        Raises CallError.
        """

    @abstractmethod
    async def look_up(self, task_id: str) -> Sequence[Observation]:
        """What the detail endpoint shows for an id: the task, or the tasks that the id stands for.

        Raises TaskNotFound, CallError.
        """

    def called_back(self, body: object) -> Sequence[str]:
        """The ids of tasks that the body of a callback names. Anybody may have sent it: look-ups have to confirm it.

        Vendors send what their detail shows: a task, or one or more of them as `data` of an envelope.
        """
        inner = body.get("data") if isinstance(body, dict) and self.id_key not in body else body
        rows = inner if isinstance(inner, list) else [inner]
        named = [row[self.id_key] for row in rows if isinstance(row, dict) and self.id_key in row]
        ids = [str(one) if isinstance(one, int) and not isinstance(one, bool) else one for one in named]
        return [one for one in ids if is_task_id(one)]


@dataclass(frozen=True)
class Provider:
    """One account at one vendor: its settings, its client and its feeds."""

    settings: ProviderSettings
    client: Client
    feeds: Sequence[Feed]
    vendor: Vendor

    @property
    def name(self) -> str:
        return self.settings.name

    def advice(self, cause: Cause) -> str:
        """What to do about a trouble with this account, in words."""
        return self.vendor.advise(cause, self.settings)

    async def aclose(self) -> None:
        await self.client.aclose()


@dataclass(frozen=True)
class Vendor:
    """What a vendor's file offers to the registry: the `type`, its settings, and how its feeds are made."""

    name: str
    settings: type[ProviderSettings]
    kinds: tuple[str, ...]
    feeds: Callable[[Any, Client, TokenStore], Sequence[Feed]]
    other_names: tuple[str, ...] = ()
    """What people may write as `type` instead, in small letters: they are asked whether they mean this vendor."""
    one_token: bool = False
    """Whether a new token ends the one before, whoever holds it."""
    renewed_with: str = ""
    """The setting with which the exporter asks for tokens itself; empty where it cannot."""
    signed_with: str = ""
    """The setting with which requests are signed, so that the clock matters; empty where they are not."""
    advice: Mapping[Cause, str] = field(default_factory=dict)
    """Sentences that follow the general advice about a cause: settings and pages that only this vendor has."""

    def advise(self, cause: Cause, settings: ProviderSettings) -> str:
        """What to do about a trouble with an account at this vendor, in words."""
        renews = not self.renewed_with or getattr(settings, self.renewed_with) is not None
        general, own = advice(cause, settings, renews), self.advice.get(cause, "")
        return f"{general} {own}" if own else general

    def signs(self, settings: ProviderSettings) -> bool:
        """Whether requests of this account are signed."""
        return bool(self.signed_with) and getattr(settings, self.signed_with) is not None
