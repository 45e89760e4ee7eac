"""The configuration: every fault is one line that says where it is, what is wrong and what is allowed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from exporter.config import schema as config_schema
from exporter.config.load import Config, ConfigError, ConfigFile, LedgerSettings, LogSettings
from exporter.config.models import DURATION_BUCKETS, PollSettings, Settings, WatchSettings
from exporter.simulator import SEEDS
from exporter.vendors.builtin import deerapi
from tests.harness import VENDORS, load

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "config.example.yaml"
SCHEMA = ROOT / "docs" / "config.schema.json"
SECRET = "s3cr3t-SENTINEL"

# Whole providers without a fault, each starting at the indentation of a list item.
FACEWAP = f"""\
  - name: swaps
    type: facewap
    base_url: https://facewap.example
    token: {SECRET}
"""
DEERAPI = f"""\
  - name: deer
    type: deerapi
    api_key: {SECRET}
"""
CHANJING = f"""\
  - name: chan
    type: chanjing
    access_token: {SECRET}
"""
METASTUDIO = f"""\
  - name: meta
    type: huawei_metastudio
    project_id: p1
    auth_token: {SECRET}
"""

DURATION = "not a duration; write a number with a unit, such as 500ms, 15s, 10m, 24h or 7d"
RATE = "not a rate; write a number of requests per second, minute or hour, such as 10/s or 600/m"
WHOLE_NUMBER = "not a whole number; write digits"
LIST = "not a list; write `[a, b]` or lines that start with `- `"
MAPPING = "not a mapping; write keys with values"
SECRET_FORMS = "write the credential, ${VARIABLE}, or use the key with _file"
TYPES = ", ".join(sorted(VENDORS))
TOP_KEYS = (
    "account_interval, duration_buckets, history, idle_poll_interval, ledger, list_lag, log, model_limit, "
    "poll_interval, provider_files, providers, recent_window, replica, request_timeout, stalled_after, "
    "task_series_limit, vendor_files, vendors"
)
METASTUDIO_WAYS = "credentials: give exactly one of auth_token, access_key with secret_key, or iam"
CHANJING_WAYS = "credentials: give exactly one of access_token, or app_id with secret_key"
NAME = "not allowed here; write letters, digits, `_`, `-` and `.`, at most 64 and a letter or digit first"
URL = "write http:// or https://, a host and, if needed, a port and a path"
MERGE = "`<<` stands before something other than a finished mapping; write the keys out"
WORD = "a key that is not a word; write `key: value`"


def providers(*listed: str) -> str:
    return "providers:\n" + "".join(listed)


Load = Callable[[str | bytes], Config]


@pytest.fixture
def read(tmp_path: Path) -> Load:
    """Loads a text as config.yaml, in an environment with one secret; what is good for us, editors must like too."""

    def read(text: str | bytes) -> Config:
        file = tmp_path / "config.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        config = load(file, {"SECRET": SECRET, "EMPTY": "", "ODD": "*x#$X${Y}"})
        assert objections(text) == []
        return config

    return read


SCHEMA_OF_NOW = Draft202012Validator(config_schema.document(VENDORS))


def objections(text: str | bytes) -> list[str]:
    """What an editor that reads YAML 1.2 finds wrong with a text, by the schema alone."""
    try:
        plain = json.loads(json.dumps(YAML(typ="safe", pure=True).load(text), default=str))
    except (YAMLError, ValueError, TypeError, RecursionError) as error:
        return [f"not YAML: {type(error).__name__}"]
    return [error.message for error in SCHEMA_OF_NOW.iter_errors(plain)]


def faults_of(read: Load, text: str | bytes) -> list[str]:
    """The faults of a text, without the file's name, which each of them must begin with."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value) == "\n".join(caught.value.faults)
    heads = {fault.partition("config.yaml:")[0] for fault in caught.value.faults}
    assert len(heads) == 1
    assert not [fault for fault in caught.value.faults if SECRET in fault or len(fault.splitlines()) != 1]
    return [fault.partition("config.yaml:")[2] for fault in caught.value.faults]


