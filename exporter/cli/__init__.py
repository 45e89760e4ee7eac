"""The command line. Nothing else of the exporter imports it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from exporter.cli.calls import CALLS
from exporter.cli.flags import NAME, parser

__all__ = ["COMMANDS", "main", "parser"]

COMMANDS = tuple(CALLS)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; the exit code is 0 if all went well, 1 if it could not be done, 2 for a wrong command line."""
    given = list(sys.argv[1:] if argv is None else argv)
    if not given or (given[0] not in COMMANDS and given[0] not in ("-h", "--help", "--version")):
        given.insert(0, "run")
    arguments = parser().parse_args(given)
    try:
        code = CALLS[arguments.command](arguments)
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
