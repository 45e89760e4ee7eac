"""The commands and their flags: names, meanings, what a value may be."""

from __future__ import annotations

import argparse
import platform
import re
from typing import Any

from exporter import __version__
from exporter.config import logs

NAME = "videotask-exporter"
SHELLS = ("bash", "zsh", "fish")

_FLAGS = {
    "--config.file": "the configuration, YAML",
    "--type": "the vendor",
    "--name": "the label provider (default: the type)",
    "--env": "the variable with a secret, such as api_key=VENDOR_API_KEY; repeatable",
    "--set": "another setting, such as base_url=https://gateway.example; repeatable",
    "--defaults": "ask nothing, take the suggested answers",
    "--no-doctor": "do not run the doctor",
    "--web.config.file": "TLS and users, in the format of Prometheus",
    "--web.listen-address": "address where the exporter listens on this machine (default :10186)",
    "--web.external-url": "public URL of the exporter behind a reverse proxy",
    "--web.route-prefix": "path prefix of incoming requests (default: the path of "
    "--web.external-url); / if the proxy strips it",
    "--web.telemetry-path": "path of the metrics, below the prefix (default /metrics)",
    "--ready": "check that every feed was polled or failed (/-/ready)",
    "--web.enable-lifecycle": "allow a reload by POST /-/reload",
    "--config.enable-auto-reload": "reload the configuration when its content has changed",
    "--config.auto-reload-interval": "time between two checks for a change (default 30s)",
    "--web.enable-watch-api": "allow POST /api/v1/tasks to everyone; configured users may always use it",
    "--sample": "a JSON file with the body of one answer, list or detail: show how the exporter reads it",
    "--feed": "the feed of the sample, if there are several",
    "--vendor-file": "print the schema of a file of vendor_files instead",
    "--provider-file": "print the schema of a file of provider_files instead",
    "--provider": "only this one; repeatable",
    "--json": "print JSON; docs/troubleshooting.md describes it",
    "--record": "write what the vendors answered into this folder, without credentials, texts, addresses and ids",
    "--fetch-token": "request a new token if the ledger has none, even if that invalidates the old one",
    "--from": "the SQLite file, the current ledger.path; without it only the tables are made",
    "--until": "end of the history, as time before now (default 0s)",
    "--step": "time between samples (default 1m)",
    "--output": "the file to write (default history.om)",
    "--label": "a label for every series; repeatable",
    "--history.output": "first write a simulated day there, for promtool, unless the file exists",
    "--force": "replace an existing output, and begin again",
    "--to": "the database, in the form of ledger.url",
    "--password-file": "a file with the password of the role in --to",
    "--seed": "random seed; the same seed gives the same tasks (default 1)",
    "--speed": "speed of the simulated tasks (default 10)",
    "--vendors": "all, seeds (those of the first release), or names with commas between them (default all)",
    "--arrivals-for": "no new tasks after this time (default: never)",
    "--poll-interval": "time between two sweeps of a feed (default 1s)",
    "--log.level": "lowest level that is logged (default info)",
    "--log.format": "format of log lines (default logfmt)",
}
"""What `--help` says of each, where a command does not say it otherwise."""


