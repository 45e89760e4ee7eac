"""Declarations that look right and would do harm: told by file and line before anything is asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from exporter.config.load import ConfigError
from exporter.config.vendors.declarations import VendorFile
from exporter.vendors.registry import built_in
from tests.harness import load

KILN = """\
kiln:
  base_url: https://api.kiln.example
  credentials: [api_key]
  auth: {type: bearer, credential: api_key}
  feeds:
    firing:
      list:
        path: /firings
        query: {page: "{page}", size: "{page_size}"}
        rows: data
        paging: {type: page}
      detail:
        path: /firings/{id}
      fields:
        id: id
        state: status
        submitted: created_at
      states: {running: [busy], succeeded: [done], failed: [broken]}
"""
OFFSET = "submitted: {path: created_at, offset: '{tz}'}"
NO_DURATION = "not a duration; write a number with a unit, such as 500ms, 15s, 10m, 24h or 7d"
LIST = (
    "allowed: {cursor}, {offset}, {page}, {page_size}, {since_iso}, {since_ms}, {since_s}, "
    "{until_iso}, {until_ms}, {until_s}, {uuid}"
)


def with_(**lines: str) -> str:
    """The declaration with lines of it replaced by key, or added below the base URL."""
    text = KILN.splitlines()
    for key, line in lines.items():
        at = [index for index, one in enumerate(text) if one.strip().startswith(f"{key}:")]
        if at:
            text[at[0]] = " " * (len(text[at[0]]) - len(text[at[0]].lstrip())) + line
        else:
            text.insert(2, f"  {line}")
    return "\n".join(text) + "\n"


def faults_of(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "kiln.yaml"
    file.write_text(text)
    return [fault.removeprefix(f"{file}:") for fault in VendorFile(file, built_in(), {}).faults]


TRIES: Mapping[str, tuple[dict[str, str], str]] = {
    "a credential with a name of the settings' class": (
        {"credentials": "credentials: [api_key, model_config]"},
        "3: kiln.credentials[1]: `model_config` is the name of another setting; give it a name of its own",
    ),
    "a credential with the name of another's file": (
        {"credentials": "credentials: [api_key, api_key_file]"},
        "3: kiln.credentials[1]: `api_key_file` is the name of another setting; give it a name of its own",
    ),
    "a credential twice": (
        {"credentials": "credentials: [api_key, api_key]"},
        "3: kiln.credentials[1]: `api_key` is the name of another setting; give it a name of its own",
    ),
    "a setting with a name of the settings' class": (
        {"settings": "settings: {copy: {default: a}}"},
        "3: kiln.settings.copy: the name of another setting or placeholder; give it a name of its own",
    ),
    "an offset whose default is no duration": (
        {"submitted": OFFSET, "settings": "settings: {tz: {default: eight}}"},
        f"3: kiln.settings.tz.default: {NO_DURATION}",
    ),
    "a header that the request makes itself": (
        {"headers": "headers: {Content-Length: 5}"},
        "3: kiln.headers.Content-Length: `Content-Length` is not a header to declare, since each request has its own; "
        "leave it out",
    ),
    "a placeholder where there are none": (
        {"headers": 'headers: {X-Page: "{page}"}'},
        "3: kiln.headers.X-Page: {page} is an unknown placeholder; allowed: none here",
    ),
    "a prefix that the scheme has not": (
        {"auth": "auth: {type: bearer, prefix: 'Key '}"},
        "4: kiln.auth.prefix: without effect in the scheme bearer; leave it out, or write type: header",
    ),
    "a credential that is nearly one": (
        {"auth": "auth: {type: bearer, credential: apikey}"},
        "4: kiln.auth.credential: `apikey` is no credential of this vendor; did you mean api_key?; allowed: api_key",
    ),
    "the credential itself in place of its name": (
        {"auth": "auth: {type: bearer, credential: sk-0123456789abcdef}"},
        "4: kiln.auth.credential: no credential of this vendor; allowed: api_key",
    ),
    "a credential in place of a parameter": (
        {"auth": "auth: {type: query, name: page}"},
        "9: kiln.feeds.firing.list.query.page: the name of another parameter of this request; the credential would "
        "stand in its place",
    ),
    "a placeholder in the address": (
        {"base_url": 'base_url: "https://{region}.kiln.example"'},
        "2: kiln.base_url: holds braces; write the address itself: placeholders stand in the paths below it",
    ),
    "a path that hides the query": (
        {"path": 'path: "/firings#all"'},
        "8: kiln.feeds.firing.list.path: `/firings#all` is not a path; write it as the vendor does, "
        "without blanks, line breaks and #",
    ),
    "a good answer that would mean an unknown task": (
        {"detail": "detail:\n        missing: {status: [200]}"},
        "13: kiln.feeds.firing.detail.missing.status[0]: `200` is too small; the least is 400",
    ),
    "a detail that can fill nothing": (
        {"detail": "detail:\n        fills: [started, reason]"},
        "13: kiln.feeds.firing.detail.fills[0]: `started` is in no field; write fields.started, or leave it out",
    ),
    "an account with a body that is never sent": (
        {"account": "account: {path: /me, json: {a: b}, balance: {path: left, unit: usd}}"},
        "3: kiln.account.json: a GET has no body; write method: POST, or use query",
    ),
    "a scale below zero": (
        {"account": "account: {path: /me, balance: {path: left, unit: usd, scale: -1}}"},
        "3: kiln.account.balance.scale: `-1` is too small; write more than 0",
    ),
    "a scale that is no number": (
        {"account": "account: {path: /me, balance: {path: left, unit: usd, scale: .nan}}"},
        "3: kiln.account.balance.scale: `.nan` is not a number; write digits",
    ),
    "a first page where there are no pages": (
        {"query": 'query: {skip: "{offset}"}', "paging": "paging: {type: offset, first: 0}"},
        "11: kiln.feeds.firing.list.paging.first: without effect in paging by offset; leave it out, or write "
        "type: page",
    ),
    "a window in which nothing can be": (
        {"rows": "rows: data\n        window: 0s"},
        "11: kiln.feeds.firing.list.window: `0s` is too short; the shortest is 10ms",
    ),
    "a filter with an unknown placeholder": (
        {"rows": 'rows: data\n        in_flight: {state: "{busy}"}'},
        f"11: kiln.feeds.firing.list.in_flight.state: {{busy}} is an unknown placeholder; {LIST}",
    ),
    "a regular expression without its sign": (
        {"states": "states: {succeeded: [done], failed: ['err.*']}"},
        "18: kiln.feeds.firing.states.failed[0]: `err.*` looks like a regular expression; write each word as it is, "
        "^ before a beginning, ~ before a part",
    ),
    "a zone that is nearly one": (
        {"submitted": "submitted: {path: created_at, zone: Asia/Shangai}"},
        "17: kiln.feeds.firing.fields.submitted.zone: `Asia/Shangai` is not a time zone; write a name such as "
        "Asia/Shanghai, or what it is ahead of UTC, such as +08:00; did you mean Asia/Shanghai?",
    ),
    "a zone by what it is ahead, nearly": (
        {"submitted": "submitted: {path: created_at, zone: UTC+8}"},
        "17: kiln.feeds.firing.fields.submitted.zone: not a time zone; write a name such as Asia/Shanghai, or what it "
        "is ahead of UTC, such as +08:00; did you mean +08:00?",
    ),
    "alternatives of a regular expression": (
        {"states": "states: {succeeded: [done], failed: ['err_(gpu|net)']}"},
        "18: kiln.feeds.firing.states.failed[0]: `err_(gpu|net)` looks like a regular expression; write each word as "
        "it is, ^ before a beginning, ~ before a part",
    ),
    "the end of a regular expression": (
        {"states": "states: {succeeded: [done], failed: ['failed$']}"},
        "18: kiln.feeds.firing.states.failed[0]: this word looks like a regular expression; write each word as it is, "
        "^ before a beginning, ~ before a part",
    ),
    "a text in double quotes, which JMESPath takes for a key": (
        {"rows": 'rows: data\n        where: type == "video"'},
        "11: kiln.feeds.firing.list.where: no comparison with a text: in double quotes it is the name of a key; "
        "write 'video'",
    ),
    "true without backticks, which JMESPath takes for a key": (
        {"answer": "answer: {ok: success == true}"},
        "3: kiln.answer.ok: no comparison with true, which is the name of a key without backticks; write `true`",
    ),
    "a number without backticks": (
        {"answer": "answer: {ok: code == 0}"},
        "3: kiln.answer.ok: not a JMESPath expression: it is incomplete or has a wrong sign at character "
        "9; write a number in backticks, as in == `0`",
    ),
    "the unit of a time": (
        {"submitted": "submitted: {path: created_at, unit: ms}"},
        "17: kiln.feeds.firing.fields.submitted.unit: without effect: the form of a time is recognized, its "
        "unit by its size",
    ),
    "a cost without its unit": (
        {"submitted": "submitted: created_at\n        usage: cost"},
        "18: kiln.feeds.firing.fields.usage: a path alone, which has no unit; write {path: cost, unit: credits} or "
        "another unit",
    ),
    "a path of JSONPath": (
        {"id": "id: $.id"},
        "15: kiln.feeds.firing.fields.id: not a JMESPath expression: unexpected '$' at character 1; leave `$.` out, a "
        "path begins with a key",
    ),
    "a key without its s, which another part has": (
        {"rows": "row: data"},
        "10: kiln.feeds.firing.list.row: unknown key; did you mean rows?; allowed: ends_alone, headers, in_flight, "
        "json, last, method, order, paging, path, query, rows, total, where, window",
    ),
}


@pytest.mark.parametrize("name", TRIES)
def test_what_would_do_harm_is_told_by_its_line(tmp_path: Path, name: str) -> None:
    lines, fault = TRIES[name]
    assert fault in faults_of(tmp_path, with_(**lines))


def test_what_these_tries_change_is_good(tmp_path: Path) -> None:
    assert faults_of(tmp_path, KILN) == []


@pytest.mark.parametrize("text", ["", "# to be written\n"])
def test_a_vendor_file_of_the_configuration_that_is_empty_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "kiln.yaml").write_text(text)
    config = tmp_path / "config.yaml"
    config.write_text("vendor_files: [kiln.yaml]\nproviders:\n  - {name: k, type: kiln, api_key: KEY}\n")
    with pytest.raises(ConfigError) as raised:
        load(config)
    assert [fault.partition("kiln.yaml:")[2] for fault in raised.value.faults] == [
        "1: no vendor; write its name as a key, and below it what the vendor is"
    ]


def test_a_vendor_file_that_is_written_as_a_configuration_is_told(tmp_path: Path) -> None:
    lines = "\n".join(f"  {line}" for line in KILN.splitlines())
    (tmp_path / "kiln.yaml").write_text(f"vendors:\n{lines}\n")
    config = tmp_path / "config.yaml"
    config.write_text("vendor_files: [kiln.yaml]\nproviders:\n  - {name: k, type: kiln, api_key: KEY}\n")
    with pytest.raises(ConfigError) as raised:
        load(config)
    assert (
        f"{tmp_path / 'kiln.yaml'}:1: vendors: no vendor; a file of vendor_files begins with the vendor's own name: "
        "leave it out"
    ) in raised.value.faults


def test_a_credential_by_another_name_is_told_its_own(tmp_path: Path) -> None:
    (tmp_path / "kiln.yaml").write_text(KILN.replace("api_key", "kiln_pass"))
    config = tmp_path / "config.yaml"
    config.write_text("vendor_files: [kiln.yaml]\nproviders:\n  - {name: k, type: kiln, api_key: KEY}\n")
    with pytest.raises(ConfigError) as raised:
        load(config)
    told = [fault for fault in raised.value.faults if ".api_key: " in fault]
    assert "unknown key; did you mean kiln_pass?" in told[0]


def test_an_offset_that_a_provider_gives_is_a_duration(tmp_path: Path) -> None:
    (tmp_path / "kiln.yaml").write_text(with_(submitted=OFFSET, settings="settings: {tz: {description: hours}}"))
    config = tmp_path / "config.yaml"
    entry = "vendor_files: [kiln.yaml]\nproviders:\n  - {{name: k, type: kiln, api_key: KEY, tz: {}}}\n"
    config.write_text(entry.format("eight"))
    with pytest.raises(ConfigError) as raised:
        load(config)
    assert raised.value.faults == [f"{config}:3: providers[0].tz: `eight` is {NO_DURATION}"]
    config.write_text(entry.format("-8h"))
    load(config)
