"""A declaration as a type of provider: its settings, and how its requests prove whose they are."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import ValidationError

from exporter.client.client import Client
from exporter.config.models import ProviderSettings
from exporter.vendors.declared.declaration import Declaration
from exporter.vendors.declared.vendor import Hooks, settings_of, vendor_of
from tests.declared.conftest import declared, shown
from tests.harness import MemoryVault, ScriptedVendor

if TYPE_CHECKING:
    from tests.declared.conftest import Declare


def settings(declaration: dict[str, Any], **given: Any) -> Any:
    type_ = settings_of("acme", Declaration.model_validate(declaration))
    return type_.model_validate({"name": "a", "type": "acme", **given})


def test_a_type_of_provider_is_made_of_a_declaration() -> None:
    declaration = declared(other_names=["acme-video"], advice={"credentials": "See the console."}, title="Acme")
    vendor = vendor_of("acme", Declaration.model_validate(declaration))
    assert (vendor.name, vendor.title, vendor.kinds, vendor.other_names) == (
        "acme",
        "Acme",
        ("render",),
        ("acme-video",),
    )
    assert issubclass(vendor.settings, ProviderSettings)
    assert vendor.signed_with == ""


def test_what_a_provider_may_set_has_the_declared_defaults() -> None:
    declaration = declared(
        rate_limit="2/s",
        page_size=20,
        poll_interval="1m",
        settings={"region": {"default": "eu", "description": "where"}, "space": {}},
    )
    made = settings(declaration, api_key="KEY", space="blue")
    assert (made.base_url, made.rate_limit, made.page_size, made.poll_interval) == (
        "https://api.acme.example",
        2.0,
        20,
        60.0,
    )
    assert (made.region, made.space, made.api_key.text) == ("eu", "blue", "KEY")
    made = settings(
        declaration, api_key="KEY", space="blue", rate_limit="9/s", page_size=5, base_url="http://x.example"
    )
    assert (made.rate_limit, made.page_size, made.base_url) == (9.0, 5, "http://x.example")


def test_credentials_are_secrets_with_files(tmp_path: Any) -> None:
    (tmp_path / "key").write_text("KEY\n")
    made = settings(declared(), api_key_file=str(tmp_path / "key"))
    assert made.api_key.text == "KEY"
    assert "KEY" not in repr(made)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"api_key": ""},
        {"api_key": "KEY", "api_key_file": "key"},
        {"api_key": "KEY", "token": "x"},
        {"api_key": "KEY", "type": "other"},
        {"api_key": "KEY", "space": ""},
        {"api_key": "a b"},
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(declared(settings={"space": {}}), **({"space": "s"} | given))


def test_without_a_base_url_each_provider_gives_one() -> None:
    with pytest.raises(ValidationError):
        settings(declared(base_url=None), api_key="KEY")
    assert (
        settings(declared(base_url=None), api_key="KEY", base_url="https://b.example").base_url == "https://b.example"
    )


@pytest.mark.parametrize("name", ["acme", "acme-video_2", "Über", "7up", "class"])
def test_the_name_of_a_type_may_be_anything_that_a_name_can_be(name: str) -> None:
    made = settings_of(name, Declaration.model_validate(declared()))
    assert made.model_validate({"name": "a", "type": name, "api_key": "KEY"}).type == name


def test_a_setting_that_is_an_offset_has_to_be_one() -> None:
    declaration = declared(
        {"fields": {"dated": {"path": "updated_at", "offset": "{shift}"}}}, settings={"shift": {"default": "8h"}}
    )
    assert settings(declaration, api_key="KEY", shift="-30m").shift == "-30m"
    with pytest.raises(ValidationError):
        settings(declaration, api_key="KEY", shift="a while")


@pytest.mark.parametrize(("given", "seconds"), [({}, 28800.0), ({"shift": "-30m"}, -1800.0), ({"shift": "0s"}, 0.0)])
async def test_the_offset_of_a_time_may_be_a_setting_of_the_provider(
    declare: Declare, given: dict[str, Any], seconds: float
) -> None:
    declaration = declared(
        {"fields": {"dated": {"path": "updated_at", "offset": "{shift}"}}}, settings={"shift": {"default": "8h"}}
    )
    line = declare(declaration, shown({"id": "a", "status": "done", "updated_at": 1790000000}), **given)
    (seen,) = (await line.feed.list_page()).observations
    assert seen.dated == 1790000000 + seconds


@pytest.mark.parametrize(
    ("credentials", "auth", "header", "value"),
    [
        (["key"], {"type": "bearer"}, "Authorization", "Bearer SECRET-key"),
        (["a", "b"], {"type": "bearer", "credential": "b"}, "Authorization", "Bearer SECRET-b"),
        (["key"], {"type": "header", "name": "X-Key"}, "X-Key", "SECRET-key"),
        (["key"], {"type": "header", "name": "Authorization", "prefix": "Key "}, "Authorization", "Key SECRET-key"),
        (
            ["user", "word"],
            {"type": "basic", "credential": "user", "password": "word"},
            "Authorization",
            "Basic " + base64.b64encode(b"SECRET-user:SECRET-word").decode(),
        ),
        (["key"], {"type": "basic"}, "Authorization", "Basic SECRET-key"),
    ],
)
async def test_each_scheme_sends_the_credential_that_it_names(
    declare: Declare, credentials: list[str], auth: dict[str, Any], header: str, value: str
) -> None:
    line = declare(declared(credentials=credentials, auth=auth), shown())
    await line.feed.list_page()
    assert line.vendor.requests[0].headers[header] == value


async def test_the_schemes_without_a_header_of_their_own(declare: Declare) -> None:
    line = declare(declared(auth={"type": "query", "name": "key"}), shown())
    await line.feed.list_page()
    assert line.vendor.requests[0].url.params["key"] == "SECRET-api_key"
    line = declare(declared(credentials=[], auth={"type": "none"}), shown())
    await line.feed.list_page()
    assert "Authorization" not in line.vendor.requests[0].headers
    auth = {"type": "jwt_hs256", "issuer": "access", "secret": "sign"}
    line = declare(declared(credentials=["access", "sign"], auth=auth), shown())
    await line.feed.list_page()
    assert line.vendor.requests[0].headers["Authorization"].startswith("Bearer ey")
    vendor = vendor_of("acme", Declaration.model_validate(declared(credentials=["access", "sign"], auth=auth)))
    assert vendor.signed_with == "sign"


async def test_the_words_of_a_provider_belong_to_its_feed(declare: Declare) -> None:
    words = {"states": {"render": {"running": ["dreaming"]}}, "reasons": {"render": {"timeout": ["E_42"]}}}
    rows = {"id": "a", "status": "dreaming"}, {"id": "b", "status": "failed", "error": {"code": "E_42"}}
    line = declare(declared(), shown(*rows), **words)
    assert [(one.state, one.reason) for one in (await line.feed.list_page()).observations] == [
        ("running", None),
        ("failed", "timeout"),
    ]


async def test_a_vendor_may_have_several_feeds(declare: Declare) -> None:
    declaration = declared()
    declaration["feeds"]["dub"] = declared({"list": {"path": "/v2/dubs"}})["feeds"]["render"]
    line = declare(declaration, shown())
    assert list(line.feeds) == ["render", "dub"]
    await line.feeds["dub"].list_page()
    assert line.vendor.requests[0].url.path == "/v2/dubs"


async def test_an_optional_feed_is_had_by_providers_that_name_it(declare: Declare) -> None:
    declaration = declared()
    dub = declared({"list": {"path": "/v2/dubs"}})["feeds"]["render"] | {"optional": True}
    declaration["feeds"] |= {"dub": dub, "old/dub": dub}
    vendor = vendor_of("acme", Declaration.model_validate(declaration))
    assert (vendor.kinds, vendor.more_kinds) == (("render",), ("dub", "old/dub"))
    assert list(declare(declaration, shown()).feeds) == ["render"]
    assert list(declare(declaration, shown(), feeds=["old/dub", "render"]).feeds) == ["render", "old/dub"]


@pytest.mark.parametrize("kind", ["/dub", "dub/", "a/b/c", "a//b", "../a", "a b"])
def test_the_name_of_a_feed_has_two_parts_at_the_most(kind: str) -> None:
    declaration = declared()
    declaration["feeds"] = {kind: declaration["feeds"]["render"]}
    with pytest.raises(ValidationError):
        Declaration.model_validate(declaration)


async def test_a_vendors_own_file_says_what_ids_stand_for_and_completes_rows() -> None:
    declaration = Declaration.model_validate(declared({"detail": {"path": "/{+id}", "row": "data"}}))

    def completed(settings: ProviderSettings, row: object, task_id: str) -> object:
        return {**row, "id": task_id or f"{settings.name}-{row['id']}"} if isinstance(row, dict) else row

    hooks = Hooks(asked=lambda settings, task_id: task_id.replace("-", "/", 1), completed=completed)
    row = {"id": "r-1", "status": "done"}
    type_ = vendor_of("acme", declaration, hooks)
    given = type_.settings.model_validate({"name": "test", "type": "acme", "api_key": "SECRET-api_key"})
    vendor = ScriptedVendor({"data": {"renders": [row]}}, {"data": row})
    client = Client(given.base_url, rate=1e9, timeout=5, transport=httpx.MockTransport(vendor))
    (feed,) = type_.feeds(given, client, MemoryVault())
    assert [one.id for one in (await feed.list_page()).observations] == ["test-r-1"]
    assert [one.id for one in await feed.look_up("test-r-1")] == ["test-r-1"]
    assert vendor.requests[1].url.path == "/test/r-1"
    await client.aclose()
