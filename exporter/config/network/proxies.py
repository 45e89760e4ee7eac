"""Which proxy a URL is asked through: by the variables of the environment, or by a provider's own setting.

The variables are those that curl, Go and Python know: `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, in small
or capital letters, the small ones first. How they are read is what these programs have in common: a proxy without a
scheme speaks HTTP, `socks://` is SOCKS 5, and NO_PROXY holds hosts (and all below them), addresses, networks and ports.
Proxies may have passwords: nothing here repeats a value.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import unquote

from exporter.config.mistakes import slips

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080, "socks": 1080}
"""The schemes of proxies, and the port of each where none is written."""
ALLOWED = "write http://, https:// or socks5:// with the proxy's host and port, such as http://proxy.corp:3128"
SETTING = "the setting `proxy`"
"""Where a proxy is set that no variable names."""
NONE = frozenset(("none", "direct"))
"""What a provider's setting says to have no proxy."""
_NO_HOST = re.compile(r"[0-9]+|no|off|false|null|nil|true|yes|on|none|direct|default|system", re.IGNORECASE)
"""What people write in a proxy's place that is no host: a port alone, or a word for having none."""


class ProxyUnusable(ValueError):
    """A value that names no proxy. The text says why, without the value."""


@dataclass(frozen=True)
class Proxy:
    """A proxy, and where it is set."""

    scheme: str
    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    source: str = SETTING

    @property
    def is_socks(self) -> bool:
        return self.scheme.startswith("socks")

    @property
    def url(self) -> str:
        """Without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def authorization(self) -> str | None:
        """The header Proxy-Authorization; None without a user."""
        if not self.user:
            return None
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def read_proxy(text: str, source: str = SETTING) -> Proxy:
    """The proxy that a text names. Raises ProxyUnusable.

    User and password may hold any character: they end at the last `@`, and are decoded where they are encoded.
    """
    text = text.strip()
    if text[:1] in slips.QUOTES or text[-1:] in slips.QUOTES:
        raise ProxyUnusable("has quotes around it; write it without them")
    if re.match(r"\$|%\w+%|\{\{", text):
        raise ProxyUnusable(f"names a variable that was not replaced; {ALLOWED}")
    scheme, there, rest = text.partition("://")
    scheme, rest = (scheme.lower(), rest) if there else ("http", scheme)
    if scheme not in PORTS:
        raise ProxyUnusable(f"names a proxy of a kind that is not known; {ALLOWED}")
    login, _, place = rest.rpartition("@")
    place = re.split(r"[/?#]", place, maxsplit=1)[0]
    has_port = ":" in place and not place.endswith("]")
    host, _, port = place.rpartition(":") if has_port else (place, "", "")
    port = port or str(PORTS[scheme])
    found = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\]|([^\s:\[\]\"'<>\\^`{|}]+)", host)
    if place != rest.rpartition("@")[2] and re.search(r"(?i)\.(pac|dat)$", rest):
        raise ProxyUnusable(f"is the address of a script that chooses proxies (PAC), which is not run; {ALLOWED}")
    if not found or not host.isprintable() or _NO_HOST.fullmatch(host):
        raise ProxyUnusable(f"names no host; {ALLOWED}")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ProxyUnusable(f"has a port that is no number from 1 to 65535; {ALLOWED}")
    user, _, password = login.partition(":")
    return Proxy(scheme, found[1] or found[2], int(port), unquote(user), unquote(password), source)


def fault_of_setting(text: str) -> str:
    """What is wrong with a provider's own setting; empty if it is good."""
    try:
        if text.strip().lower() not in NONE:
            read_proxy(text)
    except ProxyUnusable as error:
        return f"{error}, or `none` for no proxy"
    return ""


@dataclass(frozen=True)
class Excepted:
    """One entry of NO_PROXY."""

    domain: str = ""
    network: Network | None = None
    port: int | None = None

    def holds(self, host: str, address: Address | None, port: int) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            return address is not None and address.version == self.network.version and address in self.network
        return self.domain == "*" or host == self.domain or host.endswith("." + self.domain)


def _exceptions(text: str) -> list[Excepted]:
    entries = (_exception(entry) for entry in re.split(r"[,\s]+", text) if entry)
    return [entry for entry in entries if entry.domain or entry.network]


def _exception(text: str) -> Excepted:
    text = text.rpartition("://")[2].lower()
    if network := _network(text):
        return Excepted(network=network)
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()):
        host, port = text, ""
    limit = int(port[:6]) if port else None
    if network := _network(host):
        return Excepted(network=network, port=limit)
    return Excepted(domain="*" if host == "*" else host.removeprefix("*").strip("."), port=limit)


def _network(text: str) -> Network | None:
    """The network that an address, with or without brackets and the length of a prefix, stands for."""
    try:
        network = ipaddress.ip_network(re.sub(r"^\[([^]]*)\](?=/|$)", r"\1", text), strict=False)
    except ValueError:
        return None
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped and network.prefixlen >= 96:
        return ipaddress.ip_network((mapped, network.prefixlen - 96), strict=False)
    return network


def _address(host: str) -> Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class Proxies:
    """The proxies of one client: which of them, if any, a URL is asked through."""

    def __init__(
        self, by_scheme: Mapping[str, str], no_proxy: str = "", names: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._by_scheme = by_scheme
        self._names = names
        self._exceptions = _exceptions(no_proxy)
        self._read: dict[str, Proxy] = {}

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Proxies:
        """As the variables say."""
        by_scheme, names = {}, {}
        for scheme in ("http", "https", "all"):
            name, value = _variable(environment, f"{scheme}_proxy")
            if value:
                by_scheme[scheme], names[scheme] = value, name
        return cls(by_scheme, _variable(environment, "no_proxy")[1], names)

    @classmethod
    @lru_cache(maxsize=64)
    def of_setting(cls, text: str) -> Proxies:
        """As a provider's own setting says: one proxy for all, or none."""
        return cls({}) if text.strip().lower() in NONE else cls({"all": text})

    def of(self, scheme: str, host: str, port: int | None) -> Proxy | None:
        """The proxy for a server, None where it is asked directly. Raises ProxyUnusable, naming the variable."""
        which = scheme if scheme in self._by_scheme else "all"
        if which not in self._by_scheme or self._is_excepted(scheme, host, port):
            return None
        if which not in self._read:
            name = self._names.get(which, SETTING)
            try:
                self._read[which] = read_proxy(self._by_scheme[which], name)
            except ProxyUnusable as error:
                raise ProxyUnusable(f"{name} {error}") from None
        return self._read[which]

    def _is_excepted(self, scheme: str, host: str, port: int | None) -> bool:
        host = host.strip("[]").rstrip(".").lower()
        there = port or (443 if scheme == "https" else 80)
        address = _address(host)
        return any(one.holds(host, address, there) for one in self._exceptions)


def _variable(environment: Mapping[str, str], name: str) -> tuple[str, str]:
    """A variable in small letters, else in capitals, with its name as it is set; an empty one is not set."""
    for spelled in (name, name.upper()):
        if value := environment.get(spelled, "").strip():
            return spelled, value
    return name, ""
