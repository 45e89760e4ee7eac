"""What the JSON API says, as models: answers are made from them, and so is their description.

Times are Unix seconds, durations seconds, ratios from 0 to 1. What is unknown is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from exporter.ledger.store import STEPS_SHOWN
from exporter.snapshot import AccountSnapshot, FeedSnapshot, Snapshot
from exporter.tasks import Clock, Phase, Reason, State, Step
from exporter.tasks import Field as Part
from exporter.views import FeedView
from exporter.web.query import FoundTask, TaskPage


class _Schema(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class Moment(_Schema):
    """A time, and which clock it comes from."""

    at: float = Field(description="Unix seconds")
    clock: Clock = Field(
        description="`provider`: reported by the vendor; `observed`: seen by the exporter, at most a poll interval late"
    )


class Durations(_Schema):
    """How long the phases of a task took, in seconds; null if unknown, or while it is not over."""

    queue: float | None = Field(description="from the submission to the start")
    run: float | None = Field(description="from the start to the end")
    total: float | None = Field(description="from the submission to the end")


class TaskSummary(_Schema):
    """One task as the ledger knows it."""

    provider: str = Field(description="the provider's name in the configuration")
    kind: str = Field(description="the feed")
    id: str = Field(description="the vendor's id")
    model: str | None = Field(description="the model's name as in the label `model`, if the vendor reports it")
    state: State = Field(description="its current state")
    stale: bool = Field(description="true if its state may be outdated because the feed is down")
    reason: Reason | None = Field(description="why it failed, if it did")
    said: str = Field(description="the vendor's error message, without addresses, credentials or content")
    progress: float | None = Field(description="from 0 to 1, if the vendor reports it")
    submitted: Moment | None = Field(description="null if unknown, like the next two")
    started: Moment | None = Field(description="when the vendor started it")
    ended: Moment | None = Field(description="null also while it is in flight")
    first_seen: float = Field(description="Unix seconds, by the exporter's clock")
    changed: float = Field(description="when state or progress was last seen to change; Unix seconds, our clock")
    durations: Durations = Field(description="of its phases")
    output_seconds: float | None = Field(description="length of the video produced, if the vendor reports it")


class StepSeen(_Schema):
    """A change of a task that the exporter saw."""

    at: float = Field(description="Unix seconds, by the exporter's clock")
    state: State = Field(description="the state then")
    progress: float | None = Field(description="from 0 to 1; kept in steps of a tenth")


class TaskStory(TaskSummary):
    """One task, and what was seen of it in the last day."""

    steps: list[StepSeen] = Field(description=f"the oldest first; at most the latest {STEPS_SHOWN}")


class Tasks(_Schema):
    """One page of the tasks that a query finds."""

    tasks: list[TaskSummary] = Field(description="in the requested order")
    total: int = Field(description="tasks that match, on all pages")
    page: int = Field(description="from 1; a page after the last one is empty")
    pages: int = Field(description="at least 1")
    per_page: int = Field(description="tasks on a page that is full")
    next: str | None = Field(description="the next page, as a link relative to this one's address; null on the last")
    previous: str | None = Field(description="the previous page, likewise; null on the first")


class Recent(_Schema):
    """What ended recently."""

    window: float = Field(description="how many seconds back this reaches: the setting recent_window")
    ended: dict[State, int] = Field(description="tasks by their end state, all four")
    failures: dict[Reason, int] = Field(description="failed tasks by reason, all eight")


class Outage(_Schema):
    """Why the last sweep of a feed failed."""

    error: str = Field(
        validation_alias="label",
        description="the class: one of the label `error` of videotask_api_errors_total, `ledger`, or `bug`",
    )
    words: str = Field(description="what went wrong")
    advice: str = Field(description="what to do about it")
    since: float | None = Field(description="Unix seconds of the first of the sweeps that have failed since")


class CallFailed(_Schema):
    """One failed call to the vendor."""

    at: float = Field(description="Unix seconds")
    endpoint: str = Field(description="`list`, `detail` or `token`")
    status: int | None = Field(description="the HTTP status; null without an answer")
    error: str = Field(description="the class, as the label `error` of videotask_api_errors_total")
    words: str = Field(description="what went wrong")
    excerpt: str = Field(description="the redacted body of the answer")


class Watched(_Schema):
    """The ids that a feed follows."""

    ids: int = Field(description="how many there were at the last sweep")
    troubles: list[str] = Field(description="which of the provider's watch files and URLs cannot be used, and why")


class UnmappedWord(_Schema):
    """A word of the vendor that no table maps."""

    field: Part = Field(description="what it was meant to say")
    word: str = Field(description="in small letters")


class Unmapped(_Schema):
    """The vendor's words that no table maps, as the last day has shown them; at most 20."""

    words: list[UnmappedWord] = Field(description="the latest last")
    settings: list[str] = Field(description="lines of YAML for the provider that map them; meanings are a guess")
    hidden: int = Field(description="further words, which may be content or credentials")


