"""TLS, over real connections: versions, ciphers, certificates of clients, and certificates that are renewed.

The cases are those of the server tests of Prometheus' exporter-toolkit.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import ssl
from pathlib import Path

import httpx
import pytest
import trustme

from exporter.web.access.tls import CIPHERS, CURVES, TLS13_CIPHERS
from exporter.web.server.opened import Limits
from tests.harness import PATIENCE, Start, until

from .serving import TLS, Address, Folder, all_of, indented, serving, users

VERIFIED = f"{TLS}  client_ca_file: ca.pem\n  client_auth_type: "


async def answers(address: Address, context: ssl.SSLContext) -> bool:
    """Whether the server answers a client; not if it ends the connection."""
    try:
        return (await address.get(tls=context)).text == "Hello World!"
    except httpx.TransportError:
        return False


async def certificate(address: Address, context: ssl.SSLContext) -> bytes:
    """What the server shows a new connection."""
    _, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return bytes(shown)


async def test_a_client_that_trusts_the_authority_is_answered(folder: Folder) -> None:
    async with serving(folder.config(TLS)) as address:
        assert await answers(address, folder.client())
        assert not await answers(address, ssl.create_default_context())


async def test_certificate_and_key_may_stand_in_the_file_itself(folder: Folder) -> None:
    cert, key, ca = ((folder.path / name).read_bytes() for name in ("server.crt", "server.key", "ca.pem"))
    text = f"tls_server_config:\n  cert: {indented(cert)}  key: {indented(key)}  client_ca: {indented(ca)}"
    folder.certify("client", "someone")
    async with serving(folder.config(f"{text}  client_auth_type: RequireAndVerifyClientCert\n")) as address:
        assert await answers(address, folder.client("client"))
        assert not await answers(address, folder.client())
    assert {one.name for one in folder.path.iterdir() if "PRIVATE KEY" in one.read_text()} == {
        *("server.key", "client.key", "web.yml")
    }


async def test_plain_http_gets_no_answer_from_tls(folder: Folder) -> None:
    async with serving(folder.config(TLS)) as address:
        async with address.http(secure=False) as client:
            with pytest.raises(httpx.TransportError):
                await client.get("/")
        assert await answers(address, folder.client())


async def test_tls_gets_no_answer_from_plain_http(folder: Folder) -> None:
    async with serving(folder.config("{}")) as address:
        async with address.http(folder.client(), secure=True) as client:
            with pytest.raises(httpx.TransportError):
                await client.get("/")
        assert (await address.get()).status_code == 200


V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


async def test_versions(folder: Folder) -> None:
    expected = {
        ("", V12): "TLSv1.2",
        ("", V13): "TLSv1.3",
        ("  min_version: TLS13\n", V12): None,
        ("  min_version: TLS13\n", V13): "TLSv1.3",
        ("  max_version: TLS12\n", V12): "TLSv1.2",
        ("  max_version: TLS12\n", V13): None,
        ("  min_version: TLS12\n  max_version: TLS13\n", V13): "TLSv1.3",
        ("  cipher_suites: [TLS_AES_128_GCM_SHA256]\n", V12): None,
        ("  cipher_suites: [TLS_AES_128_GCM_SHA256]\n", V13): "TLSv1.3",
    }
    spoken = {}
    async with serving(folder.config(TLS)) as address:
        for settings, version in expected:
            folder.write(web_yml=TLS + settings)
            address.reread()
            context = folder.client(maximum_version=version, minimum_version=version)
            spoken[settings, version] = await spoken_by(address, context, "version")
    assert spoken == expected


@pytest.mark.filterwarnings(r"ignore:ssl\.TLSVersion\.TLSv1.* is deprecated:DeprecationWarning")
async def test_older_versions_are_not_spoken(folder: Folder) -> None:
    context = folder.client()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(folder.config(TLS)) as address:
        assert await spoken_by(address, context, "version") is None


async def spoken_by(address: Address, context: ssl.SSLContext, what: str) -> str | None:
    """The version or the cipher that server and client agree on; None if they do not."""
    try:
        _, writer = await asyncio.open_connection(
            address.host, address.port, ssl=context, ssl_handshake_timeout=PATIENCE
        )
    except (ssl.SSLError, ConnectionError):
        return None
    spoken = writer.get_extra_info("ssl_object")
    writer.close()
    return str(spoken.version() if what == "version" else spoken.cipher()[0])


ONE, OTHER = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"


async def test_cipher_suites(folder: Folder) -> None:
    for settings, offered, spoken in [
        (f"  cipher_suites: [{ONE}]\n", [ONE], ONE),
        (f"  cipher_suites: [{ONE}]\n", [OTHER], None),
        (f"  cipher_suites: [{ONE}, {OTHER}]\n", [OTHER, ONE], ONE),
        (f"  cipher_suites: [{ONE}, {OTHER}]\n  prefer_server_cipher_suites: false\n", [OTHER, ONE], OTHER),
        (f"  cipher_suites: [{', '.join((*CIPHERS, *TLS13_CIPHERS))}]\n", [OTHER], OTHER),
    ]:
        context = folder.client(maximum_version=V12)
        context.set_ciphers(":".join(CIPHERS[name] for name in offered))
        async with serving(folder.config(TLS + settings)) as address:
            found = await spoken_by(address, context, "cipher")
        assert found == (CIPHERS[spoken] if spoken else None), settings


async def test_a_curve_that_only_the_server_has_is_none_in_common(folder: Folder) -> None:
    async with serving(folder.config(TLS)) as address:
        for curve in CURVES:
            folder.write(web_yml=f"{TLS}  curve_preferences: [{curve}]\n")
            address.reread()
            for name, offered in CURVES.items():
                context = folder.client()
                context.set_ecdh_curve(offered)
                assert bool(await spoken_by(address, context, "version")) is (name == curve), (name, curve)


@pytest.mark.parametrize(
    ("policy", "accepted"),
    [
        ("NoClientCert", {"none", "ours", "alien"}),
        ("RequestClientCert", {"none", "ours", "alien"}),
        ("VerifyClientCertIfGiven", {"none", "ours"}),
        ("RequireAndVerifyClientCert", {"ours"}),
    ],
)
async def test_certificates_of_clients(folder: Folder, policy: str, accepted: set[str]) -> None:
    folder.certify("ours", "ours.example")
    folder.certify("alien", "ours.example", authority=trustme.CA())
    text = f"{TLS}  client_auth_type: NoClientCert\n" if policy == "NoClientCert" else f"{VERIFIED}{policy}\n"
    async with serving(folder.config(text)) as address:
        clients = {"none": folder.client(), "ours": folder.client("ours"), "alien": folder.client("alien")}
        assert {name for name, context in clients.items() if await answers(address, context)} == accepted


async def test_a_client_whose_very_certificate_is_trusted_may_come_in(folder: Folder) -> None:
    alien = trustme.CA()
    leaf = folder.certify("client", "someone", authority=alien)
    folder.write(ca_pem=leaf.cert_chain_pems[0].bytes())
    folder.certify("sibling", "someone", authority=alien)
    async with serving(folder.config(f"{VERIFIED}RequireAndVerifyClientCert\n")) as address:
        assert await answers(address, folder.client("client"))
        assert not await answers(address, folder.client("sibling"))


async def test_names_that_clients_must_have(folder: Folder) -> None:
    async with serving(folder.config(TLS)) as address:
        for allowed, names, accepted in [
            ("[scraper.example]", ["other.example", "scraper.example"], True),
            ("[scraper.example]", ["other.example"], False),
            ("[scraper.example]", ["a.scraper.example"], False),
            ("[a.example, 192.0.2.1]", ["192.0.2.1"], True),
            ("['2001:db8::1']", ["2001:db8::1"], True),
            ("['2001:db8::1']", ["2001:db8::2"], False),
            ("[who@example.org]", ["who@example.org"], True),
            ("[]", ["scraper.example"], False),
        ]:
            folder.certify("client", *names)
            folder.write(web_yml=f"{VERIFIED}RequireAndVerifyClientCert\n  client_allowed_sans: {allowed}\n")
            address.reread()
            for version in (V12, V13):
                context = folder.client("client", maximum_version=version, minimum_version=version)
                assert await answers(address, context) is accepted, (allowed, names, version)


async def test_a_renewed_certificate_is_shown_to_new_connections(folder: Folder) -> None:
    web = folder.config(TLS)
    async with serving(web) as address:
        before = await certificate(address, folder.client())
        async with address.http(folder.client()) as old:
            assert (await old.get("/")).status_code == 200
            renewed = folder.certify("server", "localhost", "127.0.0.1")
            web.reread()
            shown = await certificate(address, folder.client())
            assert (await old.get("/")).status_code == 200
    assert shown != before
    assert ssl.DER_cert_to_PEM_cert(shown) == renewed.cert_chain_pems[0].bytes().decode()


async def test_a_certificate_without_its_key_yet_keeps_the_old_one(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "exporter")
    web = folder.config(TLS)
    async with serving(web) as address:
        before = await certificate(address, folder.client())
        old_key = (folder.path / "server.key").read_bytes()
        folder.certify("server", "localhost", "127.0.0.1")
        new_key = (folder.path / "server.key").read_bytes()
        folder.write(server_key=old_key)
        for _ in range(2):
            web.reread()
            assert await certificate(address, folder.client()) == before
        assert web.trouble.endswith(
            "web.yml:3: tls_server_config.key_file: does not belong to the certificate; give the two that do"
        )
        folder.write(server_key=new_key)
        web.reread()
        assert await certificate(address, folder.client()) != before
        assert web.trouble == ""
    assert [one.levelname for one in caplog.records] == ["ERROR", "INFO"]


@pytest.mark.parametrize("name", ["server.crt", "server.key", "web.yml"])
async def test_a_file_that_becomes_a_pipe_holds_nothing_up(folder: Folder, name: str) -> None:
    web = folder.config(TLS)
    async with serving(web) as address:
        before = await certificate(address, folder.client())
        (folder.path / name).rename(folder.path / "away")
        os.mkfifo(folder.path / name)
        web.reread()
        assert await certificate(address, folder.client()) == before
        assert web.trouble.endswith("cannot be read: Is a pipe; name a readable file")
        (folder.path / "away").replace(folder.path / name)
        web.reread()
        assert await certificate(address, folder.client()) == before
        assert web.trouble == ""


async def test_a_client_ca_that_is_exchanged_shuts_out_those_of_the_old_one(folder: Folder) -> None:
    alien = trustme.CA()
    folder.certify("old", "old.example")
    folder.certify("new", "new.example", authority=alien)
    web = folder.config(f"{VERIFIED}RequireAndVerifyClientCert\n")
    async with serving(web) as address:
        old, new = folder.client("old"), folder.client("new")
        assert (await answers(address, old), await answers(address, new)) == (True, False)
        folder.write(ca_pem=alien.cert_pem.bytes())
        web.reread()
        assert (await answers(address, old), await answers(address, new)) == (False, True)


async def test_a_policy_that_is_relaxed_counts_for_new_connections(folder: Folder) -> None:
    web = folder.config(f"{VERIFIED}RequireAndVerifyClientCert\n")
    async with serving(web) as address:
        assert not await answers(address, folder.client())
        folder.write(web_yml=f"{VERIFIED}VerifyClientCertIfGiven\n")
        web.reread()
        assert await answers(address, folder.client())


async def test_switching_tls_off_needs_a_restart(folder: Folder) -> None:
    web = folder.config(TLS + users(ann="secret"))
    async with serving(web) as address:
        folder.write(web_yml=users(ann="secret"))
        web.reread()
        assert (await address.get(tls=folder.client(), auth=("ann", "secret"))).status_code == 200
        assert web.trouble.endswith("TLS is not switched on or off while the exporter runs; restart it")


async def test_a_handshake_that_does_not_come_is_given_up(folder: Folder) -> None:
    async with serving(folder.config(TLS), Limits(request=0.2)) as address:
        assert await address.send(b"") == b""
        assert await address.send(b"\x16\x03\x01") == b""


async def test_one_who_sends_slowly_is_cut_off(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(folder.config(TLS), Limits(request=1)) as address:
        context, served = folder.client(), 0
        reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
        ended = asyncio.create_task(all_of(reader))
        while not ended.done():
            writer.write(b"a")
            await asyncio.sleep(0.02)
            served += await answers(address, context)  # not each: a busy machine may make this request a slow one, too
        assert served > 0
        writer.close()
        await until("the connection is gone", lambda: address.open == 0)
    assert [one for one in caplog.records if one.name != "asyncio" and one.levelno >= logging.WARNING] == []


async def test_handshakes_that_hang_leave_room_for_others(folder: Folder) -> None:
    async with serving(folder.config(TLS), Limits(connections=8, request=10 * PATIENCE)) as address:
        hanging = [await asyncio.open_connection(address.host, address.port) for _ in range(20)]
        assert await answers(address, folder.client())
        ended = [asyncio.create_task(all_of(reader)) for reader, _ in hanging]
        await until("the handshakes above the limit end", lambda: sum(one.done() for one in ended) >= 12)
        for one in ended:
            one.cancel()
        await asyncio.gather(*ended, return_exceptions=True)
        for _, writer in hanging:
            writer.close()


async def test_what_is_no_tls_leaves_nothing_in_the_log(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    folder.certify("alien", "a", authority=trustme.CA())
    async with serving(folder.config(f"{VERIFIED}RequireAndVerifyClientCert\n")) as address:
        for data in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\0" * 70_000, b"\x16\x03\x01\xff\xff" + b"a" * 9000):
            await address.send(data, half=True)
        assert not await answers(address, folder.client("alien"))
        assert not await answers(address, folder.client())
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


CONFIG = (
    "ledger: {path: ':memory:'}\nproviders: [{name: swap, type: facewap, base_url: 'http://127.0.0.1:9', token: t}]"
)


def test_the_exporter_serves_tls_to_users_and_says_so(folder: Folder, start: Start, tmp_path: Path) -> None:
    folder.write(config_yml=CONFIG, web_yml=f"{TLS}{users(ann='secret')}health_without_auth: true\n")
    exporter = start("--config.file=config.yml", "--web.config.file=web.yml", "--web.listen-address=127.0.0.1:0")
    exporter.wait_for("the line about its address", lambda: "listening" in exporter.stderr)
    url = re.search(r"url=(https://127\.0\.0\.1:(\d+)/)", exporter.stderr)
    assert url, exporter.stderr
    with httpx.Client(base_url=url[1], verify=folder.client(), trust_env=False, timeout=PATIENCE) as client:
        assert client.get("-/healthy").status_code == 200
        assert client.get("metrics").status_code == 401
        scraped = client.get("metrics", auth=("ann", "secret"))
        assert "videotask_exporter_build_info" in scraped.text
        with socket.create_connection(("127.0.0.1", int(url[2])), PATIENCE):  # another, that does not say goodbye
            assert exporter.end() == 0
    assert "secret" not in exporter.stderr.replace("<secret>", "")
    assert "Traceback" not in exporter.stderr
