"""What the doctor found: as data, as text for people, and as JSON for machines.

The JSON is `{"well": bool, "feeds": [...]}` with each feed as the classes here describe it, field by field. Fields may
be added in later versions; none changes its meaning.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from exporter.tasks import Cause

WIDTH = 110
STEP_OF_CLOCKS = 2.0
"""Seconds that a vendor's clock may differ without being worth a word: it reports whole seconds, and takes its time."""


@dataclass(frozen=True)
class Call:
    """One call: what was sent, redacted, and what came back."""

    endpoint: str
    """`list`, `detail` or `token`."""
    request: str
    """Method, path and query."""
    headers: Mapping[str, str]
    """Those that matter, with credentials as `<secret>`."""
    body: str
    """JSON; empty where none was sent."""
    status: int | None
    """The HTTP status; null where none came."""
    size: int | None
    """Bytes of the body, unpacked."""
    seconds: float
    skew: float | None
    """Seconds that the vendor's clock is ahead of ours, by the Date of its answer."""
    error: str
    """The label that `videotask_api_errors_total` counts it under; empty if it did not fail."""
    words: str
    """What it failed of."""
    excerpt: str
    """What the answer to a failed call said, redacted."""


@dataclass(frozen=True)
class FilledShare:
    """In how many of the rows that may have a field it was given."""

    given: int
    of: int


@dataclass(frozen=True)
class Understood:
    """What the exporter made of the rows."""

    rows: int
    spoiled: int
    """Rows that were no tasks at all."""
    states: Mapping[str, int]
    reasons: Mapping[str, int]
    """Of the failed ones."""
    fields: Mapping[str, FilledShare]
    broken: Mapping[str, int]
    """Rows in which a part of an observation breaks the contract or is in no table, by part."""
    clock: str
    """Whose times the durations come from: `provider` or `observed`."""
    later: Sequence[str]
    """What only the look-up of each ended task reports; the doctor makes none of those."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be."""

    level: str
    """`trouble`: the feed does not work. `warning`: it does, but look at this."""
    cause: Cause
    what: str
    advice: str


@dataclass
class FeedReport:
    """All that was found out about one feed."""

    provider: str
    type: str
    kind: str
    base_url: str
    calls: list[Call] = field(default_factory=list)
    understood: Understood | None = None
    """Null where no answer could be understood."""
    series: list[str] = field(default_factory=list)
    """The samples that the exporter would show of this feed after this look, without zeros, in the text format."""
    findings: list[Finding] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    """The files that hold what the vendor answered, redacted, and which answers could not be written."""

    @property
    def well(self) -> bool:
        return all(finding.level != "trouble" for finding in self.findings)


def as_json(reports: Sequence[FeedReport]) -> str:
    feeds = [asdict(report) | {"well": report.well} for report in reports]
    return json.dumps({"well": all(report.well for report in reports), "feeds": feeds}, indent=2, ensure_ascii=False)


def as_text(report: FeedReport) -> str:
    """What a person reads of one feed."""
    return "\n".join(_lines(report))


def _lines(report: FeedReport) -> Iterator[str]:
    verdict = ("well" if not report.findings else "well, but look below") if report.well else "NOT WELL"
    yield f"{report.provider}/{report.kind} ({report.type} at {report.base_url}): {verdict}"
    for call in report.calls:
        yield from _row("sent", call.request)
        for name, value in call.headers.items():
            yield from _row("", f"{name}: {value}")
        if call.body:
            yield from _row("", call.body)
        yield from _row("got", _got(call))
    if report.understood:
        yield from _understood(report.understood)
    skews = [call.skew for call in report.calls if call.skew is not None]
    if skews:
        yield from _row("clock", _clocks(skews[-1]))
    for index, sample in enumerate(report.series):
        yield f"  {'' if index else 'exports':9} {sample}"
    for index, told in enumerate(report.recorded):
        yield f"  {'' if index else 'recorded':9} {told}"
    for finding in report.findings:
        yield f"  {finding.level.upper()} ({finding.cause})"
        yield from _wrapped(finding.what)
        yield from _wrapped(f"What to do: {finding.advice}")


def _got(call: Call) -> str:
    took = f"{call.seconds:.2f} s"
    size = f", {_size(call.size)}" if call.size is not None else ""
    got = f"HTTP {call.status}{size} in {took}" if call.status else f"no answer in {took}"
    failed = f"; {call.error}: {call.words}" if call.error else ""
    return got + failed + (f"; it says {call.excerpt}" if call.excerpt else "")


def _understood(understood: Understood) -> Iterator[str]:
    malformed = f" and {understood.spoiled} that are no tasks" if understood.spoiled else ""
    yield from _row("rows", f"{understood.rows}{malformed}")
    if understood.states:
        yield from _row("states", _counted(understood.states))
    if understood.reasons:
        yield from _row("reasons", _counted(understood.reasons))
    given = [f"{name} in {share.given} of {share.of}" for name, share in understood.fields.items() if share.given]
    if given:
        yield from _row("fields", ", ".join(given))
    missed = [name for name, share in understood.fields.items() if share.of and not share.given]
    if never := [name for name in missed if name != "dated" or "ended" in missed]:  # only where no row has its end
        yield from _row("never", ", ".join(never))
    yield from _row("times", "the vendor's" if understood.clock == "provider" else "starts and ends as we see them")
    if understood.later:
        yield from _row("later", f"{', '.join(understood.later)}: reported by a look-up of each task that has ended")
    if understood.broken:
        yield from _row("broken", _counted(understood.broken))


def _clocks(skew: float) -> str:
    if abs(skew) <= STEP_OF_CLOCKS:
        return "the vendor's agrees with ours"
    return f"the vendor's is {apart(skew)} {'ahead of' if skew > 0 else 'behind'} ours"


def apart(seconds: float) -> str:
    """A difference of clocks, in the unit that fits."""
    seconds = abs(seconds)
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _size(size: int) -> str:
    return f"{size} bytes" if size < 2048 else f"{size / 1024:.0f} KiB"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _row(name: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=f"  {name:9} ", subsequent_indent=" " * 12, break_on_hyphens=False)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 4, break_on_hyphens=False)
