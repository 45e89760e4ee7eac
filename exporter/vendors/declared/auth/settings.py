"""How requests prove whose they are, as a declaration says it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from exporter.config.models import Settings
from exporter.config.values import fault

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _header_name(value: str) -> str:
    if not _HEADER_NAME.fullmatch(value):
        raise fault("not the name of a header; write letters, digits and hyphens")
    if value.lower() in ("connection", "content-length", "transfer-encoding"):
        raise fault("not a header to declare, since each request has its own; leave it out")
    return value


def _header_text(value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise fault("holds a line break or another sign that no header can carry; write letters, digits and blanks")
    return value


HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderText = Annotated[str, AfterValidator(_header_text)]

_KEYS_OF_AUTH: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "bearer": ((), ("credential",)),
    "header": (("name",), ("credential", "prefix")),
    "query": (("name",), ("credential",)),
    "basic": ((), ("credential", "password")),
    "jwt_hs256": (("issuer", "secret"), ()),
    "hmac_sha256": (("key", "secret", "region", "service"), ()),
    "acs3_hmac_sha256": (("key", "secret"), ()),
    "none": ((), ()),
}
"""The keys that each scheme needs, and those that it may have."""


class Auth(Settings):
    """How requests prove whose they are."""

    type: Literal["bearer", "header", "query", "basic", "jwt_hs256", "hmac_sha256", "acs3_hmac_sha256", "none"] = Field(
        description="the scheme"
    )
    credential: str | None = Field(default=None, description="the credential that is sent; basic: the user")
    name: str | None = Field(default=None, description="of the header or the parameter")
    prefix: HeaderText = Field(default="", description="before the credential in the header, with its blank")
    password: str | None = Field(default=None, description="basic: the credential that is the password")
    issuer: str | None = Field(default=None, description="jwt_hs256: the credential that names the account")
    key: str | None = Field(default=None, description="signatures: the credential that names the pair of keys")
    secret: str | None = Field(default=None, description="jwt_hs256, signatures: the credential that signs")
    region: str | None = Field(default=None, description="hmac_sha256: what the signature is for")
    service: str | None = Field(default=None, description="hmac_sha256: what the signature is for")

    @model_validator(mode="after")
    def _is_whole(self) -> Auth:
        needed, allowed = _KEYS_OF_AUTH[self.type]
        for key in needed:
            if not getattr(self, key):
                raise fault(f"missing; the scheme {self.type} needs it", key)
        for key in sorted(self.model_fields_set - {"type", *needed, *allowed}):
            others = [scheme for scheme, keys in _KEYS_OF_AUTH.items() if key in (*keys[0], *keys[1])]
            told = f"without effect in the scheme {self.type}; leave it out, or write type: {' or '.join(others)}"
            raise fault(told, key)
        if self.type == "header":
            try:
                _header_name(self.name or "")
            except ValueError as error:
                raise fault(str(error), "name") from None
        return self

    @property
    def credentials(self) -> Iterator[tuple[str, str]]:
        """The names of credentials, by key."""
        for key in ("credential", "password", "issuer", "key", "secret"):
            if name := getattr(self, key):
                yield key, name
