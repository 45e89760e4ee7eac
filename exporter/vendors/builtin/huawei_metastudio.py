"""Huawei Cloud MetaStudio: digital-human videos.

Document: "Querying Video Production Tasks" (GET /v1/{project_id}/digital-human-videos). A list row holds all that a
detail does, so look-ups are the list with `job_id`. The default order is oldest first, so the newest are asked for
first.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Generator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, TypeVar
from urllib.parse import parse_qsl, quote, unquote

import httpx
from pydantic import BaseModel, Field, field_validator

from exporter import tasks
from exporter.client.answers import Answer
from exporter.client.client import Client
from exporter.client.errors import ContractBroken, TaskNotFound, refusal
from exporter.client.reasons import reason_of, reason_of_status
from exporter.client.tokens import GivenToken, ObtainedToken, Token, TokenStore
from exporter.config.models import ProviderSettings, Secret
from exporter.config.models import Settings as SettingsPart
from exporter.config.values import BaseUrl, Rate, fault
from exporter.tasks import Cause, Clock, Observation, Reason, State
from exporter.vendors.api import START, Document, Feed, Page, Position, Vendor
from exporter.vendors.fields import Length, TaskId, Text, Timestamp, Wire, observation, read_page, read_rows, shaped

T = TypeVar("T")

STATES = {
    "WAITING": State.QUEUED,
    "PROCESSING": State.RUNNING,
    "BLOCK": State.BLOCKED,
    "SUCCEED": State.SUCCEEDED,
    "FAILED": State.FAILED,
    "CANCELED": State.CANCELLED,
}
IN_FLIGHT = "WAITING,PROCESSING"
"""The filter for tasks in flight; BLOCK is newer than some regions and is looked up singly."""

CODES = {
    "apigw.0101": Reason.INVALID_INPUT,
    "apigw.0201": Reason.INVALID_INPUT,
    "apigw.0301": Reason.AUTH,
    "apigw.0302": Reason.AUTH,
    "apigw.0306": Reason.AUTH,
    "apigw.0308": Reason.RATE_LIMITED,
    "mss.00000001": Reason.AUTH,
    "mss.00000002": Reason.INVALID_INPUT,
    "mss.00000003": Reason.INVALID_INPUT,
    "mss.00000004": Reason.PROVIDER_INTERNAL,
    "mss.00010003": Reason.INVALID_INPUT,
    "mss.00010004": Reason.INVALID_INPUT,
    "mss.00010008": Reason.AUTH,
    "mss.00010009": Reason.AUTH,
    "mss.10000002": Reason.INVALID_INPUT,
    "mss.10000003": Reason.INVALID_INPUT,
    "mss.20010019": Reason.INVALID_INPUT,
    "mss.20010020": Reason.INVALID_INPUT,
    "mss.20010135": Reason.INSUFFICIENT_BALANCE,
} | {f"mss.1000100{digit}": Reason.INVALID_INPUT for digit in range(1, 10)}

GENERIC = re.compile(r"mss\.0000000\d{1,2}", re.IGNORECASE)
"""Codes that the vendor's pages give different meanings: the HTTP status goes before them."""

NOT_FOUND = "MSS.00000002"

ERROR_READ = 2048
"""Bytes of an error of IAM that are searched for its cause."""


class Iam(SettingsPart):
    """An IAM user whose password buys tokens of 24 hours."""

    endpoint: BaseUrl = Field(description="of the region, such as https://iam.cn-north-4.myhuaweicloud.com")
    domain: str = Field(min_length=1, description="the account that the user belongs to")
    username: str = Field(min_length=1, description="the user")
    password: Secret = Field(description="the user's password")


class Settings(ProviderSettings):
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

    @field_validator("project_id")
    @classmethod
    def _is_not_a_name(cls, project: str) -> str:
        if re.fullmatch(r"[a-z]{2}-[a-z]+-[0-9]{1,3}(_.*)?", project):
            raise fault(
                "not a project's id but its name; write the id, 32 letters and digits, of the same row in the console"
            )
        return project


class Listing(BaseModel):
    count: int | None = None
    jobs: list[Any] | None


class ErrorInfo(BaseModel):
    error_code: Text = ""
    error_msg: Text = ""


