"""The pages for people: status, tasks, a task, the runbook. They need no JavaScript, and ask nothing of other hosts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import resources
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from exporter import __version__
from exporter.ledger.counting.models import in_order
from exporter.ledger.errors import StoreError
from exporter.snapshot import FeedSnapshot, Reloads, Snapshot
from exporter.tasks import ENDS, IN_FLIGHT, Reason, Task, is_task_id
from exporter.web.access.turns import Busy
from exporter.web.pages import filters
from exporter.web.pages.status.finding import FeedFilter, Show
from exporter.web.pages.status.overview import Overview
from exporter.web.pages.timeline import TaskTimeline
from exporter.web.query import Direction, Sort, TaskPage, TaskQuery, find, parse
from exporter.web.search import Searches
from exporter.web.source import Source

REFRESH_AT_LEAST, REFRESH_AT_MOST = 2, 15
"""Seconds after which a page that is looked at is fetched again: as often as the vendors are asked, within these."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
}

FOR_EVER = "public, max-age=31536000, immutable"
"""How long a file of `static` may be kept: its name changes with its content."""

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def _static() -> tuple[Mapping[str, str], Mapping[str, tuple[bytes, str]]]:
    """The name under which each file is served, and the content and type of what is served there."""
    names, served = {}, {}
    for file in resources.files("exporter.web.pages").joinpath("static").iterdir():
        stem, _, suffix = file.name.rpartition(".")
        if suffix not in _TYPES:
            continue
        content = file.read_bytes()
        name = f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{suffix}"
        names[file.name], served[name] = name, (content, _TYPES[suffix])
    return names, served


_NAMES, _SERVED = _static()

RUNBOOK: Mapping[str, str] = json.loads(
    resources.files("exporter.web.pages").joinpath("runbook.json").read_text(encoding="utf-8")
)
"""What to do about an alert, HTML of ours by its name; `python -m grafana.generate` writes it from docs/runbook.md."""

_ALERTS = {title.lower(): title for title in RUNBOOK}

_LONGEST = 100
"""Characters of an unknown alert that its page repeats."""

