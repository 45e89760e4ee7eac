"""What each command does with its flags: it puts the parts together.

A command imports what it needs when it is called: `check-health` runs every half minute, and the rest takes half a
second to import.
"""

from __future__ import annotations

import argparse
import gc
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.cli.flags import NAME, parser
from exporter.commands import WrongUse
from exporter.config import logs

if TYPE_CHECKING:
    from exporter.config.load import Config


def check_config(arguments: argparse.Namespace) -> int:
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


def init(arguments: argparse.Namespace) -> int:
    from exporter.commands.init import Answers, questioned, write
    from exporter.vendors.registry import installed

    file = arguments.config_file
    if Path(file).expanduser().exists():
        print(f"{NAME} init: {file} exists and stays as it is; name another by --config.file", file=sys.stderr)
        return 1
    given = {"type": arguments.type, "name": arguments.name} | dict(arguments.set)
    answers = Answers(
        input,
        print,
        os.environ,
        {key: value for key, value in given.items() if value},
        dict(arguments.env),
        defaults=arguments.defaults,
    )
    try:
        first = questioned(installed(), answers)
        write(file, first)
    except (EOFError, KeyboardInterrupt) as error:
        print(f"\n{NAME} init: ended before the last answer; nothing was written", file=sys.stderr)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    except OSError as error:
        print(f"{NAME} init: {file} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    print(f"\nWritten to {file}:\n\n{first.text}")
    if first.by_id:
        print("The vendor lists no tasks: name them, docs/configuration.md#tasks-to-follow-by-id says how.")
    unset = [name for name in first.variables if not os.environ.get(name)]
    for name in first.variables:
        print(f"{name} is {'not set' if name in unset else 'set'}.")
    then = f"{NAME} doctor --config.file={shlex.quote(file)}"
    if unset or arguments.no_doctor:
        print(f"{'Set what is not set, then run' if unset else 'Then run'}: {then}")
        return 0 if arguments.no_doctor else 1
    print(f"\n{then}")
    return doctor(argparse.Namespace(config_file=file, provider=[], json=False, record=None, fetch_token=False))


def check_vendor(arguments: argparse.Namespace) -> int:
    from exporter.commands.answers.check_vendor import check_vendor as check
    from exporter.vendors.registry import installed

    return check(arguments.file, arguments.sample, arguments.feed, installed(), print)


def check_health(arguments: argparse.Namespace) -> int:
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


def config_schema(arguments: argparse.Namespace) -> int:
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


def run(arguments: argparse.Namespace) -> int:
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


def vendors(arguments: argparse.Namespace) -> int:
    from exporter.commands.vendors import as_json, as_text
    from exporter.config.load import load
    from exporter.vendors.registry import Registry, installed

    types = load(arguments.config_file, vendors=installed()).types if arguments.config_file else installed()
    if not isinstance(types, Registry):
        raise TypeError("the types of a configuration are those of the registry")
    print(as_json(types) if arguments.json else as_text(types))
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    from exporter.commands.answers.recording import Recording
    from exporter.commands.doctor.doctor import run_doctor
    from exporter.commands.run import run_process
    from exporter.config.load import load
    from exporter.vendors.registry import installed

    logs.configure("error", "logfmt")  # what there is to say is in the report
    config = load(arguments.config_file, vendors=installed())
    _refuse_strangers(arguments.provider, config)
    recording = Recording(arguments.record) if arguments.record else None
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


def export_history(arguments: argparse.Namespace) -> int:
    with _importing():
        from exporter.config.load import load
        from exporter.history.export import ExportOptions, NoOutput, check_place, export_history
        from exporter.vendors.registry import installed

    logs.configure("error", "logfmt")  # all there is to say is printed
    config = load(arguments.config_file, vendors=installed())
    options = ExportOptions(
        getattr(arguments, "from"),
        arguments.until,
        arguments.step,
        Path(arguments.output),
        arguments.provider,
        dict(arguments.label),
        arguments.force,
        arguments.fetch_token,
    )
    _refuse_strangers(arguments.provider, config)
    if told := _twice(arguments.label) or options.fault:
        raise WrongUse(told)
    try:
        check_place(options)
    except NoOutput as error:
        raise WrongUse(f"--output: {error}") from None
    return export_history(config, options, partial(print, flush=True))


def _refuse_strangers(names: Sequence[str], config: Config) -> None:
    """Raises WrongUse for names that no provider has."""
    known = [one.name for one in config.providers]
    if strangers := sorted(set(names) - set(known)):
        raise WrongUse(f"no provider is named {', '.join(strangers)}; there are: {', '.join(known)}")


def _twice(labels: Sequence[tuple[str, str]]) -> str:
    """What to say of labels that are given twice; empty if none is."""
    names = [name for name, _ in labels]
    twice = sorted({name for name in names if names.count(name) > 1})
    return f"--label: {', '.join(twice)} is given twice; give each label once" if twice else ""


def migrate_ledger(arguments: argparse.Namespace) -> int:
    import asyncio

    from exporter.commands.ledgers.migrating import migrate
    from exporter.config.models import Secret
    from exporter.config.network.databases import fault_of_url

    logs.configure("error", "logfmt")
    if why := fault_of_url(arguments.to, "--password-file=FILE"):
        raise WrongUse(f"--to: {why}")
    try:
        password = Secret.from_file(arguments.password_file) if arguments.password_file else None
    except (OSError, ValueError) as error:
        told = f"--password-file: {error.strerror}" if isinstance(error, OSError) else str(error)
        raise WrongUse(told) from None
    try:
        asyncio.run(migrate(getattr(arguments, "from"), arguments.to, password, partial(print, flush=True)))
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


def demo(arguments: argparse.Namespace) -> int:
    with _importing():
        from exporter.commands.demo import serve_demo
        from exporter.commands.run import run_process

    logs.configure(arguments.log_level, arguments.log_format)
    return run_process(serve_demo(arguments))


def simulate(arguments: argparse.Namespace) -> int:
    with _importing():
        from exporter.commands.demo import serve_simulator
        from exporter.commands.run import run_process

    logs.configure(arguments.log_level, arguments.log_format)
    return run_process(serve_simulator(arguments))


def completion(arguments: argparse.Namespace) -> int:
    from exporter.cli.completion import script
    from exporter.vendors.registry import built_in

    print(script(parser(), arguments.shell, tuple(built_in())))
    return 0


CALLS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": run,
    "init": init,
    "check-config": check_config,
    "check-vendor": check_vendor,
    "check-health": check_health,
    "config-schema": config_schema,
    "doctor": doctor,
    "demo": demo,
    "simulate": simulate,
    "vendors": vendors,
    "migrate-ledger": migrate_ledger,
    "export-history": export_history,
    "completion": completion,
}
"""What each command calls; it returns the exit code."""
