"""The command line. Nothing else of the exporter imports it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from exporter.cli.calls import CALLS
from exporter.cli.flags import NAME, parser
from exporter.commands import WrongUse

__all__ = ["COMMANDS", "main", "parser"]

COMMANDS = tuple(CALLS)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; the exit code is 0 if all went well, 1 if it could not be done, 2 for a wrong command line."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = _parsed(given)
    try:
        code = CALLS[arguments.command](arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # `head` or a pager has closed the output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except WrongUse as error:
        print(f"{NAME} {arguments.command}: error: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        if told := _told(error):
            print(told, file=sys.stderr)
            return 1
        raise
    return code


def _parsed(given: Sequence[str]) -> argparse.Namespace:
    """What is to be done. Flags without a command are those of `run`. Ends the program on a wrong command line."""
    whole = parser()
    if not given:
        whole.error("the following arguments are required: --config.file; init writes that file, demo needs none")
    if given[0] in COMMANDS or given[0] in ("-h", "--help", "--version"):
        return whole.parse_args(given)
    if not given[0].startswith("-"):
        whole.error(f"there is no command {given[0]!r}{_meant(given[0])}; --help lists them")
    return whole.parse_args(["run", *given])


def _meant(word: str) -> str:
    from exporter.config.mistakes import slips

    return "; a configuration takes --config.file=" if {".", "/"} & set(word) else slips.hint(word, COMMANDS)


def _told(error: Exception) -> str:
    """What to say of an error that the user can fix; empty if it is a bug in the exporter."""
    from exporter.config.load import ConfigError
    from exporter.ledger.errors import StoreError
    from exporter.web.server.address import AddressError

    match error:
        case ConfigError():
            return str(error)
        case StoreError() | AddressError():
            return f"{NAME}: {error}"
    return ""