BROKEN: Mapping[str, tuple[str | bytes, list[str]]] = {
    # nothing to read
    "empty file": ("", ["1: providers: missing, the file is empty; write at least one provider"]),
    "only comments": ("# nothing\n\n", ["1: providers: missing, the file is empty; write at least one provider"]),
    "an empty mapping": (
        "{}",
        ["1: providers: missing; the accounts to poll; at least one, here or in a file of `provider_files`"],
    ),
    "a list": ("- a\n", ["1: not a mapping; write keys such as `providers:` with values"]),
    "a text": (f"api_key:{SECRET}\n", ["1: not a mapping; write keys such as `providers:` with values"]),
    "a level of the log that there is not": (
        "log: {level: verbose}\n" + providers(FACEWAP),
        ["1: log.level: `verbose` is unknown; allowed: debug, info, warn, error"],
    ),
    "a level of the log that is nearly one": (
        "log: {level: warning}\n" + providers(FACEWAP),
        ["1: log.level: `warning` is unknown; did you mean warn?; allowed: debug, info, warn, error"],
    ),
    # not YAML, or not what we take of it
    "an open bracket": (
        "providers: [\n",
        ["2: not valid YAML: expected the node content, but found '<stream end>'"],
    ),
    "a tab": (
        "providers:\n\t- name: a\n",
        ["2: not valid YAML: a tab where a value or indentation belongs; write spaces"],
    ),
    "two documents": (providers(FACEWAP) + "---\na: b\n", ["6: not valid YAML: a second document; keep one"]),
    "a secret that begins with *": (
        providers(DEERAPI.replace(SECRET, f"*{SECRET}")),
        ["4: not valid YAML: an alias to nothing; put a text that begins with `*` in quotes"],
    ),
    "a secret that begins with !": (
        providers(DEERAPI.replace(SECRET, f"!{SECRET}!x")),
        ["4: not valid YAML: an undeclared tag; put a text that begins with `!` in quotes"],
    ),
    "a secret that begins with %": (
        providers(DEERAPI.replace(SECRET, f"%{SECRET}")),
        ["4: not valid YAML: a text that begins with `%`; put it in quotes"],
    ),
    "an anchor given twice": (
        f"a: &{SECRET} 1\nb: &{SECRET} 2\n",
        ["2: not valid YAML: an anchor given twice; keep one"],
    ),
    "deep nesting": ("a: " + "[" * 2000, ["1: not valid YAML: nested too deeply"]),
    "not UTF-8": (b"a: 1\nb: \xff\n", ["2: not UTF-8 text; save the file as UTF-8"]),
    "UTF-16": (providers(FACEWAP).encode("utf-16"), ["1: not UTF-8 text; save the file as UTF-8"]),
    "binary": (b"a: 1\nb: \x00\x01\n", ["2: not valid YAML: a character that no text file should hold"]),
    "a key that is a list": ("? [a, b]\n: c\n" + providers(FACEWAP), [f"1: {WORD}"]),
    "a key of two lines": (providers(FACEWAP) + '"a\\nb": 1\n', [f"6: {WORD}"]),
    "a key with an escape sequence": (providers(FACEWAP) + '"\\e[31m": 1\n', [f"6: {WORD}"]),
    "a key that is half a character": (providers(FACEWAP) + '"\\ud800": 1\n', [f"6: {WORD}"]),
    "a key given twice": (
        "history: 1h\n" + providers(FACEWAP) + "history: 2h\n",
        ["7: history: given twice, first in line 1; keep one"],
    ),
    "a key given twice in one line": (
        providers("  - {name: a, type: deerapi, api_key: k, api_key: k}\n"),
        ["2: providers[0].api_key: given twice, first in line 2; keep one"],
    ),
    "an alias that contains itself": (
        "providers: &all\n  - *all\n",
        ["1: providers[0]: an alias that contains itself; write the values out"],
    ),
    "a mapping that merges itself": (
        providers(DEERAPI, "    watch: &w\n      <<: *w\n"),
        [f"5: providers[0].watch: {MERGE}"],
    ),
    "a merged text": (providers(DEERAPI, "    <<: text\n"), [f"5: providers[0]: {MERGE}"]),
    "aliases that multiply": (
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(9)),
        ["1: not valid YAML: more than 100000 values, with aliases written out"],
    ),
    "merges of many keys": (
        f"a: &a {{{', '.join(f'k{n}: v' for n in range(500))}}}\nb: &b {{<<: [{', '.join(['*a'] * 30)}]}}\n"
        f"c: {{<<: [{', '.join(['*b'] * 30)}]}}\n",
        ["1: not valid YAML: more than 100000 values, with aliases written out"],
    ),
    "merges of merges in a chain": (
        "a0: &a0 {x: 1}\n" + "".join(f"a{n + 1}: &a{n + 1} {{<<: *a{n}, k{n}: 1}}\n" for n in range(100)),
        ["1: not valid YAML: nested too deeply"],
    ),
    "a long text that multiplies": (
        "a: &a " + "x$$" * 10000 + "\nb: [" + "*a, " * 1000 + "]\n",
        ["1: not valid YAML: more than 16 MiB of text, with aliases and variables written out"],
    ),
    "too many values": (
        "a:\n" + "- b\n" * 100_001,
        ["99999: not valid YAML: more than 100000 values, with aliases written out"],
    ),
    "nested keys": ("".join(" " * n + "a:\n" for n in range(60)), ["51: not valid YAML: nested too deeply"]),
    "merges that multiply": (
        "a0: &a0 {x: 1}\n" + "".join(f"a{n + 1}: &a{n + 1} {{<<: [{', '.join([f'*a{n}'] * 10)}]}}\n" for n in range(9)),
        ["1: not valid YAML: more than 100000 values, with aliases written out"],
    ),
    # unknown keys, at every level
    "an unknown key": (
        "pol_interval: 1s\n" + providers(FACEWAP),
        [f"1: pol_interval: unknown key; did you mean poll_interval?; allowed: {TOP_KEYS}"],
    ),
    "an unknown key like no other": (
        providers(FACEWAP) + "zzz: 1\n",
        [f"6: zzz: unknown key; allowed: {TOP_KEYS}"],
    ),
    "an unknown key of the ledger": (
        providers(FACEWAP) + "ledger:\n  file: x\n",
        [
            "7: ledger.file: unknown key; did you mean path?; "
            "allowed: lease, password, password_file, path, retention, url"
        ],
    ),
    "an unknown key of a provider": (
        providers(FACEWAP, "    tokn: x\n"),
        [
            "6: providers[0].tokn: unknown key; did you mean token?; allowed: account_interval, base_url, bearer, "
            "ca_file, created_at_offset, duration_buckets, feeds, history, idle_poll_interval, list_lag, "
            "max_requests_per_day, model_limit, name, page_size, poll_interval, proxy, proxy_file, rate_limit, "
            "reasons, recent_window, request_timeout, stalled_after, states, task_series_limit, token, token_file, "
            "type, watch"
        ],
    ),
    "a key of another vendor": (
        providers(DEERAPI, "    bearer: true\n"),
        [
            "5: providers[0].bearer: unknown key here; it is a setting of a provider of type facewap, under "
            "`providers`; allowed: account_interval, api_key, api_key_file, base_url, ca_file, duration_buckets, "
            "feeds, history, idle_poll_interval, list_lag, max_requests_per_day, model_limit, name, page_size, "
            "poll_interval, proxy, proxy_file, rate_limit, reasons, recent_window, request_timeout, stalled_after, "
            "states, task_series_limit, type, "
            "user_id, user_token, user_token_file, watch"
        ],
    ),
    "an unknown key of watch": (
        providers(DEERAPI, "    watch:\n      task: {}\n"),
        [
            "6: providers[0].watch.task: unknown key; did you mean tasks?; allowed: callback_secret, "
            "callback_secret_file, files, http, limit, tasks"
        ],
    ),
    "watched URLs that are none": (
        providers(
            DEERAPI,
            "    watch:\n      http:\n        - {}\n        - url: example.com/ids\n        - https://watch.example\n"
            "        - {url: 'https://u:p@watch.example', interval: 0s, bearer_token_file: /nowhere, token: x}\n",
        ),
        [
            "7: providers[0].watch.http[0].url: missing; the URL that answers the ids",
            f"8: providers[0].watch.http[1].url: `example.com/ids` is not a URL; {URL}",
            "9: providers[0].watch.http[2]: not a mapping; write keys with values",
            "10: providers[0].watch.http[3].url: holds credentials, which would end up in logs; "
            f"{URL}, and use the settings for credentials",
            "10: providers[0].watch.http[3].interval: `0s` is too short; the shortest is 10ms",
            "10: providers[0].watch.http[3].bearer_token_file: /nowhere cannot be read: No such file or directory; "
            "give the path of a readable file that holds it",
            "10: providers[0].watch.http[3].token: unknown key here; it is a setting of a provider of type facewap, "
            "under `providers`; allowed: bearer_token, bearer_token_file, "
            "interval, request_timeout, url",
        ],
    ),
    "a callback's secret that anybody may guess": (
        providers(DEERAPI, "    watch:\n      callback_secret: password1234567\n      limit: -1\n"),
        [
            "6: providers[0].watch.callback_secret: too easily guessed; write at least 16 characters",
            "7: providers[0].watch.limit: `-1` is too small; the least is 0",
        ],
    ),
    "an unknown key of iam": (
        providers(
            "  - {name: m, type: huawei_metastudio, project_id: p, iam: {endpoint: 'https://i.example', domain: d,\n",
            "     username: u, password: p,\n",
            "     pasword: p}}\n",
        ),
        [
            "4: providers[0].iam.pasword: unknown key; did you mean password?; allowed: domain, endpoint, password, "
            "password_file, username"
        ],
    ),
    # wrong types
    "durations that YAML reads as something else": (
        "poll_interval: no\nrequest_timeout: 010\nhistory: 12:30\nrecent_window: 2026-01-01\nstalled_after: 5\n"
        + providers(FACEWAP),
        [
            f"1: poll_interval: `no` is {DURATION}",
            f"2: request_timeout: `010` is {DURATION}; did you mean 010s?",
            f"3: history: `12:30` is {DURATION}",
            f"4: recent_window: `2026-01-01` is {DURATION}",
            f"5: stalled_after: `5` is {DURATION}; did you mean 5s?",
        ],
    ),
    "numbers out of range": (
        "task_series_limit: -1\n" + providers(FACEWAP, "    page_size: 501\n", "    rate_limit: 0/s\n"),
        [
            "1: task_series_limit: `-1` is too small; the least is 0",
            "7: providers[0].page_size: `501` is too large; the most is 500",
            f"8: providers[0].rate_limit: `0/s` is {RATE}",
        ],
    ),
    "durations out of range": (
        "history: -5s\npoll_interval: 0s\nstalled_after: 5000d\n" + providers(FACEWAP),
        [
            f"1: history: `-5s` is {DURATION}",
            "2: poll_interval: `0s` is too short; the shortest is 10ms",
            "3: stalled_after: `5000d` is longer than ten years; write a duration such as 15s, 10m, 24h or 7d",
        ],
    ),
    "a whole number written as no": (
        "task_series_limit: no\n" + providers(FACEWAP),
        [f"1: task_series_limit: `no` is {WHOLE_NUMBER}"],
    ),
    "a whole number with a point": (
        "task_series_limit: 1.5\n" + providers(FACEWAP),
        [f"1: task_series_limit: `1.5` is {WHOLE_NUMBER}"],
    ),
    "a whole number of 5000 digits": (
        f"task_series_limit: {'9' * 5000}\n" + providers(FACEWAP),
        [f"1: task_series_limit: {WHOLE_NUMBER}"],
    ),
    "neither true nor false": (
        providers(FACEWAP, "    bearer: maybe\n"),
        ["6: providers[0].bearer: `maybe` is neither true nor false; write one of them"],
    ),
    "buckets that are no list": (
        "duration_buckets: 5s\n" + providers(FACEWAP),
        ["1: duration_buckets: `5s` is not a list; write `[5s]` or lines that start with `- `"],
    ),
    "no buckets": ("duration_buckets: []\n" + providers(FACEWAP), ["1: duration_buckets: empty; write at least one"]),
    "a bucket that is no duration": (
        "duration_buckets:\n  - 1s\n  - x\n" + providers(FACEWAP),
        [f"3: duration_buckets[1]: `x` is {DURATION}"],
    ),
    "buckets out of order": (
        "duration_buckets: [5s, 1s]\n" + providers(FACEWAP),
        ["1: duration_buckets: not ascending; write each bound once, the smallest first"],
    ),
    "too many buckets": (
        f"duration_buckets: [{', '.join(f'{n}s' for n in range(1, 52))}]\n" + providers(FACEWAP),
        ["1: duration_buckets: too many; the most is 50"],
    ),
    "a provider that is a text": (
        "providers: [a]\n",
        ["1: providers[0]: not a mapping; write `- name: ...` and `type: ...` with the vendor's settings"],
    ),
    "providers that are a mapping": ("providers: {a: b}\n", [f"1: providers: {LIST}"]),
    "no providers": ("providers: []\n", ["1: providers: empty; write at least one"]),
    "a ledger that is a text": (providers(FACEWAP) + "ledger: here\n", [f"6: ledger: `here` is {MAPPING}"]),
    "a ledger without a path": (providers(FACEWAP) + "ledger:\n  path: ''\n", ["7: ledger.path: empty; write a text"]),
    "an iam that is a text": (
        providers(METASTUDIO.replace("auth_token", "iam")),
        [f"5: providers[0].iam: {MAPPING}"],
    ),
    "watched ids that are no list": (
        providers(DEERAPI, "    watch:\n      tasks:\n        sora: task_1\n      files: x\n"),
        [
            f"7: providers[0].watch.tasks.sora: {LIST}",
            "8: providers[0].watch.files: `x` is not a list; write `[x]` or lines that start with `- `",
        ],
    ),
    # nothing after the colon
    "null values": (
        "poll_interval:\nledger: ~\n"
        + providers("  - name:\n    type: deerapi\n    api_key: null\n    watch:\n      tasks:\n      files:\n"),
        [
            f"1: poll_interval: {DURATION}",
            f"2: ledger: {MAPPING}",
            "4: providers[0].name: not a text; write a value after the colon",
            f"6: providers[0].api_key: not a text; {SECRET_FORMS}",
            "8: providers[0].watch.tasks: not a mapping; write the ids by feed, such as `sora: [ID, ID]`",
            f"9: providers[0].watch.files: {LIST}",
        ],
    ),
    "null providers": ("providers:\n", [f"1: providers: {LIST}"]),
    "null type": (providers("  - name: a\n    type:\n"), [f"3: providers[0].type: missing; allowed: {TYPES}"]),
    # names, types, feeds
    "no name": (
        providers("  - type: deerapi\n    api_key: k\n"),
        ["2: providers[0].name: missing; the label `provider`; unique"],
    ),
    "a name with a blank": (
        providers(FACEWAP.replace("swaps", "my swaps")),
        [f"2: providers[0].name: `my swaps` is {NAME}"],
    ),
    "a name of 65 letters": (providers(FACEWAP.replace("swaps", "a" * 65)), [f"2: providers[0].name: {NAME}"]),
    "a name of two lines": (providers(FACEWAP.replace("swaps", '"a\\nb"')), [f"2: providers[0].name: {NAME}"]),
    "two providers of one name": (
        providers(FACEWAP, DEERAPI.replace("deer\n", "swaps\n")),
        ["6: providers[1].name: already the name of the provider in line 2; give each provider a name of its own"],
    ),
    "no type": (providers("  - name: a\n"), [f"2: providers[0].type: missing; allowed: {TYPES}"]),
    "an unknown type": (
        providers(FACEWAP.replace("facewap\n", "sora\n")),
        [f"3: providers[0].type: `sora` is an unknown type; did you mean deerapi?; allowed: {TYPES}"],
    ),
    "a type that is a list": (
        providers(FACEWAP.replace("facewap\n", "[facewap]\n")),
        [f"3: providers[0].type: an unknown type; allowed: {TYPES}"],
    ),
    "an unknown feed": (
        providers(CHANJING, "    feeds:\n      - video\n      - sora\n"),
        ["7: providers[0].feeds[1]: `sora` is an unknown feed; allowed: lip_sync, video"],
    ),
    "no feeds": (providers(DEERAPI, "    feeds: []\n"), ["5: providers[0].feeds: empty; allowed: sora"]),
    "feeds that are no list": (
        providers(DEERAPI, "    feeds: sora\n"),
        ["5: providers[0].feeds: `sora` is not a list; write `[sora]` or lines that start with `- `"],
    ),
    "an unknown kind to watch": (
        providers(DEERAPI, "    watch:\n      tasks:\n        video: [a]\n"),
        ["7: providers[0].watch.tasks.video: `video` is no feed of this provider; allowed: sora"],
    ),
    "a kind to watch that is not polled": (
        providers(CHANJING, "    feeds: [video]\n    watch:\n      tasks: {lip_sync: [a]}\n"),
        ["7: providers[0].watch.tasks.lip_sync: `lip_sync` is no feed of this provider; allowed: video"],
    ),
    # addresses
    "no address": (
        providers(FACEWAP.replace("    base_url: https://facewap.example\n", "")),
        ["2: providers[0].base_url: missing; where the vendor's API starts"],
    ),
    "an address without a scheme": (
        providers(FACEWAP.replace("https://", "")),
        [f"4: providers[0].base_url: `facewap.example` is not a URL; {URL}"],
    ),
    "an address with a password": (
        providers(FACEWAP.replace("https://", f"https://me:{SECRET}@")),
        [
            "4: providers[0].base_url: holds credentials, which would end up in logs; "
            f"{URL}, and use the settings for credentials"
        ],
    ),
    # credentials
    "no credential of deerapi": (
        providers("  - {name: a, type: deerapi}\n"),
        ["2: providers[0].api_key: missing; the API key, for single tasks"],
    ),
    "no credential of facewap": (
        providers("  - {name: a, type: facewap, base_url: 'https://f.example'}\n"),
        ["2: providers[0].token: missing; the token of a logged-in user"],
    ),
    "no credential of chanjing": (providers("  - {name: a, type: chanjing}\n"), [f"2: providers[0]: {CHANJING_WAYS}"]),
    "half a credential of chanjing": (
        providers(f"  - {{name: a, type: chanjing, secret_key: {SECRET}}}\n"),
        [f"2: providers[0]: {CHANJING_WAYS}"],
    ),
    "two credentials of chanjing": (
        providers(CHANJING, f"    app_id: a\n    secret_key: {SECRET}\n"),
        [f"2: providers[0]: {CHANJING_WAYS}"],
    ),
    "no project and no credential of metastudio": (
        providers("  - {name: a, type: huawei_metastudio}\n"),
        ["2: providers[0].project_id: missing; the project's id"],
    ),
    "no credential of metastudio": (
        providers("  - {name: a, type: huawei_metastudio, project_id: p}\n"),
        [f"2: providers[0]: {METASTUDIO_WAYS}"],
    ),
    "half a credential of metastudio": (
        providers(f"  - {{name: a, type: huawei_metastudio, project_id: p, access_key: {SECRET}}}\n"),
        [f"2: providers[0]: {METASTUDIO_WAYS}"],
    ),
    "two credentials of metastudio": (
        providers(METASTUDIO, f"    access_key: a\n    secret_key: {SECRET}\n"),
        [f"2: providers[0]: {METASTUDIO_WAYS}"],
    ),
    "half an iam user": (
        providers(METASTUDIO.replace(f"auth_token: {SECRET}", "iam:\n      domain: d\n      username: u")),
        [
            "5: providers[0].iam.endpoint: missing; of the region, such as https://iam.cn-north-4.myhuaweicloud.com",
            "5: providers[0].iam.password: missing; the user's password",
        ],
    ),
    "a secret and its file": (
        providers(DEERAPI, "    api_key_file: x\n"),
        ["5: providers[0].api_key_file: both api_key and api_key_file are given; give one of them"],
    ),
    "a secret of two lines": (
        providers(DEERAPI.replace(SECRET, f'"{SECRET}\\nx"')),
        [f"4: providers[0].api_key: holds a line break or a control character; {SECRET_FORMS}"],
    ),
    "a secret that is a list": (
        providers(DEERAPI.replace(SECRET, f"[{SECRET}]")),
        [f"4: providers[0].api_key: not a text; {SECRET_FORMS}"],
    ),
    # variables
    "a variable that is not set": (
        providers(DEERAPI.replace(SECRET, "${NOPE}")),
        ["4: providers[0].api_key: the environment variable NOPE is not set; set it, or write the value here"],
    ),
    "a variable that is not set, deep within": (
        providers(DEERAPI, "    watch:\n      files:\n        - a\n        - ${NOPE}/b\n"),
        ["8: providers[0].watch.files[1]: the environment variable NOPE is not set; set it, or write the value here"],
    ),
    "a variable that is empty": (
        providers(DEERAPI.replace(SECRET, "${EMPTY}")),
        ["4: providers[0].api_key: the environment variable EMPTY is empty; set it, or write the value here"],
    ),
    "a secret for a variable's name": (
        providers(DEERAPI.replace(SECRET, f"${{{SECRET}}}")),
        ["4: providers[0].api_key: not a variable; write ${NAME}, or $$ for a dollar sign"],
    ),
    "a variable without an end": (
        providers(DEERAPI.replace(SECRET, f"${{{SECRET}")),
        ["4: providers[0].api_key: not a variable; write ${NAME}, or $$ for a dollar sign"],
    ),
    "a secret where a word belongs": (
        providers(DEERAPI.replace("deerapi\n", "${SECRET}\n")),
        ["3: providers[0].type: `${SECRET}` is an unknown type; allowed: " + TYPES],
    ),
    # the ledger must remember for long enough
    # several at once
    "faults of several providers, in the order of the file": (
        "poll_interval: x\n"
        + providers(FACEWAP.replace("https://", ""), DEERAPI.replace(SECRET, "${NOPE}"), CHANJING, "    feeds: [a]\n")
        + "stalled_after: y\n",
        [
            f"1: poll_interval: `x` is {DURATION}",
            f"5: providers[0].base_url: `facewap.example` is not a URL; {URL}",
            "9: providers[1].api_key: the environment variable NOPE is not set; set it, or write the value here",
            "13: providers[2].feeds[0]: `a` is an unknown feed; allowed: lip_sync, video",
            f"14: stalled_after: `y` is {DURATION}",
        ],
    ),
    "a fault that providers inherit is reported once": (
        "history: x\n" + providers(FACEWAP, DEERAPI, "    history: y\n"),
        [f"1: history: `x` is {DURATION}", f"10: providers[1].history: `y` is {DURATION}"],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_is_told_with_its_line_its_key_and_what_is_allowed(read: Load, name: str) -> None:
    text, expected = BROKEN[name]
    assert faults_of(read, text) == expected


ONLY_WE_CAN_TELL = {
    # what YAML becomes before any schema sees it
    *("UTF-16", "a mapping that merges itself"),
    # what one place of the file has to do with another
    *("buckets out of order", "two providers of one name", "a kind to watch that is not polled"),
    # what is in the environment, or behind an escape sequence
    *("a variable that is not set", "a variable that is not set, deep within", "a variable that is empty"),
    *("a secret where a word belongs", "a secret of two lines"),
}
ENDLESS = {"aliases that multiply", "merges that multiply", "deep nesting", "too many values"}
"""What editors, too, had better not read to its end."""


@pytest.mark.filterwarnings("ignore::ruamel.yaml.error.ReusedAnchorWarning")
@pytest.mark.parametrize("name", sorted(BROKEN.keys() - ENDLESS))
def test_an_editor_tells_what_only_the_exporter_could_not(name: str) -> None:
    assert bool(objections(BROKEN[name][0])) is (name not in ONLY_WE_CAN_TELL)


FILES: Mapping[str, tuple[bytes, str]] = {
    "empty": (b"\n \n", "is empty"),
    "two lines": (SECRET.encode() + b"\nmore\n", "holds a line break or a control character"),
    "not text": (b"\xff" + SECRET.encode(), "the file is not UTF-8 text"),
    "binary": (b"\x00\x01" + SECRET.encode(), "holds a line break or a control character"),
    "huge": (SECRET.encode() * 10_000, "the file is larger than 64 KiB"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_secret_file_that_holds_no_secret_is_a_fault(read: Load, tmp_path: Path, name: str) -> None:
    content, expected = FILES[name]
    (tmp_path / "secret").write_bytes(content)
    text = providers(DEERAPI.replace(f"api_key: {SECRET}", f"api_key_file: {tmp_path}/secret"))
    told = (
        f"4: providers[0].api_key_file: {tmp_path}/secret cannot be read: {expected}; give the path of a readable file "
        "that holds it"
    )
    assert faults_of(read, text) == [told]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/nonexistent/secret", "No such file or directory"),
        ("/", "Is a directory"),
        ("secrets/deer.key", "No such file or directory"),
        ("/dev/zero", "Is a device"),
        ("/dev/tty", "Is a device"),
    ],
)
def test_a_secret_file_that_cannot_be_read_is_a_fault_with_its_path(read: Load, path: str, why: str) -> None:
    text = providers(DEERAPI.replace(f"api_key: {SECRET}", f"api_key_file: {path}"))
    told = f"{path} cannot be read: {why}; give the path of a readable file that holds it"
    assert faults_of(read, text) == [f"4: providers[0].api_key_file: {told}"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ('""', "Is a directory"),
        ('"a\\0b"', "embedded null byte"),
        (SECRET, "No such file or directory"),
        ("sk-live-Zx81kkQm3Lw0aa77", "No such file or directory"),
        ("/9j/4AAQSkZJRgABAQAAAQABAAD+Zx8=", "No such file or directory"),
    ],
)
def test_what_may_be_the_secret_itself_is_not_shown_as_a_path(read: Load, path: str, why: str) -> None:
    text = providers(DEERAPI.replace(f"api_key: {SECRET}", f"api_key_file: {path}"))
    told = "give the path of a file; if this is the credential itself, write it without _file"
    assert faults_of(read, text) == [f"4: providers[0].api_key_file: cannot be read: {why}; {told}"]


