"""One feed as the status page shows it: its numbers, what is wrong with it, what else is worth knowing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from exporter.client.errors import FailedCall
from exporter.metrics.catalogue import STATS, TASK_METRICS
from exporter.snapshot import FeedSnapshot, Labels
from exporter.tasks import Field, Phase, Reason, State
from exporter.views import FeedView
from exporter.web.pages import filters as words
from exporter.web.pages.status.sparks import DrawnSpan, Spark, sparks
from exporter.web.pages.status.troubles import WHOSE_CAUSE, WHOSE_REASON, Trouble, Whose
from exporter.web.query import TaskQuery

FEW = 5
"""With fewer ends than this within the recent window, a share of failures says nothing."""

LONGEST_ID = 40
"""Characters of an id that a note repeats."""

TOO_MANY = 0.2
"""The share of failures among recent ends from which on something is wrong."""


UNKNOWN_STATE = (
    "Until the vendor's data shows that it ended, the task stays in flight and is not counted as ended. Look it up at "
    "the vendor. If it is new there, it may have no state yet. If it has ended, look for a newer version of the "
    "exporter, or report the vendor's word for its state."
)


MAP_IT = "If you know what the vendor means by it, add this to the settings of the provider {provider}, and reload."

MEANINGS = {
    Field.STATE: " STATE stands for one of " + ", ".join(state for state in State if state is not State.LOST) + ".",
    Field.REASON: " REASON stands for one of " + ", ".join(Reason) + ".",
}
"""What may stand for the placeholder of a setting that maps words."""


@dataclass(frozen=True)
class Share:
    """One part of a bar: so many tasks in a state, or failed for a reason."""

    word: State | Reason
    count: int
    start: float
    """Where it begins, in percent of the bar."""
    width: float
    query: str
    """What asks the page of tasks for them."""


class FeedCard:
    """One feed as the page shows it."""

    def __init__(self, feed: FeedSnapshot, now: float, elsewhere: str = "") -> None:
        """`elsewhere` is the replica that polls it, if that is another one."""
        self.feed = feed
        self.elsewhere = elsewhere
        self.status = feed.status
        self.view = FeedView(feed, now)
        self.now = now
        self.provider, self.kind, self.name = feed.provider, feed.kind, feed.name
        self.window = feed.settings.recent_window

    @property
    def sign(self) -> tuple[str, str]:
        """How the last sweep went: `good`, `bad` or `waiting`, and the word for it."""
        return {None: ("waiting", "waiting"), True: ("good", "up"), False: ("bad", "down")}[self.status.up]

    @property
    def next_sweep(self) -> float | None:
        """When the next sweep begins; None while one is under way. One that is overdue begins now."""
        return None if self.status.next_sweep is None else max(self.status.next_sweep, self.now)

    @property
    def is_stale(self) -> bool:
        """Whether there are numbers, but too old to be shown."""
        return self.view.swept and not self.view.in_flight_by_state

    @property
    def follows_nothing(self) -> bool:
        """Whether the feed can show no task: it has no list, and no id was named."""
        return bool(self.feed.idle_advice)

    @cached_property
    def in_flight(self) -> Sequence[Share]:
        return self._shares(self.view.in_flight_by_state)

    @cached_property
    def ends(self) -> Sequence[Share]:
        return self._shares(self.view.ends_by_state)

    @cached_property
    def failures(self) -> Sequence[Share]:
        return self._shares({reason: count for reason, count in self.view.failures_by_reason.items() if count})

    @cached_property
    def durations(self) -> Mapping[Phase, Sequence[float | None]]:
        """Median, 95th percentile and longest of each phase that is known of any recent task."""
        found = self._read("recent_duration_seconds")
        return {phase: [found.get((phase, stat)) for stat in STATS] for phase in Phase if (phase, STATS[0]) in found}

    def sparks(self, span: DrawnSpan) -> Sequence[Spark]:
        """The last hours, where anything of them is known."""
        return sparks(self.feed, span, self.now)

    @property
    def total_in_flight(self) -> int | None:
        """How many tasks are in flight; None where that is not known."""
        return sum(self.view.in_flight_by_state.values()) if self.view.in_flight_by_state else None

    @property
    def progress(self) -> str:
        """How far a long reading is; empty if there is none."""
        if (progress := self.feed.progress) is None:
            return ""
        of = f" of {progress.of:,}" if progress.of else ""
        told = f"{progress.done:,}{of} ids looked up" if progress.what == "ids" else _pages(progress.done)
        if progress.what == "list" and progress.share is not None:
            told += f", {words.percent(progress.share)} of the last {words.lasting(self.feed.settings.history)}"
        return told + (f"; about {words.rough(progress.left)} left" if progress.left is not None else "")

    @property
    def short_note(self) -> str:
        """What is wrong, in a few words, or who else polls it."""
        if outage := self.status.outage:
            return f"{words.plain(outage.label)} for {words.rough(self.now - outage.since)}"
        if self.rank == 1:
            return "needs a look"
        if self.feed.progress and self.feed.progress.share is not None:
            return f"{words.percent(self.feed.progress.share)} read"
        return f"by {self.elsewhere}" if self.elsewhere else ""

    @property
    def recent_ends(self) -> tuple[int, int]:
        """How many tasks ended within the recent window, and how many of them failed."""
        return sum(one.count for one in self.ends), sum(one.count for one in self.ends if one.word is State.FAILED)

    @cached_property
    def rank(self) -> int:
        """How soon to look at it: 0 if it cannot be read, 1 if something else is wrong, 2 if it waits."""
        if self.status.outage:
            return 0
        if any(self.troubles):
            return 1
        return 2 if self.status.up is None or self.is_stale else 3

    @property
    def failed_calls(self) -> Sequence[FailedCall]:
        """The latest first."""
        return list(reversed(self.status.failed_calls))

    @cached_property
    def notes(self) -> Sequence[str]:
        """What is worth knowing, but is no trouble."""
        notes = []
        if stalled := self._read("stalled_tasks").get((), 0):
            some, since = words.several(stalled, "task"), words.lasting(self.feed.settings.stalled_after)
            notes.append(f"{some} running, or in an unknown state, without a change for {since} or longer.")
        if gaps := self._read("history_gaps_total").get((), 0):
            notes.append(f"{gaps:.0f} {'sweep' if gaps == 1 else 'sweeps'} may have missed tasks.")
        found = self._read("unmapped_values_total")
        if unmapped := [f"{field} ({count:.0f})" for field in Field if (count := found.get((field,), 0))]:
            notes.append(f"The vendor uses words that the exporter does not know: {', '.join(unmapped)}.")
        if hidden := self.feed.unmapped.hidden:
            notes.append(f"{_words(hidden)} not shown: there may be content or a credential in it.")
        if not self.feed.lists and not self.follows_nothing:
            notes.append(f"The feed cannot be listed; {self.feed.followed} ids are followed.")
        notes += self._look_up_notes
        if self.status.restarts:
            notes.append(f"The polling loop was restarted {self.status.restarts} times: a bug in the exporter.")
        return notes

    @property
    def mapping(self) -> tuple[str, Sequence[str]] | None:
        """What maps the vendor's words that no table knows: what to do, and lines of YAML."""
        settings = self.feed.unmapped.settings
        return (self._map_it(settings), list(settings.values())) if settings else None

    @property
    def _look_up_notes(self) -> Iterable[str]:
        """Notes on ids that are looked up one by one."""
        reads_ids = self.feed.progress is not None and self.feed.progress.what == "ids"  # which says how many are left
        if (unread := self.feed.look_ups.unread) and not reads_ids:
            some = f"{unread} of {self.feed.followed} ids are"
            yield f"{some} still to be looked up for the first time; each sweep takes some of them."
        if failing := self.feed.look_ups.failing:
            yield f"{_ids(len(failing))} retried with growing delays because each look-up fails: {_some(failing)}."
        if unknown := self.feed.look_ups.unknown:
            some = _some(self.feed.look_ups.some_unknown)
            yield f"{_ids(unknown)} unknown to the vendor and retried with growing delays: {some}."

    @property
    def troubles(self) -> Iterable[Trouble]:
        if outage := self.status.outage:
            whose = WHOSE_CAUSE.get(outage.cause, Whose.EXPORTER)
            what, told = f"{self.name} cannot be read", f"{words.plain(outage.label)}: {outage.words}"
            yield Trouble(whose, what, told, outage.advice, outage.since, is_grave=True, unread=self.name)
        elif self.follows_nothing and self.status.up is not None:
            told = "The feed cannot be listed, and no task id is watched."
            what = f"{self.name} has nothing to show"
            yield Trouble(Whose.CONFIGURATION, what, told, self.feed.idle_advice)
        yield from self._unknown()
        yield from self._failing()

    def _unknown(self) -> Iterable[Trouble]:
        if count := self.view.in_flight_by_state.get(State.UNKNOWN, 0):
            what = f"{words.several(count, 'task')} of {self.name} {'is' if count == 1 else 'are'} in an unknown state"
            told = "The exporter does not know the vendor's word for the state."
            line = self.feed.unmapped.settings.get(Field.STATE)
            advice = f"{UNKNOWN_STATE} {self._map_it([Field.STATE])}" if line else UNKNOWN_STATE
            yield Trouble(Whose.EXPORTER, what, told, advice, is_first=True, settings=[line] if line else [])

    def _map_it(self, fields: Iterable[Field]) -> str:
        """What to do with the settings that map words of these."""
        choices = (MEANINGS[field] for field in fields if field in self.feed.unmapped.unclear)
        return MAP_IT.format(provider=self.provider) + "".join(choices)

    def _failing(self) -> Iterable[Trouble]:
        ended = {share.word: share.count for share in self.ends}
        failed, measured = ended.get(State.FAILED, 0), ended.get(State.FAILED, 0) + ended.get(State.SUCCEEDED, 0)
        if measured < FEW or failed / measured <= TOO_MANY:
            return
        most = ((share.count, Reason(share.word)) for share in self.failures)
        count, reason = max(most, default=(failed, Reason.UNKNOWN))
        told = f"Mostly: {words.plain(reason)} ({count})."
        what = f"{failed} of {measured} tasks of {self.name} failed within {words.lasting(self.window)}"
        yield Trouble(WHOSE_REASON[reason], what, told, words.REASONS[reason])

    def _read(self, metric: str) -> dict[Labels, float]:
        """What /metrics says: the page has no numbers of its own."""
        return {labels: value for labels, value in _METRICS[metric].read(self.view) if isinstance(value, (int, float))}

    def _shares(self, counts: Mapping[State, int] | Mapping[Reason, int]) -> Sequence[Share]:
        return shares(counts, self.provider, self.kind)


