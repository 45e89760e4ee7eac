"""What is wrong, who can fix it, and how: the first thing on the status page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from exporter.snapshot import Reloads, Snapshot
from exporter.tasks import Cause, Reason
from exporter.web.pages import filters as words

FEW = 5
"""Providers or feeds that a trouble names."""

SOON = 24 * 3600.0
"""Seconds within which a balance that ends is worth a look."""


class Whose(StrEnum):
    """The cause of a trouble: who has to fix it."""

    VENDOR = "the vendor"
    CREDENTIALS = "the credentials"
    ACCOUNT = "the account"
    NETWORK = "the network"
    CONFIGURATION = "the configuration"
    REQUESTS = "the submitted tasks"
    DATABASE = "the database"
    LEDGER = "the ledger's disk or database"
    EXPORTER = "the exporter"


WHOSE_CAUSE = {
    Cause.NO_ADDRESS: Whose.NETWORK,
    Cause.REFUSED: Whose.NETWORK,
    Cause.TLS: Whose.NETWORK,
    Cause.PROXY: Whose.NETWORK,
    Cause.INTERCEPTED: Whose.NETWORK,
    Cause.CONNECTION: Whose.NETWORK,
    Cause.TIMEOUT: Whose.NETWORK,
    Cause.WRONG_URL: Whose.CONFIGURATION,
    Cause.RATE: Whose.CONFIGURATION,
    Cause.SLOW: Whose.CONFIGURATION,
    Cause.REQUEST: Whose.CONFIGURATION,
    Cause.SIZE: Whose.CONFIGURATION,
    Cause.PROJECT: Whose.CREDENTIALS,
    Cause.USER_ID: Whose.CREDENTIALS,
    Cause.CREDENTIALS: Whose.CREDENTIALS,
    Cause.TOKEN: Whose.CREDENTIALS,
    Cause.TOKEN_RENEWED_ELSEWHERE: Whose.CREDENTIALS,
    Cause.SIGNATURE: Whose.CREDENTIALS,
    Cause.IP: Whose.ACCOUNT,
    Cause.BALANCE: Whose.ACCOUNT,
    Cause.VENDOR: Whose.VENDOR,
    Cause.CONTRACT: Whose.VENDOR,
    Cause.LEDGER: Whose.LEDGER,
    Cause.BUG: Whose.EXPORTER,
}
"""By the cause of a sweep's failure."""

WHOSE_REASON = {
    Reason.MODERATION: Whose.REQUESTS,
    Reason.INSUFFICIENT_BALANCE: Whose.ACCOUNT,
    Reason.INVALID_INPUT: Whose.REQUESTS,
    Reason.RATE_LIMITED: Whose.REQUESTS,
    Reason.AUTH: Whose.CREDENTIALS,
    Reason.PROVIDER_INTERNAL: Whose.VENDOR,
    Reason.TIMEOUT: Whose.VENDOR,
    Reason.UNKNOWN: Whose.VENDOR,
}
"""By the reason that most tasks failed for."""


@dataclass(frozen=True)
class Trouble:
    """Something that is wrong, who can fix it, and how."""

    whose: Whose
    what: str
    words: str
    advice: str = ""
    since: float | None = None
    is_grave: bool = False
    """Whether some data is missing; otherwise the trouble is only worth a look."""
    is_first: bool = False
    """Whether it comes before what else is worth a look."""
    settings: Sequence[str] = ()
    """Lines of YAML that would mend it."""
    unread: str = ""
    """What cannot be read, where that is the trouble."""