class Job(Wire):
    job_id: TaskId
    state: Annotated[str | None, tasks.Field.STATE] = None
    create_time: Annotated[Timestamp, tasks.Field.SUBMITTED] = None
    start_time: Annotated[Timestamp, tasks.Field.STARTED] = None
    end_time: Annotated[Timestamp, tasks.Field.ENDED] = None
    duration: Annotated[Length, tasks.Field.OUTPUT] = None
    error_info: Annotated[ErrorInfo | None, tasks.Field.REASON] = None
    output_asset_config: Any = None

    @property
    def shows_result(self) -> bool:
        """Whether the job has made an asset that can be looked at."""
        output = self.output_asset_config
        return isinstance(output, dict) and bool(output.get("preview_video_url") or output.get("asset_id"))


class Signature(httpx.Auth):
    """Signs a request with an access key: SDK-HMAC-SHA256, as the vendor's "API request signing guide" describes.

    Host, X-Project-Id and X-Sdk-Date are signed, with the path, the query and the body.
    """

    requires_request_body = True

    def __init__(
        self,
        access_key: Secret,
        secret_key: Secret,
        project_id: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._access_key = access_key
        self._secret_key = secret_key
        self._project_id = project_id
        self._clock = clock

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["X-Sdk-Date"] = self._clock().strftime("%Y%m%dT%H%M%SZ")
        request.headers["X-Project-Id"] = self._project_id
        request.headers["Authorization"] = self._authorization(request)
        yield request

    def _authorization(self, request: httpx.Request) -> str:
        path, _, query = request.url.raw_path.decode().partition("?")
        pairs = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in parse_qsl(query, True))
        signed = {name: request.headers[name].strip() for name in ("host", "x-project-id", "x-sdk-date")}
        names = ";".join(signed)
        canonical = "\n".join(
            [
                request.method,
                quote(unquote(path), safe="/~") + ("" if path.endswith("/") else "/"),
                "&".join(f"{name}={value}" for name, value in pairs),
                *(f"{name}:{value}" for name, value in signed.items()),
                "",
                names,
                hashlib.sha256(request.content).hexdigest(),
            ]
        )
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"SDK-HMAC-SHA256\n{signed['x-sdk-date']}\n{digest}"
        signature = hmac.new(self._secret_key.reveal().encode(), to_sign.encode(), hashlib.sha256).hexdigest()
        return f"SDK-HMAC-SHA256 Access={self._access_key.reveal()}, SignedHeaders={names}, Signature={signature}"