def test_the_fault_of_a_secret_file_in_iam_names_the_file_key(read: Load) -> None:
    iam = "iam:\n      {endpoint: https://i.example, domain: d, username: u,\n      password_file: /nonexistent}"
    (fault,) = faults_of(read, providers(METASTUDIO.replace(f"auth_token: {SECRET}", iam)))
    assert fault.startswith("7: providers[0].iam.password_file: /nonexistent cannot be read: No such file")


@pytest.mark.parametrize(
    ("path", "why"),
    [("/nonexistent.yaml", "cannot be read: No such file or directory"), ("/", "cannot be read: Is a directory")],
)
def test_a_file_that_cannot_be_read_is_a_fault(path: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.faults == [f"{path}: {why}; name a readable file"]


def test_a_file_that_never_ends_is_a_fault() -> None:
    with pytest.raises(ConfigError) as caught:
        load("/dev/zero")
    assert caught.value.faults == ["/dev/zero: larger than 4 MiB; that is not a configuration"]


def test_what_is_not_written_has_the_documented_default(read: Load) -> None:
    config = read(providers(DEERAPI))
    assert config.ledger.model_dump() == {
        "path": "videotask.sqlite3",
        "url": None,
        "password": None,
        "lease": 15.0,
        "retention": 7 * 86400.0,
    }
    (deer,) = config.providers
    assert deer.model_dump(exclude={"api_key"}) == {
        "poll_interval": 15.0,
        "idle_poll_interval": None,
        "request_timeout": 10.0,
        "history": 86400.0,
        "list_lag": 3600.0,
        "recent_window": 3600.0,
        "stalled_after": 600.0,
        "task_series_limit": 0,
        "account_interval": 300.0,
        "model_limit": 20,
        "duration_buckets": DURATION_BUCKETS,
        "name": "deer",
        "type": "deerapi",
        "base_url": "https://api.deerapi.com",
        "rate_limit": 3.0,
        "page_size": 100,
        "max_requests_per_day": None,
        "feeds": None,
        "states": {},
        "reasons": {},
        "watch": {"tasks": {}, "files": [], "http": [], "callback_secret": None, "limit": 100_000},
        "proxy": None,
        "ca_file": None,
        "user_token": None,
        "user_id": None,
    }


def test_a_provider_inherits_what_it_does_not_override(read: Load) -> None:
    top = "poll_interval: 500ms\nstalled_after: 1h30m\ntask_series_limit: 5\nduration_buckets: [1s, 1m]\n"
    swaps, deer = read(
        top + providers(FACEWAP, "    poll_interval: 1m\n    duration_buckets: [2s]\n", DEERAPI)
    ).providers
    assert (swaps.poll_interval, deer.poll_interval) == (60.0, 0.5)
    assert (swaps.stalled_after, deer.stalled_after) == (5400.0, 5400.0)
    assert (swaps.task_series_limit, deer.task_series_limit) == (5, 5)
    assert (swaps.duration_buckets, deer.duration_buckets) == ((2.0,), (1.0, 60.0))


def test_every_form_of_a_provider_is_read(read: Load, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n")
    config = read(
        f"""
ledger: {{path: ":memory:", retention: 14d}}
providers:
  - name: d
    type: deerapi
    base_url: http://localhost:8080/deer/
    api_key: ${{SECRET}}
    user_token_file: {tmp_path}/token
    user_id: 0042
    rate_limit: 600/m
    page_size: 20
    watch: {{tasks: {{sora: [12, no, 12:30]}}, files: [tasks/*.json]}}
  - {{name: c1, type: chanjing, access_token_file: {tmp_path}/token, feeds: [lip_sync]}}
  - {{name: c2, type: chanjing, app_id: 007, secret_key: "{SECRET}"}}
  - {{name: h1, type: huawei_metastudio, project_id: p, auth_token: "{SECRET}"}}
  - {{name: h2, type: huawei_metastudio, project_id: p, access_key: a, secret_key_file: {tmp_path}/token}}
  - name: h3
    type: huawei_metastudio
    project_id: p
    iam: {{endpoint: https://iam.example, domain: d, username: yes, password_file: {tmp_path}/token}}
  - {{name: f, type: facewap, base_url: https://f.example, token: "{SECRET}", bearer: yes, created_at_offset: 0s}}
"""
    )
    assert (config.ledger.path, config.ledger.url, config.ledger.retention) == (":memory:", None, 14 * 86400.0)
    found = {one.name: one.model_dump() for one in config.providers}
    deer = found["d"]
    assert (deer["base_url"], deer["rate_limit"], deer["page_size"]) == ("http://localhost:8080/deer", 10.0, 20)
    assert (deer["user_id"], deer["watch"]) == (
        "0042",
        {
            "tasks": {"sora": ["12", "no", "12:30"]},
            "files": ["tasks/*.json"],
            "http": [],
            "callback_secret": None,
            "limit": 100_000,
        },
    )
    assert (found["c1"]["feeds"], found["c2"]["app_id"]) == (["lip_sync"], "007")
    assert found["h3"]["iam"]["username"] == "yes"
    assert (found["f"]["bearer"], found["f"]["created_at_offset"]) == (True, 0.0)
    secrets = [
        getattr(one, name)
        for one in config.providers
        for name in ("api_key", "user_token", "access_token", "auth_token", "token")
        if getattr(one, name, None)
    ]
    assert [secret.reveal() for secret in secrets] == [SECRET] * 5
    assert SECRET not in f"{config} {config!r} {config.model_dump()} {config.model_dump_json()}"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("${SECRET}", SECRET),
        ("a${SECRET}b${SECRET}", f"a{SECRET}b{SECRET}"),
        ("$$", "$"),
        ("a$$b", "a$b"),
        ("$$SECRET", "$SECRET"),
        ("$secret1", "$secret1"),
        ("$$$$SECRET", "$$SECRET"),
        ("'*${SECRET}'", f"*{SECRET}"),
        ("${ODD}", "*x#$X${Y}"),  # what a variable holds is not read again
        ("'null'", "null"),
        ("010", "010"),
    ],
)
def test_variables_and_dollar_signs_in_values(read: Load, written: str, expected: str) -> None:
    (deer,) = read(providers(DEERAPI.replace(SECRET, written))).providers
    assert isinstance(deer, deerapi.DeerAPISettings)
    assert deer.api_key.reveal() == expected


