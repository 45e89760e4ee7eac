"""TLS as the web configuration describes it: `tls_server_config`, and the context that Python makes of it.

The words are those of Go's crypto/tls, which the format comes from. What Python's `ssl` cannot do is a fault.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NoReturn, cast

from pydantic import BeforeValidator, Field, model_validator

from exporter.config.files.reread import content_of
from exporter.config.mistakes import slips
from exporter.config.models import Secret, Settings
from exporter.config.values import fault

CIPHERS = {
    f"TLS_ECDHE_{kind}_WITH_{name}": f"ECDHE-{kind}-{openssl}"
    for kind in ("ECDSA", "RSA")
    for name, openssl in (
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
    )
}
"""Go's names of the cipher suites of TLS 1.2 that it counts as secure -> OpenSSL's."""

TLS13_CIPHERS = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""May be named, but all three are always on with TLS 1.3, in Go as in Python."""

CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}

CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    # It is asked for, but never looked at: a client may connect with or without it.
    "RequestClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_SIZE_LIMIT = 1024 * 1024


class TLSError(Exception):
    """A certificate, key or CA that cannot be used: at which key of `tls_server_config`, and why."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def _version(value: object) -> ssl.TLSVersion:
    if isinstance(value, str) and value in _VERSIONS:
        return _VERSIONS[value]
    is_old = value in ("TLS10", "TLS11")
    wrong = "older than is safe" if is_old else f"not a version of TLS{slips.hint(str(value), _VERSIONS)}"
    raise fault(f"{wrong}; allowed: {', '.join(_VERSIONS)}")


def _client_auth(value: object) -> str:
    if value in ("RequireAnyClientCert", "RequireClientCert"):
        raise fault("Python cannot ask for a certificate that it does not verify; write RequireAndVerifyClientCert")
    if value not in CLIENT_AUTH:
        raise fault(f"not a policy{slips.hint(str(value), CLIENT_AUTH)}; allowed: {', '.join(CLIENT_AUTH)}")
    return str(value)


def _known(what: str, *allowed: str) -> BeforeValidator:
    """Lets one of these names pass."""

    def check(value: object) -> str:
        if value not in allowed:
            raise fault(f"not a {what} known here; allowed: {', '.join(allowed)}")
        return str(value)

    return BeforeValidator(check)


def _private(value: object) -> Secret:
    """Unlike other secrets, a key has several lines."""
    if not isinstance(value, str):
        raise fault("not a text; write the key in PEM format")
    return Secret(value)


Version = Annotated[ssl.TLSVersion, BeforeValidator(_version)]


class Section(Settings):
    """A part of the web configuration: what is blank in it counts as not given."""

    @model_validator(mode="before")
    @classmethod
    def _drop_what_is_blank(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        blank = [key for key, value in data.items() if value in (None, "", {}) and key in cls.model_fields]
        return {key: value for key, value in data.items() if key not in blank}


class TLSSettings(Section):
    """`tls_server_config`."""

    cert: str | None = Field(default=None, description="the server's certificate with its chain, PEM")
    cert_file: str | None = Field(default=None, description="a file that holds it")
    key: Annotated[Secret, BeforeValidator(_private)] | None = Field(default=None, description="its key, PEM")
    key_file: str | None = Field(default=None, description="a file that holds it")
    client_ca: str | None = Field(default=None, description="who signs the certificates of clients, PEM")
    client_ca_file: str | None = Field(default=None, description="a file that holds it")
    client_auth_type: Annotated[str, BeforeValidator(_client_auth)] = Field(default="NoClientCert")
    client_allowed_sans: list[str] | None = Field(default=None, description="names, one of which a client must have")
    min_version: Version = Field(default=ssl.TLSVersion.TLSv1_2)
    max_version: Version = Field(default=ssl.TLSVersion.TLSv1_3)
    cipher_suites: list[Annotated[str, _known("cipher suite", *CIPHERS, *TLS13_CIPHERS)]] = Field(default_factory=list)
    prefer_server_cipher_suites: bool = Field(default=True)
    curve_preferences: list[Annotated[str, _known("curve", *CURVES)]] = Field(default_factory=list)

    @property
    def _only_tls13_ciphers(self) -> bool:
        return bool(self.cipher_suites) and not any(name in CIPHERS for name in self.cipher_suites)

    def files(self, folder: Path) -> list[Path]:
        """The files that are read beside the configuration; their paths are relative to its folder."""
        named = (self.cert_file, self.key_file, self.client_ca_file)
        return [folder / name for name in named if name is not None]

    def context(self, folder: Path) -> ssl.SSLContext:
        """What new connections are served with, made of the files as they are now. Raises TLSError."""
        self._check()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version, context.maximum_version = self.min_version, self.max_version
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        if self._only_tls13_ciphers:
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        elif self.cipher_suites:
            context.set_ciphers(":".join(CIPHERS[name] for name in self.cipher_suites if name in CIPHERS))
        if self.prefer_server_cipher_suites:
            context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        else:
            context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        for curve in self.curve_preferences:
            context.set_ecdh_curve(CURVES[curve])
        self.load_certificate(context, folder)
        self._load_client_ca(context, folder)
        return context

    def _check(self) -> None:
        needs_ca = CLIENT_AUTH[self.client_auth_type] is not ssl.CERT_NONE
        for name in ("cert", "key", "client_ca"):
            inline, file = getattr(self, name), getattr(self, f"{name}_file")
            if inline is not None and file is not None:
                raise TLSError(name, f"given beside {name}_file; give one of them")
            if inline is None and file is None and (name != "client_ca" or needs_ca):
                raise TLSError(f"{name}_file", f"missing; name a file, or give {name} itself")
        if (self.client_ca or self.client_ca_file) and self.client_auth_type == "NoClientCert":
            raise TLSError("client_auth_type", "missing, the client CA is not used; write RequireAndVerifyClientCert")
        if self.client_allowed_sans is not None and self.client_auth_type != "RequireAndVerifyClientCert":
            raise TLSError("client_allowed_sans", "needs client_auth_type: RequireAndVerifyClientCert")
        if self.min_version > self.max_version:
            raise TLSError("max_version", "below min_version; write TLS13, or leave it out")
        if self._only_tls13_ciphers and self.max_version is ssl.TLSVersion.TLSv1_2:
            raise TLSError("cipher_suites", "none is for TLS12, and max_version allows no newer; add one")
        if len(self.curve_preferences) > 1:
            raise TLSError(
                "curve_preferences", "Python takes one curve, or OpenSSL's choice of several; write one or none"
            )

    def load_certificate(self, context: ssl.SSLContext, folder: Path) -> None:
        """Has a context show the certificate. Raises TLSError."""
        at_cert, cert = self._pem("cert", folder)
        at_key, key = self._pem("key", folder)
        if b"-----BEGIN CERTIFICATE-----" not in cert:
            raise TLSError(at_cert, "holds no certificate in PEM format")
        if b"PRIVATE KEY-----" not in key:
            raise TLSError(at_key, "holds no private key in PEM format")

        def locked() -> NoReturn:  # or else OpenSSL would ask at the terminal
            raise TLSError(at_key, "the key is encrypted; decrypt it, with permissions for the exporter alone")

        try:
            with _as_file(cert) as cert_path, _as_file(key) as key_path:
                context.load_cert_chain(cert_path, key_path, locked)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise TLSError(at_key, "does not belong to the certificate; give the two that do") from None
            raise TLSError(at_cert, f"certificate and key cannot be used: {error.reason or 'not valid'}") from None

    def _load_client_ca(self, context: ssl.SSLContext, folder: Path) -> None:
        if not (self.client_ca or self.client_ca_file):
            return
        at, ca = self._pem("client_ca", folder)
        try:
            context.load_verify_locations(cadata=ca.decode("ascii", "ignore"))
        except (ssl.SSLError, ValueError):
            raise TLSError(at, "holds no certificate in PEM format") from None
        context.verify_mode = CLIENT_AUTH[self.client_auth_type]
        # As in Go, every certificate in there is trusted, also one that somebody else has signed.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN

    def _pem(self, name: str, folder: Path) -> tuple[str, bytes]:
        """Where it is given, and what it is."""
        inline, file = getattr(self, name), getattr(self, f"{name}_file")
        if file is None:
            return name, (inline.reveal() if isinstance(inline, Secret) else str(inline)).encode()
        try:
            return f"{name}_file", content_of(folder / file, _SIZE_LIMIT)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "not a path" if "\0" in file else error
            raise TLSError(f"{name}_file", f"cannot be read: {why}; name a readable file") from None


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path for OpenSSL, which takes certificates and keys from files alone: of one that no folder shows."""
    memory = os.memfd_create("pem") if hasattr(os, "memfd_create") else -1
    with os.fdopen(memory, "w+b") if memory >= 0 else cast(BinaryIO, tempfile.TemporaryFile()) as file:
        file.write(content)
        file.seek(0)
        yield f"/dev/fd/{file.fileno()}"


def names_in(certificate: Mapping[str, Any]) -> set[str]:
    """The subject alternative names of a certificate as `ssl` describes it: hosts, addresses, e-mails, URIs."""
    names: Sequence[tuple[str, str]] = certificate.get("subjectAltName", ())
    return {_address(value) if kind == "IP Address" else value for kind, value in names}


def _address(text: str) -> str:
    """OpenSSL writes IPv6 addresses in full; people do not."""
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        return text
