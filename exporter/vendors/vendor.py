"""What a provider and a feed are."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from exporter.client.advice import advice, credentials
from exporter.client.client import Client
from exporter.client.errors import TaskNotFound
from exporter.client.tokens import TokenStore
from exporter.config.models import ProviderSettings
from exporter.tasks import Cause, Clock, Field, Observation, Reason, State, is_task_id


@dataclass(frozen=True, slots=True)
class Position:
    """Where in a list the next page begins."""

    index: int = 0
    """Pages before it."""
    rows: int = 0
    """Rows on the pages before it."""
    cursor: str | int = ""
    """What the vendor calls the page: a cursor or a link; empty where pages are only counted."""


START = Position()
"""Where the newest tasks are."""


@dataclass(frozen=True, slots=True)
class Page:
    """One list page: what it shows, whether it is the last, and how many rows were no tasks at all."""

    observations: Sequence[Observation]
    last: bool
    malformed: int = 0
    others: int = 0
    """Rows that are tasks, but not of this feed."""
    cursor: str | int = ""
    """What the vendor calls the next page."""

    def going_on_at(self, cursor: str | int) -> Page:
        """The same page, with the vendor's word for the next one."""
        return replace(self, cursor=cursor)

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

    kind: str
    clock: Clock
    document: Document
    lists: bool = True
    """Whether the vendor has a list endpoint that our credentials may read."""
    is_sorted: bool = True
    """Whether the list shows the newest tasks first; one in any other order is read to its end at each sweep.

    Where single tasks can be asked for, a page that is older than the history ends it too, if all rows so far came
    newest first.
    """
    looks_up: bool = True
    """Whether single tasks can be asked for."""
    batch: int = 1
    """Ids that one look-up may ask for."""
    fills: frozenset[str] = frozenset()
    """What only a look-up reports about an ended task: `reason`, `output` and other parts of an observation."""
    window: float | None = None
    """Seconds back to which the vendor lists, where it says so: an older list may have nothing left."""
    units: tuple[str, ...] = ()
    """The units, of UNITS, in which it reports what tasks cost; empty where it does not."""
    lists_ends_alone: bool = False
    """Whether the list shows tasks once they have ended, and says more about the end than a look-up does."""
    within: tuple[float, float] = (0.0, math.inf)
    """Unix times between which submissions are wanted, for lists that can be limited so."""
    lists_in_flight: bool = False
    """Whether `list_page` can be asked for the tasks in flight alone."""
    id_key: str = "id"
    """What the vendor calls a task's id in the body of a callback."""

    @abstractmethod
    async def list_page(self, at: Position = START, *, in_flight: bool = False) -> Page:
        """The list page that begins at this position, newest tasks first. Raises CallError."""

    @abstractmethod
    async def look_up(self, task_id: str) -> Sequence[Observation]:
        """What the detail endpoint shows for an id: the task, or the tasks that the id stands for.

        Raises TaskNotFound, CallError.
        """

    async def look_up_all(self, ids: Sequence[str]) -> Mapping[str, Sequence[Observation]]:
        """The same for as many ids as a `batch` has; those that the vendor does not know are left out.

        Raises CallError, and TaskNotFound where it says so of several ids together.
        """
        found: dict[str, Sequence[Observation]] = {}
        for task_id in ids:
            with suppress(TaskNotFound):
                found[task_id] = await self.look_up(task_id)
        return found

    def called_back(self, body: object) -> Sequence[str]:
        """The ids of tasks that the body of a callback names. Anybody may have sent it: look-ups have to confirm it.

        Vendors send what their detail shows: a task, or one or more of them as `data` of an envelope.
        """
        inner = body.get("data") if isinstance(body, dict) and self.id_key not in body else body
        rows = inner if isinstance(inner, list) else [inner]
        named = [row[self.id_key] for row in rows if isinstance(row, dict) and self.id_key in row]
        ids = [str(one) if isinstance(one, int) and not isinstance(one, bool) else one for one in named]
        return [one for one in ids if is_task_id(one)]


_PARTS = {"output": "output_seconds"}
"""Parts whose names in an observation differ from those in a declaration."""


def lacks(one: Observation, parts: Collection[str]) -> bool:
    """Whether an end that a row shows lacks any of these parts, which only a detail has."""
    wanted = {
        "reason": one.state is State.FAILED and one.reason in (None, Reason.UNKNOWN),
        "output": one.state is State.SUCCEEDED and one.output_seconds is None,
        "usage": not one.usage,
        "model": not one.model,
    }
    return any(wanted.get(part, getattr(one, part, None) is None) for part in parts)


