"""What may be declared of a vendor: the format of DESIGN.md section 10, as typed settings.

A value's type finds the faults of that value alone. `faults` finds those that only several values together show.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from exporter.config.files.document import KeyPath, typed
from exporter.config.mistakes import slips
from exporter.config.mistakes.faults import told_of
from exporter.config.models import ProviderSettings, Settings
from exporter.config.values import BaseUrl, Interval, Kind, Name, Rate, WebUrl, fault
from exporter.config.vendors.types import VendorDeclaration
from exporter.config.vendors.words import ReasonWords, StateWords, faults_of_words, plain
from exporter.tasks import Cause, Clock
from exporter.vendors.declared.auth.settings import Auth, HeaderName, HeaderText
from exporter.vendors.declared.reading.expressions import Expression
from exporter.vendors.declared.requests import (
    ALWAYS,
    ID,
    IDS,
    PAGING,
    WINDOW,
    RequestTemplate,
    Template,
    unknown_names,
)
from exporter.vendors.declared.row_fields import Fields, Path, UsageField, as_offset


def _path_below(value: str) -> str:
    if not value.startswith(("/", "{")):
        raise fault("not a path; write the path below base_url with a / at its beginning")
    if "#" in value or " " in value or not value.isprintable():
        raise fault("not a path; write it as the vendor does, without blanks, line breaks and #")
    return value


Json = Annotated[Any, BeforeValidator(typed)]
"""A body: of what stands without quotes, numbers, booleans and null are what YAML 1.2 takes them for."""

UrlPath = Annotated[str, AfterValidator(_path_below)]


def _without_braces(url: str) -> str:
    if "{" in url or "}" in url:
        raise fault("holds braces; write the address itself: placeholders stand in the paths below it")
    return url


OwnBaseUrl = Annotated[BaseUrl, AfterValidator(_without_braces)]


class Paging(Settings):
    """How a list goes on after a page."""

    type: Literal["page", "offset", "cursor", "link", "none"] = Field(description="what names the next page")
    first: int = Field(default=1, ge=0, le=1, description="the number of the first page")
    next: Path | None = Field(default=None, description="the next cursor or link in the body of the answer")


class _Request(Settings):
    method: Literal["GET", "POST"] = Field(default="GET", description="of the request")
    path: UrlPath = Field(description="below base_url")
    query: dict[str, str] = Field(default_factory=dict, description="parameters; one with an empty value is left out")
    headers: dict[HeaderName, HeaderText] = Field(default_factory=dict, description="of this request")
    body: Json = Field(default=None, alias="json", description="the body, with the same placeholders")

    @cached_property
    def template(self) -> RequestTemplate:
        """The request with its placeholders parsed."""
        return RequestTemplate(self.method, self.path, self.query, self.body, self.headers)


class ListRequest(_Request):
    """The request for a list of tasks, and what its answer holds."""

    rows: Path = Field(default_factory=lambda: Expression("@"), description="the list of rows in the answer")
    where: Path | None = Field(default=None, description="over a row: others are no tasks of this feed")
    paging: Paging = Field(default_factory=lambda: Paging(type="none"), description="how the list goes on")
    last: Path | None = Field(default=None, description="over the answer: true on the last page")
    total: Path | None = Field(default=None, description="how many rows all pages have together")
    order: Literal["newest_first", "unknown"] = Field(default="newest_first", description="how the rows are sorted")
    window: Interval | None = Field(default=None, description="how far back the vendor lists")
    ends_alone: bool = Field(
        default=False, description="whether tasks are shown once they have ended, and an end is dated here alone"
    )
    in_flight: dict[str, str] = Field(
        default_factory=dict, description="more parameters that ask for the tasks in flight alone, where there are such"
    )

    @cached_property
    def template_in_flight(self) -> RequestTemplate:
        """The request for the tasks in flight alone."""
        return RequestTemplate(self.method, self.path, {**self.query, **self.in_flight}, self.body, self.headers)


class Missing(Settings):
    """How the vendor answers that it does not know a task, or has no balance to report."""

    status: list[Annotated[int, Field(ge=400, le=599)]] = Field(default_factory=list, description="HTTP statuses")
    code: list[Annotated[str, AfterValidator(plain)]] = Field(
        default_factory=list, description="codes in the answer, as `answer.code` finds them"
    )
    when: Path | None = Field(default=None, description="over a good answer: true where it shows none")

    def is_shown_in(self, body: object) -> bool:
        """Whether the body of a good answer says so."""
        return self.when is not None and self.when.is_true_of(body)


Parts = list[Literal["reason", "output", "usage", "model", "submitted", "started", "ended"]]


class EndedRequest(_Request):
    """The request for one task that has ended, where that alone reports all."""

    batch: ClassVar[int] = 1
    missing: ClassVar[Missing] = Missing(status=[404])
    row: Path = Field(default_factory=lambda: Expression("@"), description="the task")
    fills: Parts = Field(min_length=1, description="what only this request reports")


class DetailRequest(_Request):
    """The request for one task, or for several by their ids."""

    row: Path = Field(default_factory=lambda: Expression("@"), description="the task, or a list of tasks")
    batch: int = Field(default=1, ge=1, le=500, description="ids of one request")
    missing: Missing = Field(default_factory=lambda: Missing(status=[404]), description="an unknown task")
    fills: Parts = Field(
        default_factory=list, description="what only the detail reports about an ended task, where there is a list too"
    )
    ended: EndedRequest | None = Field(default=None, description="a request for each ended task beside this one")


class FeedDeclaration(Settings):
    """One family of tasks."""

    optional: bool = Field(default=False, description="whether only providers that name it under `feeds` have it")
    clock: Clock = Field(default=Clock.PROVIDER, description="whose times the durations come from")
    title: str = Field(default="", description="what the vendor's document is called")
    document: WebUrl | None = Field(default=None, description="the vendor's document")
    list_: ListRequest | None = Field(default=None, alias="list", description="the list, where there is one")
    detail: DetailRequest | None = Field(default=None, description="single tasks, where they can be asked for")
    fields: Fields = Field(description="where a row has what")
    states: StateWords = Field(description="the vendor's words for each state; `^` begins a prefix, `~` a part")
    reasons: ReasonWords = Field(
        default_factory=dict, description="codes and words of failures for each reason; `^` begins a prefix, `~` a part"
    )
    vague_reasons: ReasonWords = Field(
        default_factory=dict, description="the same for codes that say less than the words beside them"
    )


class AnswerEnvelope(Settings):
    """What is around every answer."""

    ok: Path | None = Field(default=None, description="over the body: a false one is a refusal")
    code: Path | None = Field(default=None, description="the code of a refusal")
    text: Path | None = Field(default=None, description="the words of a refusal")

    def is_good(self, body: object) -> bool:
        """Whether an answer is no refusal."""
        return self.ok is None or self.ok.is_true_of(body)

    def refused_with(self, body: object) -> tuple[Any, Any]:
        """The code and the words of a refusal."""
        code = (self.code or _USUAL_CODE).or_none(body)
        return plain(code) if isinstance(code, float) else code, (self.text or _USUAL_TEXT).or_none(body)


_USUAL_CODE = Expression("error.code || code || error.type || error.status")
_USUAL_TEXT = Expression("error.message || message || msg || detail || error_description || error")


class OwnSetting(Settings):
    """A plain setting of a provider, and a placeholder of its name."""

    default: str | None = Field(default=None, description="without one, each provider gives it")
    description: str = Field(default="", description="what it is")


class BalanceField(UsageField):
    """The balance of the account."""

    path: Path = Field(description="JMESPath over the answer")
    minus: Path | None = Field(default=None, description="the used part, if the vendor reports it apart")
    currency: Path | None = Field(default=None, description="USD or CNY, where the account may be in either")
    unlimited: Path | None = Field(default=None, description="over the answer: true where there is no limit")


class AccountRequest(_Request):
    """The request for the balance."""

    url: OwnBaseUrl | None = Field(
        default=None, description="where the balance is asked for, if not below base_url; the default of `billing_url`"
    )
    auth: Auth | None = Field(
        default=None,
        description="how this request authenticates, if in another way; own secrets may be left out",
    )
    window: Interval | None = Field(default=None, description="how far back the placeholders of times reach")
    missing: Missing = Field(default_factory=Missing, description="an account that has no balance")
    balance: BalanceField = Field(description="the balance")


class Declaration(VendorDeclaration):
    """A vendor."""

    title: str = Field(default="", description="the vendor's name, as people write it")
    base_url: OwnBaseUrl | None = Field(
        default=None, description="where the API starts; without it each provider says so"
    )
    rate_limit: Rate = Field(default=5.0, description="a provider's default")
    page_size: int = Field(default=50, ge=1, le=500, description="a provider's default")
    poll_interval: Interval | None = Field(default=None, description="a provider's default, where a list is costly")
    credentials: list[Name] = Field(default_factory=list, description="secrets that a provider gives")
    auth: Auth = Field(default_factory=lambda: Auth(type="none"), description="how requests prove whose they are")
    headers: dict[HeaderName, HeaderText] = Field(default_factory=dict, description="of every request")
    settings: dict[Name, OwnSetting] = Field(default_factory=dict, description="plain settings, and placeholders")
    answer: AnswerEnvelope = Field(default_factory=AnswerEnvelope, description="what is around every answer")
    feeds: dict[Kind, FeedDeclaration] = Field(min_length=1, description="the families of tasks")
    account: AccountRequest | None = Field(default=None, description="how to ask for the balance")
    advice: dict[Cause, str] = Field(default_factory=dict, description="sentences that follow the general advice")
    other_names: list[str] = Field(default_factory=list, description="what people may write as the type instead")

    def faults(self) -> Iterator[tuple[KeyPath, str]]:
        """What several values together show to be wrong: keys and words."""
        yield from self._faults_of_credentials()
        for place, request, allowed in self._requests():
            texts = [*request.template.templates()]
            if isinstance(request, ListRequest):
                texts += [(("in_flight", name), Template(text)) for name, text in request.in_flight.items()]
            for path, template in texts:
                yield from unknown_names((*place, *path), template, allowed)
            if request.body is not None and request.method == "GET":
                yield (*place, "json"), "a GET has no body; write method: POST, or use query"
        for path, name in self.offsets:
            if name not in self.settings:
                yield path, f"{{{name}}} is no setting of this vendor; write a duration, such as 8h or -30m"
            elif (default := self.settings[name].default) is not None:
                try:
                    as_offset(default)
                except ValueError as error:
                    yield ("settings", name, "default"), str(error)
        for kind, feed in self.feeds.items():
            yield from ((("feeds", kind, *path), words) for path, words in _faults_of_feed(feed))
        if all(feed.optional for feed in self.feeds.values()):
            yield ("feeds",), "all optional; a provider that names none would have none: leave `optional` out of one"
        for name in self.headers:
            yield from unknown_names(("headers", name), Template(self.headers[name]), frozenset(self.settings))

    def _requests(self) -> Iterator[tuple[KeyPath, _Request, frozenset[str]]]:
        """All requests: where they stand, and the placeholders that mean something in them."""
        known = frozenset(self.settings) | ALWAYS
        for kind, feed in self.feeds.items():
            if feed.list_:
                yield ("feeds", kind, "list"), feed.list_, known | PAGING | WINDOW
            if feed.detail:
                yield ("feeds", kind, "detail"), feed.detail, known | IDS
                if feed.detail.ended:
                    yield ("feeds", kind, "detail", "ended"), feed.detail.ended, known | ID
        if self.account:
            yield ("account",), self.account, known | WINDOW if self.account.window else known

    @property
    def offsets(self) -> Iterator[tuple[KeyPath, str]]:
        """The settings that stand for the offset of a time, by where."""
        for kind, feed in self.feeds.items():
            for key, field in feed.fields.times:
                if isinstance(field.offset, str):
                    yield ("feeds", kind, "fields", key, "offset"), Template(field.offset).whole

    @property
    def account_credentials(self) -> tuple[str, ...]:
        """The secrets that only the question for the balance takes; a provider that leaves them out has no balance."""
        auth = self.account.auth if self.account else None
        return tuple(name for _, name in auth.credentials if name not in self.credentials) if auth else ()

    def _faults_of_credentials(self) -> Iterator[tuple[KeyPath, str]]:
        shown = ", ".join(filter(slips.repeated, self.credentials))
        allowed = shown or "none, since `credentials` names none"
        for key, name in self.auth.credentials:
            if name not in self.credentials:
                words = f"no credential of this vendor{slips.hint(name, self.credentials)}; allowed: {allowed}"
                yield ("auth", key), told_of(name, words)
        sends = self.auth.type in ("bearer", "header", "query", "basic")
        if sends and not self.auth.credential and len(self.credentials) != 1:
            yield ("auth", "credential"), f"missing; name the credential that is sent; allowed: {allowed}"
        auth = self.account.auth if self.account else None
        if auth and auth.type in ("bearer", "header", "query", "basic") and not auth.credential:
            yield ("account", "auth", "credential"), "missing; name the credential that is sent"
        for index, name in enumerate(self.account_credentials):
            is_known = name in self.settings or _is_taken(name) or name in self.account_credentials[:index]
            if is_known or not name.isidentifier():
                words = "no name for a credential; write one of letters, digits and underscores that no setting has"
                yield ("account", "auth"), told_of(name, words)
        for place, request, _ in self._requests():
            if self.auth.type == "query" and self.auth.name in request.query:
                told = "the name of another parameter of this request; the credential would stand in its place"
                yield (*place, "query", str(self.auth.name)), told
        for index, name in enumerate(self.credentials):
            is_twin = name.endswith("_file") and name.removesuffix("_file") in self.credentials
            if name in self.settings or _is_taken(name) or is_twin or name in self.credentials[:index]:
                yield ("credentials", index), told_of(name, "the name of another setting; give it a name of its own")
            if not name.isidentifier():
                yield ("credentials", index), "not a name for a setting; write letters, digits and underscores"
        placeholders = PAGING | WINDOW | IDS | ALWAYS
        for name in self.settings:
            is_twin = name.removesuffix("_file") in self.credentials
            if _is_taken(name) or is_twin or name in placeholders or not name.isidentifier():
                yield ("settings", name), "the name of another setting or placeholder; give it a name of its own"


def _is_taken(name: str) -> bool:
    """Whether every provider has a setting of this name."""
    return name == "where" or name in ProviderSettings.model_fields or hasattr(ProviderSettings, name)


def _faults_of_feed(feed: FeedDeclaration) -> Iterator[tuple[KeyPath, str]]:
    if feed.list_ is None and feed.detail is None:
        yield (), "neither `list` nor `detail`; a feed needs one of them at least"
    if feed.list_ is not None:
        yield from ((("list", *path), words) for path, words in _faults_of_list(feed.list_))
    if feed.detail is not None:
        yield from ((("detail", *path), words) for path, words in _faults_of_detail(feed.detail))
        if feed.detail.fills and feed.list_ is None:
            told = "without effect in a feed without a list; leave it out, or write it in `ended` with its own request"
            yield ("detail", "fills"), told
        yield from _faults_of_fills(("detail", "fills"), feed.detail.fills, feed.fields)
        if ended := feed.detail.ended:
            yield from _faults_of_fills(("detail", "ended", "fills"), ended.fills, feed.fields)
    yield from ((("states", *path), words) for path, words in faults_of_words(feed.states))
    yield from ((("reasons", *path), words) for path, words in faults_of_words(feed.reasons))
    yield from ((("vague_reasons", *path), words) for path, words in faults_of_words(feed.vague_reasons))
    if not feed.states:
        yield ("states",), "empty; write the vendor's words for each state, such as `succeeded: [done]`"


def _faults_of_fills(where: KeyPath, fills: Parts, fields: Fields) -> Iterator[tuple[KeyPath, str]]:
    for index, part in enumerate(fills):
        names = ("code", "text") if part == "reason" else (part,)
        if all(getattr(fields, name) is None for name in names):
            wanted = " or ".join(f"fields.{name}" for name in names)
            yield (*where, index), told_of(part, f"in no field; write {wanted}, or leave it out")


def _faults_of_list(of: ListRequest) -> Iterator[tuple[KeyPath, str]]:
    used = of.template.names
    kind = of.paging.type
    if kind in ("cursor", "link") and of.paging.next is None:
        yield ("paging", "next"), f"missing; paging by {kind} needs the JMESPath of the next {kind} in the answer"
    if kind not in ("cursor", "link") and of.paging.next is not None:
        yield ("paging", "next"), f"without effect in paging by {kind}; leave it out, or write type: cursor or link"
    if kind != "page" and "first" in of.paging.model_fields_set:
        yield ("paging", "first"), f"without effect in paging by {kind}; leave it out, or write type: page"
    wanted = {"page": "page", "offset": "offset", "cursor": "cursor"}.get(kind)
    if wanted and wanted not in used:
        yield ("paging", "type"), f"no {{{wanted}}} in the request; paging by {kind} needs it in path, query or json"
    for name in sorted(used & {"page", "offset", "cursor"} - {wanted}):
        where = next(path for path, template in of.template.templates() if name in template.names)
        yield where, f"{{{name}}} means nothing in paging by {kind}; write paging: {{type: {name}}}, or leave it out"


def _faults_of_detail(of: DetailRequest) -> Iterator[tuple[KeyPath, str]]:
    used = of.template.names
    if not used & IDS:
        yield (), "no {id} in path, query or json; a detail asks for one task, or with `batch` for several by {ids}"
    if of.ended and not of.ended.template.names & ID:
        yield ("ended",), "no {id} in path, query or json; it asks for one task"
    if of.batch > 1 and not used & {"ids", "ids[]"}:
        yield ("batch",), "no {ids} or {ids[]} in path, query or json; a batch needs one of them"
    if of.batch == 1 and not used & ID and used & IDS:
        yield ("batch",), "missing; {ids} asks for several tasks: write batch: 50, or use {id}"
