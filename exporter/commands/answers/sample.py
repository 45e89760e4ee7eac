"""What a declared vendor's answer says, row by row. The answer is in a file; nothing is asked.

It goes the way of one that is polled: a feed of the type reads it. Of its texts nothing is kept for the output but ids,
names of keys, and words that have the form of a code.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from exporter.client.answers import SIZE_LIMIT, Answer
from exporter.client.client import Client
from exporter.client.errors import CallError, ContractBroken, TaskNotFound
from exporter.commands.answers.exported import exported
from exporter.commands.doctor.diagnosis import FilledShare
from exporter.commands.ledgers.look import LedgerFile
from exporter.config.models import ProviderSettings, Secret
from exporter.ledger.counting.times import believed, concluded
from exporter.ledger.sweep import Sweep
from exporter.tasks import ENDS, Observation, State
from exporter.vendors.declared.declaration import Declaration, FeedDeclaration
from exporter.vendors.declared.feed import DeclaredFeed, is_other
from exporter.vendors.declared.reading.expressions import Expression, ExpressionFailed
from exporter.vendors.declared.vendor import vendor_of
from exporter.vendors.vendor import Provider, Vendor

ROWS = 2000
"""Rows that are looked at."""

HISTORY = "3650d"
"""How old tasks may be to count: samples are."""

_STAND_IN = "stands-in-for-a-credential-of-the-provider"


class NotAnAnswer(Exception):
    """A file that is no answer, and why."""


@dataclass(frozen=True)
class SampleRow:
    """One row of the answer."""

    raw: Any
    """As it stands in the answer."""
    observation: Observation | None = None
    """None where it is no task of the feed."""
    is_other: bool = False
    """Whether `where` takes it out: a task of another feed."""
    ends_as: State | None = None
    """How it counts as ended though nothing maps its state."""
    rejected: Collection[str] = ()
    """Times that are impossible."""


@dataclass
class Sample:
    """What an answer says."""

    body: Any
    form: str = ""
    """`list` or `detail`; empty where no rows are found."""
    refusal: CallError | None = None
    """The refusal that it is, by `answer.ok`."""
    code: object = None
    """The code of a refusal, or of what may be one."""
    may_be_refusal: bool = False
    """Whether only the HTTP status marks a refusal, which the file does not say."""
    is_unknown_task: bool = False
    """Whether it says that the vendor does not know the task."""
    trouble: str = ""
    """Why it cannot be used as a whole."""
    rows: Sequence[SampleRow] = ()
    left_out: int = 0
    """Rows that are not looked at."""
    is_last: bool | None = None
    """Whether the list ends with it."""
    found: Mapping[str, FilledShare] = field(default_factory=dict)
    """By declared field."""
    series: Sequence[str] = ()
    """The samples that result."""

    @property
    def tasks(self) -> list[Observation]:
        return [row.observation for row in self.rows if row.observation is not None]


def body_of(content: bytes) -> Any:
    """The JSON in a file. Raises NotAnAnswer."""
    if len(content) > SIZE_LIMIT:
        raise NotAnAnswer(f"larger than {SIZE_LIMIT // 2**20} MiB: the exporter reads no such answer")
    try:
        return Answer(200, httpx.Headers(), content).json()
    except ContractBroken as error:
        raise NotAnAnswer(_why_not_json(content) or str(error)) from None


def _why_not_json(content: bytes) -> str:
    """Where JSON goes wrong, without a word of it; empty where it does not."""
    if not content.strip():
        return "empty; save the body of one answer in it"
    if content.lstrip().startswith(b"<"):
        return "HTML or XML, not JSON; save the body of one answer in it"
    try:
        json.loads(content)
    except json.JSONDecodeError as error:
        return f"not JSON: line {error.lineno}, column {error.colno}: {error.msg.lower()}"
    except (ValueError, RecursionError):
        pass
    return ""


async def understood(name: str, declaration: Declaration, kind: str, content: bytes) -> Sample:
    """What an answer says, read as the declaration of a feed says. Raises NotAnAnswer."""
    sample = Sample(body_of(content))
    provider = _provider(vendor_of(name, declaration), declaration, content)
    try:
        feed = next(one for one in provider.feeds if one.kind == kind and isinstance(one, DeclaredFeed))
        await _read(sample, provider, feed, declaration, time.time())
    finally:
        await provider.aclose()
    return sample


async def _read(sample: Sample, provider: Provider, feed: DeclaredFeed, declaration: Declaration, now: float) -> None:
    declared, envelope = declaration.feeds[feed.kind], declaration.answer
    sample.code, _ = envelope.refused_with(sample.body)
    sample.may_be_refusal = envelope.ok is None
    if not envelope.is_good(sample.body):
        await _play(sample, feed, "detail" if declared.detail else "list", ["sample"])
        return
    if declared.detail and declared.detail.missing.is_shown_in(sample.body):
        sample.is_unknown_task = True
        return
    shown = {form: rows_at(path, sample.body) for form, path in paths_of(declared).items()}
    rows = {form: [_row(one, feed, declared, form, now) for one in found[:ROWS]] for form, found in shown.items()}
    sample.form = _form_of(rows, sample.body, declared)
    if not sample.form:
        return
    sample.rows = rows[sample.form]
    sample.left_out = max(0, len(shown[sample.form]) - ROWS)
    sample.found = dict(_found(declared, sample.rows))
    is_single = feed.batch == 1 and not isinstance(value_at(paths_of(declared)[sample.form], sample.body), list)
    ids = [one.id for one in sample.tasks] if is_single or feed.batch > 1 else ["sample"]
    await _play(sample, feed, sample.form, ids or ["sample"])
    sample.series = await _series(sample, provider, feed, now)


def paths_of(declared: FeedDeclaration) -> dict[str, Expression]:
    """Where the rows are, by the form of the answer."""
    paths = {"list": declared.list_ and declared.list_.rows, "detail": declared.detail and declared.detail.row}
    return {form: path for form, path in paths.items() if path}


def value_at(path: Expression, value: Any) -> Any:
    """What is at a path; None also where the expression does not suit the value."""
    try:
        return path(value)
    except ExpressionFailed:
        return None


def rows_at(path: Expression, body: Any) -> list[Any]:
    """What is at a path, as rows."""
    found = value_at(path, body)
    if isinstance(found, list):
        return found
    return [found] if isinstance(found, dict) and found else []


def _form_of(rows: Mapping[str, Sequence[SampleRow]], body: Any, declared: FeedDeclaration) -> str:
    """The form in which most tasks are found; empty where the answer has neither."""
    counts = {form: sum(row.observation is not None or row.is_other for row in found) for form, found in rows.items()}
    best = max(counts, key=lambda form: counts[form])
    if counts[best]:
        # A path that both have in common, such as `data`, finds either: a list of rows, or one.
        alone = [form for form, path in paths_of(declared).items() if isinstance(value_at(path, body), dict)]
        tied = [form for form in counts if counts[form] == counts[best]]
        return "detail" if len(tied) > 1 and "list" in alone else best
    is_list = declared.list_ is not None and isinstance(value_at(declared.list_.rows, body), list)
    return "list" if is_list else ""


def _row(raw: Any, feed: DeclaredFeed, declared: FeedDeclaration, form: str, now: float) -> SampleRow:
    where = declared.list_.where if declared.list_ and form == "list" else None
    if where is not None and is_other(where, raw):
        return SampleRow(raw, is_other=True)
    try:
        observation = feed.observe(raw)
    except ValueError:
        return SampleRow(raw)
    after = concluded(observation, now)
    ends_as = after.state if after.state is not observation.state else None
    return SampleRow(raw, observation, ends_as=ends_as, rejected=sorted(believed(observation, now).rejected))


def _found(declared: FeedDeclaration, rows: Sequence[SampleRow]) -> Iterator[tuple[str, FilledShare]]:
    """How often each declared field stands in the rows that may have it."""
    may_have = {
        "started": {State.RUNNING, State.SUCCEEDED, State.FAILED},
        "ended": set(ENDS),
        "output": {State.SUCCEEDED},
        "result": {State.SUCCEEDED},
        "progress": {State.RUNNING},
        "code": {State.FAILED},
        "text": {State.FAILED},
    }
    for name in type(declared.fields).model_fields:
        paths = declared.fields.paths(name)
        if not paths:
            continue
        states = may_have.get(name, set(State))
        among = [row.raw for row in rows if row.observation and row.observation.state in states]
        told = (any(value_at(path, one) not in (None, "") for path in paths) for one in among)
        yield name, FilledShare(sum(told), len(among))


async def _play(sample: Sample, feed: DeclaredFeed, form: str, ids: Sequence[str]) -> None:
    """Has the feed read the answer, and notes what it makes of it."""
    try:
        if form == "list":
            sample.is_last = (await feed.list_page()).last
        elif not await feed.look_up_all(ids):
            sample.is_unknown_task = not sample.tasks
    except TaskNotFound:
        sample.is_unknown_task = True
    except CallError as error:
        if sample.form:
            sample.trouble = str(error)
        else:
            sample.refusal = error


async def _series(sample: Sample, provider: Provider, feed: DeclaredFeed, now: float) -> Sequence[str]:
    sweep = Sweep(complete=True, malformed=sum(not row.observation and not row.is_other for row in sample.rows))
    sweep.show(sample.tasks, now, listed=sample.form == "list")
    return await exported(provider, feed, sweep, now)


def _provider(vendor: Vendor, declaration: Declaration, content: bytes) -> Provider:
    """A provider of the type, at which the sample answers every call."""
    given: dict[str, Any] = {"name": vendor.name, "type": vendor.name, "history": HISTORY, "page_size": "500"}
    if declaration.base_url is None:
        given["base_url"] = "http://sample.invalid"
    given |= {name: Secret(_STAND_IN) for name in declaration.credentials}
    given |= {name: "0s" for name, own in declaration.settings.items() if own.default is None}
    settings: ProviderSettings = vendor.settings.model_validate(given)
    played = httpx.MockTransport(lambda request: httpx.Response(200, content=content))
    client = Client(settings.base_url, rate=1e6, transport=played)
    return Provider(settings, client, vendor.feeds(settings, client, LedgerFile(":memory:")), vendor)
