"""Whom TLS trusts: the usual authorities or those of SSL_CERT_FILE and SSL_CERT_DIR, and those of a file of one's own.

One context serves all who trust the same, since each holds the certificates in memory and takes long to make.
"""

from __future__ import annotations

import os
import re
import ssl
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import httpx

from exporter.config.files.reread import stamp_of
from exporter.config.mistakes import slips

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
_one_at_a_time = threading.Lock()
"""Clients are made in many threads at once; without this each would read the same certificates at the start."""


class TrustBroken(ValueError):
    """A variable or a setting names authorities that cannot be used. The text says which and why."""


@contextmanager
def none_read() -> Iterator[None]:
    """Where TLS finds no authorities, for the import of a library that reads them then and not again.

    To read them takes long, and for ever where a variable names a pipe.
    """
    before = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    os.environ.update(dict.fromkeys(VARIABLES, os.devnull))
    try:
        yield
    finally:
        for name in VARIABLES:
            del os.environ[name]
        os.environ.update(before)


def context(ca_file: str | None = None) -> ssl.SSLContext:
    """The context for clients that trust a file of authorities too. Raises TrustBroken.

    It is made again when a variable or a file has changed.
    """
    with _one_at_a_time:
        for name in VARIABLES:
            if fault := fault_of_variable(name):
                raise TrustBroken(fault)
        if ca_file is not None and (fault := fault_of_file(ca_file)):
            raise TrustBroken(f"ca_file {fault}")
        named = [os.environ.get(name) for name in VARIABLES]
        try:
            return _made(ca_file, (*named, *(stamp_of(Path(path)) for path in (*named, ca_file) if path)))
        except (OSError, ValueError) as error:  # a file that was replaced a moment ago; TLS's errors are OSErrors
            raise TrustBroken(f"the authorities cannot be read: {type(error).__name__}; they are read again") from None


def fault_of_variable(name: str) -> str:
    """What is wrong with a variable that names certificates, with its name; empty if it is good or not set."""
    if not (value := os.environ.get(name)) or (name == "SSL_CERT_DIR" and os.environ.get("SSL_CERT_FILE")):
        return ""  # the file comes first, and the directory is not looked at
    if name == "SSL_CERT_FILE":
        fault = fault_of_file(value)
        return f"{name} {fault}" if fault else ""
    found = [_fault_of_folder(Path(folder)) for folder in value.split(os.pathsep) if folder]
    return f"{name} {found[0]}" if found and all(found) else ""


def at_home(path: str) -> str:
    """The path with the home directory for `~`; as it is where there is no such user."""
    return os.path.expanduser(path)  # noqa: PTH111  # Path raises where there is no such user


def fault_of_file(path: str) -> str:
    """What is wrong with a file of authorities; empty if it is good."""
    return _fault_of_file(path, stamp_of(Path(path)))


@lru_cache(maxsize=64)
def _fault_of_file(path: str, stamp: object) -> str:
    """The same for a file as it is now; to parse its certificates takes long."""
    wanted = "name a readable file of certificates (PEM)"
    if "BEGIN " in path:
        return "holds a certificate itself; write that into a file, and name the file"
    shown = slips.shown_path(path)
    named = f"({shown}) " if shown else ""
    try:
        if not path or not stat.S_ISREG(Path(path).stat().st_mode):
            return f"{named}is no regular file; {wanted}"
        trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusted.load_verify_locations(cafile=path)
    except ssl.SSLError:
        return f"{named}holds no certificate; {wanted}"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no such path"
        return f"{named}cannot be read: {why}; {wanted}"
    return "" if trusted.cert_store_stats()["x509"] else f"{named}holds no certificate; {wanted}"


def _fault_of_folder(path: Path) -> str:
    try:
        names = [one.name for one in path.iterdir()]
    except OSError as error:
        return f"({path}) cannot be read: {error.strerror}; name a directory of certificates"
    if not any(_HASHED.fullmatch(name) for name in names):
        return f"({path}) holds no certificate under a hashed name; run `openssl rehash` on it"
    return ""


@lru_cache(maxsize=64)
def _made(ca_file: str | None, stamps: tuple[object, ...]) -> ssl.SSLContext:
    made = httpx.create_ssl_context()
    if ca_file is not None:
        made.load_verify_locations(cafile=ca_file)
    return made
