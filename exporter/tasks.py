"""The vocabulary: what a task is, the states it passes through, why it can fail, and why a call can.

Everything else in the exporter speaks in these words, and this module knows nothing of the rest. Times are Unix
seconds as floats, durations seconds, progress a ratio from 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeGuard


class State(StrEnum):
    """Where a task is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    BLOCKED = "blocked"  # frozen by the vendor
    UNKNOWN = "unknown"  # a value that no table maps
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"  # gone at the vendor before its end was seen

    @property
    def is_end(self) -> bool:
        return self in ENDS


IN_FLIGHT = (State.QUEUED, State.RUNNING, State.BLOCKED, State.UNKNOWN)
ENDS = (State.SUCCEEDED, State.FAILED, State.CANCELLED, State.LOST)
MAY_STALL = (State.RUNNING, State.UNKNOWN)  # in flight, and expected to change before long
MEASURED_ENDS = (State.SUCCEEDED, State.FAILED)  # the ends whose durations are worth a histogram


class Reason(StrEnum):
    """Why a task failed. A closed set: the vendor's own words never become a label."""

    MODERATION = "moderation"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    INVALID_INPUT = "invalid_input"
    RATE_LIMITED = "rate_limited"
    AUTH = "auth"
    PROVIDER_INTERNAL = "provider_internal"
    TIMEOUT = "timeout"
    UNKNOWN = "unknown"


class Cause(StrEnum):
    """What is behind a trouble, as far as can be seen from here. A closed set; scripts may rely on its words."""

    # The way to the vendor.
    NO_ADDRESS = "no_address"
    REFUSED = "refused"
    TLS = "tls"
    PROXY = "proxy"
    INTERCEPTED = "intercepted"
    CONNECTION = "connection"
    TIMEOUT = "timeout"
    WRONG_URL = "wrong_url"
    # What the vendor makes of us.
    CREDENTIALS = "credentials"
    TOKEN = "token"  # noqa: S105  # a word, not a password
    TOKEN_RENEWED_ELSEWHERE = "token_renewed_elsewhere"  # noqa: S105
    TOKEN_NOT_FETCHED = "token_not_fetched"  # noqa: S105
    TOKEN_FETCHED = "token_fetched"  # noqa: S105
    SIGNATURE = "signature"
    CLOCK = "clock"
    PROJECT = "project"
    USER_ID = "user_id"
    IP = "ip"
    RATE = "rate"
    BALANCE = "balance"
    REQUEST = "request"
    # What the vendor says.
    VENDOR = "vendor"
    CONTRACT = "contract"
    SIZE = "size"
    DRIFT = "drift"
    # What there is to see.
    NO_TASKS = "no_tasks"
    NOTHING_TO_WATCH = "nothing_to_watch"
    NOT_FOUND = "not_found"
    WATCH = "watch"
    # What is ours.
    SLOW = "slow"
    LEDGER = "ledger"
    BUG = "bug"


class Phase(StrEnum):
    """A stretch of a task's life that has a duration."""

    QUEUE = "queue"  # submitted to started
    RUN = "run"  # started to ended
    TOTAL = "total"  # submitted to ended


class Clock(StrEnum):
    """Whose times a feed's durations come from."""

    PROVIDER = "provider"
    OBSERVED = "observed"


UNITS = ("credits", "usd", "cny", "tokens", "seconds", "requests", "units")
"""What costs and balances are counted in: the values of the label `unit`. Money is in whole units."""


class Field(StrEnum):
    """A part of an observation that a vendor's answer can spoil."""

    TASK = "task"  # the row as a whole: not an object, or without a usable id
    STATE = "state"
    REASON = "reason"
    PROGRESS = "progress"
    SUBMITTED = "submitted"
    STARTED = "started"
    ENDED = "ended"
    OUTPUT = "output"
    USAGE = "usage"


ID_LENGTH = 512


def is_task_id(value: object) -> TypeGuard[str]:
    """Whether a value can be a task's id: a text that is fit for a label and, once quoted, for a URL."""
    return isinstance(value, str) and 0 < len(value) <= ID_LENGTH and value.isprintable()


def why_no_task_id(value: object) -> str:
    """What keeps a value from being a task's id, and what is allowed; empty if nothing does."""
    if is_task_id(value):
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "a number; write it in quotes, for long numbers lose digits"
    if not isinstance(value, str):
        return "not a text"
    if len(value) > ID_LENGTH:
        return f"{len(value)} characters; allowed: {ID_LENGTH}"
    return "holds a character that cannot be printed" if value else "empty"