def test_a_byte_order_mark_is_no_fault(read: Load) -> None:
    assert len(read(b"\xef\xbb\xbf" + providers(DEERAPI).encode()).providers) == 1


def test_merged_keys_may_be_overridden(read: Load) -> None:
    base = "  - &base {name: a, type: facewap, base_url: 'https://f.example', token: t, poll_interval: 1s}\n"
    more = "  - &more {<<: *base, name: b, poll_interval: 2s}\n"
    both = "  - {<<: [*more, *base], name: c}\n"
    found = read(providers(base, more, both)).providers
    assert [(one.name, one.poll_interval) for one in found] == [("a", 1.0), ("b", 2.0), ("c", 2.0)]


def test_a_mapping_with_merged_keys_may_be_used_twice(read: Load) -> None:
    first = DEERAPI + "    watch: &first {files: [a], tasks: {}}\n"
    second = DEERAPI.replace("deer\n", "d2\n") + "    watch: &second {<<: *first, files: [b]}\n"
    third = DEERAPI.replace("deer\n", "d3\n") + "    watch: *second\n"
    found = read(providers(first, second, third)).providers
    assert [one.watch.files for one in found] == [["a"], ["b"], ["b"]]


# The annotated example


ENVIRONMENT = {
    "DEERAPI_API_KEY": "a",
    "DEERAPI_USER_TOKEN": "b",
    "CHANJING_APP_ID": "c",
    "CHANJING_SECRET_KEY": "d",
    "HUAWEI_PROJECT_ID": "e",
    "HUAWEI_ACCESS_KEY": "f",
    "HUAWEI_SECRET_KEY": "g",
    "FACEWAP_TOKEN": "h",
}


