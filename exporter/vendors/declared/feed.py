"""A feed by declaration: lists and look-ups, from the request to observations."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

import httpx

from exporter.client.answers import Answer
from exporter.client.client import Client
from exporter.client.errors import CallError, ContractBroken, TaskNotFound, refusal
from exporter.client.reasons import code_of
from exporter.config.models import ProviderSettings
from exporter.config.vendors.words import plain
from exporter.tasks import Observation, Reason
from exporter.vendors.declared.auth.schemes import Scheme
from exporter.vendors.declared.declaration import (
    AnswerEnvelope,
    DetailRequest,
    EndedRequest,
    FeedDeclaration,
    ListRequest,
    Missing,
    Paging,
)
from exporter.vendors.declared.reading.expressions import Expression, ExpressionFailed, is_true
from exporter.vendors.declared.reading.rows import RowReader
from exporter.vendors.declared.reading.words import Words
from exporter.vendors.declared.requests import Request, Value, window_values
from exporter.vendors.fields import read_page, read_rows
from exporter.vendors.vendor import START, Document, Feed, Page, Position, filled, lacks

T = TypeVar("T")

Refused = Callable[[str, int, object, str], None]
"""What a vendor's file makes of a refusal: endpoint, HTTP status, code and words. It raises, or leaves it to tables."""

TRIES = 6
"""Requests for an ended task that may fail before it counts as other answers show it; a sweep makes two of them."""

LONGEST_CURSOR = 4096
"""Characters of a cursor or a link; a longer one breaks the contract."""


@dataclass(frozen=True)
class SignedCaller:
    """Sends requests of one provider, signed, and hands the bodies of good answers on."""

    client: Client
    scheme: Scheme
    envelope: AnswerEnvelope
    headers: Mapping[str, str]
    """Of every request."""
    refused: Refused | None = None
    in_common_words: Callable[[str], str] = str

    async def call(self, endpoint: str, request: Request, read: Callable[[Answer], T]) -> T:
        """What `read` makes of the answer. Raises CallError, TaskNotFound."""

        async def attempt(auth: httpx.Auth) -> T:
            return await self.client.call(
                endpoint,
                request.method,
                request.url,
                headers={**self.headers, **request.headers},
                json=request.json,
                auth=auth,
                read=read,
            )

        return await self.scheme.use(attempt)

    def opened(self, endpoint: str, answer: Answer, reasons: Words[Reason]) -> Any:
        """The body of a good answer. Raises CallError for a refusal, TaskNotFound where a vendor's own file says so."""
        body = answer.json()
        if answer.status < 400 and self.envelope.is_good(body):
            return body
        code, text = self.envelope.refused_with(body)
        text = self.in_common_words(text) if isinstance(text, str) else ""
        if self.refused:
            self.refused(endpoint, answer.status, code, text)
        known = reasons.meaning(code) or reasons.meaning(text)
        codes = {code_of(code) or code_of(text): known} if known else {}
        raise refusal(answer.status, code=code, text=text, codes=codes)

    def denies(self, missing: Missing, answer: Answer) -> bool:
        """Whether an answer refuses since there is nothing of what was asked for. Raises ContractBroken for no JSON."""
        if answer.status in missing.status and answer.body.lstrip()[:1] != b"<":
            return True  # a page of HTML would be that of something else at a wrong address
        return bool(missing.code) and plain(self.envelope.refused_with(answer.json())[0]) in missing.code


