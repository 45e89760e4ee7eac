"""What the pages of docs/vendors/ have from the code: endpoints, requests a day, what is known, states and reasons."""

from __future__ import annotations

import asyncio
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from docs.tools import asking, configuration
from docs.tools.markdown import DOCS, row, table, with_part, words
from exporter.client.client import Exchange
from exporter.simulator import fake_of, names
from exporter.tasks import Observation, Reason, State
from exporter.vendors.api import Vendor
from exporter.vendors.builtin._gateway import words as gateways
from exporter.vendors.registry import built_in, declaration_of

DAY = 86400
IN_FLIGHT = (0, 10, 100, 300)
"""Tasks in flight for which requests are counted."""

_NUMBERED = re.compile(r"[a-z]+\.\d+")
"""A code that its vendor writes in capitals."""

_CURSOR = re.compile(r"\d+|&[a-z_]+=\{id\}")
"""What differs between the requests for two pages."""


def states_of(vendor: Vendor, kind: str) -> Mapping[str, State]:
    """The vendor's words for states."""
    declaration = declaration_of(vendor.name)
    if declaration is None:
        return gateways.STATES
    return {word: state for state, words_ in declaration.feeds[kind].states.items() for word in words_}


def reasons_of(vendor: Vendor) -> Mapping[str, Reason]:
    """The vendor's codes and words for reasons."""
    declaration = declaration_of(vendor.name)
    if declaration is None:
        return gateways.CODES
    feeds = declaration.feeds.values()
    tables = [each for feed in feeds for each in (feed.reasons, feed.vague_reasons)]
    return {word: reason for each in tables for reason, words_ in each.items() for word in words_}


@dataclass(frozen=True)
class Asked:
    """What came of asking about one feed."""

    kind: str
    lists: bool
    listed: list[list[Exchange]]
    """The calls of a sweep, for each of the numbers of tasks."""
    alone: list[list[Exchange]]
    """The same where the tasks can be known by their ids alone; empty where the credentials always list."""
    shown: list[Observation]


def page(vendor: Vendor) -> str:
    """A vendor's page with the present numbers in it."""
    feeds = asyncio.run(_asked(vendor))
    text = "\n".join(
        (
            *configuration.of_type(vendor),
            *_known(vendor, feeds),
            *_requests(vendor, feeds),
            *_states(vendor),
            *_reasons(vendor),
        )
    )
    return with_part(DOCS / "vendors" / f"{vendor.name}.md", "the numbers", f"\n{text}\n")


PAGES: dict[Path, Callable[[], str]] = {
    DOCS / "vendors" / f"{name}.md": partial(page, built_in()[name]) for name in names() if name in built_in()
}


async def _asked(vendor: Vendor) -> list[Asked]:
    async def about(kind: str) -> Asked:
        feed = (vendor.name, kind)
        lists = vendor.tells[kind].listed
        alone = asking.sweeps(feed, IN_FLIGHT if vendor.name in asking.LISTING else (), listed=False)
        most = asking.sweeps(feed, IN_FLIGHT, listed=lists)
        return Asked(kind, lists, *await asyncio.gather(most, alone, asking.shown(feed)))

    return await asyncio.gather(*map(about, vendor.kinds))


def _known(vendor: Vendor, feeds: Sequence[Asked]) -> Iterator[str]:
    """Where each feed is read, and what is known of its tasks."""
    most = [feed.listed[-1] for feed in feeds]
    shown = [feed.shown for feed in feeds]
    flying = [[one for one in each if not one.state.is_end] for each in shown]
    later = [_once_ended(vendor, feed.kind) for feed in feeds]
    both = list(zip(shown, later, strict=True))
    rows: dict[str, Iterable[str]] = {
        "list": (f"`{_request(one.listed[-1][0], vendor)}`" if one.lists else "none" for one in feeds),
        "tasks in flight that it does not show": (_elsewhere(calls, vendor) for calls in most),
        "tasks that wait": (_yes(one.state is State.QUEUED for one in each) for each in shown),
        "time of submission": (
            _whose((one.submitted for one in feed.shown), seen=feed.lists, later="submitted" in parts)
            for feed, parts in zip(feeds, later, strict=True)
        ),
        "time of start": (_whose((one.started for one in feed.shown), seen=_shows_starts(feed)) for feed in feeds),
        "time of end": (_whose((one.ended for one in each), later="ended" in parts) for each, parts in both),
        "progress of running tasks": (
            _yes((one.progress is not None for one in each), perhaps="progress" in vendor.tells[feed.kind].parts)
            for feed, each in zip(feeds, flying, strict=True)
        ),
        "seconds of video": (_yes(["output" in parts, *(one.output_seconds for one in each)]) for each, parts in both),
        "model": (_yes(one.model for one in each) for each in shown),
        "cost": (_yes(one.usage for one in each) for each in shown),
        "balance of the account": (_balance(vendor) for _ in feeds),
    }
    yield "## What is read, and what is known\n"
    yield from table(("", *(f"`{feed.kind}`" for feed in feeds)), ((name, *cells) for name, cells in rows.items()))
    yield ""


