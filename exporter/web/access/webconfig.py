"""`--web.config.file`: TLS, users and headers, in the format that Prometheus' own exporters share.

It is read again when it has changed, and so are the certificates and keys that it names. Variables are not expanded in
it: the hashes of passwords are full of dollar signs. What this server cannot do is a fault, never ignored in silence.
"""

from __future__ import annotations

import logging
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from exporter.config.files.contents import ConfigError, read_document
from exporter.config.files.document import ConfigDocument
from exporter.config.files.reread import stamp_of
from exporter.config.mistakes.faults import words_for
from exporter.config.models import Secret
from exporter.config.values import Duration, fault
from exporter.web.access.auth import Users
from exporter.web.access.tls import Section, TLSError, TLSSettings, names_in
from exporter.web.server.limits import Bucket

log = logging.getLogger(__name__)

HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""The headers that may be set, and the values that those with a closed set may have."""

COSTLIEST = 16
"""The highest cost of a bcrypt hash: a check then takes some seconds of one core, and each step more doubles that."""

_BCRYPT = re.compile(r"\$2[abxy]\$(\d\d)\$[./A-Za-z0-9]{53}")


def _hashed(value: object) -> Secret:
    match = _BCRYPT.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise fault("not a bcrypt hash; write the output of `htpasswd -nBC 10 USER` without the name")
    if not 4 <= int(match[1]) <= COSTLIEST:
        raise fault(f"a bcrypt hash of cost {int(match[1])}; allowed: 4 to {COSTLIEST}, usual is 10")
    return Secret(match[0])


def _no_http2(value: bool) -> bool:
    if value:
        raise fault("HTTP/2 is not spoken here; write false, or leave it out")
    return value


class HTTPSettings(Section):
    """`http_server_config`."""

    http2: Annotated[bool, AfterValidator(_no_http2)] = Field(default=False)
    headers: dict[str, str | None] = Field(default_factory=dict, description="headers of every answer")


class RateLimitSettings(Section):
    """`rate_limit`: over all clients together."""

    interval: Duration = Field(default=0.0, description="time between two requests; 0 = no limit")
    burst: int = Field(default=0, ge=0, description="requests that may come at once")


class WebSettings(Section):
    """The whole file."""

    tls_server_config: TLSSettings | None = Field(default=None)
    http_server_config: HTTPSettings = Field(default_factory=HTTPSettings)
    basic_auth_users: dict[str, Annotated[Secret, BeforeValidator(_hashed)]] = Field(default_factory=dict)
    rate_limit: RateLimitSettings = Field(default_factory=RateLimitSettings)
    health_without_auth: bool = Field(default=False, description="/-/healthy and /-/ready ask for no password")


@dataclass(frozen=True)
class Access:
    """What one reading of the file means."""

    settings: WebSettings
    context: ssl.SSLContext | None
    """Of TLS; None without it."""
    users: Users | None
    bucket: Bucket | None
    headers: list[tuple[bytes, bytes]]

    def knows(self, certificate: dict[str, Any] | None) -> bool:
        """Whether a client may connect with this certificate, which has been verified."""
        tls = self.settings.tls_server_config
        if tls is None or tls.client_allowed_sans is None:
            return True
        return bool(names_in(certificate or {}).intersection(tls.client_allowed_sans))


class WebConfig:
    """The file as it last was good. Raises ConfigError where it cannot be used from the start."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._stamps: dict[Path, object] = {}
        self.trouble = ""
        """Why what the files hold now is not in use; empty if all is well."""
        self.access = self._read()
        """What the files mean."""

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken; does not change while the exporter runs."""
        return self.access.context is not None

    @property
    def has_users(self) -> bool:
        """Whether requests need a password."""
        return self.access.users is not None

    def reread(self) -> None:
        """Reads the files again if one of them has changed. It may take long: not to be called on the event loop."""
        if any(stamp_of(path) != stamp for path, stamp in self._stamps.items()):
            try:
                self.access = self._read(self.access)
            except ConfigError as error:
                told, self.trouble = self.trouble, str(error)
                if self.trouble != told:
                    why = "; ".join(error.faults)
                    log.error("the web configuration was not reloaded, the old one stays", extra={"error": why})
            else:
                self.trouble = ""
                log.info("web configuration reloaded", extra={"file": str(self._path)})

    def _read(self, before: Access | None = None) -> Access:
        # Stamped before it is read: what changes meanwhile is read again the next time.
        self._stamps = {self._path: stamp_of(self._path)}
        document = read_document(self._path, None, is_regular=before is not None)
        if before and document.content is None and before.settings != WebSettings():
            document.fault((), "empty; write {} if nothing is to be protected any more")
        settings = _settings(document)
        if settings is None or document.faults:
            raise ConfigError(document.faults)
        tls, folder = settings.tls_server_config, self._path.parent
        if before and (tls is None) is not (before.context is None):
            document.fault(("tls_server_config",), "TLS is not switched on or off while the exporter runs; restart it")
            raise ConfigError(document.faults)
        self._stamps |= {path: stamp_of(path) for path in (tls.files(folder) if tls else [])}
        try:
            context = tls.context(folder) if tls else None
        except TLSError as error:
            document.fault(("tls_server_config", error.key), str(error))
            raise ConfigError(document.faults) from None
        limit = settings.rate_limit
        return Access(
            settings=settings,
            context=context,
            users=Users(settings.basic_auth_users, before.users if before else None)
            if settings.basic_auth_users
            else None,
            bucket=Bucket(limit.interval, limit.burst) if limit.interval else None,
            headers=[(k.lower().encode(), v.encode()) for k, v in settings.http_server_config.headers.items() if v],
        )


def _settings(document: ConfigDocument) -> WebSettings | None:
    """What the document says; its faults are noted in it."""
    try:
        settings = WebSettings.model_validate({} if document.content is None else document.content)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            document.fault(tuple(detail["loc"]), words_for(detail, WebSettings))
        return None
    for name in settings.basic_auth_users:
        if ":" in name:
            document.fault(
                ("basic_auth_users", name), "a colon in a user's name, which HTTP does not allow; leave it out"
            )
    for name, value in settings.http_server_config.headers.items():
        if wrong := _wrong_header(name, value or ""):
            document.fault(("http_server_config", "headers", name), wrong)
    if settings.rate_limit.interval and not settings.rate_limit.burst:
        document.fault(("rate_limit", "burst"), "missing; without it no request would ever be allowed; write 1 or more")
    return settings


def _wrong_header(name: str, value: str) -> str:
    if name not in HEADERS:
        return f"not a header that can be set here; allowed: {', '.join(HEADERS)}"
    if value and HEADERS[name] and value not in HEADERS[name]:
        return f"not a value of this header; allowed: {', '.join(HEADERS[name])}"
    if not (value.isascii() and value.isprintable()):
        return "a line break, or a character that is not ASCII; write one line of plain text"
    return ""
