"""Vendors that the configuration declares: types like any other, and faults with the file and the line they are in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from exporter.cli import main
from exporter.config import schema
from exporter.config.load import Config, ConfigError, ConfigFile
from exporter.config.vendors.declarations import VendorFile
from exporter.vendors.declared.declaration import Declaration
from tests.harness import VENDORS, load
from tests.harness.fixtures import Write

ACME = """\
  base_url: https://api.acme.example
  credentials: [api_key]
  auth: {type: bearer, credential: api_key}
  feeds:
    render:
      list:
        method: POST
        path: /renders
        json:
          page: "{page}"
          more: {draft: false, note: null, zip: "07", ratio: 0.5, who: "${WHO}"}
          count: ${COUNT}
        rows: renders
        paging: {type: page}
      fields: {id: id, state: status}
      states: {running: [busy], succeeded: [done]}
"""
"""The lines of a declaration; the name of the type comes before them."""
PROVIDER = "providers:\n  - {name: a, type: acme, api_key: KEY}\n"
ENVIRONMENT = {"WHO": "5", "COUNT": "5"}


def acme(**changes: str) -> str:
    """The declaration as it stands in a vendor file, with lines of it replaced by key."""
    lines = ACME.splitlines()
    for key, line in changes.items():
        (at,) = [index for index, one in enumerate(lines) if one.strip().startswith(f"{key}:")]
        lines[at] = line
    return "acme:\n" + "".join(f"{line}\n" for line in lines)


def indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


def read(path: Path) -> Config:
    return load(path, ENVIRONMENT)


def faults_of(path: Path) -> list[str]:
    """What is wrong, with the files' names as they are below the folder of the configuration."""
    with pytest.raises(ConfigError) as caught:
        read(path)
    return [fault.replace(f"{path.parent}/", "") for fault in caught.value.faults]


def test_a_provider_may_have_a_type_that_the_configuration_declares(write: Write) -> None:
    config = read(write({"config.yaml": "vendors:\n" + indented(acme()) + PROVIDER}))
    (provider,) = config.providers
    assert provider.base_url == "https://api.acme.example"
    assert config.types is not None
    assert config.types["acme"].kinds == ("render",)
    assert {"facewap", "acme"} <= config.types.keys()
    assert config.kinds_of(provider) == ("render",)


def test_vendor_files_lie_relative_to_the_configuration(write: Write) -> None:
    path = write(
        {
            "config.yaml": 'vendor_files: ["vendors/*.yaml", vendors/b.yaml]\n' + PROVIDER,
            "vendors/a.yaml": acme(),
            "vendors/b.yaml": "x-common: &common\n" + ACME + "bolt:\n  <<: *common\n",
        }
    )
    types = read(path).types
    assert types is not None
    assert types.origin("acme") == f"declared in {path.parent}/vendors/a.yaml:1"
    assert types.origin("bolt") == f"declared in {path.parent}/vendors/b.yaml:18"


def test_values_of_a_body_keep_their_types_and_all_others_are_text(write: Write) -> None:
    file = VendorFile(
        write({"acme.yaml": acme(states='      states: {running: [no], succeeded: [010, "1"]}')}),
        VENDORS,
        ENVIRONMENT,
    )
    declaration = file.vendors["acme"].declaration
    assert isinstance(declaration, Declaration)
    listed = declaration.feeds["render"].list_
    assert listed is not None
    more = {"draft": False, "note": None, "zip": "07", "ratio": 0.5, "who": "5"}
    assert listed.body == {"page": "{page}", "more": more, "count": 5}
    assert list(declaration.feeds["render"].states.values()) == [["no"], ["010", "1"]]


