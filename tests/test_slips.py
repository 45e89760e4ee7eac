"""Slips in a configuration: each is one line with its place, what was written, and what to do. No secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from exporter.config.load import Config, ConfigError
from exporter.config.mistakes import slips
from exporter.config.mistakes.accounts import renamed
from tests.harness import load

KEY = "sk-live-Zx81kkQm3Lw0aa77"
GOOD = f"""\
poll_interval: 15s
providers:
  - name: deer
    type: deerapi
    api_key: {KEY}
    watch:
      tasks: {{sora: [task_1]}}
"""
ENVIRONMENT = {"DEER_KEY": KEY, "EMPTY": "", "QUOTED": f'"{KEY}"', "NESTED": "${DEER_KEY}"}


def faults(tmp_path: Path, text: str) -> list[str]:
    """The faults of a text by line, key and words; none holds the credential."""
    (tmp_path / "config.yaml").write_bytes(text.encode())
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "config.yaml", ENVIRONMENT)
    told = [fault.partition("config.yaml:")[2] for fault in caught.value.faults]
    assert not [fault for fault in told if KEY in fault or KEY[:12] in fault]
    return told


BEARER = "begins with the word `Bearer` or the like, which is no part of it; write the credential alone"
QUOTES = "has quotes around it that would be sent too; write it without them"
VARIABLE = "is the name of a variable in a form that is not replaced; write ${NAME}, which is"
ADDED = "a part of the path that each request adds; write"
ALONE = "write each alone, with plain commas between them"
PLACEHOLDER = "is a placeholder of an example; write the real credential"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        *((f"{scheme} {KEY}", BEARER) for scheme in ("Bearer", "bearer", "Token", "Basic")),
        (f"'Authorization: {KEY}'", BEARER),
        (f"'Authorization: Bearer {KEY}'", BEARER),
        *((f"{left}{KEY}{right}", QUOTES) for left, right in ("“”", "‘’", "«»", "「」")),
        (f"'\"{KEY}\"'", QUOTES),
        (f"\"'{KEY}'\"", QUOTES),
        ("${QUOTED}", QUOTES),
        ("$DEER_KEY", "$DEER_KEY is not replaced; write ${DEER_KEY}, or $$DEER_KEY for a dollar sign"),
        ("$OTHER_KEY", "$OTHER_KEY is not replaced; write ${OTHER_KEY}, or $$OTHER_KEY for a dollar sign"),
        ("$deer_key", "$NAME is not replaced; write ${NAME}, or $$NAME for a dollar sign"),
        ("${DEER_KEY", "not a variable; write ${NAME}, or $$ for a dollar sign"),
        ("${DEER_KEY:-x}", "not a variable; write ${NAME}, or $$ for a dollar sign"),
        ("${EMPTY}", "the environment variable EMPTY is empty; set it, or write the value here"),
        *((form, VARIABLE) for form in ("'{{ DEER_KEY }}'", "'%DEER_KEY%'", "$(cat key)", "env:KEY", "${NESTED}")),
        ("{{ DEER_KEY }}", "`{{ }}` is a template that was not filled in; write ${NAME} for an environment variable"),
        ("!env DEER_KEY", "a tag (`!...`), which means nothing here; write ${NAME} for an environment variable"),
        *((form, PLACEHOLDER) for form in ("YOUR_API_KEY", "<key>", "changeme", "sk-xxxxxxxx", "'***'", "TODO")),
        (f"DEER_KEY={KEY}", "holds `NAME=` before the credential; write the credential alone"),
        ("/run/secrets/deer", "is the path of a file; give it by the same key with _file"),
        ("https://api.deerapi.com", "is a URL; write the credential alone"),
        (
            f"{KEY} {KEY}",
            "holds a blank or a character that no header can carry; copy the credential again, alone",
        ),
    ],
)
def test_what_is_no_credential_is_told_and_never_shown(tmp_path: Path, written: str, told: str) -> None:
    assert faults(tmp_path, GOOD.replace(KEY, written)) == [f"5: providers[0].api_key: {told}"]


@pytest.mark.parametrize("content", [f"Bearer {KEY}", f'"{KEY}"', f"DEER_KEY={KEY}", "${DEER_KEY}"])
def test_a_secret_file_holds_the_credential_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)
    (told,) = faults(tmp_path, GOOD.replace(f"api_key: {KEY}", f"api_key_file: {tmp_path}/key"))
    assert told.startswith(f"5: providers[0].api_key_file: what {tmp_path}/key holds ")


def test_a_dollar_sign_that_is_meant_is_written_twice(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(GOOD.replace(KEY, "$$DEER_KEY"))
    (deer,) = load(tmp_path / "config.yaml", ENVIRONMENT).providers
    assert getattr(deer, "api_key").reveal() == "$DEER_KEY"  # noqa: B009


DURATION = "not a duration; write a number with a unit, such as 500ms, 15s, 10m, 24h or 7d"
RATE = "not a rate; write a number of requests per second, minute or hour, such as 10/s or 600/m"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("15", "15s"),
        ("5 m", "5m"),
        ("15sec", "15s"),
        ("5 minutes", "5m"),
        ("1m 30s", "1m30s"),
        ("15S", "15s"),
        ("1 day", "1d"),
        ("2w", "14d"),
        ("500 msec", "500ms"),
        ("on", ""),
        ("1:30", ""),
        ("-5s", ""),
        ("5 fortnights", ""),
    ],
)
def test_a_duration_that_is_none_is_shown_with_what_was_meant(tmp_path: Path, written: str, meant: str) -> None:
    hint = f"; did you mean {meant}?" if meant else ""
    assert faults(tmp_path, GOOD.replace("15s", written)) == [f"1: poll_interval: `{written}` is {DURATION}{hint}"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("3", "3/s"),
        ("3 / s", "3/s"),
        ("10/sec", "10/s"),
        ("10 per minute", "10/m"),
        ("3r/s", "3/s"),
        ("10rps", "10/s"),
        ("60 requests/hour", "60/h"),
        ("0/s", ""),
        ("fast", ""),
    ],
)
def test_a_rate_that_is_none_is_shown_with_what_was_meant(tmp_path: Path, written: str, meant: str) -> None:
    hint = f"; did you mean {meant}?" if meant else ""
    told = faults(tmp_path, GOOD.replace("    api_key", f"    rate_limit: {written}\n    api_key"))
    assert told == [f"5: providers[0].rate_limit: `{written}` is {RATE}{hint}"]


@pytest.mark.parametrize(
    ("key", "path", "told"),
    [
        ("pollInterval", "pollInterval", "; did you mean poll_interval?"),
        ("poll-interval", "poll-interval", "; did you mean poll_interval?"),
        ("POLL_INTERVAL", "POLL_INTERVAL", "; did you mean poll_interval?"),
        ("scrape_interval", "scrape_interval", "; did you mean poll_interval?"),
        ("retention", "retention", " here; it is a setting of `ledger`"),
        ("log_level", "log_level", "; write `log:` and below it, indented, `level:`"),
        ("rate_limit", "rate_limit", " here; it is a setting of a provider, under `providers`"),
        ("watch", "watch", " here; it is a setting of a provider, under `providers`"),
        ("tasks", "tasks", " here; it is a setting of `watch` of a provider"),
        (
            "web.listen-address",
            "web.listen-address",
            "; how the exporter listens is set by flags of the command line, such as --web.listen-address",
        ),
    ],
)
def test_a_key_that_the_file_has_not_is_told_with_what_was_meant(
    tmp_path: Path, key: str, path: str, told: str
) -> None:
    (fault,) = faults(tmp_path, GOOD + f"{key}: 1\n")
    assert fault.startswith(f"8: {path}: unknown key{told}; allowed: ")


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("feed", "; did you mean feeds?"),
        ("url", "; did you mean base_url?"),
        ("providers", " here; it is a setting of the whole file"),
        ("ledger", " here; it is a setting of the whole file"),
        ("callback_secret", " here; it is a setting of `watch`"),
        ("Page-Size", "; did you mean page_size?"),
    ],
)
def test_a_key_that_a_provider_has_not_is_told_with_what_was_meant(tmp_path: Path, key: str, told: str) -> None:
    (fault,) = faults(tmp_path, GOOD.replace("    api_key", f"    {key}: 1\n    api_key"))
    assert fault.startswith(f"5: providers[0].{key}: unknown key{told}; allowed: ")


def test_a_setting_of_the_whole_file_within_the_ledger_is_told(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, GOOD + "ledger: {history: 1h}\n")
    assert fault.startswith("8: ledger.history: unknown key here; it is a setting of the whole file; allowed: ")


@pytest.mark.parametrize(
    ("line", "written", "told"),
    [
        (4, "\ttype: deerapi", "a tab where a value or indentation belongs; write spaces"),
        (4, "    type:\tdeerapi", "a tab where a value or indentation belongs; write spaces"),
        (4, "    type：deerapi", "`：` after the key; write a plain colon and a space"),
        (4, "    type = deerapi", "`=` after the key; write a plain colon and a space"),
        (4, "    type:deerapi", "no space after the colon; write `key: value`"),
        (
            4,
            "\u00a0   type: deerapi",
            "the indentation holds a no-break space or another character that cannot be seen; write plain spaces",
        ),
        (4, '    type: "deerapi', "a quotation mark that is not closed"),
        (4, "    type: @deerapi", "a text that begins with `@`; put it in quotes"),
        (4, "    type: %DEER%", "`%` is no sign of a variable here; write ${NAME} for an environment variable"),
        (
            4,
            "   type: deerapi",
            "wrong indentation, or a bracket or quotation mark too many; the keys of one mapping start in the same "
            "column",
        ),
        (
            4,
            "     type: deerapi",
            "a second `: ` in one value, or a key that is indented too far; put a text that holds `: ` in quotes",
        ),
    ],
)
def test_where_yaml_stumbles_is_told_in_words_that_help(tmp_path: Path, line: int, written: str, told: str) -> None:
    text = GOOD.replace("    type: deerapi", written)
    assert faults(tmp_path, text) == [f"{line}: not valid YAML: {told}"]


def test_a_key_without_its_space_in_braces_shows_no_credential(tmp_path: Path) -> None:
    told = faults(tmp_path, f"providers: [{{name: a, type: deerapi, api_key:{KEY}}}]\n")
    assert told[-1].startswith(
        "1: providers[0].api_key:...: unknown key without a space after the colon; write `api_key: ` and the value; "
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [("deer-api", "deerapi"), ("DeerAPI", "deerapi"), ("new-api", "new_api"), ("huawei", "huawei_metastudio")],
)
def test_an_unknown_type_is_told_with_the_nearest(tmp_path: Path, written: str, meant: str) -> None:
    (fault,) = faults(tmp_path, GOOD.replace("type: deerapi", f"type: {written}"))
    assert fault.startswith(f"4: providers[0].type: `{written}` is an unknown type; did you mean {meant}?; allowed: ")


@pytest.mark.parametrize(
    "credential",
    [
        KEY,
        "abcDEF/ghi+jklMNO/pqr12=",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP",
        "0123456789abcdef0123456789abcdef",
        "837465920183746592",
        "HPUAABCDEFGHIJKLMNOP",
        "qWmKzRtYpLsDfGhJkXcVbNqW",
        "correcthorsebatterystaple",
        "Tr0ub4dor",
        "hunter2",
    ],
)
def test_a_credential_in_the_wrong_place_is_never_shown(tmp_path: Path, credential: str) -> None:
    for place, instead in (
        ("15s", "'{}'"),
        ("15s", "15 {}"),
        ("name: deer", "name: '{0} {0}'"),
        ("type: deerapi", "type: '{}'"),
        ("{sora: [task_1]}", "'{}'"),
        ("sora:", "'{}':"),
        (f"    api_key: {KEY}", "    api_key {}: 1"),
        (f"    api_key: {KEY}", "    '{}': 1"),
        (f"    api_key: {KEY}", "    api_key_file: '{}'"),
        (f"    api_key: {KEY}", "    api_key:{}"),
        (f"    api_key: {KEY}", "    api_key: k\n    rate_limit: '{}'"),
        (f"    api_key: {KEY}", "    api_key: k\n    feeds: ['{}']"),
        (f"    api_key: {KEY}", "    api_key: k\n    base_url: '{}'"),
    ):
        told = faults(tmp_path, GOOD.replace(place, instead.format(credential)))
        assert credential not in "".join(told), (place, instead)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("https://api.deerapi.com/v1", f"holds /v1, {ADDED} https://api.deerapi.com"),
        (
            "https://api.deerapi.com/sora/v1/videos",
            f"holds /sora, {ADDED} https://api.deerapi.com",
        ),
        (
            "https://gw.example/x/sora/v1",
            f"holds /sora, {ADDED} https://gw.example/x",
        ),
        (
            "https://gw.example/x/v1/chat/completions",
            f"holds /v1/chat/completions, {ADDED} https://gw.example/x",
        ),
        ("http://api.deerapi.com", "would send the credentials to the vendor in plain text; write https://"),
        (
            "https://gw.example/{id}",
            "a URL with a placeholder in its path; write where the API starts, without the path of a call",
        ),
        ("“https://gw.example”", "has a curly quote (“); write a straight one, or none"),
    ],
)
def test_an_address_that_no_api_starts_at_is_told(tmp_path: Path, written: str, told: str) -> None:
    text = GOOD.replace("    api_key", f"    base_url: '{written}'\n    api_key")
    assert faults(tmp_path, text) == [f"5: providers[0].base_url: {told}"]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("3128", "names no host; "),
        ("false", "names no host; "),
        ("http://off:3128", "names no host; "),
        ("'\"http://h:1\"'", "has quotes around it; write it without them"),
        ("http://wpad.corp/proxy.pac", "is the address of a script that chooses proxies (PAC), which is not run; "),
        ("'%HTTPS_PROXY%'", "names a variable that was not replaced; "),
    ],
)
def test_what_is_no_proxy_is_told(tmp_path: Path, written: str, told: str) -> None:
    (fault,) = faults(tmp_path, GOOD.replace("    api_key", f"    proxy: {written}\n    api_key"))
    assert fault.startswith(f"5: providers[0].proxy: {told}")
    assert fault.endswith(", or `none` for no proxy")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("/nope/ca.pem", "(/nope/ca.pem) cannot be read: No such file or directory; "),
        ("~nobody-of-this-name/ca.pem", "(~nobody-of-this-name/ca.pem) cannot be read: No such file or directory; "),
        ("''", "is no regular file; "),
        ("sk-1a2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d", "cannot be read: No such file or directory; "),
        ('"a\\0b.pem"', "cannot be read: no such path; "),
        ('"-----BEGIN CERTIFICATE-----\\nA\\n"', "holds a certificate itself; write that into a file"),
    ],
)
def test_what_is_no_file_of_authorities_is_told(tmp_path: Path, written: str, told: str) -> None:
    (fault,) = faults(tmp_path, GOOD.replace("    api_key", f"    ca_file: {written}\n    api_key"))
    assert fault.startswith(f"5: providers[0].ca_file: {told}")


def test_a_file_of_authorities_may_be_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (tmp_path / "config.yaml").write_text(GOOD.replace("    api_key", "    ca_file: ~/ca.pem\n    api_key"))
    assert load(tmp_path / "config.yaml", {}).providers[0].ca_file == str(tmp_path / "ca.pem")


def test_a_path_of_a_ledger_is_no_address_of_a_database(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, "ledger: {path: 'postgres://alice:hunter2@db/x'}\n" + GOOD)
    assert fault == (
        "1: ledger.path: the address of a database, not a file; write it as ledger.url instead of ledger.path"
    )
    (fault,) = faults(tmp_path, "ledger: {path: 'mysql://alice:hunter2@db/x'}\n" + GOOD)
    assert fault.startswith("1: ledger.path: the address of a database, not a file; write the path of a file")


@pytest.mark.parametrize(
    ("ledger", "told"),
    [
        ("url: postgresql://alice:hunter2@db/x", "url: holds a password; write the URL without it, and give it as "),
        ("url: postgresql://alice@db/x?password=hunter2", "url: holds a password; "),
        ("url: postgresql://alice:hun/ter2@db/x", "url: a URL that cannot be read; "),
        ("url: postgresql://alice@db/x#hunter2", "url: a URL that cannot be read; "),
        ("url: postgresql://@db/x", "url: a URL without a role before the `@`; "),
        ("url: postgresql://alice@db:hunter2/x", "url: a URL that cannot be read; "),
        ("url: mysql://alice:hunter2@db/x", "url: the address of something else than PostgreSQL; "),
        (
            "url: db.internal",
            "url: the address of something else than PostgreSQL; write postgresql://ROLE@HOST/DATABASE",
        ),
        ("url: postgresql://db/x?sslmod=require", "url: a URL with a parameter that PostgreSQL does not know; did "),
        ("url: postgresql://db/x?sslmode=verify_full", "url: a URL with an unknown sslmode; did you mean verify-full?"),
        ("url: postgresql://db/x, path: a.sqlite3", "url: both ledger.path and ledger.url are given; give one of them"),
        ("lease: 20s", "lease: of no use without ledger.url; "),
        ("password: hunter2", "password: of no use without ledger.url; "),
        ("url: postgresql://db/x, lease: 1s", "lease: `1s` is too short; the shortest is 2s"),
        ("dsn: postgresql://db/x", "dsn: unknown key; did you mean url?; "),
        ("url: postgresql://db/x, passwd: hunter2", "passwd: unknown key; did you mean password?; "),
        ("replica: a", "replica: unknown key here; it is a setting of the whole file; "),
    ],
)
def test_slips_with_a_database_are_told_and_no_password_is_repeated(tmp_path: Path, ledger: str, told: str) -> None:
    lines = "".join(f"  {line}\n" for line in ledger.split(", "))
    (fault,) = faults(tmp_path, f"ledger:\n{lines}{GOOD}")
    assert fault.partition(": ")[2].startswith(f"ledger.{told}")
    assert "ter2" not in fault


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db.internal/videotask",
        "postgres://exporter@db.internal:5433/videotask?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://exporter@one:5432,two:5432/videotask?target_session_attrs=read-write",
        "postgresql://exporter@[fd00::1]:5432/videotask",
        "postgresql:///videotask?host=/run/postgresql",
    ],
)
def test_a_ledger_may_be_in_a_database(tmp_path: Path, url: str) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    text = f"replica: one\nledger: {{url: '{url}', password_file: {tmp_path}/password, lease: 20s}}\n" + GOOD
    (tmp_path / "config.yaml").write_text(text)
    config = load(tmp_path / "config.yaml", {})
    assert (config.ledger.url, config.ledger.lease, config.replica) == (url, 20.0, "one")
    assert config.ledger.password is not None
    assert config.ledger.password.reveal() == "hunter2"
    assert "hunter2" not in f"{config!r}{config.model_dump()}"
    (tmp_path / "password").write_text("hunter3\n")
    again = load(tmp_path / "config.yaml", {})
    assert again.ledger != config.ledger
    assert again.ledger.without_password == config.ledger.without_password, "a new password needs no restart"


@pytest.mark.parametrize("written", ["http://gateway:3000", "http://10.0.0.7/deer", "https://gw.example/new-api"])
def test_a_gateway_may_be_anywhere(tmp_path: Path, written: str) -> None:
    (tmp_path / "config.yaml").write_text(GOOD.replace("    api_key", f"    base_url: {written}\n    api_key"))
    assert load(tmp_path / "config.yaml", {}).providers[0].base_url == written


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (
            "['https://a.example/task_1']",
            "[0]: a URL, not an id; write the id alone, which is mostly the last part of the URL",
        ),
        (
            "[task_1，task_2]",
            f"[0]: several ids in one, with `，` between them; {ALONE}",
        ),
        (
            "['task_1, task_2']",
            f"[0]: several ids in one, with `,` between them; {ALONE}",
        ),
        ("[“task_1”]", "[0]: has a curly quote (“); write a straight one, or none"),
        ("task", ": `task` is not a list; write `[task]` or lines that start with `- `"),
    ],
)
def test_what_is_no_list_of_ids_is_told(tmp_path: Path, written: str, told: str) -> None:
    assert faults(tmp_path, GOOD.replace("[task_1]", written)) == [f"7: providers[0].watch.tasks.sora{told}"]


def test_ids_without_their_feed_are_told(tmp_path: Path) -> None:
    assert faults(tmp_path, GOOD.replace("{sora: [task_1]}", "[task_1]")) == [
        "7: providers[0].watch.tasks: not a mapping; write the ids by feed, such as `sora: [ID, ID]`"
    ]


def test_the_number_of_a_user_without_a_token_is_told(tmp_path: Path) -> None:
    assert faults(tmp_path, GOOD.replace("    watch", "    user_id: 1001\n    watch")) == [
        "6: providers[0].user_id: without effect, since no user_token is given; write user_token too, or leave "
        "user_id out"
    ]


def test_the_name_of_a_project_is_not_its_id(tmp_path: Path) -> None:
    text = f"providers:\n  - {{name: m, type: huawei_metastudio, auth_token: {KEY}, project_id: cn-north-4}}\n"
    (fault,) = faults(tmp_path, text)
    assert fault.startswith("2: providers[0].project_id: not a project's id but its name; write the id, ")


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "deer.key").write_text(KEY)
    (tmp_path / "config.yaml").write_text(
        GOOD.replace(f"api_key: {KEY}", "api_key_file: ~/deer.key") + "ledger: {path: ~/l.sqlite3}\n"
    )
    config = load(tmp_path / "config.yaml", {})
    assert getattr(config.providers[0], "api_key").reveal() == KEY  # noqa: B009
    assert config.ledger.path == str(tmp_path / "l.sqlite3")


def of_replicate(base_url: str) -> str:
    return slips.of_base_url(base_url, "https://api.replicate.com/v1", ())


def test_where_the_vendors_own_address_has_a_path_others_may_have_one_too() -> None:
    assert of_replicate("https://api.replicate.com/v1") == of_replicate("https://gateway.example/v1") == ""
    assert of_replicate("https://gateway.example") == ""


def test_the_vendors_own_address_without_its_path_is_told() -> None:
    assert of_replicate("https://api.replicate.com") == (
        "lacks /v1, where the vendor's API starts; write https://api.replicate.com/v1"
    )


# Accounts


def provider(name: str, key: str = KEY, more: str = "") -> str:
    return f"  - {{name: {name}, type: chanjing, access_token: {key}{more}}}\n"


def configured(tmp_path: Path, *providers: str) -> Config:
    (tmp_path / "config.yaml").write_text("providers:\n" + "".join(providers))
    return load(tmp_path / "config.yaml", {})


def test_one_account_under_several_names_is_remarked_once(tmp_path: Path) -> None:
    config = configured(tmp_path, provider("a"), provider("other", "k" * 9), provider("b"), provider("c"))
    assert [remark.partition("config.yaml:")[2] for remark in config.remarks] == [
        "4: providers[2].access_token: the same credential as provider a in line 2, and 1 more have it too: they show "
        "the tasks of one account, so each task is counted again; keep one of them, or give each its own feeds"
    ]


def test_feeds_of_one_account_may_be_polled_apart(tmp_path: Path) -> None:
    apart = (provider("a", more=", feeds: [video]"), provider("b", more=", feeds: [lip_sync]"))
    assert configured(tmp_path, *apart).remarks == ()


def test_what_several_providers_share_may_stand_under_a_key_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        f"x-shared: &shared {{type: deerapi, api_key: {KEY}}}\nproviders:\n  - {{<<: *shared, name: a}}\n"
    )
    assert load(tmp_path / "config.yaml", {}).providers[0].name == "a"


def test_an_account_under_another_name_is_a_renamed_one(tmp_path: Path) -> None:
    before = configured(tmp_path, provider("a"), provider("b", "k" * 9)).providers
    now = configured(tmp_path, provider("c"), provider("b", "k" * 9), provider("d", "n" * 9)).providers
    assert list(renamed(before, now)) == [("a", "c")]
