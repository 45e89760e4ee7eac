"""Decides what a sweep means: transitions, ends counted once, whose times to believe, what may be forgotten.

A `Tracker` is the ledger of one feed. `settle` works out what a sweep changes, without changing anything; `adopt` takes
the changes over once the store has them. So what is served was committed before, and a crash in between costs nothing:
the vendor is asked again.

The promise to count each end once rests on three things. The store remembers the ids of ended tasks. It forgets only
ends that lie well before the `horizon`, and an unknown task that a list shows to have ended before the horizon is not
counted. And a counter and the tasks that moved it are committed together.

The horizon never goes back, so no clock may carry it off: it follows the newest date that the vendor shows, as long as
our own clock admits that date.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from exporter.config.models import PollSettings
from exporter.ledger.counters import Counters, Key
from exporter.ledger.counting.deltas import Deltas, Exemplar
from exporter.ledger.counting.ends import End, ends_of, merged, within
from exporter.ledger.counting.last_day import LastDay
from exporter.ledger.counting.late import LATEST, Unpaid
from exporter.ledger.counting.models import model_name, with_series
from exporter.ledger.counting.times import Times, believed
from exporter.ledger.store import Changes, FeedRecord
from exporter.ledger.sweep import AS_BEFORE, Settled, Sweep, is_as_before
from exporter.tasks import (
    CLOCK_SKEW,
    UNREACHED,
    Clock,
    Field,
    Observation,
    Phase,
    State,
    Step,
    Task,
    is_step,
    shared,
)

STALE_AFTER = 3
"""Poll intervals without success after which in-flight data is no longer shown, nor a transition dated."""

LEAST_STALE = 1.0
"""Seconds for which data is fresh in any case: at an interval of milliseconds a busy machine would make it flicker."""

LEAST_PATIENCE = 5.0
"""Seconds between two looks that are close enough in any case: vendors' own times are hardly finer."""

LOST_AFTER = 2
"""Sweeps in a row that must miss a task before it counts as lost: a single blank answer proves nothing."""

REMEMBERED_LONGER = 86400.0
"""Seconds for which an end is remembered after it is news no more: a vendor's clock may be hours off."""

BEHIND = 72000.0
"""Seconds by which our clock may be behind the vendor's: an end that it alone dates is forgotten so much earlier."""


