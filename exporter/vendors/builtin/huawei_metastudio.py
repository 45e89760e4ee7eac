"""Huawei Cloud MetaStudio: digital-human videos.

Document: "Querying Video Production Tasks" (GET /v1/{project_id}/digital-human-videos). A list row holds all that a
detail does, so look-ups are the list with `job_id`. The default order is oldest first, so the newest are asked for
first.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, BeforeValidator, Field, field_validator

from exporter.client.answers import Answer
from exporter.client.client import Client
from exporter.client.errors import ContractBroken, TaskNotFound, refusal
from exporter.client.reasons import code_of, reason_of_status
from exporter.client.tokens import GivenToken, ObtainedToken, TokenStore
from exporter.config.models import ProviderSettings, Secret
from exporter.config.models import Settings as SettingsPart
from exporter.config.values import BaseUrl, Rate, fault
from exporter.vendors.declared.account import account_of
from exporter.vendors.declared.auth.schemes import Scheme, TokenHeader
from exporter.vendors.declared.auth.signatures import KeyPair, canonical, digest, keyed
from exporter.vendors.declared.reading.values import time_reader
from exporter.vendors.declared.vendor import Hooks, vendor_of
from exporter.vendors.fields import shaped
from exporter.vendors.registry import read_declaration
from exporter.vendors.vendor import Account, Feed

GENERIC = re.compile(r"mss\.0000000\d{1,2}", re.IGNORECASE)
"""Codes that the vendor's pages give different meanings: the HTTP status goes before them."""

NOT_FOUND = "mss.00000002"

ERROR_READ = 2048
"""Bytes of an error of IAM that are searched for its cause."""


class Iam(SettingsPart):
    """An IAM user whose password buys tokens of 24 hours."""

    endpoint: BaseUrl = Field(description="of the region, such as https://iam.cn-north-4.myhuaweicloud.com")
    domain: str = Field(min_length=1, description="the account that the user belongs to")
    username: str = Field(min_length=1, description="the user")
    password: Secret = Field(description="the user's password")


class MetaStudioSettings(ProviderSettings):
    """A MetaStudio project and one way to authenticate."""

    ways: ClassVar = (("auth_token",), ("access_key", "secret_key"), ("iam",))
    added: ClassVar = ("digital-human-videos",)
    type: Literal["huawei_metastudio"]
    base_url: BaseUrl = Field(
        default="https://metastudio.cn-north-4.myhuaweicloud.com", description="the region's endpoint"
    )
    rate_limit: Rate = Field(default=5.0, description="the vendor allows 10/s or 20/s a tenant, by region")
    page_size: int = Field(default=100, ge=1, le=100, description="tasks asked for on one list page")
    project_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="the project's id")
    auth_token: Secret | None = Field(default=None, description="an X-Auth-Token that another program renews")
    access_key: Secret | None = Field(default=None, description="with secret_key: requests are signed")
    secret_key: Secret | None = Field(default=None, description="belongs to access_key")
    iam: Iam | None = Field(default=None, description="an IAM user, for tokens that the exporter renews")
    billing_url: BaseUrl | None = Field(
        default=None,
        description="where the balance is asked for; by default Huawei's own address for the region of `base_url`",
    )

    @field_validator("project_id")
    @classmethod
    def _is_not_a_name(cls, project: str) -> str:
        if re.fullmatch(r"[a-z]{2}-[a-z]+-[0-9]{1,3}(_.*)?", project):
            raise fault(
                "not a project's id but its name; write the id, 32 letters and digits, of the same row in the console"
            )
        return project


DECLARATION = read_declaration("huawei_metastudio")