def filled(listed: Observation, detail: Observation, parts: Collection[str]) -> Observation:
    """What a row said about an end, with the parts that the detail adds."""
    names = {_PARTS.get(part, part) for part in parts}
    told = {name: value for name in names if (value := getattr(detail, name)) not in (None, "", (), Reason.UNKNOWN)}
    if "reason" in names:
        told |= {"said": detail.said or listed.said}
        unmapped, strange = listed.unmapped | detail.unmapped, detail.strange or listed.strange
        if detail.reason not in (None, Reason.UNKNOWN) or not detail.unmapped:
            unmapped -= {Field.REASON}
            strange = tuple((part, word) for part, word in strange if part is not Field.REASON)
        told |= {"unmapped": unmapped, "strange": strange}
    return replace(listed, **told)


@dataclass(frozen=True, slots=True)
class Balance:
    """What is left in an account, as the vendor says it."""

    amount: float
    unit: str
    """One of UNITS; money in whole units, not in cents."""


class Account(ABC):
    """What asks a vendor how much is left in an account."""

    @abstractmethod
    async def balance(self) -> Balance | None:
        """What is left now; None where the account has no limit. Raises CallError."""


@dataclass(frozen=True)
class Provider:
    """One account at one vendor: its settings, its client and its feeds."""

    settings: ProviderSettings
    client: Client
    feeds: Sequence[Feed]
    vendor: Vendor
    account: Account | None = None
    """What asks for the balance; None where the vendor reports none."""

    @property
    def name(self) -> str:
        return self.settings.name

    def advice(self, cause: Cause) -> str:
        """What to do about a trouble with this account, in words."""
        return self.vendor.advise(cause, self.settings)

    async def aclose(self) -> None:
        await self.client.aclose()


@dataclass(frozen=True)
class Tells:
    """What a feed reports, for people who choose a vendor."""

    clock: Clock = Clock.PROVIDER
    listed: bool = True
    list_needs: str = ""
    """What a list takes beside the usual credentials; empty if nothing."""
    by_id: bool = True
    parts: tuple[str, ...] = ()
    """Of a task: `submitted`, `started`, `ended`, `progress`, `output`, `model`, `usage` and `reason` of a failure."""


@dataclass(frozen=True)
class Vendor:
    """What a vendor's file offers to the registry: the `type`, its settings, and how its feeds are made."""

    name: str
    settings: type[ProviderSettings]
    kinds: tuple[str, ...]
    feeds: Callable[[Any, Client, TokenStore], Sequence[Feed]]
    account: Callable[[Any, Client, Sequence[Feed]], Account | None] | None = None
    """Makes what asks for the balance, out of settings, client and feeds; None where the vendor reports none."""
    account_needs: tuple[str, ...] = ()
    """The settings without which the balance is not asked for, where others than the usual credentials."""
    more_kinds: tuple[str, ...] = ()
    """Feeds that a provider has only where its setting `feeds` names them."""
    other_names: tuple[str, ...] = ()
    """What people may write as `type` instead, in small letters: they are asked whether they mean this vendor."""
    title: str = ""
    """The vendor's name, as people write it."""
    one_token: bool = False
    """Whether a new token ends the one before, even where another program holds that one."""
    renewed_with: str = ""
    """The setting with which the exporter asks for tokens itself; empty where it cannot."""
    signed_with: str = ""
    """The setting with which requests are signed, so that the clock matters; empty where they are not."""
    advice: Mapping[Cause, str] = field(default_factory=dict)
    """Sentences that follow the general advice about a cause: settings and pages that only this vendor has."""
    tells: Mapping[str, Tells] = field(default_factory=dict)
    """What each feed reports, by kind; `videotask-exporter vendors` shows it."""

    def advise(self, cause: Cause, settings: ProviderSettings) -> str:
        """What to do about a trouble with an account at this vendor, in words."""
        holds_token = bool(self.renewed_with) or any("token" in name for name in credentials(settings))
        if cause is Cause.TOKEN and not holds_token:
            cause = Cause.CREDENTIALS  # some vendors call a key a token
        renews = not self.renewed_with or getattr(settings, self.renewed_with) is not None
        general, own = advice(cause, settings, renews), self.advice.get(cause, "")
        return f"{general} {own}" if own else general

    def signs(self, settings: ProviderSettings) -> bool:
        """Whether requests of this account are signed."""
        return bool(self.signed_with) and getattr(settings, self.signed_with) is not None