def test_the_example_is_good_and_has_the_first_vendors() -> None:
    config = load(EXAMPLE, ENVIRONMENT)
    assert {*SEEDS} <= {one.type for one in config.providers}


def test_a_configuration_may_come_through_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(
        target=path.write_text, args=["providers: [{name: a, type: facewap, base_url: http://a.example, token: t}]"]
    )
    writer.start()
    config = ConfigFile(path, VENDORS).load()
    writer.join()
    assert [provider.name for provider in config.providers] == ["a"]


def test_a_file_has_changed_once_its_content_is_another_than_was_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(providers(FACEWAP))
    file = ConfigFile(path, VENDORS)
    assert file.load() == load(path)
    os.utime(path, (0, 0))
    assert not file.has_changed()
    path.write_text("providers: {}")
    for _ in range(2):
        assert file.has_changed()
    with pytest.raises(ConfigError):
        file.load()
    assert not file.has_changed()
    path.unlink()
    assert file.has_changed()
    with pytest.raises(ConfigError):
        file.load()
    assert not file.has_changed()


@pytest.mark.parametrize("level", ["debug", "info", "warn", "error", None])
def test_a_level_of_the_log_may_be_set(read: Load, level: str | None) -> None:
    assert read(f"log: {{{f'level: {level}' if level else ''}}}\n" + providers(FACEWAP)).log.level == level