def shares(
    counts: Mapping[State, int] | Mapping[Reason, int], provider: str | None = None, kind: str | None = None
) -> Sequence[Share]:
    """The parts of a bar, one for each word, in their order."""
    total, before = sum(counts.values()), 0
    found = []
    for word, count in counts.items():
        states, reasons = ((word,), ()) if isinstance(word, State) else ((), (word,))
        query = TaskQuery(provider=provider, kind=kind, state=states, reason=reasons).encoded()
        start, width = (100 * part / total if total else 0.0 for part in (before, count))
        found.append(Share(word, count, round(start, 3), round(width, 3), query))
        before += count
    return found


def _ids(count: int) -> str:
    return "1 id is" if count == 1 else f"{count} ids are"


def _words(count: int) -> str:
    return "1 of the unknown words is" if count == 1 else f"{count} of the unknown words are"


def _some(ids: Sequence[str]) -> str:
    """The first few ids."""
    return ", ".join(map(_cut, ids[:FEW])) + (", ..." if len(ids) > FEW else "")


def _cut(task_id: str) -> str:
    return task_id if len(task_id) <= LONGEST_ID else f"{task_id[:LONGEST_ID]}..."


_METRICS = {metric.name: metric for metric in TASK_METRICS}


def _pages(count: int) -> str:
    return "1 page of the list read" if count == 1 else f"{count:,} pages of the list read"