def _elsewhere(calls: Sequence[Exchange], vendor: Vendor) -> str:
    """How tasks are found that the first page does not show."""
    first, last = _request(calls[0], vendor), _request(calls[-1], vendor)
    pages = calls[-1].endpoint == "list" and _CURSOR.sub("", first) == _CURSOR.sub("", last)
    return "more pages, all of them at each sweep" if pages else f"`{last}`"


def _balance(vendor: Vendor) -> str:
    with_ = " and ".join(f"`{name}`" for name in vendor.account_needs)
    return f"with {with_}" if with_ else _yes([vendor.account])


def _once_ended(vendor: Vendor, kind: str) -> Collection[str]:
    """The parts that only the look-up of an ended task reports."""
    declaration = declaration_of(vendor.name)
    detail = declaration.feeds[kind].detail if declaration else None
    return {*detail.fills, *(detail.ended.fills if detail.ended else ())} if detail else ()


def _yes(known: Iterable[object], *, perhaps: bool = False) -> str:
    return "yes" if any(known) else "where the vendor reports it" if perhaps else "no"


def _whose(times: Iterable[float | None], *, seen: bool = True, later: bool = False) -> str:
    """By whose clock a time is: the vendor's, or ours where the exporter sees it happen."""
    if any(times):
        return "the vendor's"
    return "the vendor's, once it has ended" if later else "observed" if seen else "unknown"


def _shows_starts(feed: Asked) -> bool:
    return feed.lists or any(one.state is State.QUEUED for one in feed.shown)


def _request(exchange: Exchange, vendor: Vendor) -> str:
    """A request's method and path, with names for what is ours in them."""
    path = exchange.request.url.raw_path.decode().removeprefix(fake_of(vendor.name).prefix)
    path = re.sub(r"task-\d+((,|%2C)task-\d+)*", "{id}", path)
    path = re.sub(r"(?<==)\d{9,}", "{time}", path).replace(asking.KEYS.huawei_project_id, "{project_id}")
    return f"{exchange.request.method} {path}"


def _requests(vendor: Vendor, feeds: Sequence[Asked]) -> Iterator[str]:
    """What polling costs, as counted."""
    defaults = {name: field.default for name, field in vendor.settings.model_fields.items()}
    interval, rate = defaults["poll_interval"], defaults["rate_limit"]
    ways: dict[str, list[list[Exchange]]] = {}
    for feed in feeds:
        ways |= {f"`{feed.kind}`, listed" if feed.alone else f"`{feed.kind}`": feed.listed}
        ways |= {f"`{feed.kind}`, by ids alone": feed.alone} if feed.alone else {}
    head = [column for way in ways for column in (f"{way}: requests a sweep", "a day")]
    rows = []
    for index, count in enumerate(IN_FLIGHT):
        numbers = [len(calls[index]) for calls in ways.values()]
        cells = [cell for number in numbers for cell in (f"{number:,}", _a_day(number, interval, rate))]
        rows.append([str(count) if count else "none", *cells])
    yield "## Requests at default settings\n"
    yield f"`poll_interval: {interval:g}s`, `rate_limit: {rate:g}/s`, `page_size: {defaults['page_size']}`.\n"
    yield from table(("tasks in flight", *head), rows)
    yield ""
    yield textwrap.fill(
        "Counted while the tasks in flight are the newest of all. More than one list page is read for tasks in flight "
        "that it does not show: because there are too many of them, or because newer ones have ended. All feeds "
        f"together send at most {rate * DAY:,.0f} requests a day, because of `rate_limit`. A sweep of more than "
        f"{rate * interval:.0f} takes longer than the interval, and the next one follows at once.",
        width=120,
    )
    yield ""


def _a_day(requests: int, interval: float, rate: float) -> str:
    return f"{min(requests / interval, rate) * DAY:,.0f}"


def _states(vendor: Vendor) -> Iterator[str]:
    yield "## States\n"
    for kind in vendor.kinds:
        yield from table((f"the vendor's, in `{kind}`", "state"), ())
        by_state: dict[State, list[str]] = {}
        for value, state in states_of(vendor, kind).items():
            by_state.setdefault(state, []).append(value)
        yield from (row((_spans(values), f"`{state}`")) for state, values in by_state.items())
        yield ""


def _beginning(code: str) -> str:
    match code[:1]:
        case "^":
            return f"{code[1:]}*"
        case "~":
            return f"*{code[1:]}*"
    return code


def _spans(values: Sequence[str]) -> str:
    """Values in a list, or numbers in a row by the first and the last of them."""
    numbers = [int(value) for value in values if value.isdecimal()]
    if len(numbers) == len(values) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"`{numbers[0]}` to `{numbers[-1]}`"
    return words(values)


def _reasons(vendor: Vendor) -> Iterator[str]:
    yield "## Reasons\n"
    yield from table(("the vendor's code", "reason"), ())
    by_reason: dict[Reason, list[str]] = {}
    for code, reason in reasons_of(vendor).items():
        by_reason.setdefault(reason, []).append(code.upper() if _NUMBERED.fullmatch(code) else code)
    yield from (row((words(map(_beginning, codes)), f"`{reason}`")) for reason, codes in by_reason.items())
    if any(code.startswith(("^", "~")) for codes in by_reason.values() for code in codes):
        yield "\n`*` stands for anything."
    yield "\nWhere no code tells the reason, words of the vendor's text do, English or Chinese; else it is `unknown`."