def test_the_example_shows_the_defaults() -> None:
    config = load(EXAMPLE, ENVIRONMENT)
    shown = config.model_dump(exclude={"providers"})
    own = {"ledger": LedgerSettings().model_dump(), "log": LogSettings().model_dump()}
    assert shown == own | PollSettings().model_dump() | {
        "vendors": {},
        "vendor_files": [],
        "provider_files": [],
        "replica": None,
    }


def keys_of(model: type[BaseModel]) -> set[str]:
    """Every key that a part of the configuration may have, with those of the parts within."""
    keys = set(model.model_fields)
    if issubclass(model, Settings):
        keys |= {f"{name}_file" for name in model.secret_names()}
    for field in model.model_fields.values():
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, Settings):
                keys |= keys_of(part)
    return keys


@pytest.mark.parametrize(
    "model", [Config, LedgerSettings, LogSettings, WatchSettings, *(vendor.settings for vendor in VENDORS.values())]
)
def test_the_example_explains_every_setting(model: type[BaseModel]) -> None:
    explained = set()
    for line in EXAMPLE.read_text().splitlines():
        explained |= {word.strip("#-{ ").partition(":")[0] for word in line.split(", ")}
    assert keys_of(model) - explained == set()


def test_the_example_has_a_comment_for_every_setting() -> None:
    settings = [line for line in EXAMPLE.read_text().splitlines() if line.strip() and not line.strip().startswith("#")]
    bare = [line for line in settings if "#" not in line]
    assert [line for line in bare if not line.rstrip().endswith(":")] == []