class DigitalHuman(Feed):
    kind = "digital_human"
    clock = Clock.PROVIDER
    document = Document(
        "Querying Video Production Tasks",
        "https://support.huaweicloud.com/intl/en-us/api-metastudio/ListDigitalHumanVideo.html",
    )
    lists_in_flight = True
    id_key = "job_id"

    def __init__(self, settings: Settings, client: Client, token_store: TokenStore) -> None:
        self._settings = settings
        self._client = client
        self._path = f"/v1/{settings.project_id}/digital-human-videos"
        self._signature: Signature | None = None
        self._token: Token | None = None
        if settings.access_key and settings.secret_key:
            self._signature = Signature(settings.access_key, settings.secret_key, settings.project_id)
        elif settings.auth_token:
            self._token = GivenToken(settings.auth_token)
        elif settings.iam:
            identity = f"{settings.iam.endpoint}\n{settings.iam.domain}\n{settings.iam.username}\n{settings.project_id}"
            owner = f"{settings.name}:{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
            obtain = partial(self._obtain, settings.iam)
            self._token = ObtainedToken(owner, obtain, token_store, given_by="auth_token_file")

    async def list_page(self, at: Position = START, *, in_flight: bool = False) -> Page:
        limit = self._settings.page_size
        query = f"offset={at.rows}&limit={limit}&sort_key=create_time&sort_dir=desc"
        filtered = f"&state={quote(IN_FLIGHT, safe='')}" if in_flight else ""
        return await self._call("list", query + filtered, partial(self._page, at.rows))

    def _page(self, received: int, answer: Answer) -> Page:
        listing = _listing(answer)
        asked = self._settings.page_size
        return read_page(listing.jobs or [], self.observe, asked=asked, received=received, total=listing.count)

    async def look_up(self, task_id: str) -> Sequence[Observation]:
        def mine(answer: Answer) -> list[Observation]:
            listing = _detail(answer)
            observations, _ = read_rows(listing.jobs or [], self.observe)
            if not listing.jobs:
                raise TaskNotFound
            if task_id not in [one.id for one in observations]:
                raise ContractBroken("the detail shows another task")
            return [one for one in observations if one.id == task_id]

        return await self._call("detail", f"job_id={quote(task_id, safe='')}&limit=1", mine)

    async def _call(self, endpoint: str, query: str, read: Callable[[Answer], T]) -> T:
        url = f"{self._path}?{query}"
        if self._token is None:
            return await self._client.call(endpoint, "GET", url, auth=self._signature, read=read)

        async def attempt(token: str) -> T:
            return await self._client.call(endpoint, "GET", url, headers={"X-Auth-Token": token}, read=read)

        return await self._token.use(attempt)

    async def _obtain(self, iam: Iam) -> tuple[str, float]:
        user = {"name": iam.username, "password": iam.password.reveal(), "domain": {"name": iam.domain}}
        identity = {"methods": ["password"], "password": {"user": user}}
        body = {"auth": {"identity": identity, "scope": {"project": {"id": self._settings.project_id}}}}
        return await self._client.call("token", "POST", f"{iam.endpoint}/v3/auth/tokens", json=body, read=_issued)

    def observe(self, raw: object) -> Observation:
        """One job as an observation. Raises ValueError where it is none."""
        job, broken = Job.read(raw)
        error = job.error_info or ErrorInfo()
        state = STATES.get(job.state.strip().upper()) if job.state else None
        reason = reason_of(code=error.error_code, text=error.error_msg, codes=CODES)
        words = [error.error_code, error.error_msg]
        return observation(
            job.job_id,
            state,
            broken,
            reason=reason,
            words=words,
            raw=raw,
            result=job.shows_result,
            fault=(reason or Reason.UNKNOWN) if any(map(str.strip, words)) else None,
            submitted=job.create_time,
            started=job.start_time,
            ended=job.end_time,
            output_seconds=(job.duration or None) if state in (State.SUCCEEDED, None) else None,
        )


def _listing(answer: Answer) -> Listing:
    raw = answer.json()
    if answer.status < 400:
        return shaped(Listing, raw)
    error = shaped(ErrorInfo, raw)
    if GENERIC.fullmatch(error.error_code):
        codes = {error.error_code.lower(): reason_of_status(answer.status)}
        raise refusal(answer.status, code=error.error_code, codes=codes, said=error.error_msg)
    raise refusal(answer.status, code=error.error_code or None, text=error.error_msg, codes=CODES)


def _detail(answer: Answer) -> Listing:
    if answer.status == 404 and shaped(ErrorInfo, answer.json()).error_code == NOT_FOUND:
        raise TaskNotFound
    return _listing(answer)


def _issued(answer: Answer) -> tuple[str, float]:
    class Body(BaseModel):
        class Content(BaseModel):
            expires_at: datetime

        token: Content

    if answer.status >= 400:
        raise refusal(answer.status, said=answer.body[:ERROR_READ].decode(errors="replace"))
    token = answer.headers.get("X-Subject-Token", "")
    if not token or not (token.isascii() and token.isprintable()):
        raise ContractBroken("the answer has no X-Subject-Token")
    ends = shaped(Body, answer.json()).token.expires_at
    return token, (ends if ends.tzinfo else ends.replace(tzinfo=UTC)).timestamp()


def feeds(settings: Settings, client: Client, token_store: TokenStore) -> Sequence[Feed]:
    return [DigitalHuman(settings, client, token_store)]


VENDOR = Vendor(
    "huawei_metastudio",
    Settings,
    (DigitalHuman.kind,),
    feeds,
    other_names=("huawei", "huaweicloud", "metastudio", "huawei_cloud"),
    renewed_with="iam",
    signed_with="access_key",
    advice={
        **dict.fromkeys((Cause.PROJECT, Cause.WRONG_URL, Cause.REQUEST, Cause.NO_TASKS), "Check project_id too."),
        Cause.TOKEN_RENEWED_ELSEWHERE: "The setting for the other program's token is auth_token_file.",
    },
)