FACEWAP = "providers:\n  - {name: f, type: facewap, token: t, base_url: http://f.example}\n"
IN_A_FILE = "vendor_files: [acme.yaml]\n" + PROVIDER
HERE = "vendors:\n" + indented(acme())
BAD_INTERVAL = (
    "poll_interval: `1` is not a duration; write a number with a unit, such as 500ms, 15s, 10m, 24h or 7d; "
    "did you mean 1s?"
)
BROKEN: Mapping[str, tuple[Mapping[str, str], list[str]]] = {
    "in the configuration": (
        {"config.yaml": "vendors:\n" + indented(acme(fields="      fields: {id: id}")) + PROVIDER},
        [
            "config.yaml:17: vendors.acme.feeds.render.fields.state: missing; the word for its state, or an expression "
            "that makes one"
        ],
    ),
    "in a vendor file, beside those of the configuration": (
        {"config.yaml": "poll_interval: 1\n" + IN_A_FILE, "acme.yaml": acme(rows="        rows: renders[")},
        [
            f"config.yaml:1: {BAD_INTERVAL}",
            "acme.yaml:14: acme.feeds.render.list.rows: `renders[` is not a JMESPath expression: it is incomplete or "
            "has a wrong sign at character 9",
        ],
    ),
    "what several values show": (
        {"config.yaml": IN_A_FILE, "acme.yaml": acme(paging="        paging: {type: cursor}")},
        [
            "acme.yaml:11: acme.feeds.render.list.json.page: {page} means nothing in paging by cursor; write "
            "paging: {type: page}, or leave it out",
            "acme.yaml:15: acme.feeds.render.list.paging.next: missing; paging by cursor needs the JMESPath of the "
            "next cursor in the answer",
            "acme.yaml:15: acme.feeds.render.list.paging.type: no {cursor} in the request; paging by cursor needs it "
            "in path, query or json",
        ],
    ),
    "a provider of a type whose declaration is broken": (
        {
            "config.yaml": IN_A_FILE.replace("KEY", "KEY, poll_interval: 1"),
            "acme.yaml": acme(base_url="  base_url: api.acme.example"),
        },
        [
            f"config.yaml:3: providers[0].{BAD_INTERVAL}",
            "acme.yaml:2: acme.base_url: `api.acme.example` is not a URL; write http:// or https://, a host and, if "
            "needed, a port and a path",
        ],
    ),
    "the name of a built-in vendor": (
        {
            "config.yaml": IN_A_FILE.replace("type: acme", "type: facewap"),
            "acme.yaml": acme().replace("acme:", "facewap:"),
        },
        [
            "acme.yaml:1: facewap: the name of a vendor that is built in; give this one another name, or write "
            "`replaces: true` in it"
        ],
    ),
    "a type twice": (
        {"config.yaml": 'vendor_files: ["more/*.yaml"]\n' + HERE + PROVIDER, "more/acme.yaml": acme()},
        ["more/acme.yaml:1: acme: already declared in config.yaml:3; keep one of them"],
    ),
    "a type twice in one file": (
        {"config.yaml": IN_A_FILE, "acme.yaml": acme() + acme()},
        ["acme.yaml:18: acme: given twice, first in line 1; keep one"],
    ),
    "a pattern without a file": (
        {"config.yaml": 'vendor_files: ["none/*.yaml"]\n' + PROVIDER},
        [
            "config.yaml:1: vendor_files[0]: matches no file; write a path, or a pattern such as vendors/*.yaml, "
            "relative to this file"
        ],
    ),
    "an empty pattern": (
        {"config.yaml": "vendor_files: ['']\n" + HERE + PROVIDER},
        ["config.yaml:1: vendor_files[0]: empty; write a text"],
    ),
    "no list of patterns": (
        {"config.yaml": "vendor_files: acme.yaml\n" + HERE + PROVIDER},
        ["config.yaml:1: vendor_files: `acme.yaml` is not a list; write `[acme.yaml]` or lines that start with `- `"],
    ),
    "vendors that are a list": (
        {"config.yaml": "vendors:\n  - acme\n" + FACEWAP},
        [
            "config.yaml:1: vendors: not a mapping; write the vendor's name as a key, and below it, indented, what the "
            "vendor is"
        ],
    ),
    "a name that is none": (
        {"config.yaml": "vendor_files: [acme.yaml]\n" + FACEWAP, "acme.yaml": acme().replace("acme:", "my acme:")},
        [
            "acme.yaml:1: my acme: not a name for a type; write letters, digits, `_`, `-` and `.`, at most 64 and a "
            "letter or digit first"
        ],
    ),
    "a file that is not YAML": (
        {"config.yaml": IN_A_FILE, "acme.yaml": "acme: [a\nb: c\n"},
        ["acme.yaml:2: not valid YAML: a bracket that is not closed, or no comma between two values"],
    ),
    "a variable that is not set": (
        {"config.yaml": IN_A_FILE, "acme.yaml": acme(base_url="  base_url: ${ACME_URL}")},
        ["acme.yaml:2: acme.base_url: the environment variable ACME_URL is not set; set it, or write the value here"],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_is_told_with_the_file_and_the_line_that_it_is_in(write: Write, name: str) -> None:
    files, faults = BROKEN[name]
    assert faults_of(write(files)) == faults


def test_a_declaration_that_replaces_nothing_may_not_have_the_name_of_a_built_in_vendor(write: Write) -> None:
    text = acme().replace("acme:", "facewap:\n  replaces: false")
    (fault,) = VendorFile(write({"acme.yaml": text}), VENDORS, ENVIRONMENT).faults
    assert "the name of a vendor that is built in" in fault


def test_a_declared_vendor_may_replace_a_built_in_one(write: Write) -> None:
    path = write(
        {
            "config.yaml": "vendor_files: [acme.yaml]\n" + PROVIDER.replace("acme", "facewap"),
            "acme.yaml": acme().replace("acme:", "facewap:\n  replaces: true"),
        }
    )
    types = read(path).types
    assert types is not None
    assert types["facewap"].kinds == ("render",)
    assert VENDORS["facewap"].kinds == ("face_swap",)


def test_a_declaration_that_says_the_same_as_before_is_the_same_vendor(write: Write) -> None:
    path = write({"config.yaml": "vendors:\n" + indented(acme()) + PROVIDER})

    def vendor() -> object:
        types = read(path).types
        return types and types["acme"]

    first = vendor()
    write({"config.yaml": "# moved\nvendors:\n" + indented(acme()) + PROVIDER})
    assert vendor() is first
    write({"config.yaml": "vendors:\n" + indented(acme(states="      states: {succeeded: [done]}")) + PROVIDER})
    assert vendor() is not first


def test_the_configuration_has_changed_when_a_vendor_file_has(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    path = write({"config.yaml": "vendor_files: ['*/*.yaml']\n" + PROVIDER, "vendors/acme.yaml": acme()})
    other = path.parent / "vendors/bolt.yaml"
    file = ConfigFile(path, VENDORS)
    file.load()
    assert not file.has_changed()
    for text in (acme(feeds="  feed:"), acme()):  # a broken one is not read again before it changes
        write({"config.yaml": path.read_text(), "vendors/acme.yaml": text})
        assert file.has_changed()
        try:
            file.load()
        except ConfigError:
            assert "feed:" in text
        assert not file.has_changed()
    other.write_text(acme().replace("acme:", "bolt:"))
    assert file.has_changed()
    file.load()
    assert not file.has_changed()
    other.unlink()
    assert file.has_changed()


FORMS = {
    "a mapping of vendors": (acme(), "acme:"),
    "a whole configuration": ("vendors:\n" + indented(acme()) + PROVIDER, "vendors:\n  acme:"),
    "a bare declaration": ("\n".join(line[2:] for line in ACME.splitlines()), ""),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_vendor_file_may_have_several_forms(write: Write, form: str) -> None:
    text, _ = FORMS[form]
    file = VendorFile(write({"acme.yaml": text}), VENDORS, ENVIRONMENT)
    assert file.faults == []
    assert list(file.vendors) == ["acme"]
    places = [(*above, "feeds", "render", "states") for above in ((), ("acme",), ("vendors", "acme"))]
    (line,) = (file.document.line(place) for place in places if file.document.has(place))
    assert text.splitlines()[line - 1].strip().startswith("states:")


@pytest.mark.parametrize("form", FORMS)
def test_a_vendor_file_tells_its_faults_by_line(write: Write, form: str) -> None:
    text = FORMS[form][0].replace("rows: renders", "rows: ']'")
    file = VendorFile(write({"acme.yaml": text}), VENDORS, ENVIRONMENT)
    number = next(index for index, line in enumerate(text.splitlines(), 1) if "rows:" in line)
    (fault,) = file.faults
    assert fault.partition("acme.yaml:")[2].startswith(f"{number}: ")
    assert "feeds.render.list.rows: `]` is not a JMESPath expression" in fault
    assert not file.vendors


@pytest.mark.parametrize("text", ["", "providers: []\n", "x-common: {}\n"])
def test_a_vendor_file_without_a_vendor_is_a_fault(write: Write, text: str) -> None:
    (fault,) = VendorFile(write({"acme.yaml": text}), VENDORS, ENVIRONMENT).faults
    assert fault.endswith("no vendor; write its name as a key, and below it what the vendor is")


STATES = "queued, running, blocked, unknown, succeeded, failed, cancelled"
SLIPS: Mapping[str, tuple[dict[str, str], list[str]]] = {
    "a word that is one of a few": (
        {"paging": "        paging: {type: pages}"},
        ["list.paging.type: `pages` is unknown; did you mean page?; allowed: page, offset, cursor, link, none"],
    ),
    "a word that is nearly another": (
        {"method": "        method: post"},
        ["list.method: `post` is unknown; did you mean POST?; allowed: GET, POST"],
    ),
    "a unit in full": (
        {"fields": "      fields: {id: id, state: status, output: {path: length, unit: milliseconds}}"},
        ["fields.output.unit: `milliseconds` is unknown; did you mean ms?; allowed: s, ms"],
    ),
    "what may be a secret": (
        {"paging": "        paging: {type: sk-0123456789abcdef}"},
        ["list.paging.type: unknown; allowed: page, offset, cursor, link, none"],
    ),
    "a state, beside another fault of the words": (
        {"states": '      states: {suceeded: [done], failed: ["^E_.*"]}'},
        [
            f"states.suceeded: `suceeded` is an unknown state; did you mean succeeded?; allowed: {STATES}",
            "states.failed[0]: `^E_.*` looks like a regular expression; after ^ a part of a word stands as it is",
        ],
    ),
    "a state that only we can tell": (
        {"states": "      states: {lost: [gone]}"},
        [f"states.lost: `lost` is no state that a vendor can report; allowed: {STATES}"],
    ),
    "a word of two states": (
        {"states": "      states: {succeeded: [Done, done], failed: [DONE]}"},
        ["states.failed[0]: `DONE` already means succeeded; a word has one meaning"],
    ),
    "an empty word": (
        {"states": "      states: {succeeded: [' '], failed: ['^']}"},
        [
            "states.succeeded[0]: empty; write a word of the vendor",
            "states.failed[0]: empty; write a word of the vendor",
        ],
    ),
    "states by words": (
        {"states": "      states: {done: succeeded, error: failed}"},
        ["states: written the other way round; write the meaning first, and its words as a list: `succeeded: [done]`"],
    ),
    "one word that is no list": (
        {"states": "      states: {succeeded: done}"},
        ["states.succeeded: `done` is not a list; write `[done]` or lines that start with `- `"],
    ),
    "a key that others use": (
        {"fields": "      fields: {id: id, state: status, started_at: start}"},
        [
            "fields.started_at: unknown key; did you mean started?; allowed: code, dated, ended, id, model, output, "
            "progress, result, started, state, submitted, text, usage"
        ],
    ),
    "a key that is elsewhere": (
        {"rows": "        rows: renders\n        states: {}"},
        [
            "list.states: unknown key here; it is a setting of `feeds`; allowed: ends_alone, headers, in_flight, "
            "json, last, method, order, paging, path, query, rows, total, where, window"
        ],
    ),
    "a placeholder without quotes": (
        {"path": "        path: /renders\n        query: {size: {page_size}}"},
        ['list.query.size: a mapping, since braces are YAML\'s; put a placeholder in quotes, as in "{page}"'],
    ),
    "a placeholder in a body without quotes": (
        {"page": "          page: {page}"},
        ['list.json.page: a mapping, since braces are YAML\'s; put a placeholder in quotes, as in "{page}"'],
    ),
    "what several values show, beside what one does": (
        {"rows": "        rows: ']'", "paging": "        paging: {type: page, next: more}"},
        [
            "list.rows: `]` is not a JMESPath expression: unexpected ']' at character 1",
            "list.paging.next: without effect in paging by page; leave it out, or write type: cursor or link",
        ],
    ),
    "what is missing, beside what is wrong elsewhere": (
        {"fields": "      fields: {id: id}", "paging": "        paging: {type: page, next: more}"},
        [
            "list.paging.next: without effect in paging by page; leave it out, or write type: cursor or link",
            "fields.state: missing; the word for its state, or an expression that makes one",
        ],
    ),
}


@pytest.mark.parametrize("name", SLIPS)
def test_all_faults_of_a_first_try_are_told_with_what_was_meant(write: Write, name: str) -> None:
    changes, faults = SLIPS[name]
    found = VendorFile(write({"acme.yaml": acme(**changes)}), VENDORS, ENVIRONMENT).faults
    assert [fault.partition("acme.feeds.render.")[2] for fault in found] == faults


WORDS: Mapping[str, tuple[str, list[str]]] = {
    "feeds that the type has not": (
        "states: {soras: {failed: [bad]}}, reasons: {video: {timeout: [late]}}",
        [
            "providers[0].states.soras: `soras` is no feed of this type; did you mean sora?; allowed: sora",
            "providers[0].reasons.video: `video` is no feed of this type; allowed: sora",
        ],
    ),
    "a state": (
        "states: {sora: {suceeded: [done]}}",
        [
            "providers[0].states.sora.suceeded: `suceeded` is an unknown state; did you mean succeeded?; "
            f"allowed: {STATES}"
        ],
    ),
    "a state that only we can tell": (
        "states: {sora: {lost: [gone]}}",
        [f"providers[0].states.sora.lost: `lost` is no state that a vendor can report; allowed: {STATES}"],
    ),
    "words": (
        "states: {sora: {succeeded: [''], failed: ['^a.*', b], cancelled: [B]}}",
        [
            "providers[0].states.sora.succeeded[0]: empty; write a word of the vendor",
            "providers[0].states.sora.failed[0]: `^a.*` looks like a regular expression; after ^ a part of a "
            "word stands as it is",
            "providers[0].states.sora.cancelled[0]: `B` already means failed; a word has one meaning",
        ],
    ),
    "a reason": (
        "reasons: {sora: {moderated: [bad]}}",
        [
            "providers[0].reasons.sora.moderated: `moderated` is unknown; did you mean moderation?; allowed: "
            "moderation, insufficient_balance, invalid_input, rate_limited, auth, provider_internal, timeout, unknown"
        ],
    ),
}


@pytest.mark.parametrize("name", WORDS)
def test_words_of_a_provider_are_checked(write: Write, name: str) -> None:
    given, faults = WORDS[name]
    path = write({"config.yaml": f"providers:\n  - {{name: d, type: deerapi, api_key: KEY, {given}}}\n"})
    assert faults_of(path) == [f"config.yaml:2: {fault}" for fault in faults]


# For editors

WHOLE = """\
acme:
  title: Acme
  base_url: https://api.acme.example
  rate_limit: 5/s
  page_size: 50
  poll_interval: 1m
  credentials: [api_key]
  auth: {type: header, name: X-Key, prefix: "Key ", credential: api_key}
  headers: {X-Acme-Version: "2026-01", X-Endpoint: "{endpoint_id}"}
  settings: {endpoint_id: {default: main, description: the endpoint}}
  answer: {ok: code == `0`, code: code, text: message}
  feeds:
    render:
      clock: observed
      list:
        method: POST
        path: /v2/renders
        query: {size: "{page_size}", since: "{since_s}", fixed: 5, yes: no}
        json: {cursor: "{cursor}", size: 50, deep: {draft: false, none: null, more: [1, a]}}
        rows: data.renders
        where: type == 'video'
        paging: {type: cursor, next: data.next}
        last: "!data.more"
        order: unknown
        window: 7d
      detail:
        path: /v2/renders
        query: {ids: "{ids}"}
        row: data
        batch: 50
        missing: {status: [404, "410"], code: [E_NO_TASK, 5]}
        fills: [reason, output]
      fields:
        id: id
        state: "error && 'failed' || status"
        progress: {path: percent, unit: ratio}
        submitted: {path: created_at, offset: -30m, zone: Asia/Shanghai}
        ended: {path: ended_at, when: end}
        output: {path: seconds, unit: ms}
        model: model
        usage: {path: cost, unit: credits, scale: 0.01}
        code: error.code
        text: error.message
      states: {queued: [waiting, 1], succeeded: [done], failed: [failed, "^err"]}
      reasons: {moderation: [E_UNSAFE, "^Sensitive"], timeout: [5]}
  account: {path: /v2/me, balance: {path: data.credits, unit: credits, scale: "0.01"}}
  advice: {credentials: Keys are made in the console.}
  other_names: [akme]
"""


def objections(text: str, schema: dict[str, Any]) -> list[str]:
    """What an editor that reads YAML 1.2 finds wrong with a text."""
    plain = YAML(typ="safe", pure=True).load(text)
    return [error.message for error in Draft202012Validator(schema).iter_errors(plain)]


@pytest.mark.parametrize("text", [WHOLE, acme(), "x-common: &common\n" + ACME + "bolt:\n  <<: *common\n"])
def test_an_editor_likes_what_is_good(write: Write, text: str) -> None:
    assert VendorFile(write({"vendors.yaml": text}), VENDORS, ENVIRONMENT).faults == []
    assert objections(text, schema.vendor_file(VENDORS)) == []
    whole = "vendors:\n" + indented(text.replace("x-common", "common")) + PROVIDER
    assert objections(whole, schema.document(VENDORS)) == []


@pytest.mark.parametrize("text", [PROVIDER, PROVIDER + "poll_interval: 1\n"])
def test_an_editor_takes_any_type_where_vendors_are_declared(text: str) -> None:
    declared = "vendor_files: [acme.yaml]\n" + text
    assert len(objections(declared, schema.document(VENDORS))) == text.count("poll_interval")
    assert len(objections(text, schema.document(VENDORS))) > text.count("poll_interval")


@pytest.mark.parametrize(
    "entry", ["", ", states: {render: {failed: [bad]}}", ", poll_interval: 1m", ", own: setting, other_file: x"]
)
def test_an_editor_takes_what_any_provider_may_have(entry: str) -> None:
    text = "vendor_files: [acme.yaml]\n" + PROVIDER.replace("KEY", f"KEY{entry}")
    assert objections(text, schema.document(VENDORS)) == []


@pytest.mark.parametrize("entry", ["poll_interval: 5", "states: {render: {bad: [bad]}}", "watch: {limit: many}"])
def test_an_editor_finds_what_is_wrong_with_a_provider_of_any_type(entry: str) -> None:
    text = "vendor_files: [acme.yaml]\n" + PROVIDER.replace("KEY", f"KEY, {entry}")
    assert objections(text, schema.document(VENDORS)) != []


STATIC = [
    name
    for name in SLIPS
    if not name.startswith(("a word of two", "an empty", "what several", "a placeholder in a body"))
]


@pytest.mark.parametrize("name", STATIC)
def test_an_editor_finds_the_faults_that_one_value_shows(name: str) -> None:
    assert objections(acme(**SLIPS[name][0]), schema.vendor_file(VENDORS)) != []


# What there is


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["vendors", *arguments]) == 0
    return capsys.readouterr().out


def test_every_type_is_listed_with_whose_it_is_and_what_its_feeds_tell(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write({"config.yaml": "vendor_files: [acme.yaml]\n" + PROVIDER, "acme.yaml": WHOLE})
    lines = told(capsys, f"--config.file={path}").splitlines()
    assert lines[-2:] == [
        f"acme: Acme, declared in {path.parent}/acme.yaml:1",
        "  render: listed and by id; times as we see them; reports submitted, ended, progress, length, model, usage, "
        "reason",
    ]
    assert "deerapi: DeerAPI, built in" in lines
    assert [line.partition(":")[0] for line in lines if not line.startswith(" ")] == [*VENDORS, "acme"]
    assert told(capsys).splitlines() == lines[:-2]


def test_what_is_listed_may_be_json(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write({"config.yaml": "vendors:\n" + indented(acme()) + PROVIDER.replace("KEY", "KEY, poll_interval: 1s")})
    for name in ENVIRONMENT:
        path.write_text(path.read_text().replace(f"${{{name}}}", "5"))
    found = json.loads(told(capsys, f"--config.file={path}", "--json"))
    feed = {"kind": "render", "listed": True, "list_needs": "", "by_id": False, "clock": "provider", "tells": []}
    vendor = {"type": "acme", "title": "", "origin": f"declared in {path}:2", "feeds": [feed]}
    assert found["vendors"][-1] == vendor
    assert found["broken"] == []


def test_every_built_in_type_says_what_its_feeds_tell() -> None:
    assert {name: vendor.tells.keys() for name, vendor in VENDORS.items()} == {
        name: {*vendor.kinds, *vendor.more_kinds} for name, vendor in VENDORS.items()
    }


OTHERS: Mapping[str, tuple[dict[str, str], str]] = {
    "a credential that is nearly one": (
        {"auth": "  auth: {type: bearer, credential: apikey}"},
        "4: acme.auth.credential: `apikey` is no credential of this vendor; did you mean api_key?; allowed: api_key",
    ),
    "a credential itself": (
        {"auth": "  auth: {type: bearer, credential: sk-0123456789abcdef}"},
        "4: acme.auth.credential: no credential of this vendor; allowed: api_key",
    ),
    "credentials themselves": (
        {"credentials": "  credentials: [sk-0123456789abcdef, b]"},
        "4: acme.auth.credential: `api_key` is no credential of this vendor; allowed: b",
    ),
    "braces within brackets": (
        {"path": "        path: /renders\n        in_flight: {state: only/{page}}"},
        "10: not valid YAML: a text with braces within brackets; put it in quotes",
    ),
    "a variable within brackets": (
        {"path": "        path: /renders\n        query: {size: 5, who: ${WHO}}"},
        "10: not valid YAML: a text with braces within brackets; put it in quotes",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_faults_repeat_no_secret_and_say_what_to_write(write: Write, name: str) -> None:
    changes, fault = OTHERS[name]
    found = VendorFile(write({"acme.yaml": acme(**changes)}), VENDORS, ENVIRONMENT).faults
    assert fault in [one.partition("acme.yaml:")[2] for one in found]
    assert not [one for one in found if "0123456789abcdef" in one]
