"""A type of provider out of a declaration: its settings, and its feeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, create_model, model_validator

from exporter.client.client import Client
from exporter.client.tokens import TokenStore
from exporter.config.models import ProviderSettings, Secret
from exporter.config.values import BaseUrl, fault
from exporter.tasks import Field as Part
from exporter.tasks import Reason, State
from exporter.vendors.declared.account import account_of
from exporter.vendors.declared.auth.schemes import Basic, Header, JwtHs256, Query, Scheme
from exporter.vendors.declared.auth.settings import Auth
from exporter.vendors.declared.auth.signatures import NonceSignature, ScopedSignature
from exporter.vendors.declared.declaration import Declaration, FeedDeclaration
from exporter.vendors.declared.feed import DeclaredFeed, Refused, SignedCaller
from exporter.vendors.declared.reading.rows import NumberField, RowReader
from exporter.vendors.declared.reading.values import (
    amount_reader,
    framed_length_reader,
    length_reader,
    progress_reader,
    time_reader,
)
from exporter.vendors.declared.reading.words import Words
from exporter.vendors.declared.requests import Template, Value
from exporter.vendors.declared.row_fields import (
    Fields,
    LengthField,
    PathText,
    TimeField,
    as_offset,
    seconds_of_offset,
    zone_of,
)
from exporter.vendors.vendor import Account, Feed, Tells, Vendor


@dataclass(frozen=True)
class Hooks:
    """What a built-in vendor that is odd does by itself."""

    refused: Refused | None = None
    in_common_words: Callable[[str], str] = str
    """Says the vendor's texts in the words that several vendors use."""
    scheme: Callable[[Any, Client, TokenStore], Scheme] | None = None
    """Makes what signs requests."""
    asked: Callable[[Any, str], str] = lambda settings, task_id: task_id
    """What stands for a task's id in requests, by the provider's settings. Raises TaskNotFound for what is no id."""
    completed: Callable[[Any, object, str], object] = lambda settings, row, task_id: row
    """A row with what the vendor leaves out of it, by the provider's settings and the id that was asked for, which is
    empty in a list. Raises ValueError where the row shows no task."""


def vendor_of(name: str, declaration: Declaration, hooks: Hooks | None = None, **more: Any) -> Vendor:
    """The type of provider that a declaration describes; `more` goes to `Vendor`."""
    kinds = tuple(kind for kind, feed in declaration.feeds.items() if not feed.optional)
    settings = more.pop("settings", None) or settings_of(name, declaration)

    def feeds(given: ProviderSettings, client: Client, tokens: TokenStore) -> Sequence[Feed]:
        return feeds_of(declaration, given, client, tokens, hooks or Hooks())

    def account(given: ProviderSettings, client: Client, feeds: Sequence[Feed]) -> Account | None:
        """One that signs as the feeds do: a token of its own would end theirs at some vendors."""
        if any(getattr(given, name) is None for name in declaration.account_credentials):
            return None
        asked = declaration.account
        scheme = scheme_of(declaration, given, asked.auth) if asked and asked.auth else None
        return account_of(asked, feeds, url=getattr(given, "billing_url", ""), scheme=scheme)

    return Vendor(
        name,
        settings,
        kinds,
        feeds,
        account=more.pop("account", None) or (account if declaration.account else None),
        account_needs=declaration.account_credentials,
        more_kinds=tuple(kind for kind, feed in declaration.feeds.items() if feed.optional),
        other_names=tuple(declaration.other_names),
        advice=declaration.advice,
        signed_with=more.pop("signed_with", "") or declaration.auth.secret or "",
        title=declaration.title,
        tells={kind: tells_of(feed) for kind, feed in declaration.feeds.items()},
        **more,
    )


def tells_of(feed: FeedDeclaration) -> Tells:
    """What a feed reports."""
    given = [
        name
        for name in ("submitted", "started", "ended", "progress", "output", "model", "usage")
        if getattr(feed.fields, name) is not None
    ]
    if feed.reasons or feed.fields.code or feed.fields.text:
        given.append("reason")
    return Tells(feed.clock, listed=feed.list_ is not None, by_id=feed.detail is not None, parts=tuple(given))


def settings_of(name: str, declaration: Declaration) -> type[ProviderSettings]:
    """What a provider of this type may set."""
    made: dict[str, Any] = {"type": (Literal[name], Field(description="the vendor"))}
    for key in ("base_url", "rate_limit", "page_size", "poll_interval"):
        if (default := getattr(declaration, key)) is not None:
            usual = ProviderSettings.model_fields[key]
            kind: Any = Annotated[usual.annotation, *usual.metadata]
            made[key] = (kind, Field(default=default, description=usual.description))
    if any(feed.list_ for feed in declaration.feeds.values()):
        told = "JMESPath over a row of a list: others are no tasks; in place of the vendor's own"
        made["where"] = (PathText | None, Field(default=None, description=told))
    for credential in declaration.credentials:
        made[credential] = (Secret, Field(description=f"the vendor's {credential.replace('_', ' ')}"))
    offsets = {name for _, name in declaration.offsets}
    for key, own in declaration.settings.items():
        about = own.description or f"the value of {{{key}}} in requests"
        kind = Annotated[str, AfterValidator(as_offset)] if key in offsets else str
        if own.default is None:
            made[key] = (kind, Field(min_length=1, description=about))
        else:
            made[key] = (kind, Field(default=own.default, description=about))
    checks: dict[str, Any] = {}
    if declaration.account and declaration.account.url:
        told = "where the balance is asked for"
        made["billing_url"] = (BaseUrl, Field(default=declaration.account.url, description=told))
    if pair := declaration.account_credentials:
        for credential in pair:
            told = f"the vendor's {credential.replace('_', ' ')}, for the balance alone"
            made[credential] = (Secret | None, Field(default=None, description=told))
        checks["_all_or_none"] = model_validator(mode="after")(partial(_all_or_none, pair))
    title = "".join(part.capitalize() for part in name.replace("-", "_").split("_"))
    about = declaration.title or name
    return create_model(f"{title}Settings", __base__=ProviderSettings, __doc__=about, __validators__=checks, **made)


