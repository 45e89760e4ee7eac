"""What a task's page shows: what happened when, by whose clock, and how long it took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from exporter.snapshot import FeedSnapshot
from exporter.tasks import Clock, Phase, State, Step, Task
from exporter.web.pages import filters


class Mark(StrEnum):
    """The kinds of moments, in the order in which those of the same second are shown."""

    SUBMITTED = "submitted"
    FIRST_SEEN = "first seen"
    STARTED = "started"
    SEEN = "seen"
    ENDED = "ended"


@dataclass(frozen=True)
class TimelineEntry:
    """Something that happened to a task, or was seen of it."""

    at: float
    mark: Mark
    clock: Clock
    state: State | None = None
    progress: float | None = None


@dataclass(frozen=True)
class Stretch:
    """A phase: how long it took or has taken so far, and how that is known."""

    phase: Phase
    seconds: float | None
    is_over: bool
    source: str


class TaskTimeline:
    """One task as its page shows it."""

    def __init__(self, feed: FeedSnapshot, task: Task, steps: Sequence[Step], now: float) -> None:
        self.feed = feed
        self.task = task
        self.now = now
        self._steps = steps

    @property
    def is_stale(self) -> bool:
        """Whether it was last seen in flight, but too long ago."""
        return not self.task.state.is_end and self.feed.is_stale(self.now)

    @property
    def moments(self) -> Sequence[TimelineEntry]:
        """The oldest first."""
        return sorted(self._moments(), key=lambda moment: (moment.at, list(Mark).index(moment.mark)))

    def _moments(self) -> Iterator[TimelineEntry]:
        task = self.task
        for mark, at in ((Mark.SUBMITTED, task.submitted), (Mark.STARTED, task.started), (Mark.ENDED, task.ended)):
            if at is not None:
                yield TimelineEntry(at, mark, Clock.PROVIDER)
        if not any(step.at == task.first_seen for step in self._steps):
            yield TimelineEntry(task.first_seen, Mark.FIRST_SEEN, Clock.OBSERVED)
        for step in self._steps:
            mark = Mark.FIRST_SEEN if step.at == task.first_seen else Mark.SEEN
            yield TimelineEntry(step.at, mark, Clock.OBSERVED, step.state, step.progress)
        if task.changed > max((step.at for step in self._steps), default=task.first_seen):
            yield TimelineEntry(task.changed, Mark.SEEN, Clock.OBSERVED, task.state, task.progress)

    @property
    def stretches(self) -> Sequence[Stretch]:
        task = self.task
        submitted = task.submitted, task.submitted_at
        started, ended = (task.started, task.started_at), (task.ended, task.ended_at)
        return [
            self._stretch(Phase.QUEUE, submitted, started),
            self._stretch(Phase.RUN, started, ended),
            self._stretch(Phase.TOTAL, submitted, ended),
        ]

    def _stretch(self, phase: Phase, *edges: tuple[float | None, float | None]) -> Stretch:
        """A phase between two edges, each as the vendor says and as is known at all."""
        (_, begun), (_, ended) = edges
        seconds = self.task.duration(phase)
        source = self._source({theirs is not None for theirs, known in edges if known is not None})
        if seconds is not None:
            return Stretch(phase, seconds, True, source)
        goes_on = not self.task.state.is_end and ended is None
        if goes_on and begun is not None:
            return Stretch(phase, max(0.0, self.now - begun), False, source)
        if goes_on and phase is Phase.RUN and self.task.state is State.QUEUED:
            return Stretch(phase, None, False, "not started yet")
        return Stretch(phase, None, True, "unknown: the vendor does not report it, and polling was too coarse to tell")

    def _source(self, are_vendors: set[bool]) -> str:
        """Whose times a phase is made of."""
        if are_vendors == {True}:
            return "by the vendor's clock"
        seen = f"as the exporter saw it, right to about {filters.lasting(self.feed.interval)}"
        return seen if are_vendors == {False} else f"partly by the vendor's clock, partly {seen}"
