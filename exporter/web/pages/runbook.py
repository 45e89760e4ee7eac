"""The runbook's pages: what to do about an alert, served by the exporter so that the links of alerts lead somewhere.

`python -m grafana.generate` writes them from docs/runbook.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

SECTIONS: Mapping[str, str] = json.loads(
    resources.files("exporter.web.pages").joinpath("runbook.json").read_text(encoding="utf-8")
)
"""HTML of ours by the name of the alert."""

_BY_NAME = {title.lower(): title for title in SECTIONS}

_LONGEST = 100
"""Characters of an unknown name that its page repeats."""


def routes(page: Callable[..., Response]) -> list[Route]:
    """The list of alerts and a page for each, made by `page`."""

    async def runbook(request: Request) -> Response:
        name = request.path_params.get("alert", "")
        alert = _BY_NAME.get(name.lower(), name[:_LONGEST])
        section = SECTIONS.get(alert, "")
        status = 200 if section or not name else 404
        return page(request, "runbook.html", status, alert=alert, section=section, alerts=list(SECTIONS))

    return [Route("/runbook", runbook), Route("/runbook/{alert}", runbook)]
