"""The web configuration as a file: what is good, what is wrong and how it is reported, and that changes are taken over.

The table of bad files follows that of Prometheus' exporter-toolkit, whose format it is.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

import pytest

from exporter import cli
from exporter.config.load import ConfigError
from exporter.web.access.webconfig import COSTLIEST, WebConfig, WebSettings
from tests.harness import until

from .serving import TLS, Folder, hashed, indented, serving, users

BAD: dict[str, tuple[str, list[str]]] = {
    "no YAML": ("{", ["1: not valid YAML: expected the node content, but found '<stream end>'"]),
    "no mapping": ("- a", ["1: not a mapping; write keys with values"]),
    "an unknown key": (
        "tls_server_conf: {}",
        [
            "1: tls_server_conf: unknown key; did you mean tls_server_config?; allowed: basic_auth_users,"
            " health_without_auth, http_server_config, rate_limit, tls_server_config"
        ],
    ),
    "an unknown key below": (
        "rate_limit:\n  interval: 1s\n  burst: 2\n  brust: 2\n",
        ["4: rate_limit.brust: unknown key; did you mean burst?; allowed: burst, interval"],
    ),
    "a key given twice": (
        "health_without_auth: true\nhealth_without_auth: false\n",
        ["2: health_without_auth: given twice, first in line 1; keep one"],
    ),
    "an empty certificate path": (
        "tls_server_config:\n  cert_file: ''\n  key_file: server.key\n",
        ["2: tls_server_config.cert_file: missing; name a file, or give cert itself"],
    ),
    "an empty certificate": (
        "tls_server_config:\n  cert: ''\n  key_file: server.key\n",
        ["1: tls_server_config.cert_file: missing; name a file, or give cert itself"],
    ),
    "an empty key path": (
        "tls_server_config:\n  cert_file: server.crt\n  key_file: ''\n",
        ["3: tls_server_config.key_file: missing; name a file, or give key itself"],
    ),
    "TLS settings without a certificate": (
        "tls_server_config:\n  min_version: TLS13\n",
        ["1: tls_server_config.cert_file: missing; name a file, or give cert itself"],
    ),
    "certificate and file": (
        f"{TLS}  cert: something\n",
        ["4: tls_server_config.cert: given beside cert_file; give one of them"],
    ),
    "no such certificate": (
        "tls_server_config:\n  cert_file: nowhere.crt\n  key_file: server.key\n",
        ["2: tls_server_config.cert_file: cannot be read: No such file or directory; name a readable file"],
    ),
    "no such key": (
        "tls_server_config:\n  cert_file: server.crt\n  key_file: nowhere.key\n",
        ["3: tls_server_config.key_file: cannot be read: No such file or directory; name a readable file"],
    ),
    "a folder for a certificate": (
        "tls_server_config:\n  cert_file: .\n  key_file: server.key\n",
        ["2: tls_server_config.cert_file: cannot be read: Is a directory; name a readable file"],
    ),
    "a certificate in a pipe": (
        "tls_server_config:\n  cert_file: pipe\n  key_file: server.key\n",
        ["2: tls_server_config.cert_file: cannot be read: Is a pipe; name a readable file"],
    ),
    "a key in a pipe": (
        "tls_server_config:\n  cert_file: server.crt\n  key_file: pipe\n",
        ["3: tls_server_config.key_file: cannot be read: Is a pipe; name a readable file"],
    ),
    "a key of many bytes": (
        "tls_server_config:\n  cert_file: server.crt\n  key_file: large\n",
        ["3: tls_server_config.key_file: cannot be read: the file is larger than 1024 KiB; name a readable file"],
    ),
    "no certificate in the file": (
        "tls_server_config:\n  cert_file: junk.pem\n  key_file: server.key\n",
        ["2: tls_server_config.cert_file: holds no certificate in PEM format"],
    ),
    "a damaged certificate": (
        "tls_server_config:\n  cert_file: damaged.pem\n  key_file: server.key\n",
        ["2: tls_server_config.cert_file: certificate and key cannot be used: not valid"],
    ),
    "no key in the file": (
        "tls_server_config:\n  cert_file: server.crt\n  key_file: junk.pem\n",
        ["3: tls_server_config.key_file: holds no private key in PEM format"],
    ),
    "the key of another": (
        "tls_server_config:\n  cert_file: server.crt\n  key_file: other.key\n",
        ["3: tls_server_config.key_file: does not belong to the certificate; give the two that do"],
    ),
    "an encrypted key": (
        "tls_server_config:\n  cert_file: server.crt\n  key_file: locked.key\n",
        [
            "3: tls_server_config.key_file: the key is encrypted; decrypt it, with permissions for the exporter alone",
        ],
    ),
    "an unknown policy": (
        f"{TLS}  client_auth_type: Trust\n",
        [
            "4: tls_server_config.client_auth_type: not a policy; allowed: NoClientCert, RequestClientCert,"
            " VerifyClientCertIfGiven, RequireAndVerifyClientCert"
        ],
    ),
    "a policy that Python does not know": (
        f"{TLS}  client_auth_type: RequireAnyClientCert\n",
        [
            "4: tls_server_config.client_auth_type: Python cannot ask for a certificate that it does not verify;"
            " write RequireAndVerifyClientCert"
        ],
    ),
    "a client CA without a policy": (
        f"{TLS}  client_ca_file: ca.pem\n",
        ["1: tls_server_config.client_auth_type: missing, the client CA is not used; write RequireAndVerifyClientCert"],
    ),
    "a policy without a client CA": (
        f"{TLS}  client_auth_type: RequireAndVerifyClientCert\n",
        ["1: tls_server_config.client_ca_file: missing; name a file, or give client_ca itself"],
    ),
    "no such client CA": (
        f"{TLS}  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: nowhere.pem\n",
        ["5: tls_server_config.client_ca_file: cannot be read: No such file or directory; name a readable file"],
    ),
    "no certificate in the client CA": (
        f"{TLS}  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: junk.pem\n",
        ["5: tls_server_config.client_ca_file: holds no certificate in PEM format"],
    ),
    "names that nobody must have": (
        f"{TLS}  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.pem\n  client_allowed_sans: [a]\n",
        ["6: tls_server_config.client_allowed_sans: needs client_auth_type: RequireAndVerifyClientCert"],
    ),
    "an old version": (
        f"{TLS}  min_version: TLS11\n",
        ["4: tls_server_config.min_version: older than is safe; allowed: TLS12, TLS13"],
    ),
    "no version": (
        f"{TLS}  max_version: '1.3'\n",
        ["4: tls_server_config.max_version: not a version of TLS; allowed: TLS12, TLS13"],
    ),
    "versions the wrong way round": (
        f"{TLS}  min_version: TLS13\n  max_version: TLS12\n",
        ["5: tls_server_config.max_version: below min_version; write TLS13, or leave it out"],
    ),
    "no cipher suite for the version": (
        f"{TLS}  max_version: TLS12\n  cipher_suites: [TLS_AES_128_GCM_SHA256]\n",
        ["5: tls_server_config.cipher_suites: none is for TLS12, and max_version allows no newer; add one"],
    ),
    "an invented curve": (
        f"{TLS}  curve_preferences: [CurveP257]\n",
        [
            "4: tls_server_config.curve_preferences[0]: not a curve known here; allowed: CurveP256, CurveP384,"
            " CurveP521, X25519"
        ],
    ),
    "more curves than Python takes": (
        f"{TLS}  curve_preferences: [X25519, CurveP256]\n",
        [
            "4: tls_server_config.curve_preferences: Python takes one curve, or OpenSSL's choice of several;"
            " write one or none"
        ],
    ),
    "HTTP/2": (
        "http_server_config:\n  http2: true\n",
        ["2: http_server_config.http2: HTTP/2 is not spoken here; write false, or leave it out"],
    ),
    "wrong headers": (
        "http_server_config:\n  headers:\n    X-Frame-Options: allow\n    X-Content-Type-Options: sniff\n"
        "    Server: mine\n    Content-Security-Policy: |\n      one\n      two\n",
        [
            "3: http_server_config.headers.X-Frame-Options: not a value of this header; allowed: deny, sameorigin",
            "4: http_server_config.headers.X-Content-Type-Options: not a value of this header; allowed: nosniff",
            "5: http_server_config.headers.Server: not a header that can be set here; allowed:"
            " Content-Security-Policy, Strict-Transport-Security, X-Content-Type-Options, X-Frame-Options,"
            " X-XSS-Protection",
            "6: http_server_config.headers.Content-Security-Policy: a line break, or a character that is not ASCII;"
            " write one line of plain text",
        ],
    ),
    "passwords that are no hashes": (
        "basic_auth_users:\n  ann: plain\n  bob: $2y$10$short\n  eve:\n",
        [
            f"{line}: basic_auth_users.{name}: not a bcrypt hash; write the output of `htpasswd -nBC 10 USER`"
            " without the name"
            for line, name in ((2, "ann"), (3, "bob"), (4, "eve"))
        ],
    ),
    "a hash that takes for ever": (
        f"basic_auth_users:\n  ann: $2y$31${'a' * 53}\n",
        [f"2: basic_auth_users.ann: a bcrypt hash of cost 31; allowed: 4 to {COSTLIEST}, usual is 10"],
    ),
    "a user that HTTP cannot name": (
        f'basic_auth_users:\n  "an:n": $2y$10${"a" * 53}\n',
        ["2: basic_auth_users.an:n: a colon in a user's name, which HTTP does not allow; leave it out"],
    ),
    "a limit that lets nothing through": (
        "rate_limit:\n  interval: 1s\n",
        ["1: rate_limit.burst: missing; without it no request would ever be allowed; write 1 or more"],
    ),
    "a limit without a unit": (
        "rate_limit:\n  interval: 1\n  burst: 1\n",
        [
            "2: rate_limit.interval: not a duration; write a number with a unit, such as 500ms, 15s, 10m, 24h or 7d; "
            "did you mean 1s?",
        ],
    ),
    "no yes or no": (
        "health_without_auth: perhaps\n",
        ["1: health_without_auth: neither true nor false; write one of them"],
    ),
}


@pytest.fixture
def folder(folder: Folder) -> Folder:
    """With files that are no good."""
    key = folder.certify("other", "localhost").private_key_pem.bytes()
    encrypted = b"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,000102030405060708090A0B0C0D0E0F\n\n"
    folder.write(
        locked_key=key.replace(b"KEY-----\n", b"KEY-----\n" + encrypted, 1),
        junk_pem="junk",
        large="x" * (1024 * 1024 + 1),
        damaged_pem="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    os.mkfifo(folder.path / "pipe")
    return folder


def faults_of(folder: Folder, text: str) -> list[str]:
    """What is wrong with a file, without the file's name."""
    with pytest.raises(ConfigError) as error:
        folder.config(text)
    return [fault.removeprefix(f"{folder.path / 'web.yml'}:") for fault in error.value.faults]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_told_with_line_key_and_what_is_allowed(folder: Folder, name: str) -> None:
    text, expected = BAD[name]
    assert faults_of(folder, text) == expected


