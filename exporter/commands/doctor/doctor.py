"""`videotask-exporter doctor`: asks each feed once, with the real settings, and explains what came of it.

It goes the way of a sweep, with a ledger in memory: one list page, one detail, through the provider's own client. What
it shows as exported is made by the code that serves /metrics. The ledger's file stays untouched, so that the doctor may
run beside a running exporter; it is only read, for the tokens that the exporter has obtained and the ids that it was
asked to follow. The doctor asks for a new token only with --fetch-token: at some vendors that logs the exporter out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import replace
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import httpx

from exporter.client.client import Exchange
from exporter.client.errors import AuthRefused, CallError, ConnectionFailed, TaskNotFound, TimedOut
from exporter.client.tokens import TokenWithheld
from exporter.commands.answers.exported import exported
from exporter.commands.answers.recording import Recording
from exporter.commands.doctor.diagnosis import (
    Call,
    FeedReport,
    FilledShare,
    Finding,
    Understood,
    apart,
    as_json,
    as_text,
)
from exporter.commands.ledgers.look import Look, look_into
from exporter.config.load import Config
from exporter.config.models import ProviderSettings, Settings
from exporter.config.vendors.types import Vendors
from exporter.ledger.sweep import Sweep
from exporter.polling.feed.unmapped import UnmappedTracker
from exporter.polling.watch import Watch
from exporter.tasks import CLOCK_SKEW, MEASURED_ENDS, Cause, Field, Observation, State
from exporter.vendors.registry import connect, installed
from exporter.vendors.vendor import Feed

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 130
PATIENCE = 60.0
"""Seconds that the calls of one feed may take together, waiting for turns and all."""
LOOK_FIRST = (
    "In the recorded answers, credentials, texts, addresses and ids were replaced where their keys or forms show them. "
    "Look at the files before you share them."
)
SIGNED_SKEW = 300.0
"""Seconds of skew from which a refusal of signed requests is laid to the clocks."""

_EVERYDAY_HEADERS = frozenset(
    ("host", "accept", "accept-encoding", "connection", "user-agent", "content-length", "content-type")
)
_OPEN_VALUE = re.compile(r"\d{8}T\d{6}Z|(?:Bearer |[A-Z-]+-HMAC-SHA256 )?")
"""What may be shown of a header's value: the time of a signature as a whole, else the scheme of what follows."""
_OPEN_SETTINGS = frozenset(("name", "type", "base_url", "endpoint"))
_report: ContextVar[FeedReport] = ContextVar("report")
"""Of the feed whose calls are being made: feeds of a provider share a client, but each has a task of its own."""

_exchanges: ContextVar[list[Exchange]] = ContextVar("exchanges")
"""Its calls as they went."""


async def run_doctor(
    config: Config,
    names: Collection[str],
    *,
    fetch_token: bool,
    in_json: bool,
    tell: Callable[[str], None],
    recording: Recording | None = None,
    patience: float = PATIENCE,
) -> int:
    """Examines the feeds of the providers with these names, of all without any, and reports what it found.

    A `recording` gets what the vendors answered. The result is an exit code: 0 if all is well, 1 if not, 130 if a
    signal ended it.
    """
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(64, thread_name_prefix="resolver"))  # as the exporter does
    look, types = look_into(config.ledger), config.types or installed()
    reports: list[FeedReport] = []

    async def examine() -> None:
        chosen = [one for one in config.providers if not names or one.name in names]
        examinations = [Examination(one, types, look, fetch_token, patience, recording) for one in chosen]
        try:
            async with asyncio.TaskGroup() as group:
                under_way = [group.create_task(feed) for one in examinations for feed in one.feeds()]
                for each in under_way:  # in the order of the settings, each as soon as it is there
                    reports.append(await each)
                    if not in_json:
                        tell(as_text(reports[-1]) + "\n")
        finally:
            await asyncio.gather(*(one.aclose() for one in examinations))
        if (left := sorted({*await look.providers()} - {one.name for one in config.providers})) and not in_json:
            tell(
                f"The ledger has tasks of providers that are not configured: {', '.join(left)}. If you renamed one, "
                "restore its old name to keep its counters.\n"
            )
        if any(report.recorded for report in reports) and not in_json:
            tell(f"{LOOK_FIRST}\n")

    examination = asyncio.create_task(examine())
    for number in SIGNALS:
        loop.add_signal_handler(number, examination.cancel)
    try:
        await examination
    except asyncio.CancelledError:
        return INTERRUPTED
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
        await look.close()
    ill = sum(not report.well for report in reports)
    summary = f"{ill} of {len(reports)} feeds {'is' if ill == 1 else 'are'} not well." if ill else "All is well."
    tell(as_json(reports) if in_json else summary)
    return 1 if ill else 0