class Tracker:
    """The ledger of one feed."""

    def __init__(
        self,
        provider: str,
        kind: str,
        clock: Clock,
        settings: PollSettings,
        retention: float,
        record: FeedRecord,
        unpaid: Iterable[Task] = (),
        last_day: LastDay | None = None,
        *,
        tells_usage: bool = False,
    ) -> None:
        """`tells_usage`: the vendor reports what tasks cost; `unpaid`: the tasks whose cost may still come."""
        self.provider = provider
        self.kind = kind
        self.clock = clock
        self._retention = retention
        self.take_settings(settings)
        self.exemplars: Mapping[Key, Exemplar] = {}
        self.in_doubt = False
        """Whether a commit has begun whose outcome is unknown."""
        self.revision = 0
        """Grows whenever what the tracker shows may have changed."""
        self._frozen: tuple[tuple[Task, ...], tuple[End, ...]] | None = None
        self.tells_usage = tells_usage
        self.load(record, unpaid, last_day)

    def take_settings(self, settings: PollSettings) -> None:
        """From now on the tracker goes by these."""
        self.settings = settings
        self.interval = settings.poll_interval
        """The interval in force: the one set, or as long as a sweep takes where that is longer."""
        self.retention = max(self._retention, settings.history, settings.recent_window)

    def load(self, record: FeedRecord, unpaid: Iterable[Task], last_day: LastDay | None) -> None:
        """Takes over what the store holds of the feed, with the ends of the recent window."""
        self._thaw()
        self.since = record.since
        self.horizon = record.horizon
        self.polled = record.polled
        self.succeeded = record.polled
        """When the last sweep ended after which all that is in flight was fresh."""
        self.counts = record.counts
        """Never changed, but replaced, like `exemplars`: a reader keeps what it has seen."""
        self.models = with_series(self.counts)
        """The models with series, `other` among them where there are more."""
        self._unpaid = Unpaid(unpaid)
        self.in_flight = {task.id: task for task in record.in_flight}
        self.last_seen = {task.id: self._surely_seen(task) for task in record.in_flight}
        self._recent = deque(record.ends)
        self.last_day = last_day or LastDay()
        """Never changed, but replaced."""

    def _surely_seen(self, task: Task) -> float:
        """When a task out of the store was last seen, as far as that is certain."""
        reached = self.polled is not None and not task.missing and UNREACHED not in task.told
        return max(self.polled or 0.0, task.changed) if reached else task.changed

    @property
    def feed(self) -> tuple[str, str]:
        """The provider and the kind, by which the store knows the feed."""
        return self.provider, self.kind

    @property
    def known(self) -> Mapping[str, Task]:
        """The tasks in flight, as far as the store surely has them so: what is shown just like that is no news."""
        return {} if self.in_doubt else self.in_flight

    @property
    def swept(self) -> bool:
        """Whether a sweep has ever been complete: before that there is nothing to show."""
        return self.since is not None

    def is_stale(self, now: float) -> bool:
        """Whether the data on tasks in flight is too old to be shown as fresh."""
        # A time ahead of now comes from a clock that was set back: the age is unknown.
        return self.succeeded is None or abs(now - self.succeeded) > self.freshness

    @property
    def freshness(self) -> float:
        """Seconds for which what was seen may be shown."""
        return max(STALE_AFTER * self.interval, LEAST_STALE)

    @property
    def _patience(self) -> float:
        """How long ago the last look may be for a change since to be dated by the present one."""
        return max(STALE_AFTER * self.interval, LEAST_PATIENCE)

    def floor(self, now: float) -> float:
        """What ended before this is not counted when it is first seen: it was, or it is older than the history."""
        return self.horizon if self.horizon is not None else now - self.settings.history

    @property
    def _forgotten_before(self) -> float:
        """What the vendor dates before this may have been known and forgotten."""
        if self.since is None or self.horizon is None or self.horizon - REMEMBERED_LONGER <= self.since:
            return -math.inf
        return self.horizon - REMEMBERED_LONGER + BEHIND

    def recent(self, now: float) -> list[Task]:
        """The tasks that ended within the recent window."""
        return within(self._recent, now, self.settings.recent_window)

    @property
    def frozen(self) -> tuple[tuple[Task, ...], tuple[End, ...]]:
        """The tasks in flight, and the ends of the recent window with some that have just left it, the oldest first."""
        if self._frozen is None:
            self._frozen = tuple(self.in_flight.values()), tuple(self._recent)
        return self._frozen

    def _thaw(self) -> None:
        self.revision += 1
        self._frozen = None

    def settle(self, sweep: Sweep, now: float, forgotten: Sequence[str] = ()) -> Settled:
        """What a sweep changes. Neither the tracker nor the store is touched."""
        deltas = Deltas(self.settings.duration_buckets, self.models, self.settings.model_limit)
        tasks: list[Task] = []
        paid: list[Task] = []
        steps: list[Step] = []
        floor = self.floor(now)
        seen: dict[str, float] = {}
        shown = sweep.listed
        if sweep.looked_up:
            ends = {task_id: shown for task_id, shown in sweep.listed.items() if shown[0].state.is_end}
            shown = sweep.listed | sweep.looked_up | ends  # no end is taken back
        newest = -math.inf
        for task_id, (observation, at) in shown.items():
            before = self.in_flight.get(task_id)
            if observation is AS_BEFORE and before is None:
                continue  # it ended while the sweep went on
            if before is not None and (observation is AS_BEFORE or is_as_before(before, observation)):
                newest = max(newest, _or(before.dated, _or(before.submitted, newest)))
                seen[task_id] = at
                continue
            times = believed(observation, at)
            placed = self._placed(observation, times, at)
            newest = max(newest, _or(placed, newest))
            if before is None and task_id in sweep.ended_before:
                paid += self._paid_late(observation, deltas)
                continue
            if before is None and not self._is_news(observation, placed, sweep, floor):
                continue
            task = before or self._newcomer(
                observation, at, is_listed=task_id in sweep.listed and task_id not in sweep.late
            )
            after = self._advance(task, observation, times, at, deltas)
            if after is not before:
                tasks.append(after)
                if before is None or is_step(before, after):
                    steps.append(Step(task_id, at, after.state, after.progress))
            if not after.state.is_end:
                seen[task_id] = at
        missed = list(self._missed(sweep.missing - shown.keys(), now, deltas))
        tasks += missed
        steps += [Step(task.id, now, task.state) for task in missed if task.state.is_end]
        if sweep.complete:
            tasks += self._unreached(self.in_flight.keys() - shown.keys() - sweep.missing - sweep.replaced)
        if sweep.malformed:
            deltas.counts.add("unmapped_values_total", Field.TASK, by=sweep.malformed)
        if sweep.gap and sweep.complete:
            deltas.counts.add("history_gaps_total")
        is_dated = sweep.complete or sweep.goes_on
        horizon = max(floor, min(now, newest) - self.retention) if is_dated else self.horizon
        gone = [*forgotten, *(sweep.replaced & self.in_flight.keys() if sweep.complete else ())]
        changes = Changes(
            self.provider,
            self.kind,
            since=now if sweep.complete and self.since is None else self.since,
            horizon=horizon,
            polled=now if sweep.complete else self.polled,
            tasks=[*tasks, *paid],
            steps=steps,
            counts=deltas.onto(self.counts),
            forgotten=gone,
        )
        last_day = self.last_day.after(tasks, gone, self.in_flight, now)
        return Settled(
            changes, now, sweep.complete, not sweep.falls_short, seen, deltas.exemplars, ends_of(tasks), last_day
        )

    def adopt(self, settled: Settled) -> None:
        """Takes over changes that the store has committed."""
        changes = settled.changes
        # A clock that is days ahead in one sweep must not empty the window: the sweep before has to agree.
        oldest = min(settled.at, self.polled if self.polled is not None else settled.at) - self.settings.recent_window
        self.since, self.horizon, self.polled = changes.since, changes.horizon, changes.polled
        if settled.complete and settled.is_fresh:
            self.succeeded = changes.polled
        self.counts = Counters(self.counts | changes.counts)
        self.models |= with_series(changes.counts)
        self.exemplars = {**self.exemplars, **settled.exemplars}
        self.last_seen.update(settled.seen)
        for task in changes.tasks:
            if task.state.is_end:
                self.in_flight.pop(task.id, None)
                self.last_seen.pop(task.id, None)
            else:
                self.in_flight[task.id] = task
        self._recent = merged(self._recent, settled.ends)
        self.last_day = settled.last_day
        for gone in changes.forgotten:
            self.in_flight.pop(gone, None)
            self.last_seen.pop(gone, None)
        if self.tells_usage:
            self._unpaid.take(task for task in changes.tasks if task.state.is_end)
            self._unpaid.forget(changes.forgotten, before=oldest + self.settings.recent_window - LATEST)
        while self._recent and self._recent[0].at < oldest:
            self._recent.popleft()
        self._thaw()

    def _placed(self, observation: Observation, times: Times, at: float) -> float | None:
        """The date of a row; what the horizon has come by is no future, whatever our clock says."""
        known = self.horizon + self.retention if self.horizon is not None else at
        return (believed(observation, known) if times.rejected and known > at else times).placed

    def _is_news(self, observation: Observation, placed: float | None, sweep: Sweep, floor: float) -> bool:
        """Whether a task that the ledger does not know belongs into it.

        What is listed waits for a complete sweep, and what is looked up beside it waits too, so that the next sweep
        still finds the ground where this one stopped. Listed ends before the floor have been counted, or never shall
        be. What is looked up was asked for and counts at any age; but what is so old that it may have been counted and
        forgotten does not begin again, also when the vendor takes its end back, or calls it by a new word.
        """
        if sweep.listed and not sweep.complete:
            return False
        if placed is None:
            return True
        is_listed_end = observation.state.is_end and observation.id not in sweep.looked_up
        return placed >= (floor if is_listed_end else self._forgotten_before)

    def _newcomer(self, observation: Observation, at: float, is_listed: bool) -> Task:
        appeared = is_listed and self.polled is not None and abs(at - self.polled) <= self._patience
        if appeared and self.polled is not None and observation.submitted is not None:
            # What the vendor says was there long before did not just appear: the list was blank, or a clock is off.
            appeared = observation.submitted >= self.polled - self._patience - CLOCK_SKEW
        return Task(observation.id, observation.state, first_seen=at, changed=at, appeared=appeared)

    def _advance(self, task: Task, observation: Observation, times: Times, at: float, deltas: Deltas) -> Task:
        """The task after an observation; what it adds to the counters goes into `deltas`."""
        is_new = task.id not in self.in_flight
        told = task.told
        if observation.unmapped or times.rejected or UNREACHED in told:
            rejected = {f"rejected_{name}" for name in times.rejected}
            for unmapped in observation.unmapped - told:
                deltas.counts.add("unmapped_values_total", unmapped)
            if rejected - told:
                deltas.counts.add("rejected_timestamps_total", by=len(rejected - told))
            told = shared((told | observation.unmapped | rejected) - {UNREACHED})
        after = self._moved(task, observation, times, told, at, is_new)
        after = self._queue_counted(after, deltas, at)
        if after.state.is_end:
            deltas.end(after, at)
            after = deltas.pay(after, observation.usage)
        elif after.model:
            deltas.model_of(after)
        return after if is_new or after != task else task

    def _paid_late(self, observation: Observation, deltas: Deltas) -> Iterable[Task]:
        """The task, if its end has been counted and the vendor reports only now what it cost."""
        task = self._unpaid.get(observation.id) if observation.state.is_end else None
        if task is not None and (after := deltas.pay(task, observation.usage)) is not task:
            yield after

    def _moved(
        self, task: Task, observation: Observation, times: Times, told: frozenset[str], at: float, is_new: bool
    ) -> Task:
        """The task as the observation shows it, with the times at which it was seen to start and to end."""
        state = observation.state
        changed = is_new or state is not task.state or observation.progress != task.progress
        # Out of `blocked` and `unknown` a task may go on with what it had begun before.
        starts = state is State.RUNNING and task.seen_started is None and (is_new or task.state is State.QUEUED)
        ends = state.is_end and not is_new
        return Task(  # written out: `replace` takes three times as long
            task.id,
            state,
            first_seen=task.first_seen,
            changed=at if changed else task.changed,
            appeared=task.appeared,
            reason=observation.reason,
            progress=observation.progress,
            submitted=times.submitted if times.submitted is not None else task.submitted,
            started=times.started if times.started is not None else task.started,
            ended=times.ended if state.is_end else None,
            dated=times.dated if times.dated is not None else task.dated,
            seen_started=at if starts and self._witnessed(task, is_new, at) else task.seen_started,
            seen_ended=at if ends and self._witnessed(task, is_new, at) else task.seen_ended,
            output_seconds=observation.output_seconds,
            said=observation.said if state is State.FAILED else "",
            missing=0,
            model=(model_name(observation.model) if observation.model else "") or task.model,
            told=told,
        )

    def _witnessed(self, task: Task, is_new: bool, at: float) -> bool:
        """Whether the last look at the task is so close that what has changed since can be dated by this one."""
        if is_new:
            return task.appeared
        return abs(at - self.last_seen.get(task.id, 0.0)) <= self._patience

    def _queue_counted(self, task: Task, deltas: Deltas, at: float) -> Task:
        """Counts the time in the queue once, as soon as it is known for good.

        Where the vendor gives times, its start may still come; so ours stands in only at the end.
        """
        if "queue" in task.told or task.state is State.LOST:
            return task
        if self.clock is Clock.PROVIDER and task.started is None and not task.state.is_end:
            return task
        if not deltas.measure(Phase.QUEUE, task, at):
            return task
        return replace(task, told=shared(task.told | {"queue"}))

    def _missed(self, missing: Collection[str], now: float, deltas: Deltas) -> Iterable[Task]:
        for task_id in missing:
            task = self.in_flight.get(task_id)
            if task is None:
                continue
            after = replace(task, missing=task.missing + 1)
            if after.missing >= LOST_AFTER:
                after = replace(after, state=State.LOST, reason=None, seen_ended=now, changed=now)
                deltas.end(after, now)
            yield after

    def _unreached(self, ids: Iterable[str]) -> Iterable[Task]:
        for task in (self.in_flight[task_id] for task_id in ids):
            if UNREACHED not in task.told:
                yield replace(task, told=shared(task.told | {UNREACHED}))


def _or(at: float | None, otherwise: float) -> float:
    return otherwise if at is None else at