class Progress(_Schema):
    """How far a reading is that takes long."""

    what: Literal["list", "ids"] = Field(description="list pages are read, or ids looked up")
    done: int = Field(description="pages or ids so far")
    of: int | None = Field(description="ids in all; null for a list")
    share: float | None = Field(description="the part that is done, 0 to 1; of a list, that of the history")
    left: float | None = Field(description="seconds until the end, as things go")


class FeedState(_Schema):
    """One feed: state of its polling and number of tasks."""

    kind: str = Field(description="its name")
    clock: Clock = Field(description="which clock the durations of its tasks come from")
    lists: bool = Field(description="false if tasks cannot be listed; only watched ones are seen")
    up: bool | None = Field(description="whether the last sweep succeeded; null before the first has ended")
    last_successful_poll: float | None = Field(description="Unix seconds")
    next_sweep: float | None = Field(description="Unix seconds; null while one runs")
    poll_interval: float = Field(description="seconds between the starts of two sweeps: the interval in force")
    in_flight: dict[State, int] | None = Field(
        description="tasks by state, all four; null before the first sweep, and once that is too old to be shown"
    )
    recent: Recent | None = Field(description="null before the first sweep")
    progress: Progress | None = Field(description="null unless the present reading takes long")
    outage: Outage | None = Field(description="null while the feed is up")
    failed_calls: list[CallFailed] = Field(description="the last 20 failed calls, latest first")
    watched: Watched = Field(description="what is followed by id")
    unmapped: Unmapped = Field(description="words that no table maps")


class ProviderState(_Schema):
    """One account at one vendor."""

    name: str = Field(description="as in the configuration")
    type: str = Field(description="the vendor")
    replica: str | None = Field(
        description="of exporters that share a ledger, the one that polls it; null if none does, or one polls all"
    )
    feeds: list[FeedState] = Field(description="those that are polled")


class Providers(_Schema):
    """All that is polled, in the order of the configuration."""

    providers: list[ProviderState] = Field(description="as they are polled now")


def providers(snapshot: Snapshot, now: float) -> Providers:
    return Providers(
        providers=[
            ProviderState(
                name=one.name,
                type=one.type,
                replica=snapshot.replica_of(one.name),
                feeds=[_feed(feed, one, now) for feed in one.feeds],
            )
            for one in snapshot.accounts
        ]
    )


def tasks(page: TaskPage) -> Tasks:
    query = page.query
    is_last = query.page >= page.pages
    return Tasks(
        tasks=[TaskSummary(**_fields(row)) for row in page.rows],
        total=page.total,
        page=query.page,
        pages=page.pages,
        per_page=query.per_page,
        next=None if is_last else f"?{query.encoded(page=query.page + 1)}",
        previous=None if query.page == 1 else f"?{query.encoded(page=min(query.page - 1, page.pages))}",
    )


def story(row: FoundTask, steps: Sequence[Step]) -> TaskStory:
    return TaskStory(**_fields(row), steps=[StepSeen.model_validate(step) for step in steps])


_OF_THE_TASK = ("id", "state", "reason", "said", "progress", "first_seen", "changed", "output_seconds")


def _fields(row: FoundTask) -> dict[str, object]:
    task = row.task
    return {name: getattr(task, name) for name in _OF_THE_TASK} | {
        "provider": row.feed.provider,
        "kind": row.feed.kind,
        "model": task.model or None,
        "stale": row.stale,
        "submitted": _moment(task.submitted, task.submitted_at),
        "started": _moment(task.started, task.started_at),
        "ended": _moment(task.ended, task.ended_at),
        "durations": Durations(**{phase: task.duration(phase) for phase in Phase}),
    }


def _moment(said: float | None, known: float | None) -> Moment | None:
    return None if known is None else Moment(at=known, clock=Clock.OBSERVED if said is None else Clock.PROVIDER)


def _feed(feed: FeedSnapshot, account: AccountSnapshot, now: float) -> FeedState:
    view, status = FeedView(feed, now), feed.status
    return FeedState(
        kind=feed.kind,
        clock=feed.clock,
        lists=feed.lists,
        up=status.up,
        last_successful_poll=feed.succeeded,
        next_sweep=status.next_sweep,
        poll_interval=feed.interval,
        in_flight=view.in_flight_by_state or None,
        recent=Recent(window=feed.settings.recent_window, ended=view.ends_by_state, failures=view.failures_by_reason)
        if feed.swept
        else None,
        progress=Progress.model_validate(feed.progress) if feed.progress else None,
        outage=Outage.model_validate(status.outage) if status.outage else None,
        failed_calls=[CallFailed.model_validate(call) for call in reversed(status.failed_calls)],
        watched=Watched(ids=feed.followed, troubles=list(account.watch_troubles)),
        unmapped=Unmapped(
            words=[UnmappedWord(field=part, word=word) for part, word in feed.unmapped.words],
            settings=list(feed.unmapped.settings.values()),
            hidden=feed.unmapped.hidden,
        ),
    )
