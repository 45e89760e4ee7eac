"""Under which address others reach the exporter, behind a reverse proxy or not: what three flags say together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from exporter.web.server.address import AddressError

METRICS = "/metrics"

PATH = re.compile(r"(/[A-Za-z0-9_~.!$&'()*+,;=:@-]+)*")
_TAKEN = ("/tasks", "/api", "/static", "/-", "/runbook")


@dataclass(frozen=True)
class Place:
    """Where the exporter is, as its command line says."""

    external_url: str = ""
    """What people and programs reach it by, without a slash at the end; empty where nothing is said."""
    prefix: str = ""
    """What the path of each request begins with, such as `/exporter`; empty for the root."""
    metrics: str = METRICS
    """Where scrapes are answered, below the prefix."""

    @classmethod
    def of(cls, external_url: str | None, route_prefix: str | None, telemetry_path: str = METRICS) -> Place:
        """What three flags mean together, as Prometheus takes them. Raises AddressError."""
        external = _external(external_url) if external_url else ""
        prefix = urlsplit(external).path if route_prefix is None else _path(route_prefix, "--web.route-prefix")
        metrics = _path(telemetry_path, "--web.telemetry-path")
        if not metrics or any(metrics == taken or metrics.startswith(f"{taken}/") for taken in _TAKEN):
            raise AddressError(
                f"--web.telemetry-path: {metrics or '/'} is the address of something else; write another, such as "
                f"{METRICS}"
            )
        return cls(external, prefix, metrics)


def _external(url: str) -> str:
    allowed = "write http:// or https://, a host and, if needed, a port and a path"
    try:
        parts = urlsplit(url.strip())
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        raise AddressError(f"--web.external-url: not a URL; {allowed}") from None
    if not good or not parts.netloc.isprintable() or " " in parts.netloc:
        raise AddressError(f"--web.external-url: not a URL; {allowed}")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise AddressError(f"--web.external-url: holds credentials, a query or a fragment; {allowed}")
    return f"{parts.scheme}://{parts.netloc}{_path(parts.path, '--web.external-url')}"


def _path(text: str, flag: str) -> str:
    """A path without its last slash, and with the first one, which may be left out."""
    path = f"/{text.strip().strip('/')}".rstrip("/")
    if not PATH.fullmatch(path) or any(step in (".", "..") for step in path.split("/")):
        raise AddressError(f"{flag}: not a path; write letters, digits and `-._~` between slashes, such as /exporter")
    return path
