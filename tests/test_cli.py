"""The command line, as processes of their own: exit codes, what is printed, signals."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from exporter import __version__
from exporter.simulator import fake_of, hang, names, profiles_of
from exporter.simulator.fakes import DEMO
from tests.harness import Exporter, Site, Start, account

ROOT = Path(__file__).parent.parent
VERSION = f"videotask-exporter {__version__} (Python {platform.python_version()})\n"
COMMANDS = (
    *("run", "init", "check-config", "check-vendor", "check-health", "config-schema", "doctor", "demo", "simulate"),
    *("vendors", "migrate-ledger", "export-history", "completion"),
)
ANYWHERE = "--web.listen-address=127.0.0.1:0"

GOOD = """\
providers:
  - name: swaps
    type: facewap
    base_url: https://facewap.example
    token: s3cr3t
"""
BAD = """\
poll_interval: soon
providers:
  - name: swaps
    type: facewap
    base_url: facewap.example
    tokn: s3cr3t
"""
BAD_FAULTS = (
    "config.yaml:1: poll_interval: `soon` is not a duration; write a number with a unit, such as 500ms, 15s, 10m, 24h "
    "or 7d",
    "config.yaml:3: providers[0].token: missing; the token of a logged-in user",
    "config.yaml:5: providers[0].base_url: `facewap.example` is not a URL; write http:// or https://, a host and, if "
    "needed, a port and a path",
    "config.yaml:6: providers[0].tokn: unknown key; did you mean token?; allowed: account_interval, ",
)


def test_a_reader_that_wants_no_more_ends_a_command_without_a_word(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    told = subprocess.run(
        [sys.executable, "-m", "exporter", "vendors"], stdout=write, stderr=subprocess.PIPE, cwd=ROOT, check=False
    )
    os.close(write)
    assert (told.returncode, told.stderr) == (1, b"")


def finished(process: Exporter) -> tuple[int, str, str]:
    """Exit code, standard output, standard error of a command that ends by itself."""
    code = process.end(None)
    return code, process.stdout, process.stderr


# What is asked for wrongly, or only asked about


@pytest.mark.parametrize("arguments", [["--version"], *([command, "--version"] for command in COMMANDS)])
def test_the_version_is_told(start: Start, arguments: list[str]) -> None:
    assert finished(start(*arguments)) == (0, VERSION, "")


def test_a_start_imports_nothing_that_only_draws_on_terminals() -> None:
    assert find_spec("rich"), "the tests bring it"
    code = (
        "import sys, exporter.commands.run, exporter.commands.demo; print({'rich', 'httpx._main'} & sys.modules.keys())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "{'httpx._main'}\n", "None stands there, so that httpx leaves its command line out"


def test_help_names_the_commands(start: Start) -> None:
    code, out, err = finished(start("--help", COLUMNS="200"))
    assert (code, err) == (0, "")
    assert tuple(re.findall(r"(?m)^    ([a-z-]+)", out)) == COMMANDS


def test_help_of_run_names_the_flags(start: Start) -> None:
    code, out, _ = finished(start("run", "--help", COLUMNS="200"))
    assert code == 0
    named = set(re.findall(r"(?m)^  (?:-h, )?(--[a-z.-]+)", out))
    assert named == {
        "--help",
        "--version",
        "--config.file",
        "--config.enable-auto-reload",
        "--config.auto-reload-interval",
        "--web.config.file",
        "--web.listen-address",
        "--web.enable-lifecycle",
        "--web.enable-watch-api",
        "--web.external-url",
        "--web.route-prefix",
        "--web.telemetry-path",
        "--log.level",
        "--log.format",
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "the following arguments are required: --config.file; init writes that file, demo needs none"),
        (["run"], "the following arguments are required: --config.file"),
        (["check-config"], "the following arguments are required: --config.file"),
        (["rum"], "there is no command 'rum'; did you mean run?; --help lists them"),
        (["config.yaml"], "there is no command 'config.yaml'; a configuration takes --config.file=; --help lists them"),
        (["--config.file=x", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["--config=x"], "the following arguments are required: --config.file"),
        (["check-config", "--config.file=x", "more"], "unrecognized arguments: more"),
        (["demo", "--config.file=x"], "unrecognized arguments: --config.file=x"),
        (["--config.file=x", "--log.level=loud"], "argument --log.level: invalid choice: 'loud'"),
        (["demo", "--seed=x"], "argument --seed: not a whole number; write one such as 1"),
        (["demo", "--speed=0"], "argument --speed: not a speed; write a number above 0, such as 10"),
        (["demo", "--vendors=seeds,x"], "argument --vendors: no simulated vendor 'x'; allowed: deerapi, chanjing,"),
        (["simulate", "--vendors=klng"], "argument --vendors: no simulated vendor 'klng'; did you mean kling?"),
        (["demo", "--speed=nan"], "argument --speed: not a speed; write a number above 0, such as 10"),
        (["demo", "--poll-interval=0s"], "argument --poll-interval: too short; the shortest is 10ms"),
        (["demo", "--poll-interval=1"], "argument --poll-interval: not a duration; write a number with a unit"),
        (["simulate", "--arrivals-for=soon"], "argument --arrivals-for: not a duration; write a number with a unit"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_told_and_ends_with_2(start: Start, arguments: list[str], told: str) -> None:
    code, out, err = finished(start(*arguments, COLUMNS="200"))
    assert (code, out) == (2, "")
    assert err.startswith("usage: ")
    assert told in err.splitlines()[-1]


# Checking a configuration


def test_a_good_configuration_is_called_good(start: Start, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(GOOD)
    told = "config.yaml: good; providers: 1, feeds: 1\n"
    assert finished(start("check-config", "--config.file=config.yaml")) == (0, told, "")


def test_the_example_is_called_good(start: Start) -> None:
    example = ROOT / "config.example.yaml"
    variables = dict.fromkeys(re.findall(r"\$\{([A-Z_]+)\}", example.read_text()), "x")
    code, out, err = finished(start("check-config", f"--config.file={example}", **variables))
    assert (code, out, err) == (0, f"{example}: good; providers: 4, feeds: 5\n", "")


@pytest.mark.parametrize("command", [["check-config"], ["run", ANYWHERE], [ANYWHERE]], ids=["check", "run", "default"])
def test_each_fault_of_a_configuration_is_a_line(start: Start, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "config.yaml").write_text(BAD)
    code, out, err = finished(start(*command, "--config.file=config.yaml"))
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == len(BAD_FAULTS)
    assert all(line.startswith(fault) for line, fault in zip(err.splitlines(), BAD_FAULTS, strict=True))
    assert "s3cr3t" not in err


def test_a_configuration_that_is_not_there_is_a_fault(start: Start) -> None:
    told = "nowhere.yaml: cannot be read: No such file or directory; name a readable file\n"
    assert finished(start("check-config", "--config.file=nowhere.yaml")) == (1, "", told)


# What keeps it from starting


def test_a_taken_port_is_told(start: Start, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(GOOD)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, out, err = finished(start("--config.file=config.yaml", f"--web.listen-address={address}"))
    told = f"cannot listen on {address}: Address already in use; choose another with --web.listen-address"
    assert (code, out, err) == (1, "", f"videotask-exporter: {told}\n")


def test_a_wrong_address_is_told(start: Start, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(GOOD)
    told = "'10186' is not an address; write [HOST]:PORT, such as :10186 or 127.0.0.1:10186"
    code, _, err = finished(start("--config.file=config.yaml", ANYWHERE, "--web.listen-address=10186"))
    assert (code, err) == (1, f"videotask-exporter: {told}\n")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/", "/: Is a directory; name a file in it"),
        ("pipe", "pipe: not a regular file; name one, it is made if there is none"),
        ("/dev/null", "/dev/null: not a regular file; name one, it is made if there is none"),
    ],
)
def test_a_ledger_that_cannot_be_used_is_told(start: Start, tmp_path: Path, path: str, told: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "config.yaml").write_text(GOOD + f"ledger: {{path: {path}}}\n")
    code, _, err = finished(start("--config.file=config.yaml", ANYWHERE))
    assert (code, err) == (1, f"videotask-exporter: {told}\n")


# Running


@pytest.fixture
def vendors(live_site: Site) -> str:
    return live_site.url


def facewap(url: str, name: str = "swaps", **more: Any) -> str:
    return line_of(account("facewap", url, name=name, **more))


def chanjing(url: str, name: str = "studio", **more: Any) -> str:
    return line_of(account("chanjing", url, name=name, **more))


def line_of(provider: dict[str, Any]) -> str:
    return "  - {" + ", ".join(f'{key}: "{value}"' for key, value in provider.items()) + "}\n"


def write(folder: Path, *listed: str) -> None:
    head = "poll_interval: 50ms\nrequest_timeout: 60s\nledger: {path: ledger.sqlite3}\nproviders:\n"
    replace(folder / "config.yaml", head + "".join(listed))


def replace(file: Path, text: str) -> None:
    """Writes a file so that nobody ever sees half of it."""
    new = file.with_name(f"new{threading.get_ident()}")
    new.write_text(text)
    new.replace(file)


def up(name: str, kind: str) -> str:
    return f'videotask_up{{kind="{kind}",provider="{name}"}}'


def listed(name: str) -> str:
    return f'videotask_api_requests_total{{code="200",endpoint="list",provider="{name}"}}'


RELOADED = "videotask_exporter_config_last_reload_successful"
RELOADED_AT = "videotask_exporter_config_last_reload_success_timestamp_seconds"


def test_it_listens_on_every_address_that_is_named(start: Start, vendors: str, tmp_path: Path) -> None:
    write(tmp_path, facewap(vendors))
    exporter = start("--config.file=config.yaml", ANYWHERE, "--web.listen-address=[::1]:0")
    exporter.wait_for("two addresses", lambda: exporter.stderr.count("msg=listening") == 2)
    addresses = re.findall(r"msg=listening url=(\S+)", exporter.stderr)
    assert [re.sub(r"\d+/$", "", one) for one in addresses] == ["http://127.0.0.1:", "http://[::1]:"]
    for address in addresses:
        with urllib.request.urlopen(f"{address}-/healthy", timeout=10) as answer:  # noqa: S310
            assert answer.status == 200


def test_logs_are_json_where_that_is_asked_for(start: Start, vendors: str, tmp_path: Path) -> None:
    write(tmp_path, facewap(vendors))
    exporter = start("--config.file=config.yaml", ANYWHERE, "--log.format=json")
    exporter.wait_for("a line", lambda: exporter.stderr.endswith("\n"))
    assert re.match(r'\{"ts": "[^"]+", "level": "info", "msg": "listening", "url": "http://', exporter.stderr)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_of_a_sweep_ends_it_with_the_ledger_closed(
    start: Start, live_site: Site, vendors: str, tmp_path: Path, number: signal.Signals
) -> None:
    live_site.fake.faults["chanjing"] = hang
    write(tmp_path, facewap(vendors), chanjing(vendors))
    exporter = start("--config.file=config.yaml", ANYWHERE)
    exporter.wait_for("a request that hangs", lambda: live_site.fake.vendors["chanjing"].requests.total() == 2)
    exporter.wait_for("a sweep of the other", lambda: exporter.value(up("swaps", "face_swap")) == 1)
    assert exporter.end(number) == 0  # long before the request's deadline
    assert exporter.stderr.splitlines()[-1].endswith("level=info msg=stopped")
    assert "error" not in exporter.stderr
    assert sorted(path.name for path in tmp_path.glob("ledger*")) == ["ledger.sqlite3"]
    with sqlite3.connect(tmp_path / "ledger.sqlite3") as ledger:
        assert ledger.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert ledger.execute("SELECT count(*) FROM feeds WHERE polled IS NOT NULL").fetchone() == (1,)
    ledger.close()


def test_a_second_interrupt_does_not_wait_for_answers_under_way(start: Start, vendors: str, tmp_path: Path) -> None:
    write(tmp_path, facewap(vendors))
    exporter = start("--config.file=config.yaml", ANYWHERE)
    port = int(exporter.url.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as half_a_request:
        half_a_request.sendall(b"GET /metrics HTTP/1.1\r\n")
        exporter.wait_for("a sweep", lambda: exporter.value(up("swaps", "face_swap")) == 1)
        exporter.send(signal.SIGINT)
        assert exporter.end(signal.SIGINT) == 0
    assert exporter.stderr.splitlines()[-1].endswith("level=info msg=stopped")


def test_a_second_exporter_on_the_same_ledger_does_not_start(start: Start, vendors: str, tmp_path: Path) -> None:
    write(tmp_path, facewap(vendors))
    first = start("--config.file=config.yaml", ANYWHERE)
    first.wait_for("a sweep", lambda: first.value(up("swaps", "face_swap")) == 1)
    (tmp_path / "other.yaml").write_text(
        (tmp_path / "config.yaml").read_text().replace("ledger.sqlite3", str(tmp_path / "ledger.sqlite3"))
    )
    code, _, err = finished(start(f"--config.file={tmp_path}/other.yaml", ANYWHERE))
    assert code == 1
    assert err.endswith("database is locked; is another exporter running on it?\n")
    assert len(err.splitlines()) == 1


def reload_by_signal(exporter: Exporter) -> None:
    exporter.send(signal.SIGHUP)


def reload_by_request(exporter: Exporter) -> None:
    answer = urllib.request.urlopen(urllib.request.Request(f"{exporter.url}-/reload", method="POST"), timeout=10)  # noqa: S310
    assert answer.read() == b"The configuration was reloaded.\n"


def test_many_who_ask_for_a_reload_at_once_share_one(start: Start, vendors: str, tmp_path: Path) -> None:
    write(tmp_path, facewap(vendors))
    config, pipe = (tmp_path / "config.yaml").read_bytes(), tmp_path / "pipe"
    os.mkfifo(pipe)  # a reload that reads it waits until something is written
    exporter = start("--config.file=pipe", ANYWHERE, "--web.enable-lifecycle")
    pipe.write_bytes(config)

    def done() -> int:
        return exporter.stderr.count("configuration reloaded")

    def give_it() -> None:
        before = done()
        with suppress(OSError):  # nothing reads it, so no reload is under way
            with os.fdopen(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK), "wb") as writer:
                writer.write(config)
            exporter.wait_for("a reload", lambda: done() > before)

    with ThreadPoolExecutor(20) as clients:
        asked = [clients.submit(reload_by_request, exporter) for _ in range(20)]
        exporter.wait_for("the others' turns", lambda: exporter.get("-/healthy"))
        while not all(one.done() for one in asked):
            give_it()
        for one in asked:
            one.result()
    assert done() < 10


def test_a_reload_cannot_move_the_ledger_and_says_so(start: Start, vendors: str, tmp_path: Path) -> None:
    write(tmp_path, facewap(vendors))
    exporter = start("--config.file=config.yaml", ANYWHERE)
    exporter.wait_for("a sweep", lambda: exporter.value(up("swaps", "face_swap")) == 1)
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("ledger.sqlite3", "other.sqlite3"))
    reload_by_signal(exporter)
    told = 'level=warn msg="the ledger\'s settings have changed; they take effect with a restart"'
    exporter.wait_for("the warning", lambda: told in exporter.stderr)
    assert not (tmp_path / "other.sqlite3").exists()


@pytest.mark.parametrize("reload", [reload_by_signal, reload_by_request])
def test_a_reload_takes_the_new_providers_and_leaves_the_others_in_peace(
    start: Start, vendors: str, tmp_path: Path, reload: Callable[[Exporter], None]
) -> None:
    write(tmp_path, facewap(vendors), facewap(vendors, "changed"), facewap(vendors, "removed"))
    exporter = start("--config.file=config.yaml", ANYWHERE, "--web.enable-lifecycle")
    names = ("swaps", "changed", "removed")
    exporter.wait_for("twenty sweeps", lambda: all((exporter.value(listed(name)) or 0) >= 20 for name in names))
    write(tmp_path, chanjing(vendors, "added"), facewap(vendors, "changed", poll_interval="1h"), facewap(vendors))
    reload(exporter)
    exporter.wait_for("the added feeds", lambda: exporter.value(up("added", "video")) == 1)
    exporter.wait_for("the changed feed", lambda: exporter.value(listed("changed")) == 1)
    assert (exporter.value(listed("swaps")) or 0) >= 20
    assert exporter.value(listed("removed")) is None
    assert exporter.value(RELOADED) == 1
    before = exporter.value(listed("swaps")) or 0
    exporter.wait_for("more sweeps", lambda: (exporter.value(listed("swaps")) or 0) > before)
    assert 'msg="configuration reloaded" providers=3' in exporter.stderr


def test_a_broken_configuration_keeps_the_old_one_until_it_is_mended(
    start: Start, vendors: str, tmp_path: Path
) -> None:
    write(tmp_path, facewap(vendors))
    exporter = start("--config.file=config.yaml", ANYWHERE)
    exporter.wait_for("a sweep", lambda: exporter.value(up("swaps", "face_swap")) == 1)
    loaded = exporter.value(RELOADED_AT)
    (tmp_path / "config.yaml").write_text(BAD)
    exporter.send(signal.SIGHUP)
    exporter.wait_for("the failure", lambda: exporter.value(RELOADED) == 0)
    assert exporter.value(RELOADED_AT) == loaded
    (told,) = [line for line in exporter.stderr.splitlines() if "level=error" in line]
    assert (
        'msg="the configuration was not reloaded" error="config.yaml:1: poll_interval: `soon` is not a duration' in told
    )
    before = exporter.value(listed("swaps")) or 0
    exporter.wait_for("more sweeps", lambda: (exporter.value(listed("swaps")) or 0) > before)
    write(tmp_path, facewap(vendors), chanjing(vendors))
    exporter.send(signal.SIGHUP)
    exporter.wait_for("the mended one", lambda: exporter.value(RELOADED) == 1)
    exporter.wait_for("the added feed", lambda: exporter.value(up("studio", "video")) == 1)


def test_a_change_of_the_configuration_is_seen_by_itself_and_a_broken_one_is_told_once(
    start: Start, vendors: str, tmp_path: Path
) -> None:
    write(tmp_path, facewap(vendors))
    flags = ("--config.enable-auto-reload", "--config.auto-reload-interval=50ms")
    exporter = start("--config.file=config.yaml", ANYWHERE, *flags)

    def some_sweeps_later() -> None:
        swept = exporter.value(listed("swaps")) or 0
        exporter.wait_for("ten sweeps", lambda: (exporter.value(listed("swaps")) or 0) >= swept + 10)

    some_sweeps_later()
    assert "reloaded" not in exporter.stderr
    write(tmp_path, facewap(vendors), chanjing(vendors))
    exporter.wait_for("the added feed", lambda: exporter.value(up("studio", "video")) == 1)
    config = tmp_path / "config.yaml"
    good = config.read_text()
    replace(config, BAD)
    exporter.wait_for("the failure", lambda: exporter.value(RELOADED) == 0)
    some_sweeps_later()
    (told,) = [line for line in exporter.stderr.splitlines() if "level=error" in line]
    assert (
        'msg="the configuration was not reloaded" error="config.yaml:1: poll_interval: `soon` is not a duration' in told
    )
    config.unlink()
    exporter.wait_for("another failure", lambda: exporter.stderr.count("was not reloaded") == 2)
    replace(config, good)
    exporter.wait_for("the mended one", lambda: exporter.value(RELOADED) == 1)


def test_a_change_that_the_ledger_could_not_take_is_tried_again_by_itself(
    start: Start, vendors: str, tmp_path: Path
) -> None:
    write(tmp_path, facewap(vendors))
    flags = ("--config.enable-auto-reload", "--config.auto-reload-interval=50ms")
    exporter = start("--config.file=config.yaml", ANYWHERE, *flags)
    exporter.wait_for("a sweep", lambda: exporter.value(up("swaps", "face_swap")) == 1)
    (ledger,) = tmp_path.glob("*.sqlite3")
    ledger.rename(tmp_path / "away")
    write(tmp_path, facewap(vendors), chanjing(vendors))
    exporter.wait_for("the failure", lambda: exporter.value(RELOADED) == 0)
    asked = exporter.value(listed("swaps")) or 0
    exporter.wait_for("ten sweeps", lambda: (exporter.value(listed("swaps")) or 0) >= asked + 10)
    (tmp_path / "away").rename(ledger)
    exporter.wait_for("the added feed", lambda: exporter.value(up("studio", "video")) == 1)
    exporter.wait_for("the feed that was there", lambda: exporter.value(up("swaps", "face_swap")) == 1)
    assert exporter.value(RELOADED) == 1
    assert exporter.stderr.count("the configuration was not reloaded") == 1


def test_a_reload_without_certificates_is_refused_with_the_variable_and_tried_again_by_itself(
    start: Start, vendors: str, tmp_path: Path
) -> None:
    write(tmp_path, facewap(vendors))
    flags = ("--config.enable-auto-reload", "--config.auto-reload-interval=50ms")
    exporter = start("--config.file=config.yaml", ANYWHERE, *flags, SSL_CERT_FILE=str(tmp_path / "ca.pem"))
    exporter.wait_for("a sweep", lambda: exporter.value(up("swaps", "face_swap")) == 1)
    write(tmp_path, facewap(vendors), facewap("https://127.0.0.1:1", "added"), chanjing(vendors))
    exporter.wait_for("the failure", lambda: exporter.value(RELOADED) == 0)
    asked = exporter.value(listed("swaps")) or 0
    exporter.wait_for("ten sweeps", lambda: (exporter.value(listed("swaps")) or 0) >= asked + 10)
    (told,) = [line for line in exporter.stderr.splitlines() if "level=error" in line]
    assert f'error="environment: SSL_CERT_FILE ({tmp_path}/ca.pem) cannot be read: No such file or directory' in told
    assert exporter.value(up("studio", "video")) is None
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    exporter.wait_for("the added feed", lambda: exporter.value(up("studio", "video")) == 1)
    assert exporter.value(RELOADED) == 1


@pytest.mark.parametrize("command", [(ANYWHERE,), ("check-config",)], ids=["run", "check"])
@pytest.mark.parametrize(
    ("variable", "why"), [("SSL_CERT_FILE", "is no regular file"), ("SSL_CERT_DIR", "cannot be read: Not a directory")]
)
def test_authorities_from_a_pipe_hold_up_no_start(
    start: Start, vendors: str, tmp_path: Path, command: tuple[str, ...], variable: str, why: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    write(tmp_path, facewap(vendors), facewap("https://127.0.0.1:1", "secure"))
    environment = {"SSL_CERT_FILE": "", variable: str(tmp_path / "pipe")}
    exporter = start(*command, "--config.file=config.yaml", **environment)
    told = f"{variable} ({tmp_path}/pipe) {why}"
    if "check-config" in command:
        assert exporter.end(None) == 1
        assert told in exporter.stderr
    else:
        exporter.wait_for("the feed that needs none", lambda: exporter.value(up("swaps", "face_swap")) == 1)
        exporter.wait_for("the other's failure", lambda: told in exporter.stderr)


def test_the_configuration_and_its_reload_change_what_is_logged(start: Start, vendors: str, tmp_path: Path) -> None:
    write(tmp_path, facewap(vendors))
    config = tmp_path / "config.yaml"
    quiet = config.read_text()
    config.write_text(quiet + "log: {level: info}\n")
    exporter = start("--config.file=config.yaml", ANYWHERE, "--log.level=error")
    assert exporter.url  # which a line of level info tells

    def reload(text: str) -> int:
        """How many lines tell of reloads once this configuration is in force."""
        config.write_text(text)
        before = exporter.value(RELOADED_AT)
        reload_by_signal(exporter)
        exporter.wait_for("the reload", lambda: exporter.value(RELOADED_AT) != before)
        return exporter.stderr.count('level=info msg="configuration reloaded"')

    assert [reload(text) for text in (quiet, quiet + "log: {level: debug}\n", quiet)] == [0, 1, 1]


def test_reloads_at_once_are_done_one_after_the_other(start: Start, vendors: str, tmp_path: Path) -> None:
    def write_all(page_size: int) -> None:
        write(tmp_path, *(facewap(vendors, f"swaps{n}", page_size=page_size) for n in range(5)))

    write_all(1)
    exporter = start("--config.file=config.yaml", ANYWHERE, "--web.enable-lifecycle")
    exporter.wait_for("a sweep", lambda: exporter.value(up("swaps4", "face_swap")) == 1)

    def change(page_size: int) -> None:
        write_all(page_size)
        reload_by_request(exporter)

    with ThreadPoolExecutor(8) as pool:
        changes = [pool.submit(change, 2 + turn) for turn in range(40)]
    assert [one.exception() for one in changes] == [None] * 40
    exporter.wait_for("a sweep", lambda: exporter.value(up("swaps4", "face_swap")) == 1)
    assert exporter.end() == 0
    assert not re.search("level=error", exporter.stderr)


def test_one_account_under_two_names_and_a_renamed_one_are_told(start: Start, vendors: str, tmp_path: Path) -> None:
    write(tmp_path, facewap(vendors))
    exporter = start("--config.file=config.yaml", ANYWHERE)
    exporter.wait_for("a sweep", lambda: exporter.value(up("swaps", "face_swap")) == 1)
    write(tmp_path, facewap(vendors, "renamed"), facewap(vendors, "again"))
    exporter.send(signal.SIGHUP)
    exporter.wait_for("the reload", lambda: "provider renamed" in exporter.stderr)
    assert re.search(r'msg="provider renamed: .*" old=swaps new=renamed', exporter.stderr)
    assert "providers[1].token: the same credential as provider renamed in line" in exporter.stderr
    exporter.wait_for("the page", lambda: "the same credential as provider renamed" in exporter.get())
    assert exporter.end() == 0


# Simulated vendors


def test_the_demo_says_where_to_look_and_shows_every_feed(start: Start) -> None:
    exporter = start("demo", ANYWHERE, "--speed=100", "--poll-interval=100ms")
    exporter.wait_for("all that it prints", lambda: "ends the demo" in exporter.stdout)
    places = dict(re.findall(r"(?m)^  (status page|metrics|the truth) +(http://\S+)", exporter.stdout))
    assert places.keys() == {"status page", "metrics", "the truth"}
    for place in places.values():
        with urllib.request.urlopen(place, timeout=10) as answer:  # noqa: S310
            assert answer.status == 200
    feeds = [up(*profile.feed) for profile in profiles_of(DEMO)]
    exporter.wait_for("every feed", lambda: all(exporter.value(feed) == 1 for feed in feeds))
    assert exporter.end() == 0
    assert not re.search("level=(warn|error)", exporter.stderr)


def test_the_demo_can_show_all_vendors(start: Start) -> None:
    exporter = start("demo", ANYWHERE, "--vendors=all", "--speed=100", "--poll-interval=500ms")
    exporter.wait_for("all that it prints", lambda: "ends the demo" in exporter.stdout)
    feeds = [up(*profile.feed) for profile in profiles_of(names())]
    exporter.wait_for("every feed", lambda: all(exporter.value(feed) == 1 for feed in feeds))
    exporter.wait_for("that all is well", lambda: "nothing to show" not in exporter.get())
    assert exporter.end() == 0
    assert not re.search("level=(warn|error)", exporter.stderr)


def test_a_demo_may_be_told_that_nothing_more_arrives(start: Start) -> None:
    exporter = start("demo", ANYWHERE, "--arrivals-for=0s", "--speed=10000", "--poll-interval=50ms")

    def submitted() -> list[int]:
        (place,) = re.findall(r"(?m)^  the truth +(http://\S+)", exporter.stdout)
        with urllib.request.urlopen(place, timeout=10) as answer:  # noqa: S310
            truth = json.load(answer)
        return [tally["submitted"] for kinds in truth.values() for tally in kinds.values()]

    exporter.wait_for("all that it prints", lambda: "ends the demo" in exporter.stdout)
    before = submitted()
    assert sum(before) > 0
    exporter.wait_for("forty sweeps", lambda: (exporter.value(listed("facewap")) or 0) >= 40)
    assert submitted() == before  # in that time, five would have come


def test_the_simulator_prints_a_configuration_that_reads_every_vendor(start: Start, tmp_path: Path) -> None:
    exporter = start("simulate", ANYWHERE)
    exporter.wait_for("all that it prints", lambda: "ends them" in exporter.stdout)
    (file := tmp_path / "simulated.yaml").write_text(exporter.stdout)
    providers = yaml.safe_load(exporter.stdout)["providers"]
    ends = {one["type"]: re.sub(r"http://[^/]+", "", one["base_url"]) for one in providers}
    assert ends == {name: fake_of(name).prefix for name in names()}
    code, told, err = finished(start("doctor", f"--config.file={file}", "--provider=chanjing", "--provider=runway"))
    assert (code, told.splitlines()[-1:], err) == (0, ["All is well."], "")
    (truth,) = re.findall(r"What they know: (http://\S+)", exporter.stdout)
    with urllib.request.urlopen(truth, timeout=10) as answer:  # noqa: S310
        assert answer.status == 200
    assert exporter.end() == 0
    assert "Traceback" not in exporter.stderr
