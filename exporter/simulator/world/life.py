"""One simulated task: what becomes of it, fixed before it begins, and what can be seen of it at any instant."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.tasks import Reason, State

NEARLY = 0.99  # the most progress that a task without an end in sight, or with a bad one, ever shows
PATIENCE = 600.0  # seconds over which the progress of an endless task creeps up when nothing else says so


@dataclass(frozen=True, slots=True)
class LifeMoment:
    """A task at the instant `at`. Times are Unix seconds, and known only once they have passed; progress is 0 to 1."""

    at: float
    state: State
    progress: float
    started: float | None
    ended: float | None


@dataclass(frozen=True, slots=True)
class Life:
    """The whole course of one simulated task. Durations are real seconds, already divided by any speed.

    `queue_seconds` is the wait, None for ever. `run_seconds` is the work after it; None with an `end` means that the
    task ends straight out of the queue, without a start that anybody saw. Without an `end` it runs for ever, and
    `run_seconds` only sets the pace of its progress.
    """

    id: str
    type: str
    kind: str
    submitted: float
    queue_seconds: float | None = 0.0
    run_seconds: float | None = None
    end: State | None = None
    reason: Reason | None = None  # why it failed; only with `end` FAILED
    words: str | None = None  # the vendor's text for the failure; None: whatever is documented for the reason
    code: str = ""  # the vendor's code for the failure, where it has one
    end_dated: bool = True  # False: the vendor never says when it ended
    output_seconds: float | None = None  # length of the produced clip; only if it succeeds
    model: str = ""  # empty where the vendor names none
    cost: float = 0.0  # in the unit in which the vendor counts; reported once the task has ended
    blocked: tuple[float, float] | None = None  # frozen from so many seconds after the submission, for so many
    vanishes_after: float | None = None  # seconds from the submission until the vendor knows nothing of it

    @property
    def feed(self) -> tuple[str, str]:
        """Provider type and kind."""
        return self.type, self.kind

    @property
    def starts_at(self) -> float | None:
        """When the work begins, None if it never does."""
        if self.queue_seconds is None or (self.end is not None and self.run_seconds is None):
            return None
        return self.submitted + self.queue_seconds

    @property
    def ends_at(self) -> float | None:
        """When it is over, None if it never is."""
        if self.end is None or self.queue_seconds is None:
            return None
        return self.submitted + self.queue_seconds + (self.run_seconds or 0.0)

    @property
    def vanishes_at(self) -> float | None:
        return None if self.vanishes_after is None else self.submitted + self.vanishes_after

    @property
    def is_lost(self) -> bool:
        """Whether it disappears before its end, so that its outcome can never be seen."""
        gone, over = self.vanishes_at, self.ends_at
        return gone is not None and (over is None or gone < over)

    def exists(self, now: float) -> bool:
        """Whether the vendor knows it at this instant."""
        gone = self.vanishes_at
        return self.submitted <= now and (gone is None or now < gone)

    def at(self, now: float) -> LifeMoment:
        """What an all-knowing observer sees at `now` (not before the submission)."""
        started = self.starts_at if self.starts_at is not None and self.starts_at <= now else None
        if self.is_lost and not self.exists(now):
            return LifeMoment(now, State.LOST, self._progress(self.vanishes_at or now), started, self.vanishes_at)
        if self.end is not None and self.ends_at is not None and self.ends_at <= now:
            progress = 1.0 if self.end is State.SUCCEEDED else self._progress(self.ends_at)
            return LifeMoment(now, self.end, progress, started, self.ends_at)
        state = State.QUEUED if started is None else State.RUNNING
        if self.blocked is not None and 0 <= now - self.submitted - self.blocked[0] < self.blocked[1]:
            state = State.BLOCKED
        return LifeMoment(now, state, self._progress(now), started, None)

    def _progress(self, now: float) -> float:
        if self.starts_at is None or now <= self.starts_at:
            return 0.0
        return min(NEARLY, (now - self.starts_at) / (self.run_seconds or PATIENCE))
