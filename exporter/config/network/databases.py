"""How the URL of a PostgreSQL database may be written: as libpq takes it, but without a password."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from exporter.config.mistakes import slips

SCHEMES = ("postgresql://", "postgres://")

_FORM = "write postgresql://ROLE@HOST/DATABASE"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/?#\[\]@]*)(:[0-9]{1,5})?")
_PARAMETERS = (
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "sslsni", "sslcertmode", "sslnegotiation"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version", "channel_binding", "require_auth", "requirepeer"),
    *(
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "passfile",
        "service",
        "target_session_attrs",
        "load_balance_hosts",
    ),
    *("connect_timeout", "application_name", "options", "tcp_user_timeout", "keepalives", "keepalives_idle"),
    *("keepalives_interval", "keepalives_count", "gssencmode", "krbsrvname", "client_encoding"),
)
"""What the query may hold, among others: libpq is not asked here, it may not be installed."""
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def fault_of_url(url: str, instead: str = "password or password_file") -> str:
    """What is wrong with the URL of a database; empty if nothing. The URL is not repeated: it may hold a password.

    `instead` names what takes the password.
    """
    no_password = f"holds a password; write the URL without it, and give it as {instead}"
    if not url.startswith(SCHEMES):
        return f"the address of something else than PostgreSQL; {_FORM}"
    if not url.isprintable() or " " in url:
        return f"a URL with a blank or a character that cannot be printed; {_FORM}"
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"a URL that cannot be read; {_FORM}"
    user, at, hosts = parts.netloc.rpartition("@")
    if ":" in user:
        return no_password
    if not all(map(_HOST.fullmatch, hosts.split(","))) or "@" in parts.path or parts.fragment:
        return f"a URL that cannot be read; {_FORM}, and a password as {instead}"
    if at and not user:
        return f"a URL without a role before the `@`; {_FORM}"
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in ("password", "sslpassword"):
            return no_password
        if name not in _PARAMETERS and (meant := slips.hint(name, _PARAMETERS)):
            return f"a URL with a parameter that PostgreSQL does not know{meant}"
        if name == "sslmode" and value not in _SSL_MODES:
            return f"a URL with an unknown sslmode{slips.hint(value, _SSL_MODES)}; allowed: {', '.join(_SSL_MODES)}"
    return ""