class Signature(KeyPair):
    """Signs a request with an access key, as the vendor's "API request signing guide" describes.

    Host, X-Project-Id and X-Sdk-Date are signed, with the path, the query and the body; what concerns the account that
    pays names no project.
    """

    algorithm = "SDK-HMAC-SHA256"

    def __init__(
        self, key: Secret, secret: Secret, project_id: str = "", wall_clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(key, secret, wall_clock)
        self._project_id = project_id

    def sign(self, request: httpx.Request) -> None:
        date = request.headers["X-Sdk-Date"] = self._now("%Y%m%dT%H%M%SZ")
        if self._project_id:
            request.headers["X-Project-Id"] = self._project_id
        names = [name for name in ("host", "x-project-id", "x-sdk-date") if name in request.headers]
        to_sign = f"{self.algorithm}\n{date}\n{digest(canonical(request, names, path_end='/'))}"
        signature = keyed(self._secret.text.encode(), to_sign).hex()
        request.headers["Authorization"] = (
            f"{self.algorithm} Access={self._key.text}, SignedHeaders={';'.join(names)}, Signature={signature}"
        )


def _account(settings: MetaStudioSettings, client: Client, feeds: Sequence[Feed]) -> Account | None:
    """What asks for the balance of the account that pays: at an address of its own, and for no project."""
    scheme = None
    if settings.access_key and settings.secret_key:
        scheme = Signature(settings.access_key, settings.secret_key)
    url = settings.billing_url or _billing_url(settings.base_url)
    return account_of(DECLARATION.account, feeds, url=url, scheme=scheme)


def _billing_url(base_url: str) -> str:
    """Where Huawei reports balances to accounts of a region; elsewhere, such as behind a proxy, at the same address."""
    host = urlsplit(base_url).hostname or ""
    if host.endswith(".myhuaweicloud.eu"):
        return "https://bss.myhuaweicloud.eu"
    if host.endswith(".myhuaweicloud.com"):
        return f"https://bss{'' if '.cn-' in host else '-intl'}.myhuaweicloud.com"
    return base_url


def _refused(endpoint: str, status: int, code: object, text: str) -> None:
    """Codes whose meaning follows from the HTTP status."""
    if endpoint == "detail" and status == 404 and code_of(code) == NOT_FOUND:
        raise TaskNotFound
    if GENERIC.fullmatch(code_of(code)):
        raise refusal(status, code=code, codes={code_of(code): reason_of_status(status)}, said=text)


def _scheme(settings: MetaStudioSettings, client: Client, tokens: TokenStore) -> Scheme:
    if settings.access_key and settings.secret_key:
        return Signature(settings.access_key, settings.secret_key, settings.project_id)
    if settings.auth_token:
        return TokenHeader(GivenToken(settings.auth_token), "X-Auth-Token")
    iam = settings.iam
    if iam is None:  # the settings admit no such thing
        raise ValueError("no credentials")
    identity = f"{iam.endpoint}\n{iam.domain}\n{iam.username}\n{settings.project_id}"
    owner = f"{settings.name}:{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    obtain = partial(_obtain, iam, settings.project_id, client)
    return TokenHeader(ObtainedToken(owner, obtain, tokens, given_by="auth_token_file"), "X-Auth-Token")


async def _obtain(iam: Iam, project: str, client: Client) -> tuple[str, float]:
    user = {"name": iam.username, "password": iam.password.reveal(), "domain": {"name": iam.domain}}
    identity = {"methods": ["password"], "password": {"user": user}}
    body = {"auth": {"identity": identity, "scope": {"project": {"id": project}}}}
    return await client.call("token", "POST", f"{iam.endpoint}/v3/auth/tokens", json=body, read=_issued)


def _issued(answer: Answer) -> tuple[str, float]:
    class Body(BaseModel):
        class Content(BaseModel):
            expires_at: Annotated[float, BeforeValidator(time_reader())]

        token: Content

    if answer.status >= 400:
        raise refusal(answer.status, said=answer.body[:ERROR_READ].decode(errors="replace"))
    token = answer.headers.get("X-Subject-Token", "")
    if not token or not (token.isascii() and token.isprintable()):
        raise ContractBroken("the answer has no X-Subject-Token")
    return token, shaped(Body, answer.json()).token.expires_at


VENDOR = vendor_of(
    "huawei_metastudio",
    DECLARATION,
    Hooks(scheme=_scheme, refused=_refused),
    settings=MetaStudioSettings,
    account=_account,
    renewed_with="iam",
    signed_with="access_key",
)