def of_configuration(reloads: Reloads, web_trouble: str) -> Iterable[Trouble]:
    if not reloads.successful:
        told = "The last valid configuration stays in force."
        yield Trouble(Whose.CONFIGURATION, "The configuration was not reloaded", reloads.error, told)
    for remark in reloads.remarks:
        yield Trouble(Whose.CONFIGURATION, "Configuration warning", remark)
    for plug_in in reloads.plug_ins:
        told = "Other vendors are unaffected. Fix or remove the package, and restart the exporter."
        yield Trouble(Whose.CONFIGURATION, "A vendor plug-in failed to load", plug_in, told)
    if web_trouble:
        told = "The last valid TLS settings and users stay in force."
        yield Trouble(Whose.CONFIGURATION, "The web configuration was not reloaded", web_trouble, told)


def of_replica(snapshot: Snapshot) -> Iterable[Trouble]:
    """What is wrong between replicas that share a ledger."""
    replica = snapshot.replica
    if replica is None:
        return
    if replica.trouble:
        told = "Without its database this replica polls nothing and serves no series. It recovers automatically."
        yield Trouble(Whose.DATABASE, "Cannot renew or acquire leases", replica.trouble, told, is_grave=True)
    elif unheld := replica.unheld:
        some = ", ".join(unheld[:FEW]) + (", ..." if len(unheld) > FEW else "")
        what = "One provider is" if len(unheld) == 1 else f"{len(unheld)} providers are"
        told = "If a replica dies, others take over its providers within two leases."
        if replica.failure:
            some, told = f"{some}: {replica.failure}", "This replica tries again, and so do the others."
        yield Trouble(Whose.EXPORTER, f"{what} polled by no replica", some, told, is_grave=bool(replica.failure))
    if replica.unread:
        told = "Only the providers of this replica are shown. Each replica keeps polling and serves its own series."
        what = "The providers of other replicas are not shown"
        yield Trouble(Whose.DATABASE, what, replica.unread, told)


def of_watching(snapshot: Snapshot) -> Iterable[Trouble]:
    for account in snapshot.accounts:
        for trouble in account.watch_troubles:
            told = "Ids that can be read are followed. If a source cannot be read at all, its last good ids are kept."
            what = f"Some ids of {account.name} cannot be read"
            yield Trouble(Whose.CONFIGURATION, what, trouble, told)


def merged(troubles: Iterable[Trouble]) -> list[Trouble]:
    """Feeds that cannot be read for the same reason are named together: it is one trouble."""
    found: dict[tuple[object, ...], list[Trouble]] = {}
    for trouble in troubles:
        alike = (trouble.whose, trouble.words, trouble.advice) if trouble.unread else (trouble.what, trouble.words)
        found.setdefault(alike, []).append(trouble)
    return [_together(several) for several in found.values()]


def _together(several: Sequence[Trouble]) -> Trouble:
    first = several[0]
    if len(several) == 1:
        return first
    names = [trouble.unread for trouble in several]
    if len(names) > FEW:
        names = [*names[:FEW], f"{len(names) - FEW} more feeds"]
    since = min(trouble.since for trouble in several if trouble.since is not None)
    what = f"{', '.join(names[:-1])} and {names[-1]} cannot be read"
    return replace(first, what=what, since=since)


def of_balances(snapshot: Snapshot) -> Iterable[Trouble]:
    """Balances that cannot be read, and those that end within a day at the pace of the last hours."""
    for account in snapshot.accounts:
        balance = account.balance
        if balance is None:
            continue
        if balance.trouble:
            told = f"{balance.advice} The tasks of the account are not affected."
            whose = WHOSE_CAUSE.get(balance.cause, Whose.VENDOR) if balance.cause else Whose.VENDOR
            what = f"The balance of {account.name} cannot be read"
            yield Trouble(whose, what, balance.trouble, told.strip(), balance.since, unread=f"{account.name}'s balance")
        elif balance.lasts is not None and balance.lasts < SOON:
            what = f"The balance of {account.name} ends in about {words.lasting(balance.lasts)}"
            told = f"{words.amount(balance.amount or 0.0, balance.unit)} are left, at the pace of the last six hours."
            yield Trouble(Whose.ACCOUNT, what, told, "Top the account up, or submit less.")