class DeclaredFeed(Feed):
    """A feed as its declaration says."""

    def __init__(
        self,
        kind: str,
        declared: FeedDeclaration,
        settings: ProviderSettings,
        caller: SignedCaller,
        observe: RowReader,
        *,
        own: Mapping[str, Value],
        asked: Callable[[str], str],
        completed: Callable[[object, str], object],
    ) -> None:
        """`own` are the provider's values of placeholders that the vendor's declaration adds.

        `asked` and `completed` are the `Hooks` of these names.
        """
        listing, detail = declared.list_, declared.detail
        if listing and (where := getattr(settings, "where", None)):
            listing = listing.model_copy(update={"where": Expression(where)})
        self.kind = kind
        self.clock = declared.clock
        self.document = Document(declared.title or kind, declared.document or "")
        self.id_key = declared.fields.id.key or "id"
        self.lists = listing is not None
        self.looks_up = detail is not None
        # Without a detail only the whole list shows that a task is gone.
        self.is_sorted = listing is not None and listing.order == "newest_first" and detail is not None
        self.lists_in_flight = listing is not None and bool(listing.in_flight)
        self.lists_ends_alone = listing is not None and listing.ends_alone
        self.window = listing.window if listing else None
        self.batch = detail.batch if detail else 1
        self.fills = frozenset(detail.fills if detail and listing else ())
        self.units = tuple(one.unit for one in declared.fields.usage or ())
        self.observe = observe
        self.caller = caller
        self.own = own
        self.now: Callable[[], float] = time.time
        self._listing = listing
        self._detail = detail
        self._settings = settings
        self._asked = asked
        self._completed = completed
        self._window: dict[str, Value] = {}
        self._in_vain: Counter[str] = Counter()
        """How often ended tasks were asked for by themselves without an answer."""

    async def list_page(self, at: Position = START, *, in_flight: bool = False) -> Page:
        listing = self._listing
        if listing is None:
            raise ContractBroken("this feed has no list")
        if at.index == 0 or not self._window:  # the same window for all pages of a sweep
            now, (since, until) = self.now(), self.within
            self._window = window_values(max(since, now - (listing.window or self._settings.history)), min(until, now))
        values: dict[str, Value] = {
            **self.own,
            **self._window,
            "page": at.index + listing.paging.first,
            "offset": at.rows,
            "cursor": at.cursor,
            "page_size": self._settings.page_size,
        }
        url = str(at.cursor) if listing.paging.type == "link" and at.cursor else ""
        request = (listing.template_in_flight if in_flight else listing.template).filled(values, url)
        return await self.caller.call("list", request, partial(self._page, listing, at, request))

    def _page(self, listing: ListRequest, at: Position, request: Request, answer: Answer) -> Page:
        body = self.caller.opened("list", answer, self.observe.reasons)
        rows = _or_broken(listing.rows, body, "rows")
        if rows is None and listing.rows.is_empty_in(body):
            rows = []
        if not isinstance(rows, list):
            raise ContractBroken("the answer is not of the documented shape at the rows")
        more = None if listing.last is None else not listing.last.is_true_of(body)
        cursor = self._next(listing.paging, body, request)
        paging = listing.paging.type
        if paging == "none" or (paging in ("cursor", "link") and (not cursor or cursor == at.cursor)):
            more = False
        page = read_page(
            rows,
            lambda row: self.observe(self._completed(row, "")),
            asked=self._settings.page_size,
            received=at.rows,
            total=_count(listing.total.or_none(body)) if listing.total else None,
            more=more,
            is_other=(lambda row: False) if listing.where is None else partial(is_other, listing.where),
        )
        return page if cursor is None else page.going_on_at(cursor)

    def _next(self, paging: Paging, body: Any, request: Request) -> str | int | None:
        """The vendor's own word for the next page. Raises ContractBroken for one that cannot be followed."""
        found = paging.next.or_none(body) if paging.next else None
        if found is None or found == "" or found is False:
            return None
        if isinstance(found, bool) or not isinstance(found, str | int) or len(str(found)) > LONGEST_CURSOR:
            raise ContractBroken("the answer is not of the documented shape at the next page")
        return self._link(str(found), request) if paging.type == "link" else found

    def _link(self, link: str, request: Request) -> str:
        """A link to the same host, as a URL below ours whatever its form: another host would get the credentials."""
        base = self.caller.client.base_url
        asked = request.url if request.url.startswith(base) else base + request.url
        try:
            here, there = urlsplit(base), urlsplit(urljoin(asked, link))
            # Servers behind a proxy often write their links with http://.
            servers = {_server(here), ("http", here.hostname, 80) if here.scheme == "https" else None}
            if there.username is None and _server(there) in servers:
                return urlunsplit((here.scheme, here.netloc, there.path, there.query, ""))
        except ValueError:
            pass
        raise ContractBroken("the link to the next page leads to another host")

    async def look_up(self, task_id: str) -> Sequence[Observation]:
        found = await self.look_up_all([task_id])
        if task_id not in found:
            raise TaskNotFound
        return found[task_id]

    async def look_up_all(self, ids: Sequence[str]) -> Mapping[str, Sequence[Observation]]:
        detail = self._detail
        if detail is None:
            return {}
        read = partial(self._found, detail, ids)
        try:
            asked = [self._asked(one) for one in ids]
            values: dict[str, Value] = {**self.own, "id": asked[0], "ids": asked}
            found = await self.caller.call("detail", detail.template.filled(values), read)
        except TaskNotFound:
            if len(ids) > 1:
                raise
            return {}
        return await self._in_full(detail.ended, found) if detail.ended else found

    async def _in_full(
        self, ended: EndedRequest, found: Mapping[str, Sequence[Observation]]
    ) -> Mapping[str, Sequence[Observation]]:
        """The same with everything about their ends. Those that are not answered are left out, to be asked for again by
        themselves; raises CallError where there is nothing else."""
        told: dict[str, Sequence[Observation]] = {}
        failures: list[CallError] = []
        for task_id, observations in found.items():
            try:
                told[task_id] = [await self._with_end(ended, one) for one in observations]
            except CallError as error:
                failures.append(error)
                self._in_vain[task_id] += bool(error.endpoint)
                if self._in_vain[task_id] < TRIES:
                    if len(failures) > 1 or not error.endpoint:
                        break
                    continue
                told[task_id] = observations
            del self._in_vain[task_id]
        if failures and not told:
            raise failures[0]
        return told

    async def _with_end(self, ended: EndedRequest, one: Observation) -> Observation:
        """What an answer says about a task, with what its own request adds if it has ended, even that it has not."""
        if not one.state.is_end or not lacks(one, ended.fills):
            return one
        values: dict[str, Value] = {**self.own, "id": self._asked(one.id)}
        read = partial(self._found, ended, [one.id])
        try:
            found = await self.caller.call("detail", ended.template.filled(values), read)
        except TaskNotFound:
            return one
        detail = next((each for each in found.get(one.id, ()) if each.id == one.id), None)
        if detail is None:
            return one
        return filled(one, detail, ended.fills) if detail.state.is_end else detail

    def _found(
        self, detail: DetailRequest | EndedRequest, ids: Sequence[str], answer: Answer
    ) -> Mapping[str, Sequence[Observation]]:
        """The tasks of an answer, by the ids that were asked for.

        Raises CallError, and TaskNotFound where the answer is that the vendor does not know what was asked for.
        """
        if self.caller.denies(detail.missing, answer):
            raise TaskNotFound
        body = self.caller.opened("detail", answer, self.observe.reasons)
        if detail.missing.is_shown_in(body):
            return {}
        rows = _or_broken(detail.row, body, "row")
        if rows in ([], {}, "") or (rows is None and detail.row.is_empty_in(body)):
            return {}
        if rows is None:
            raise ContractBroken("the detail shows no task")
        single = not isinstance(rows, list)
        asked = ids[0] if detail.batch == 1 else ""
        observations, _ = read_rows([rows] if single else rows, lambda row: self.observe(self._completed(row, asked)))
        if not observations:
            raise ContractBroken("the detail shows no task")
        by_id = {one.id: [one] for one in observations}
        if detail.batch > 1:
            return {one: by_id[one] for one in ids if one in by_id}
        (only,) = ids
        if single and only not in by_id:
            raise ContractBroken("the detail shows another task")
        return {only: by_id.get(only) or observations}


def _server(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _count(value: object) -> int | None:
    """A number of rows, also where it is written as 40.0 or as a text; None for anything else."""
    text = plain(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= 15 else None


def is_other(where: Expression, row: object) -> bool:
    """Whether a row is a task of another feed. One that the expression does not suit is not taken away by it."""
    try:
        return not is_true(where(row))
    except ExpressionFailed:
        return False


def _or_broken(select: Expression, body: object, where: str) -> Any:
    try:
        return select(body)
    except ExpressionFailed as error:
        raise ContractBroken(f"the answer is not of the documented shape at {where}: {error}") from None