_TEMPLATES = Environment(
    loader=PackageLoader("exporter.web.pages"),
    autoescape=True,
    undefined=StrictUndefined,
    auto_reload=False,  # else each answer asks the disk whether a template has changed
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.globals.update(version=__version__, static=_NAMES, Show=Show, Sort=Sort, words=filters)
_TEMPLATES.filters.update(
    {name: getattr(filters, name) for name in ("plain", "rough", "lasting", "percent", "utc", "iso", "amount")},
    tint=lambda word: f"{type(word).__name__.lower()}-{word}",
    segment=lambda text: quote(text, safe=""),
    # Browsers take a last segment of one dot or two for a step up, however it is encoded.
    last_segment=lambda text: f"?id={text}" if text in (".", "..") else quote(text, safe=""),
)


def routes(
    source: Source,
    reloads: Callable[[], Reloads],
    wall_clock: Callable[[], float],
    web_trouble: Callable[[], str] = str,
    searches: Searches | None = None,
) -> list[Route]:
    """The pages, and the files that they need. `web_trouble` says what is wrong with the file of TLS and users."""
    started, searches = wall_clock(), searches or Searches()

    def page(
        request: Request, template: str, snapshot: Snapshot, now: float, status: int = 200, **shown: object
    ) -> Response:
        """A page of one moment."""
        intervals = [feed.settings.poll_interval for feed in snapshot.feeds]
        refresh = min(max(min(intervals, default=REFRESH_AT_MOST), REFRESH_AT_LEAST), REFRESH_AT_MOST)
        return _rendered(request, template, status, now=now, refresh=round(refresh), **shown)

    async def status(request: Request) -> Response:
        snapshot, loaded, trouble, now = await source.everything(), reloads(), web_trouble(), wall_clock()

        def summed_up() -> Response:
            overview = Overview(snapshot, loaded, trouble, now, FeedFilter.of(request.query_params))
            return page(request, "status.html", snapshot, now, overview=overview, reloads=loaded, started=started)

        return await searches.run(summed_up, _address(request))

    async def tasks(request: Request) -> Response:
        address, snapshot, now = _address(request), await source.everything(), wall_clock()
        query = parse(request.query_params)
        found = await searches.run(lambda: find(snapshot, query, now), address)
        earlier = await _in_ledger(source, snapshot, found)
        return await searches.run(lambda: listed(request, snapshot, now, found, earlier), address)

    def listed(
        request: Request, snapshot: Snapshot, now: float, found: TaskPage, earlier: Sequence[tuple[FeedSnapshot, Task]]
    ) -> Response:
        query = found.query
        return page(
            request,
            "tasks.html",
            snapshot,
            now,
            found=found,
            query=query,
            earlier=earlier,
            providers=sorted({feed.provider for feed in snapshot.feeds}),
            kinds=sorted({feed.kind for feed in snapshot.feeds}),
            models=_models(snapshot, query),
            window=max((feed.settings.recent_window for feed in snapshot.feeds), default=0.0),
            states=(*IN_FLIGHT, *ENDS),
            reasons=tuple(Reason),
            sorted_by=_sorted_by,
            kept=query.model_dump(mode="json", exclude_defaults=True, include={"sort", "direction", "per_page"}),
        )

    async def task(request: Request) -> Response:
        snapshot, now = await source.everything(), wall_clock()
        feed, task_id = snapshot.feed_at(*(request.path_params[name] for name in ("provider", "kind", "id")))
        task_id = task_id or request.query_params.get("id", "")
        if feed is None:
            return problem(request, 404, "No such feed is polled", f"Polled feeds: {snapshot.names}.")
        known = await source.find(feed.provider, feed.kind, task_id) if is_task_id(task_id) else None
        if known is None:
            return page(request, "unknown.html", snapshot, now, 404, feed=feed, id=task_id, is_id=is_task_id(task_id))
        timeline = TaskTimeline(feed, *known, now)
        story = partial(page, request, "task.html", snapshot, now, story=timeline, feed=feed, task=known[0])
        return await searches.run(story, _address(request))

    async def alert(request: Request) -> Response:
        name = request.path_params.get("alert", "")
        title = _ALERTS.get(name.lower(), name[:_LONGEST])
        section = RUNBOOK.get(title, "")
        shown = {"alert": title, "section": section, "alerts": list(RUNBOOK), "refresh": 0}
        return _rendered(request, "runbook.html", 200 if section or not name else 404, **shown)

    async def static(request: Request) -> Response:
        found = _SERVED.get(request.path_params["name"])
        if found is None:
            return problem(request, 404, "There is no such file", "Reload the page that links to it.")
        return Response(found[0], headers={"Cache-Control": FOR_EVER}, media_type=found[1])

    return [
        Route("/", status),
        Route("/tasks", tasks),
        Route("/tasks/{provider}/{kind}/{id:path}", task),
        Route("/static/{name}", static),
        Route("/runbook", alert),
        Route("/runbook/{alert}", alert),
    ]


def problem(request: Request, status: int, title: str, *told: str) -> Response:
    """A page that says why there is nothing else to show."""
    return _rendered(request, "problem.html", status, title=title, told=told, refresh=0)


def refused(request: Request, error: Exception) -> Response:
    """The page instead of one that raised QueryError, StoreError or Busy."""
    match error:
        case StoreError():
            return problem(request, 503, "The ledger cannot be read", str(error), "Load the page again in a while.")
        case Busy():
            answer = problem(request, 503, "Too many pages at once", "Load the page again in a moment.")
            answer.headers["Retry-After"] = "1"
            return answer
    return problem(request, 400, "This cannot be searched for", str(error))


def _rendered(request: Request, template: str, status: int, **shown: object) -> Response:
    html = _TEMPLATES.get_template(template).render(root=_root(request), metrics=request.app.state.metrics, **shown)
    return HTMLResponse(html, status, HEADERS)


def _root(request: Request) -> str:
    """The way from a page to the first one, so that links also hold behind a proxy that serves it all below a path.

    It goes by the path as it was sent: a slash within an id is no step there.
    """
    path: bytes = request.scope.get("raw_path") or b"/"
    return "../" * (path.count(b"/") - 1) or "./"


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


async def _in_ledger(source: Source, snapshot: Snapshot, found: TaskPage) -> list[tuple[FeedSnapshot, Task]]:
    """Tasks with exactly the id that was searched for, if they ended too long ago to be found otherwise.

    Raises StoreError.
    """
    query = found.query
    if found.total or query.id is None or not is_task_id(query.id):
        return []
    known = await source.find_all(query.id)
    return [
        (feed, task)
        for feed in snapshot.feeds
        if query.concerns(feed)
        and (task := known.get(feed.labels))
        and (query.state or task.state.is_end)
        and query.filter_of(feed)(task)
    ]


def _models(snapshot: Snapshot, query: TaskQuery) -> list[str]:
    """The models to choose from: those with series, and the one asked for. None where no feed reports models."""
    known = {model for feed in snapshot.feeds if query.concerns(feed) for model in feed.models}
    return in_order(known | {query.model} if query.model else known)


def _sorted_by(query: TaskQuery, sort: Sort) -> str:
    """The query that a column's heading links to: sorted by it, and the other way round if it is already."""
    turned = query.sort is sort and query.direction is Direction.DESCENDING
    direction = Direction.ASCENDING if turned else Direction.DESCENDING
    return query.encoded(sort=sort, direction=direction, page=1)