def parser() -> argparse.ArgumentParser:
    """What reads the command line."""
    whole = argparse.ArgumentParser(
        NAME,
        description="Prometheus exporter for video-generation tasks at vendors' asynchronous APIs.",
        allow_abbrev=False,
    )
    version = f"{NAME} {__version__} (Python {platform.python_version()})"
    whole.add_argument("--version", action="version", version=version)
    commands = whole.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.add_argument("--version", action="version", version=version)
        sub.set_defaults(command=name)
        return sub

    run = command("run", "poll the configured providers and serve metrics (the default command)")
    init = command("init", "write a first configuration from your answers, then run the doctor")
    check = command("check-config", "check a configuration: exit 0 if it is valid, 1 with its errors if not")
    vendor = command(
        "check-vendor",
        "check a file that declares vendors: exit 0 if it is valid, 1 with its errors if not",
    )
    health = command("check-health", "check a running exporter: exit 0 if it is healthy, 1 with the reason")
    schema = command("config-schema", "print the JSON Schema of the configuration, for editors")
    doctor = command("doctor", "call each feed once and explain what it got: exit 0 if all is well, 1 if not")
    demo = command("demo", "run on simulated vendors: no key, no configuration, nothing leaves this machine")
    simulate = command("simulate", "serve the simulated vendors alone, and print a configuration that reads them")
    vendors = command("vendors", "list every known type of provider: its origin, and what its feeds report")

    migrate = command("migrate-ledger", "make the ledger's tables in PostgreSQL, and copy a SQLite ledger to them")
    history = command("export-history", "write what the vendors' lists say about the past, for promtool to import")
    completion = command("completion", "print a shell's completion script")

    def flag(name: str, *commands: argparse.ArgumentParser, text: str = "", **more: Any) -> None:
        """A flag of some commands. `--web.external-url` is `arguments.web_external_url`."""
        for one in commands:
            one.add_argument(name, dest=re.sub("[.-]", "_", name.strip("-")), help=text or _FLAGS[name], **more)

    flag("--config.file", run, check, doctor, history, required=True, metavar="FILE")
    flag("--config.file", vendors, text="a configuration, whose vendors are listed too", metavar="FILE")
    flag("--config.file", init, text="the file to write (default config.yaml)", default="config.yaml", metavar="FILE")
    flag("--type", init, metavar="TYPE")
    flag("--name", init, metavar="NAME")
    flag("--env", init, action="append", default=[], type=_pair, metavar="KEY=VARIABLE")
    flag("--set", init, action="append", default=[], type=_pair, metavar="KEY=VALUE")
    flag("--defaults", init, action="store_true")
    flag("--no-doctor", init, action="store_true")
    flag("--web.config.file", run, check, doctor, metavar="FILE")
    for sub, address in ((run, ":10186"), (demo, "127.0.0.1:10186"), (simulate, "127.0.0.1:10187")):
        where = f"where to listen, may be repeated (default {address})"
        flag("--web.listen-address", sub, text=where, action="append", metavar="[HOST]:PORT")
        sub.set_defaults(default_address=address)
    flag("--web.listen-address", health, default=":10186", metavar="[HOST]:PORT")
    own = "its web configuration; needed only if it requires client certificates"
    flag("--web.config.file", health, text=own, metavar="FILE")
    flag("--web.external-url", run, demo, health, metavar="URL")
    flag("--web.route-prefix", run, demo, health, metavar="PATH")
    flag("--web.telemetry-path", run, demo, default="/metrics", metavar="PATH")
    flag("--ready", health, action="store_true")
    flag("--web.enable-lifecycle", run, action="store_true")
    flag("--config.enable-auto-reload", run, action="store_true")
    flag("--config.auto-reload-interval", run, type=_interval, default=30.0, metavar="DURATION")
    flag("--web.enable-watch-api", run, action="store_true")
    vendor.add_argument("file", metavar="FILE", help="the declarations, YAML; or a configuration that holds some")
    completion.add_argument("shell", metavar="SHELL", choices=SHELLS, help=f"{', '.join(SHELLS[:-1])} or {SHELLS[-1]}")
    flag("--sample", vendor, metavar="BODY")
    flag("--feed", vendor, metavar="KIND")
    flag("--vendor-file", schema, action="store_true")
    flag("--provider-file", schema, action="store_true")
    flag("--provider", doctor, history, action="append", default=[], metavar="NAME")
    flag("--json", doctor, action="store_true")
    flag("--record", doctor, metavar="DIR")
    flag("--json", vendors, text="print JSON", action="store_true")
    flag("--fetch-token", doctor, action="store_true")
    back = "start of the history, as time before now (default 7d)"
    flag("--from", history, text=back, type=_duration, default=604800.0, metavar="DURATION")
    flag("--until", history, type=_duration, default=0.0, metavar="DURATION")
    flag("--step", history, type=_duration, default=60.0, metavar="DURATION")
    flag("--output", history, default="history.om", metavar="FILE")
    flag("--label", history, demo, type=_label, action="append", default=[], metavar="NAME=VALUE")
    flag("--force", history, action="store_true")
    new = "request a new token, even if that invalidates the old one"
    flag("--fetch-token", history, text=new, action="store_true")
    flag("--from", migrate, metavar="PATH")
    flag("--to", migrate, required=True, metavar="URL")
    flag("--password-file", migrate, metavar="FILE")
    flag("--seed", demo, simulate, type=_seed, default=1, metavar="N")
    flag("--speed", demo, simulate, type=_speed, default=10.0, metavar="FACTOR")
    flag("--arrivals-for", demo, simulate, type=_duration, metavar="DURATION")
    flag("--poll-interval", demo, type=_interval, default=1.0, metavar="DURATION")
    chosen = _FLAGS["--vendors"].replace("(default all)", "(default: eight of them)")
    flag("--vendors", demo, text=chosen, type=_simulated, default="default", metavar="NAMES")
    flag("--history.output", demo, metavar="FILE")
    flag("--vendors", simulate, type=_simulated, default="all", metavar="NAMES")
    flag("--log.level", run, demo, simulate, choices=logs.LEVELS, default="info")
    flag("--log.format", run, demo, simulate, choices=logs.FORMATS, default="logfmt")
    return whole


def _duration(text: str) -> float:
    from exporter.config.values import seconds_of

    try:
        return seconds_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise argparse.ArgumentTypeError("write KEY=VALUE, both not empty")
    return key, value


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (equals and value) or not re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", name) or name.startswith("__"):
        raise argparse.ArgumentTypeError("not a label; write NAME=VALUE, such as job=videotask-exporter")
    return name, value


def _interval(text: str) -> float:
    seconds = _duration(text)
    if seconds < 0.01:
        raise argparse.ArgumentTypeError("too short; the shortest is 10ms")
    return seconds


def _simulated(text: str) -> tuple[str, ...]:
    from exporter.config.mistakes import slips
    from exporter.simulator.fakes import DEMO, SEEDS, names

    sets = {"all": names(), "seeds": SEEDS, "default": DEMO}
    chosen: list[str] = []
    for name in (part.strip() for part in text.split(",")):
        if name not in sets and name not in names():
            meant = slips.hint(name, (*sets, *names()))
            raise argparse.ArgumentTypeError(f"no simulated vendor {name!r}{meant}; allowed: {', '.join(names())}")
        chosen += sets.get(name, (name,))
    return tuple(dict.fromkeys(chosen))


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError("not a whole number; write one such as 1") from None


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= 10_000:
        raise argparse.ArgumentTypeError("not a speed; write a number above 0, such as 10")
    return speed
