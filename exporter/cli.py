"""The command line: flags and subcommands. Wires the parts together; nothing imports it.

Each command imports what it needs when it is called: `check-health` runs every half minute, and the rest takes half a
second to import.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter import __version__
from exporter.config import logs

if TYPE_CHECKING:
    from exporter.config.load import Config

NAME = "videotask-exporter"
COMMANDS = (
    *("run", "check-config", "check-vendor", "check-health", "config-schema", "doctor", "demo", "simulate", "vendors"),
    *("migrate-ledger", "export-history"),
)


_FLAGS = {
    "--config.file": "the configuration, YAML",
    "--web.config.file": "TLS and users, in the format of Prometheus",
    "--web.listen-address": "where it listens on this machine (default :10186)",
    "--web.external-url": "public URL of the exporter behind a reverse proxy",
    "--web.route-prefix": "what the paths of requests begin with when they arrive (default: the path of "
    "--web.external-url); / behind a proxy that takes its own path off",
    "--web.telemetry-path": "where scrapes are answered, below the prefix (default /metrics)",
    "--ready": "check that every feed was polled or failed (/-/ready)",
    "--web.enable-lifecycle": "allow a reload by POST /-/reload",
    "--config.enable-auto-reload": "reload the configuration when its content has changed",
    "--config.auto-reload-interval": "time between two checks for a change (default 30s)",
    "--web.enable-watch-api": "allow POST /api/v1/tasks to everyone; configured users may always use it",
    "--sample": "a file with the body of one answer, list or detail, JSON: show what is understood of it",
    "--feed": "the feed of the sample, where there are several",
    "--vendor-file": "print that of a file of vendor_files instead",
    "--provider-file": "print that of a file of provider_files instead",
    "--provider": "only this one; repeatable",
    "--json": "print JSON; docs/troubleshooting.md describes it",
    "--record": "write what the vendors answered into this folder, without credentials, texts, addresses and ids",
    "--fetch-token": "request a new token if the ledger has none, even if that ends the old one",
    "--from": "the SQLite file, ledger.path so far; without it only the tables are made",
    "--until": "end, before now (default 0s)",
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


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; the exit code is 0 if all went well, 1 if it could not be done, 2 for a wrong command line."""
    given = list(sys.argv[1:] if argv is None else argv)
    if not given or (given[0] not in COMMANDS and given[0] not in ("-h", "--help", "--version")):
        given.insert(0, "run")
    arguments = parser().parse_args(given)
    try:
        code: int = arguments.command(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # `head` or a pager has closed the output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if told := _told(error):
            print(told, file=sys.stderr)
            return 1
        raise
    return code


def _told(error: Exception) -> str:
    """What to say of an error that the user can mend; empty if it is a bug of ours."""
    from exporter.config.load import ConfigError
    from exporter.ledger.errors import StoreError
    from exporter.web.server.address import AddressError

    match error:
        case ConfigError():
            return str(error)
        case StoreError() | AddressError():
            return f"{NAME}: {error}"
    return ""


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

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.add_argument("--version", action="version", version=version)
        sub.set_defaults(command=run)
        return sub

    run = command("run", _run, "poll the configured providers and serve metrics (the default command)")
    check = command(
        "check-config", _check_config, "check a configuration: exit 0 if it is valid, 1 with its errors if not"
    )
    vendor = command(
        "check-vendor",
        _check_vendor,
        "check a file that declares vendors: exit 0 if it is valid, 1 with its errors if not",
    )
    health = command(
        "check-health", _check_health, "check a running exporter: exit 0 if it is healthy, 1 with the reason"
    )
    schema = command("config-schema", _config_schema, "print the JSON Schema of the configuration, for editors")
    doctor = command("doctor", _doctor, "call each feed once and explain what it got: exit 0 if all is well, 1 if not")
    demo = command("demo", _demo, "run on simulated vendors: no key, no configuration, nothing leaves this machine")
    simulate = command("simulate", _simulate, "serve the simulated vendors alone")
    vendors = command("vendors", _vendors, "list every known type of provider: its origin, and what its feeds report")

    migrate = command(
        "migrate-ledger", _migrate_ledger, "make the ledger's tables in PostgreSQL, and copy a SQLite ledger to them"
    )

    history = command(
        "export-history", _export_history, "write what the vendors' lists say about the past, for promtool to import"
    )

    def flag(name: str, *commands: argparse.ArgumentParser, text: str = "", **more: Any) -> None:
        """A flag of some commands. `--web.external-url` is `arguments.web_external_url`."""
        for one in commands:
            one.add_argument(name, dest=re.sub("[.-]", "_", name.strip("-")), help=text or _FLAGS[name], **more)

    flag("--config.file", run, check, doctor, history, required=True, metavar="FILE")
    flag("--config.file", vendors, text="a configuration, whose vendors are listed too", metavar="FILE")
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
    flag("--sample", vendor, metavar="BODY")
    flag("--feed", vendor, metavar="KIND")
    flag("--vendor-file", schema, action="store_true")
    flag("--provider-file", schema, action="store_true")
    flag("--provider", doctor, history, action="append", default=[], metavar="NAME")
    flag("--json", doctor, action="store_true")
    flag("--record", doctor, metavar="DIR")
    flag("--json", vendors, text="print JSON", action="store_true")
    flag("--fetch-token", doctor, action="store_true")
    back = "begin, before now (default 7d)"
    flag("--from", history, text=back, type=_duration, default=604800.0, metavar="DURATION")
    flag("--until", history, type=_duration, default=0.0, metavar="DURATION")
    flag("--step", history, type=_duration, default=60.0, metavar="DURATION")
    flag("--output", history, default="history.om", metavar="FILE")
    flag("--label", history, demo, type=_label, action="append", default=[], metavar="NAME=VALUE")
    flag("--force", history, action="store_true")
    new = "request a new token, even if that ends the old one"
    flag("--fetch-token", history, text=new, action="store_true")
    flag("--from", migrate, metavar="PATH")
    flag("--to", migrate, required=True, metavar="URL")
    flag("--password-file", migrate, metavar="FILE")
    flag("--seed", demo, simulate, type=int, default=1, metavar="N")
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


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= 10_000:
        raise argparse.ArgumentTypeError("not a speed; write a number above 0, such as 10")
    return speed


def _check_config(arguments: argparse.Namespace) -> int:
    from exporter.commands.ledgers.opening import check_driver
    from exporter.config.load import check_environment, load
    from exporter.vendors.registry import installed
    from exporter.web.access.webconfig import WebConfig

    config = load(arguments.config_file, vendors=installed())
    check_environment(config)
    if config.ledger.url:
        check_driver()
    web = WebConfig(arguments.web_config_file) if arguments.web_config_file else None
    for remark in config.warnings:
        print(f"warning: {remark}")
    feeds = sum(len(config.kinds_of(one)) for one in config.providers)
    print(f"{arguments.config_file}: good; providers: {len(config.providers)}, feeds: {feeds}")
    for name, count in config.providers_by_file.items():
        print(f"{name}: good; providers: {count}")
    if web:
        tls, users = "on" if web.secure else "off", "needed" if web.has_users else "not needed"
        print(f"{arguments.web_config_file}: good; TLS: {tls}, password: {users}")
    return 0


def _check_vendor(arguments: argparse.Namespace) -> int:
    from exporter.commands.check_vendor import UnknownFeed, check_vendor
    from exporter.vendors.registry import installed

    try:
        return check_vendor(arguments.file, arguments.sample, arguments.feed, installed(), print)
    except UnknownFeed as error:
        print(f"{NAME} check-vendor: error: {error}", file=sys.stderr)
        return 2


def _check_health(arguments: argparse.Namespace) -> int:
    from exporter.commands.check_health import NotWell, ask
    from exporter.web.server.place import Place

    prefix = Place.of(arguments.web_external_url, arguments.web_route_prefix).prefix
    path = f"{prefix}/-/{'ready' if arguments.ready else 'healthy'}"
    try:
        print(ask(arguments.web_listen_address, path, arguments.web_config_file))
    except NotWell as error:
        print(f"{NAME} check-health: {error}", file=sys.stderr)
        return 1
    return 0


def _config_schema(arguments: argparse.Namespace) -> int:
    from exporter.config import schema
    from exporter.vendors.registry import installed

    document = schema.vendor_file if arguments.vendor_file else schema.document
    if arguments.provider_file:
        document = schema.provider_file
    print(schema.text(document(installed())), end="")
    return 0


@contextmanager
def _importing() -> Iterator[None]:
    """Imports without looking for garbage: there is hardly any, and looking for it takes a tenth of the start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _run(arguments: argparse.Namespace) -> int:
    with _importing():
        from exporter.commands.run import Options, run_process, serve
        from exporter.config.load import ConfigFile
        from exporter.vendors.registry import installed
        from exporter.web.access.webconfig import WebConfig
        from exporter.web.server.place import Place

    logs.configure(arguments.log_level, arguments.log_format)
    file = ConfigFile(arguments.config_file, installed())

    def read() -> Config:
        config = file.load()
        logs.set_level(config.log.level or arguments.log_level)
        return config

    options = Options(
        arguments.web_listen_address or [arguments.default_address],
        lifecycle=arguments.web_enable_lifecycle,
        auto_reload=arguments.config_auto_reload_interval if arguments.config_enable_auto_reload else None,
        watch_api=arguments.web_enable_watch_api,
        place=Place.of(arguments.web_external_url, arguments.web_route_prefix, arguments.web_telemetry_path),
        web=WebConfig(arguments.web_config_file) if arguments.web_config_file else None,
    )
    return run_process(serve(read(), options, reread=read, has_changed=file.has_changed))


def _vendors(arguments: argparse.Namespace) -> int:
    from exporter.commands.vendors import as_json, as_text
    from exporter.config.load import load
    from exporter.vendors.registry import Registry, installed

    types = load(arguments.config_file, vendors=installed()).types if arguments.config_file else installed()
    if not isinstance(types, Registry):
        raise TypeError("the types of a configuration are those of the registry")
    print(as_json(types) if arguments.json else as_text(types))
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from exporter.commands.answers.recording import NoPlace, Recording
    from exporter.commands.doctor import run_doctor
    from exporter.commands.run import run_process
    from exporter.config.load import load
    from exporter.vendors.registry import installed

    logs.configure("error", "logfmt")  # what there is to say is in the report
    config = load(arguments.config_file, vendors=installed())
    if told := _strangers(arguments.provider, config):
        print(f"{NAME} doctor: error: {told}", file=sys.stderr)
        return 2
    try:
        recording = Recording(arguments.record) if arguments.record else None
    except NoPlace as error:
        print(f"{NAME} doctor: error: --record: {error}", file=sys.stderr)
        return 2
    tell = partial(print, flush=True)
    if not arguments.json:
        for remark in config.warnings:
            tell(f"warning: {remark}")
    return run_process(
        run_doctor(
            config,
            arguments.provider,
            fetch_token=arguments.fetch_token,
            in_json=arguments.json,
            tell=tell,
            recording=recording,
        )
    )


def _strangers(names: Sequence[str], config: Config) -> str:
    """What to say of names that no provider has; empty if each has one."""
    known = [one.name for one in config.providers]
    strangers = sorted(set(names) - set(known))
    return f"no provider is named {', '.join(strangers)}; there are: {', '.join(known)}" if strangers else ""


def _export_history(arguments: argparse.Namespace) -> int:
    with _importing():
        from exporter.config.load import load
        from exporter.history.export import NoPlace, Options, check_place, export_history
        from exporter.vendors.registry import installed

    logs.configure("error", "logfmt")  # all there is to say is printed
    config = load(arguments.config_file, vendors=installed())
    options = Options(
        getattr(arguments, "from"),
        arguments.until,
        arguments.step,
        Path(arguments.output),
        arguments.provider,
        dict(arguments.label),
        arguments.force,
        arguments.fetch_token,
    )
    told = _strangers(arguments.provider, config) or options.fault
    try:
        if not told:
            check_place(options)
    except NoPlace as error:
        told = f"--output: {error}"
    if told:
        print(f"{NAME} export-history: error: {told}", file=sys.stderr)
        return 2
    return export_history(config, options, partial(print, flush=True))


def _migrate_ledger(arguments: argparse.Namespace) -> int:
    import asyncio

    from exporter.commands.ledgers.migrating import migrate
    from exporter.config.models import Secret
    from exporter.config.network.databases import fault_of_url

    logs.configure("error", "logfmt")
    try:
        if why := fault_of_url(arguments.to):
            raise ValueError(f"--to: {why}")
        password = Secret.from_file(arguments.password_file) if arguments.password_file else None
    except (OSError, ValueError) as error:
        told = f"--password-file: {error.strerror}" if isinstance(error, OSError) else str(error)
        print(f"{NAME} migrate-ledger: error: {told}", file=sys.stderr)
        return 2
    try:
        asyncio.run(migrate(getattr(arguments, "from"), arguments.to, password, partial(print, flush=True)))
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    with _importing():
        from exporter.commands.demo import serve_demo
        from exporter.commands.run import run_process

    logs.configure(arguments.log_level, arguments.log_format)
    return run_process(serve_demo(arguments))


def _simulate(arguments: argparse.Namespace) -> int:
    with _importing():
        from exporter.commands.demo import serve_simulator
        from exporter.commands.run import run_process

    logs.configure(arguments.log_level, arguments.log_format)
    return run_process(serve_simulator(arguments))
