"""The flags in docs/command-line.md, out of the parser of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from docs.tools.markdown import DOCS, row, table, with_part
from exporter import cli

EVERYWHERE = (argparse._HelpAction, argparse._VersionAction)
LONG = 4
"""Words; a longer meaning is written once, and commands that share it link there."""


def page() -> str:
    """The page with the present commands and flags in it."""
    return with_part(DOCS / "command-line.md", "the commands", f"\n{chr(10).join(_commands())}\n")


def _commands() -> Iterator[str]:
    parser = cli.parser()
    # What a parser holds it shows as text alone, so its own attributes are read; a test compares with that text.
    (commands,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    told = ((f"[{one.dest}](#{one.dest})", str(one.help)) for one in commands._get_subactions())
    yield from table(("command", "what it does"), told)
    first: dict[tuple[str, str], str] = {}
    for name, command in commands.choices.items():
        yield f"\n## {name}\n"
        flags = [one for one in command._actions if not isinstance(one, EVERYWHERE)]
        if not flags:
            yield "No flags of its own."
            continue
        yield from table(("flag", "meaning"), ())
        for one in flags:
            flag, meaning = _flag(one), _meaning(one)
            before = first.setdefault((flag, meaning), name)
            repeated = before != name and len(meaning.split()) > LONG
            yield row((flag, f"as for [{before}](#{before})" if repeated else meaning))


def _flag(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{action.metavar}`"
    name = action.option_strings[-1]
    value = "" if action.nargs == 0 else f"={action.metavar or '|'.join(map(str, action.choices or ()))}"
    return f"`{name}{value}`".replace("|", "\\|")


def _meaning(action: argparse.Action) -> str:
    return f"{action.help}{'; required' if action.required else ''}"