def _all_or_none(names: Sequence[str], settings: ProviderSettings) -> ProviderSettings:
    missing = [name for name in names if getattr(settings, name) is None]
    if missing and len(missing) < len(names):
        raise fault(f"missing; the balance is asked for with {' and '.join(names)} together", missing[0])
    return settings


def feeds_of(
    declaration: Declaration, settings: ProviderSettings, client: Client, tokens: TokenStore, hooks: Hooks
) -> Sequence[Feed]:
    """The feeds of a provider of this type."""
    scheme = hooks.scheme(settings, client, tokens) if hooks.scheme else scheme_of(declaration, settings)
    own: dict[str, Value] = {name: getattr(settings, name) for name in declaration.settings}
    caller = SignedCaller(
        client,
        scheme,
        declaration.answer,
        {name: Template(text).filled(own) for name, text in declaration.headers.items()},
        hooks.refused,
        hooks.in_common_words,
    )
    return [
        DeclaredFeed(
            kind,
            feed,
            settings,
            caller,
            reader_of(
                feed,
                settings.states.get(kind, {}),
                settings.reasons.get(kind, {}),
                own=own,
                in_common_words=hooks.in_common_words,
            ),
            own=own,
            asked=partial(hooks.asked, settings),
            completed=partial(hooks.completed, settings),
        )
        for kind, feed in declaration.feeds.items()
        if not feed.optional or kind in (settings.feeds or ())
    ]


def reader_of(
    feed: FeedDeclaration,
    more_states: Mapping[State, Sequence[str]] = MappingProxyType({}),
    more_reasons: Mapping[Reason, Sequence[str]] = MappingProxyType({}),
    *,
    own: Mapping[str, Any] = MappingProxyType({}),
    in_common_words: Callable[[str], str] = str,
) -> RowReader:
    """What reads the rows of a feed; words that a provider adds go before the declared ones.

    `own` are the provider's values of settings that the declaration adds.
    """
    fields = feed.fields
    return RowReader(
        id=fields.id.select,
        state=fields.state.select,
        states=Words(more_states, otherwise=Words(feed.states)),
        reasons=Words(more_reasons, otherwise=Words(feed.reasons)),
        vague=Words[Reason](feed.vague_reasons),
        facts=tuple(_facts(fields, own)),
        code=fields.code,
        text=fields.text,
        model=fields.model,
        usage=tuple((one.unit, one.path, amount_reader(one.scale)) for one in fields.usage or ()),
        result=fields.result,
        in_common_words=in_common_words,
    )


def _facts(fields: Fields, own: Mapping[str, Any]) -> Iterator[NumberField]:
    for name, time in fields.times:
        yield _time(Part.ENDED if name == "dated" else Part(name), name, time, own)
    if of := fields.progress:
        yield NumberField(Part.PROGRESS, "progress", of.path.select, progress_reader(of.unit))
    if fields.output:
        yield _length(fields.output)


def _length(of: LengthField) -> NumberField:
    path, frames, rate = of.path.select, of.frames, of.frame_rate
    if frames is None or rate is None:
        return NumberField(Part.OUTPUT, "output_seconds", path, length_reader(of.unit))

    def select(raw: Any) -> Any:
        return path(raw), frames(raw), rate(raw)

    return NumberField(Part.OUTPUT, "output_seconds", select, framed_length_reader(of.unit))


def _time(part: Part, name: str, of: TimeField, own: Mapping[str, Any]) -> NumberField:
    offset = of.offset
    if isinstance(offset, str):  # a setting of the provider, as text or as seconds
        given = own.get(Template(offset).whole, 0.0)
        offset = float(given) if isinstance(given, int | float) else seconds_of_offset(str(given))
    return NumberField(part, name, of.path.select, time_reader(offset, zone_of(of.zone)), only_at_end=of.when == "end")


def scheme_of(declaration: Declaration, settings: ProviderSettings, auth: Auth | None = None) -> Scheme:
    """How this provider's requests prove whose they are; `auth` stands in place of the usual way."""

    def secret(name: str | None) -> Secret:
        found: Secret = getattr(settings, name or declaration.credentials[0])
        return found

    auth = auth or declaration.auth
    match auth.type:
        case "bearer":
            return Header(secret(auth.credential))
        case "header":
            return Header(secret(auth.credential), auth.name or "", auth.prefix)
        case "query":
            return Query(secret(auth.credential), auth.name or "")
        case "basic":
            return Basic(secret(auth.credential), secret(auth.password) if auth.password else None)
        case "jwt_hs256":
            return JwtHs256(secret(auth.issuer), secret(auth.secret))
        case "hmac_sha256":
            return ScopedSignature(secret(auth.key), secret(auth.secret), auth.region or "", auth.service or "")
        case "acs3_hmac_sha256":
            return NonceSignature(secret(auth.key), secret(auth.secret))
    return Scheme()
