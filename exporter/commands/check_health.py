"""Whether a running exporter is healthy: what `check-health` asks, and what the answer means."""

from __future__ import annotations

import ssl
from contextlib import closing
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path

from exporter.web.server.address import host_and_port, reached_at

PATIENCE = 4.0
"""Seconds for each step: to connect, to agree on TLS, to answer."""

_SHOWN = 200
"""Characters that are shown of an answer, which may come from another program."""


_CERTIFICATE = (
    "if it requires client certificates, pass its --web.config.file; its certificate must be signed by that client CA"
)
"""What may help: an exporter ends the connection of a client that shows no certificate, or none that it accepts."""


class NotWell(Exception):
    """The exporter is not healthy, or cannot be asked; the text says why."""


def ask(address: str, path: str, web_config: str | None = None, patience: float = PATIENCE) -> str:
    """What the exporter that listens on `address` answers if it is healthy, on one line.

    It is never asked through a proxy, whatever the environment says. Whether it speaks TLS turns out by itself, unless
    its web configuration is given. Raises AddressError, ConfigError, NotWell.
    """
    host, port = host_and_port(address)
    host = reached_at(host)
    secure = _certified(web_config) if web_config else None
    try:
        if secure is None:
            try:
                return _answer(HTTPConnection(host, port, timeout=patience), path)
            except (BadStatusLine, ConnectionResetError):  # what a server of TLS makes of plain HTTP
                if web_config:
                    raise
        return _answer(HTTPSConnection(host, port, timeout=patience, context=secure or _context()), path)
    except (OSError, HTTPException, UnicodeError) as error:  # the latter for names that no host can have
        raise NotWell(f"{_place(host, port)} {_why(error)}") from None


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _answer(connection: HTTPConnection, path: str) -> str:
    with closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        line = answer.read(_SHOWN).decode("utf-8", "replace").partition("\n")[0]
    text = "".join(one if one.isprintable() else "?" for one in line)
    if answer.status == 200:
        return text
    hint = "; `health_without_auth: true` in its web configuration allows this check" if answer.status == 401 else ""
    raise NotWell(f"{_place(connection.host, connection.port)} answers {answer.status}: {text}{hint}")


def _context() -> ssl.SSLContext:
    """A TLS context that trusts any server.

    It is this machine, it is sent no secret, and its certificate names it as others reach it. Whether those trust that
    certificate shows where they scrape.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _certified(web_config: str) -> ssl.SSLContext | None:
    """The same, which shows the exporter's own certificate to an exporter that asks for one; None without TLS."""
    from exporter.web.access.webconfig import WebConfig  # takes half a second, and few need it

    tls = WebConfig(web_config).access.settings.tls_server_config
    if tls is None:
        return None
    context = _context()
    tls.load_certificate(context, Path(web_config).parent)
    return context


def _why(error: OSError | HTTPException | UnicodeError) -> str:
    match error:
        case TimeoutError():
            return "does not answer in time"
        case ConnectionResetError() | BrokenPipeError() | ssl.SSLEOFError():
            return f"ends the connection without an answer; {_CERTIFICATE}"
        case ssl.SSLError() | BadStatusLine():
            return "speaks neither HTTP nor TLS"
        case UnicodeError():
            return "is not a host"
        case OSError() if error.strerror:
            return f"cannot be reached: {error.strerror}; does the exporter run, and listen there?"
    return "sent an invalid HTTP response"
