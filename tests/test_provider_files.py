"""Providers in files of their own, which `provider_files` names: read with the configuration, told and reloaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from exporter import cli
from exporter.config import schema
from exporter.config.load import Config, ConfigError, ConfigFile
from tests.harness import VENDORS, Start, load
from tests.harness.fixtures import Write

SECRET = "tok-0123456789"
FILES = 'provider_files: ["providers.d/*.yaml"]\n'
ENVIRONMENT = {"TOKEN": SECRET}


def entry(name: str, *more: str, token: str = "") -> str:
    own = f"token: {token or f'{SECRET}-{name}'}"
    return f"- {{name: {name}, type: facewap, base_url: http://f.example, {', '.join((own, *more))}}}\n"


def providers(*listed: str) -> str:
    return "providers:\n" + "".join(f"  {one}" for one in listed)


def read(path: Path) -> Config:
    return load(path, ENVIRONMENT)


def here(path: Path, lines: Any) -> list[str]:
    """Lines with the files' names as they are below the folder of the configuration."""
    return [line.replace(f"{path.parent}/", "") for line in lines]


def faults_of(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(path)
    return here(path, caught.value.faults)


def test_providers_of_files_follow_those_of_the_configuration_in_the_order_of_the_files(write: Write) -> None:
    path = write(
        {
            "config.yaml": "poll_interval: 7s\n"
            + 'provider_files: ["providers.d/*.yaml", providers.d/a.yaml]\n'
            + providers(entry("first")),
            "providers.d/b.yaml": entry("d"),
            "providers.d/a.yaml": entry("b", "poll_interval: 1m") + entry("c"),
            "providers.d/none.yaml": "[]\n",
        }
    )
    config = read(path)
    assert [one.name for one in config.providers] == ["first", "b", "c", "d"]
    assert [one.poll_interval for one in config.providers] == [7, 60, 7, 7]
    counts = {Path(name).name: count for name, count in config.providers_by_file.items()}
    assert counts == {"a.yaml": 2, "b.yaml": 1, "none.yaml": 0}


def test_all_providers_may_be_in_files(write: Write) -> None:
    path = write({"config.yaml": FILES, "providers.d/a.yaml": entry("a")})
    assert [one.name for one in read(path).providers] == ["a"]


def test_values_in_a_file_are_written_as_in_the_configuration(write: Write, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    text = (
        "- &shared\n  name: a\n  type: facewap\n  base_url: http://f.example\n  token: ${TOKEN}\n  poll_interval: 1m\n"
        f"- <<: *shared\n  name: b\n  base_url: http://g.example\n"
        f"- name: c\n  type: facewap\n  base_url: http://f.example/c\n  token_file: {tmp_path}/secret\n"
    )
    config: Any = read(write({"config.yaml": FILES, "providers.d/a.yaml": text}))
    assert [one.token.reveal() for one in config.providers] == [SECRET] * 3
    assert [one.poll_interval for one in config.providers] == [60, 60, 15]


def test_a_provider_of_a_file_may_have_a_declared_type(write: Write) -> None:
    declared = """
acme:
  base_url: https://acme.example
  credentials: [api_key]
  auth: {type: bearer, credential: api_key}
  feeds:
    render:
      list: {path: /renders, rows: renders, total: count}
      fields: {id: id, state: status}
      states: {succeeded: [done]}
"""
    path = write(
        {
            "config.yaml": 'vendor_files: ["acme.yaml"]\n' + FILES,
            "acme.yaml": declared,
            "providers.d/a.yaml": "- {name: a, type: acme, api_key: KEY-1}\n",
        }
    )
    assert read(path).providers[0].type == "acme"


BROKEN: Mapping[str, tuple[Mapping[str, str], list[str]]] = {
    "a wrong value": (
        {"config.yaml": FILES, "providers.d/a.yaml": entry("a") + entry("b", "poll_interval: 5")},
        [
            "providers.d/a.yaml:2: [1].poll_interval: `5` is not a duration; write a number with a unit, such as "
            "500ms, 15s, 10m, 24h or 7d; did you mean 5s?"
        ],
    ),
    "faults of several files": (
        {
            "config.yaml": "stalled_after: x\n" + FILES,
            "providers.d/a.yaml": "- {name: a, type: facewap, base_url: http://f.example}\n",
            "providers.d/b.yaml": "- {name: b, type: face}\n",
        },
        [
            "config.yaml:1: stalled_after: `x` is not a duration; write a number with a unit, such as 500ms, 15s, "
            "10m, 24h or 7d",
            "providers.d/a.yaml:1: [0].token: missing; the token of a logged-in user",
            "providers.d/b.yaml:1: [0].type: `face` is an unknown type; did you mean facewap?; allowed: "
            + ", ".join(sorted(VENDORS)),
        ],
    ),
    "a name twice, in the configuration and in a file": (
        {"config.yaml": FILES + providers(entry("a")), "providers.d/a.yaml": entry("b") + entry("a")},
        [
            "providers.d/a.yaml:2: [1].name: already the name of the provider in config.yaml:3; give each provider a "
            "name of its own"
        ],
    ),
    "a name twice, in one file": (
        {"config.yaml": FILES, "providers.d/a.yaml": entry("a") + entry("a")},
        [
            "providers.d/a.yaml:2: [1].name: already the name of the provider in line 1; give each provider a name of "
            "its own"
        ],
    ),
    "a pattern without a file": (
        {"config.yaml": FILES + providers(entry("a"))},
        [
            "config.yaml:1: provider_files[0]: matches no file; write a path, or a pattern such as "
            "providers.d/*.yaml, relative to this file"
        ],
    ),
    "no list of patterns": (
        {"config.yaml": "provider_files: a.yaml\n" + providers(entry("a"))},
        ["config.yaml:1: provider_files: `a.yaml` is not a list; write `[a.yaml]` or lines that start with `- `"],
    ),
    "files without a provider": (
        {"config.yaml": FILES, "providers.d/a.yaml": "[]"},
        ["config.yaml:1: provider_files: files without a provider; write at least one"],
    ),
    "an empty file": (
        {"config.yaml": FILES + providers(entry("a")), "providers.d/a.yaml": "# later\n"},
        ["providers.d/a.yaml:1: no provider; write `- name: ...` and `type: ...` with the vendor's settings, or `[]`"],
    ),
    "a file that begins with the key of the configuration": (
        {"config.yaml": FILES, "providers.d/a.yaml": providers(entry("a"))},
        [
            "providers.d/a.yaml:1: not a list; write each provider as lines that begin with `- name: ...`, without "
            "`providers:` above them",
        ],
    ),
    "a file that is not YAML": (
        {"config.yaml": FILES, "providers.d/a.yaml": "- {name: a\n- b: c\n"},
        ["providers.d/a.yaml:2: not valid YAML: a bracket that is not closed, or no comma between two values"],
    ),
    "a variable that is not set": (
        {"config.yaml": FILES, "providers.d/a.yaml": entry("a", token="'${NOPE}'")},
        ["providers.d/a.yaml:1: [0].token: the environment variable NOPE is not set; set it, or write the value here"],
    ),
    "merges of merges": (
        {
            "config.yaml": FILES,
            "providers.d/a.yaml": "- &a {k0: 1, k1: 1, k2: 1, k3: 1, k4: 1, k5: 1, k6: 1, k7: 1, k8: 1, k9: 1}\n"
            + "".join(
                f"- &{name} {{<<: [{', '.join([f'*{before}'] * 10)}]}}\n"
                for before, name in zip("abcdef", "bcdefg", strict=True)
            ),
        },
        ["providers.d/a.yaml:1: not valid YAML: more than 100000 values, with aliases written out"],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_is_told_with_the_file_and_the_line_that_it_is_in(write: Write, name: str) -> None:
    files, faults = BROKEN[name]
    assert faults_of(write(files)) == faults


def test_one_account_in_two_files_is_a_remark_with_both_places(write: Write) -> None:
    path = write(
        {
            "config.yaml": FILES,
            "providers.d/a.yaml": entry("a", token=SECRET),
            "providers.d/b.yaml": "# a comment\n" + entry("b", token=SECRET),
        }
    )
    (told,) = here(path, read(path).remarks)
    assert told.startswith(
        "providers.d/b.yaml:2: [0].token: the same credential as provider a in providers.d/a.yaml:1: they show the "
    )
    assert SECRET not in told


def test_the_configuration_has_changed_when_a_file_of_providers_has(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    path = write({"config.yaml": FILES, "providers.d/a.yaml": entry("a")})
    file = ConfigFile(path, VENDORS)
    file.load()
    assert not file.has_changed()
    write({"providers.d/a.yaml": entry("b")})
    assert file.has_changed()
    assert [one.name for one in file.load().providers] == ["b"]
    write({"providers.d/b.yaml": entry("c")})
    assert file.has_changed()
    assert [one.name for one in file.load().providers] == ["b", "c"]
    (path.parent / "providers.d" / "a.yaml").unlink()
    assert file.has_changed()
    assert [one.name for one in file.load().providers] == ["c"]
    assert not file.has_changed()


def test_check_config_names_the_files(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(
        {
            "config.yaml": FILES + providers(entry("a")),
            "providers.d/a.yaml": entry("b") + entry("c"),
            "providers.d/b.yaml": entry("d"),
        }
    )
    assert cli.main(["check-config", f"--config.file={path}"]) == 0
    assert here(path, capsys.readouterr().out.splitlines()) == [
        "config.yaml: good; providers: 4, feeds: 4",
        "providers.d/a.yaml: good; providers: 2",
        "providers.d/b.yaml: good; providers: 1",
    ]


def test_a_running_exporter_takes_up_a_file_that_comes_and_lets_go_of_one_that_goes(start: Start, write: Write) -> None:
    path = write(
        {
            "config.yaml": "poll_interval: 50ms\nledger: {path: ':memory:'}\n" + FILES,
            "providers.d/a.yaml": entry("a").replace("http://f.example", "http://127.0.0.1:9"),
        }
    )
    flags = ("--web.listen-address=127.0.0.1:0", "--config.enable-auto-reload", "--config.auto-reload-interval=50ms")
    exporter = start(f"--config.file={path}", *flags)

    def polled(name: str) -> bool:
        return exporter.value(f'videotask_up{{kind="face_swap",provider="{name}"}}') is not None

    exporter.wait_for("the first file", lambda: polled("a"))
    write({"providers.d/b.yaml": entry("b").replace("http://f.example", "http://127.0.0.1:9")})
    exporter.wait_for("the second file", lambda: polled("b"))
    (path.parent / "providers.d" / "a.yaml").unlink()
    exporter.wait_for("the end of the first", lambda: not polled("a"))
    assert polled("b")
    assert exporter.end() == 0


# The schema

SCHEMA = Draft202012Validator(schema.provider_file(VENDORS))


def objections(text: str) -> list[str]:
    plain = json.loads(json.dumps(YAML(typ="safe", pure=True).load(text), default=str))
    return [error.message for error in SCHEMA.iter_errors(plain)]


def test_an_editor_knows_a_file_of_providers_by_a_schema_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config-schema", "--provider-file"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA.schema
    Draft202012Validator.check_schema(SCHEMA.schema)
    assert objections(entry("a", "poll_interval: 1m", "duration_buckets: [1s]") + entry("b")) == []
    assert objections("[]") == []
    assert objections(entry("a", "poll_interval: 5"))
    assert objections(entry("a", "colour: red"))
    assert objections(providers(entry("a")))
