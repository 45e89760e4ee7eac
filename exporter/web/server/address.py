"""Addresses to listen on, as they are written: `[HOST]:PORT`."""

from __future__ import annotations

import re
from ipaddress import ip_address

_FORM = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9_.-]*)):(?P<port>\d{1,5})")


class AddressError(Exception):
    """An address that cannot be used, and why."""


def host_and_port(address: str) -> tuple[str, int]:
    """What `:10186`, `127.0.0.1:10186` or `[::1]:10186` name; no host stands for all of them. Raises AddressError."""
    match = _FORM.fullmatch(address)
    if not match or int(match["port"]) > 65535:
        raise AddressError(f"{address!r} is not an address; write [HOST]:PORT, such as :10186 or 127.0.0.1:10186")
    return match["six"] or match["host"], int(match["port"])


def reached_at(host: str) -> str:
    """The host under which this machine reaches what listens on a host."""
    if not host:
        return "127.0.0.1"
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"