def test_an_unknown_cipher_suite_is_told_with_those_that_are_known(folder: Folder) -> None:
    (fault,) = faults_of(folder, f"{TLS}  cipher_suites: [TLS_INVENTED]\n")
    assert fault.startswith("4: tls_server_config.cipher_suites[0]: not a cipher suite known here; allowed: TLS_ECDHE_")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        WebConfig(tmp_path / "web.yml")
    told = f"{tmp_path / 'web.yml'}: cannot be read: No such file or directory; name a readable file"
    assert error.value.faults == [told]


@pytest.mark.parametrize(
    "text", ["", "{}", "# nothing\n", "tls_server_config:\nbasic_auth_users:\n", "tls_server_config: {}\n"]
)
async def test_a_file_that_demands_nothing_lets_everybody_in(folder: Folder, text: str) -> None:
    web = folder.config(text)
    assert (web.secure, web.has_users) == (False, False)
    async with serving(web) as address:
        assert (await address.get()).text == "Hello World!"


def test_a_hash_is_never_taken_for_variables(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", hashed("secret"))
    assert "not a bcrypt hash" in faults_of(folder, "basic_auth_users:\n  ann: ${HOME}\n")[0]
    assert folder.config(users(ann="secret")).has_users


def test_hashes_and_keys_are_not_shown_with_the_settings(folder: Folder) -> None:
    key = (folder.path / "server.key").read_bytes()
    web = folder.config(f"tls_server_config:\n  cert_file: server.crt\n  key: {indented(key)}{users(ann='secret')}")
    shown = f"{web.access.settings!r} {web.access.settings.model_dump()}"
    assert shown.count("<secret>") == 4
    assert "$2b$" not in shown
    assert "PRIVATE" not in shown


async def test_headers_are_on_every_answer(folder: Folder) -> None:
    web = folder.config(
        "http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    X-XSS-Protection:\n"
        f"    Strict-Transport-Security: max-age=60\nhealth_without_auth: true\n{users(ann='secret')}"
    )
    async with serving(web) as address:
        answers = [await address.get(), await address.get("/-/ready"), await address.get("/no", auth=("ann", "secret"))]
    assert [answer.status_code for answer in answers] == [401, 200, 404]
    for answer in answers:
        assert answer.headers["x-frame-options"] == "deny"
        assert answer.headers["strict-transport-security"] == "max-age=60"
        assert "x-xss-protection" not in answer.headers


async def test_requests_above_the_rate_limit_are_refused(folder: Folder) -> None:
    async with serving(folder.config("rate_limit:\n  interval: 1h\n  burst: 3\n")) as address:
        codes = [(await address.get()).status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]


async def test_without_a_rate_limit_none_is_refused(folder: Folder) -> None:
    async with serving(folder.config("rate_limit:\n  interval: 0s\n")) as address:
        assert {(await address.get()).status_code for _ in range(10)} == {200}


async def test_the_server_has_a_changed_file_read_by_itself(folder: Folder) -> None:
    web = folder.config(users(ann="first"))
    before = web.access.users
    async with serving(web) as address, address.http() as client:
        assert (await client.get("/", auth=("ann", "first"))).status_code == 200
        folder.write(web_yml=users(ann="second"))
        await until("the new file being in use", lambda: web.access.users is not before)
        assert (await client.get("/", auth=("ann", "second"))).status_code == 200
        assert (await client.get("/", auth=("ann", "first"))).status_code == 401


BROKEN_LATER = {
    "wrong": ("basic_auth_users: text", "1: basic_auth_users: not a mapping; write keys with values"),
    "empty, as while it is being written": ("", "1: empty; write {} if nothing is to be protected any more"),
    "with TLS": (TLS, "1: tls_server_config: TLS is not switched on or off while the exporter runs; restart it"),
}


@pytest.mark.parametrize("name", BROKEN_LATER)
async def test_a_file_broken_later_keeps_the_last_good_one_and_is_told_once(
    folder: Folder, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "exporter")
    text, why = BROKEN_LATER[name]
    why = f"{folder.path / 'web.yml'}:{why}"
    good = users(ann="secret")
    web = folder.config(good)
    async with serving(web) as address, address.http() as client:
        for _ in range(3):
            folder.write(web_yml=text)
            web.reread()
            assert (await client.get("/")).status_code == 401
            assert (await client.get("/", auth=("ann", "secret"))).status_code == 200
        assert web.trouble == why
        assert [(one.levelname, vars(one)["error"]) for one in caplog.records] == [("ERROR", why)]
        folder.write(web_yml=good)
        web.reread()
        assert (await client.get("/", auth=("ann", "secret"))).status_code == 200
    assert web.trouble == ""
    assert [one.levelname for one in caplog.records] == ["ERROR", "INFO"]


async def test_a_file_that_is_away_for_a_while_changes_nothing(folder: Folder) -> None:
    web = folder.config(users(ann="secret"))
    (folder.path / "web.yml").rename(folder.path / "away.yml")
    web.reread()
    assert web.has_users
    assert "cannot be read" in web.trouble
    (folder.path / "away.yml").rename(folder.path / "web.yml")
    web.reread()
    assert web.has_users
    assert web.trouble == ""


def test_a_file_may_take_its_demands_back(folder: Folder) -> None:
    web = folder.config(users(ann="secret"))
    folder.write(web_yml="{}")
    web.reread()
    assert not web.has_users


CONFIG = "providers: [{name: swap, type: facewap, base_url: 'http://127.0.0.1:9', token: t}]"


def test_check_config_reads_the_web_configuration_too(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.write(config_yml=CONFIG, web_yml=TLS + users(ann="secret"))
    files = [f"--config.file={folder.path / 'config.yml'}", f"--web.config.file={folder.path / 'web.yml'}"]
    assert cli.main(["check-config", *files]) == 0
    assert capsys.readouterr().out.splitlines()[1] == f"{folder.path / 'web.yml'}: good; TLS: on, password: needed"
    folder.write(web_yml=f"{TLS}  cert_fil: x\n")
    assert cli.main(["check-config", *files]) == 1
    assert capsys.readouterr().err.startswith(f"{folder.path / 'web.yml'}:4: tls_server_config.cert_fil: unknown key;")


def test_a_bad_web_configuration_keeps_the_exporter_from_starting(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.write(config_yml=CONFIG, web_yml="junk: 1\n")
    files = [f"--config.file={folder.path / 'config.yml'}", f"--web.config.file={folder.path / 'web.yml'}"]
    assert cli.main(["run", *files]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"{folder.path / 'web.yml'}:1: junk: unknown key;")
    assert "Traceback" not in told


def test_the_documented_example_is_good(folder: Folder) -> None:
    page = (Path(__file__).parents[2] / "docs" / "web-configuration.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert example
    settings = folder.config(example[1]).access.settings
    assert settings.model_fields_set == set(WebSettings.model_fields)