class Examination:
    """Of one provider: its feeds side by side, within its rate limit. Looks over the shoulder of its client."""

    def __init__(
        self,
        settings: ProviderSettings,
        types: Vendors,
        look: Look,
        fetch_token: bool,
        patience: float,
        recording: Recording | None = None,
    ) -> None:
        self._settings = settings
        self._look = look
        self._fetch_token = fetch_token
        self._provider = connect(settings, look, types)
        self._one_token = self._provider.vendor.one_token
        self._provider.client.observer = self
        self._watch = Watch.of(self._provider, types)
        self._patience = patience
        self._recording = recording

    def feeds(self) -> Iterator[Coroutine[object, object, FeedReport]]:
        for feed in self._provider.feeds:
            yield self._examine(feed)

    async def aclose(self) -> None:
        await self._watch.aclose()
        await self._provider.aclose()

    def asked(self, endpoint: str) -> None:
        if endpoint == "token" and self._one_token and not self._fetch_token:
            raise TokenWithheld("the ledger holds no token that is valid, and no new one was asked for")

    def answered(self, exchange: Exchange) -> None:
        _report.get().calls.append(_call(exchange, self._settings, time.time()))
        if self._recording:
            _exchanges.get().append(exchange)

    async def _examine(self, feed: Feed) -> FeedReport:
        settings = self._settings
        report = FeedReport(settings.name, settings.type, feed.kind, settings.base_url)
        _report.set(report)
        _exchanges.set([])
        sweep = Sweep()
        try:
            async with asyncio.timeout(self._patience):
                await self._ask(feed, sweep, report)
        except TimeoutError:
            words = f"the calls were not done within {self._patience:g} s"
            self._find(report, "trouble", Cause.SLOW, words)
        except CallError as error:
            self._fail(report, error)
        except Exception as error:  # a slip of ours must not hide the other feeds
            log.debug("unexpected error in an examination", exc_info=error)
            self._find(
                report, "trouble", Cause.BUG, f"unexpected {type(error).__name__}; this is a bug in the exporter"
            )
        shown = [_as_explained(one, feed.fills) for one, _ in (sweep.listed | sweep.looked_up).values()]
        if shown or sweep.malformed:
            report.understood = _understood(shown, sweep.malformed, feed)
        self._warn(report, shown)
        sweep.complete = report.well
        if self._recording:
            await self._record(self._recording, report, feed, {*sweep.listed, *sweep.looked_up})
        report.series = await exported(self._provider, feed, sweep, time.time())
        return report

    async def _ask(self, feed: Feed, sweep: Sweep, report: FeedReport) -> None:
        """One list page and one detail, into the sweep. Raises CallError where there is no sense in going on."""
        if feed.lists:
            try:
                page = await feed.list_page()
            except (ConnectionFailed, TimedOut, TokenWithheld):
                raise
            except CallError as error:  # details may be open to other credentials
                self._fail(report, error)
            else:
                sweep.show(page.observations, time.time(), listed=True)
                sweep.malformed, sweep.whole = page.malformed, page.last
                if not page.observations and not page.malformed:
                    self._find(report, "warning", Cause.NO_TASKS, "the list is empty")
        if not feed.looks_up:
            return
        if (task_id := await self._to_look_up(feed, sweep)) is None:
            if not feed.lists:
                level = "trouble" if self._settings.watch == type(self._settings.watch)() else "warning"
                self._find(report, level, Cause.NOTHING_TO_WATCH, "there is no task to look up")
            return
        try:
            sweep.show(await feed.look_up(task_id), time.time(), listed=False)
        except TaskNotFound:
            self._find(report, "warning", Cause.NOT_FOUND, f"the vendor does not know the task {task_id}")

    async def _to_look_up(self, feed: Feed, sweep: Sweep) -> str | None:
        """A listed task in flight, else the newest one, else one of those to follow."""
        listed = [observation for observation, _ in sweep.listed.values()]
        for one in (*(one for one in listed if not one.state.is_end), *listed):
            return one.id
        ids = await self._watch.ids(feed.kind) or await self._look.asked_for(self._settings.name, feed.kind)
        return ids[0] if ids else None

    async def _record(self, recording: Recording, report: FeedReport, feed: Feed, ids: Collection[str]) -> None:
        """Writes what the vendor answered; it is of tasks with these ids."""
        write, exchanges = recording.write, _exchanges.get()
        try:
            report.recorded = await asyncio.to_thread(write, self._settings, feed.kind, exchanges, ids, feed.id_key)
        except Exception as error:  # a slip of ours must not hide the report
            log.debug("unexpected error while answers were recorded", exc_info=error)
            report.recorded = [f"not written: unexpected {type(error).__name__}; this is a bug in the exporter"]

    def _warn(self, report: FeedReport, shown: Sequence[Observation]) -> None:
        """What can be said once the calls are done."""
        if report.understood and (report.understood.broken or report.understood.spoiled):
            broken = {Field.TASK: report.understood.spoiled} | dict(report.understood.broken)
            what = ", ".join(f"{field} in {count} rows" for field, count in broken.items() if count)
            unmapped = UnmappedTracker(self._settings, report.kind)
            unmapped.take(shown)
            lines = unmapped.frozen.settings.values()
            mapped = f"; if you know what is meant, add to the provider: {'; '.join(lines)}" if lines else ""
            self._find(report, "warning", Cause.DRIFT, f"not as documented: {what}{mapped}")
        if self._one_token and any(call.endpoint == "token" and not call.error for call in report.calls):
            self._find(report, "warning", Cause.TOKEN_FETCHED, "a new token was asked for")
        skew = _skew(report)
        if abs(skew) > CLOCK_SKEW and all(finding.cause is not Cause.CLOCK for finding in report.findings):
            self._find(report, "warning", Cause.CLOCK, f"the vendor's clock is {apart(skew)} from ours")
        for trouble in self._watch.troubles:
            self._find(report, "warning", Cause.WATCH, trouble)

    def _fail(self, report: FeedReport, error: CallError) -> None:
        if isinstance(error, TokenWithheld) and error.before:
            self._fail(report, error.before)
        cause = error.cause
        signed = self._provider.vendor.signs(self._settings)
        if isinstance(error, AuthRefused) and signed and abs(_skew(report)) > SIGNED_SKEW:
            cause = Cause.CLOCK
        if all(finding.cause is not cause for finding in report.findings):  # list and detail mostly fail alike
            self._find(report, "trouble", cause, f"{error.error}: {error}")

    def _find(self, report: FeedReport, level: str, cause: Cause, what: str) -> None:
        report.findings.append(Finding(level, cause, what, self._provider.advice(cause)))