def test_no_setting_of_the_example_is_a_secret_in_clear() -> None:
    config: Any = load(EXAMPLE, dict.fromkeys(ENVIRONMENT, SECRET))
    for one in config.providers:
        for name in one.secret_names():
            secret = getattr(one, name)
            assert secret is None or secret.reveal() == SECRET


# The JSON Schema


def test_of_very_many_faults_the_first_are_told_and_how_many_more_there_are(read: Load) -> None:
    told = faults_of(read, providers(FACEWAP, "".join(f"    k{n}: 1\n" for n in range(5000))))
    assert told[0].startswith("6: providers[0].k0: unknown key; allowed: ")
    assert (len(told), told[-1]) == (101, " 4900 more faults; mend these first")


def checked(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and output of a checker that knows nothing of us."""
    command = [Path(sys.executable).with_name("check-jsonschema"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_schema_in_docs_is_the_present_one() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == config_schema.text(config_schema.document(VENDORS)), "run make docs"


@pytest.mark.slow
@pytest.mark.parametrize("schema", [SCHEMA, SCHEMA.with_name("vendor-file.schema.json")])
def test_the_schema_is_one(schema: Path) -> None:
    assert checked("--check-metaschema", schema) == (0, "ok -- validation done\n")
    patterns = re.findall(r'"pattern": (".*")', schema.read_text(encoding="utf-8"))
    # What Python's expressions have and those of the standard for JSON Schema have not.
    assert [one for one in patterns if re.search(r"\(\?[^:=!]|\\\\[AZz]", one)] == []


@pytest.mark.slow
def test_an_editor_likes_the_example() -> None:
    assert checked("--schemafile", SCHEMA, EXAMPLE) == (0, "ok -- validation done\n")


DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
BLOCKS = ((page.stem, re.findall(r"(?ms)^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"))) for page in DOCUMENTS)
WRITTEN = [
    pytest.param(block, id=page) for page, blocks in BLOCKS for block in blocks if "\nproviders:" in f"\n{block}"
]


@pytest.mark.parametrize("block", WRITTEN)
def test_an_editor_likes_the_configurations_of_the_documents(block: str) -> None:
    assert objections(block) == []


def test_a_line_that_names_the_schema_to_the_editor_is_a_comment(read: Load) -> None:
    assert read("# yaml-language-server: $schema=config.schema.json\n" + providers(DEERAPI)).providers


def test_every_setting_has_a_description() -> None:
    bare = []

    def look(schema: Any, path: str) -> None:
        if isinstance(schema, dict):
            for name, of in schema.get("properties", {}).items() if "type" in schema else ():
                if not {"description", "$ref", "const"} & of.keys():
                    bare.append(f"{path}.{name}")
            for name, part in schema.items():
                look(part, f"{path}.{name}")

    look(config_schema.document(VENDORS), "")
    assert bare == [".properties.providers.items.name"]  # told where the type is known


SECRETS = sorted({f"providers.{name}" for vendor in VENDORS.values() for name in vendor.settings.secret_names()})
TEXTS = (
    """a | a b | '' | ' ' | 'a\tb' | "a\\nb" | é | 5 | 1.5 | yes | 2026-01-01 | !!str 5 | ~ | [a] | {} """
    "| ${SECRET} | a${ONE} | $${X} | $$$ | $ | ${ | ${} | ${1} | a$b | $$${X} | $$${ONE} | $$$${ONE | ${NOPE}"
)
VALUES = {
    "ledger.url": (
        "postgresql://db/x | postgres://me@db:5432,other/x?sslmode=require | postgresql://me:pw@db "
        "| mysql://db | '' | ~ | postgresql:///x | 'postgresql://[::1]/x' "
        "| postgresql://db/x?sslmod=require | ${URL} | 5"
    ),
    "poll_interval history idle_poll_interval ledger.retention ledger.lease providers.created_at_offset": (
        "15s | ' 15s ' | 1h30m | 0s | 9ms | 500ms | 1.5h | 3661d | 15 | 1e3s | 12:30 | ${ONE}s | ~ | ٥s"
    ),
    "task_series_limit model_limit providers.page_size providers.max_requests_per_day": (
        "0 | 1 | 100 | 0100 | +30 | -1 | 1_00 | '1_00' | '+30' | ' 30' | 100.0 | '100.' | 1e2 | 0x20 | ${ONE}0 | ~"
    ),
    "providers.bearer": "yes | No | on | OFF | true | T | y | TRUE | 'TRUE ' | 1 | 0 | 2 | '1' | tr | ${ONE} | nO | f",
    "providers.rate_limit": "10/s | 0.5/h | 600/m | 0/s | 10 / s | ' 1/s' | ${ONE}/s | 5 | 1e1/s",
    "providers.base_url": (
        "https://a.example | HTTP://a.example/b | https://u@a.example | https://a.example/@x | https://[::1]:1/ "
        "| a.example | https://a.example?b | ${URL} | https://${SECRET}.example"
    ),
    "providers.feeds": "[sora] | [video, lip_sync] | [] | ~ | sora | ['${FEED}'] | {} | [a] | [face_swap]",
    "providers.type log.level": "info | warning | ${LEVEL} | ${TYPE} | chanjing | deerapi | ~ | facewap",
    "duration_buckets": "[1s, 2s] | ['${ONE}s', 1m] | [] | [1] | 1s | [2s, 1s] | ~",
    "providers.watch": (
        "{tasks: {video: [a, 1, yes]}} | {tasks: {sora: ['${SECRET}']}, files: [1]} | {limit: '5'} | ~ | {} "
        "| {callback_secret: 1234567890123456} | {http: [{url: 'https://a.example?b=c', interval: 1s}]} | {http: [{}]}"
    ),
    f"providers.name replica ledger.path ledger.password providers.user_id providers.app_id {' '.join(SECRETS)}": TEXTS,
    " ".join(f"{name}_file" for name in SECRETS): "~ | /nonexistent | '' | file | 5",
    "ledger log providers": "~ | {} | [] | a",
}
CHANGES = st.sampled_from(list(VALUES)).flatmap(
    lambda keys: st.tuples(st.sampled_from(keys.split()), st.sampled_from(VALUES[keys].split(" | ")))
)


@pytest.mark.slow
@settings(max_examples=800, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    provider=st.sampled_from((DEERAPI, CHANJING, METASTUDIO, FACEWAP)),
    changes=st.lists(CHANGES, min_size=1, max_size=2),
)
def test_an_editor_likes_whatever_is_good(tmp_path: Path, provider: str, changes: list[tuple[str, str]]) -> None:
    (tmp_path / "file").write_text(SECRET)
    top: dict[str, str] = {}
    parts: dict[str, dict[str, str]] = {"ledger": {}, "log": {}}
    own = dict(line.strip("- ").split(": ", 1) for line in provider.splitlines())
    for key, form in changes:
        part, _, name = key.rpartition(".")
        {"": top, "providers": own, **parts}[part][name] = form.replace("file", f"{tmp_path}/file")
    top = {part: f"{{{', '.join(map(': '.join, keys.items()))}}}" for part, keys in parts.items() if keys} | top
    lines = [*map(": ".join, top.items())] + (["providers:"] if "providers" not in top else [])
    lines += [f"  {'- ' if n == 0 else '  '}{': '.join(pair)}" for n, pair in enumerate(own.items())]
    text = "\n".join(lines)
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    words = {"SECRET": SECRET, "ONE": "1", "LEVEL": "info", "TYPE": "chanjing", "FEED": "video", "URL": "http://a"}
    try:
        load(tmp_path / "config.yaml", words)
    except ConfigError:
        return
    assert objections(text) == []


# proxies


@pytest.mark.parametrize(
    "proxy",
    [
        "http://proxy.corp:3128",
        "socks5h://us er:pa ss@127.0.0.1:1080",
        "http://us%40er:pass$$word@[fd00::1]:9",
        "https://proxy.corp",
        "proxy.corp:3128",
        "none",
    ],
)
@pytest.mark.parametrize("in_file", [False, True])
def test_a_provider_has_its_own_proxy_in_the_file_or_in_one_of_its_own(
    read: Load, tmp_path: Path, proxy: str, in_file: bool
) -> None:
    (tmp_path / "proxy").write_text(proxy.replace("$$", "$") + "\n")
    setting = f"    proxy_file: {tmp_path}/proxy\n" if in_file else f"    proxy: {proxy}\n"
    (one,) = read(providers(FACEWAP, setting)).providers
    assert one.proxy is not None
    assert one.proxy.reveal() == proxy.replace("$$", "$")
    assert "pa" not in repr(one.proxy)


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize(
    ("proxy", "told"),
    [
        ("ftp://alice:hunter2@h", "names a proxy of a kind"),
        ("http://alice:hunter2@h:port", "has a port"),
        ("", "empty"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_told_with_its_line_and_without_its_password(
    read: Load, tmp_path: Path, proxy: str, told: str, in_file: bool
) -> None:
    (tmp_path / "proxy").write_text(proxy)
    setting = f"    proxy_file: {tmp_path}/proxy\n" if in_file else f"    proxy: '{proxy}'\n"
    with pytest.raises(ConfigError, match=rf":6: providers\[0\]\.proxy{'_file' * in_file}: .*{told}") as error:
        read(providers(FACEWAP, setting))
    assert "hunter2" not in str(error.value)