@dataclass(slots=True)
class Observation:
    """A task as one response of the vendor shows it, normalised.

    `submitted`, `started` and `ended` are the vendor's own times, unchecked: the ledger decides which it believes.
    `dated` is a time that places the row roughly where the vendor says none of the three by contract.
    `unmapped` names the fields whose values no table maps or that break the contract.
    """

    id: str
    state: State
    reason: Reason | None = None
    progress: float | None = None
    submitted: float | None = None
    started: float | None = None
    ended: float | None = None
    dated: float | None = None
    output_seconds: float | None = None
    result: bool = False
    """Whether the row shows the task's result, such as the address of a clip; set only where the state is unknown."""
    fault: Reason | None = None
    """Why the task failed, as far as the row says so; set only where the state is unknown."""
    said: str = field(default="", compare=False)
    """The vendor's own words about a failure, fit to be shown: without addresses, credentials and content."""
    unmapped: frozenset[Field] = frozenset()
    strange: tuple[tuple[Field, str], ...] = field(default=(), compare=False)
    """The vendor's words that no table maps, in small letters. Anything may stand there: not to be shown as it is."""
    model: str = ""
    """The vendor's name of the model, as it came."""
    usage: tuple[tuple[str, float], ...] = ()
    """What the task cost: amounts by unit."""


@dataclass(frozen=True, slots=True)
class Task:
    """What the ledger knows of one task.

    `submitted`, `started` and `ended` are the vendor's times as far as they are possible. The observed times stand
    beside them: when the task was first seen, and when it was seen to start and to end, if two observations close to
    each other enclose that moment. `told` names what has been counted of it already, so that it is counted once, and
    whether the last complete sweep failed to reach it.
    """

    id: str
    state: State
    first_seen: float
    changed: float
    """When its state or progress was last seen to change."""
    appeared: bool = False
    """Whether a complete sweep shortly before `first_seen` did not show it: then it was submitted in between."""
    reason: Reason | None = None
    progress: float | None = None
    submitted: float | None = None
    started: float | None = None
    ended: float | None = None
    dated: float | None = None
    seen_started: float | None = None
    seen_ended: float | None = None
    output_seconds: float | None = None
    said: str = ""
    """The vendor's own words about a failure, fit to be shown."""
    missing: int = 0
    """How many sweeps in a row did not find it at the vendor."""
    model: str = ""
    """The model as the label `model` writes its name; empty where the vendor reports none."""
    told: frozenset[str] = frozenset()

    @property
    def submitted_at(self) -> float | None:
        return self.submitted if self.submitted is not None else (self.first_seen if self.appeared else None)

    @property
    def since(self) -> float:
        """When it was submitted; where that is unknown, when it was first seen."""
        return self.first_seen if self.submitted_at is None else self.submitted_at

    @property
    def started_at(self) -> float | None:
        return self.started if self.started is not None else self.seen_started

    @property
    def ended_at(self) -> float | None:
        return self.ended if self.ended is not None else self.seen_ended

    @property
    def placed_at(self) -> float:
        """The best date of its end: the end, what the vendor dates it by, the submission, or when it was seen."""
        return next((at for at in self._dates if at is not None), self.changed)

    @property
    def is_dated(self) -> bool:
        """Whether anything but our seeing it dates its end."""
        return any(at is not None for at in self._dates)

    @property
    def _dates(self) -> tuple[float | None, ...]:
        return self.ended_at, self.dated, self.submitted

    def duration(self, phase: Phase) -> float | None:
        """Seconds of a phase, or None where they cannot be known.

        A difference that clocks out of step make slightly negative is 0; a larger one is no duration.
        """
        begin, end = {
            Phase.QUEUE: (self.submitted_at, self.started_at),
            Phase.RUN: (self.started_at, self.ended_at),
            Phase.TOTAL: (self.submitted_at, self.ended_at),
        }[phase]
        if begin is None or end is None or end - begin < -CLOCK_SKEW:
            return None
        return max(0.0, end - begin)


@dataclass(frozen=True, slots=True)
class Step:
    """A change of a task that the exporter saw."""

    task_id: str
    at: float
    """By our clock."""
    state: State
    progress: float | None = None


def is_step(before: Task, after: Task) -> bool:
    """Whether a change is kept as a step: one of the state, or of the progress into another tenth."""
    return after.state is not before.state or _tenth(after.progress) != _tenth(before.progress)


def _tenth(progress: float | None) -> int | None:
    return None if progress is None else int(progress * 10)


@dataclass(frozen=True)
class Verdict:
    """How many requested ids are new, are followed already, or are of tasks whose end is counted."""

    new: int
    known: int
    ended: int


UNREACHED = "unreached"
"""A mark in `Task.told`: the last complete sweep did not reach this task in flight, so the ledger has no later look."""

_TOLD: dict[frozenset[str], frozenset[str]] = {}


def shared(told: frozenset[str]) -> frozenset[str]:
    """The one object that stands for all sets like this: tasks are many, and what is known of them differs little."""
    return _TOLD.setdefault(told, told)


CLOCK_SKEW = 60.0
"""How far, in seconds, a vendor's clock may be off from ours before its times count as impossible."""