def _call(exchange: Exchange, settings: ProviderSettings, now: float) -> Call:
    request, answer, error = exchange.request, exchange.answer, exchange.error
    base = settings.base_url
    target = str(request.url).removeprefix(base) if str(request.url).startswith(base + "/") else str(request.url)
    headers = {
        name: value if _OPEN_VALUE.fullmatch(value) else f"{_scheme(value)}<secret>"
        for name, value in request.headers.items()
        if name not in _EVERYDAY_HEADERS
    }
    return Call(
        endpoint=exchange.endpoint,
        request=f"{request.method} {_anonymous(target, settings)}",
        headers=headers,
        body=json.dumps(_without_texts(json.loads(request.content))) if request.content else "",
        status=answer.status if answer else error.status if error else None,
        size=len(answer.body) if answer else None,
        seconds=round(exchange.seconds, 3),
        skew=_ahead(answer.headers, now) if answer else None,
        error=error.error if error else "",
        words=str(error or ""),
        excerpt=error.excerpt if error else "",
    )


def _scheme(value: str) -> str:
    found = _OPEN_VALUE.match(value)
    return found[0] if found and found[0].endswith(" ") else ""


def _anonymous(target: str, settings: Settings) -> str:
    """A path and query without whose they are: ids of projects, users and applications by the names of the settings."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, str) and value and name not in _OPEN_SETTINGS:
            target = re.sub(rf"(?<![\w-]){re.escape(quote(value, safe=''))}(?![\w-])", f"<{name}>", target)
    return target


def _without_texts(json: object) -> object:
    match json:
        case dict():
            return {name: _without_texts(value) for name, value in json.items()}
        case list():
            return [_without_texts(value) for value in json]
    return "<secret>" if isinstance(json, str) else json


def _ahead(headers: httpx.Headers, now: float) -> float | None:
    try:
        return round(parsedate_to_datetime(headers.get("Date", "")).timestamp() - now, 1)
    except (ValueError, TypeError, OverflowError):
        return None


def _skew(report: FeedReport) -> float:
    return next((call.skew for call in reversed(report.calls) if call.skew is not None), 0.0)


def _understood(observations: Sequence[Observation], malformed: int, feed: Feed) -> Understood:
    def share(given: Callable[[Observation], object], among: Callable[[State], bool]) -> FilledShare:
        rows = [one for one in observations if among(one.state)]
        return FilledShare(sum(given(one) is not None for one in rows), len(rows))

    running = {State.RUNNING}
    fields = {
        "submitted": share(lambda one: one.submitted, lambda state: True),
        "started": share(lambda one: one.started, lambda state: state in running or state in MEASURED_ENDS),
        "ended": share(lambda one: one.ended, lambda state: state.is_end),
        "dated": share(lambda one: one.dated, lambda state: state.is_end),
        "progress": share(lambda one: one.progress, lambda state: state in running),
        "output_seconds": share(lambda one: one.output_seconds, lambda state: state is State.SUCCEEDED),
    }
    return Understood(
        rows=len(observations),
        spoiled=malformed,
        states=dict(Counter(str(one.state) for one in observations).most_common()),
        reasons=dict(Counter(str(one.reason) for one in observations if one.reason).most_common()),
        fields=fields,
        broken=dict(Counter(str(part) for one in observations for part in sorted(one.unmapped))),
        clock=str(feed.clock),
        later=sorted(feed.fills),
    )


def _as_explained(one: Observation, fills: Collection[str]) -> Observation:
    """A row as it is in a sweep, where a look-up says what an ended task's words do not."""
    if "reason" not in fills or one.state is not State.FAILED:
        return one
    strange = tuple((part, word) for part, word in one.strange if part is not Field.REASON)
    return replace(one, unmapped=one.unmapped - {Field.REASON}, strange=strange)
