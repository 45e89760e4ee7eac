"""Scripts with which a shell completes commands, flags and values. They start nothing of ours at a press of Tab."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

import shtab

_FILES = ("FILE", "PATH", "BODY")

_BASH = """
# Bash takes `--flag=value` apart, and without a command `run` is meant.
_videotask_exporter() {
  local given=("${COMP_WORDS[@]}") at=$COMP_CWORD index
  local COMP_WORDS=("${given[0]}") COMP_CWORD=0
  if [[ $at -gt 0 && ${given[1]} == --* ]]; then
    COMP_WORDS+=(run)
    COMP_CWORD=1
  fi
  for ((index = 1; index < ${#given[@]}; index++)); do
    if [[ ${given[index]} == = ]]; then
      ((index == at)) || continue
      given[index]=
    fi
    COMP_WORDS+=("${given[index]}")
    ((index <= at)) && ((COMP_CWORD++))
  done
  _shtab_videotask_exporter
}
complete -o bashdefault -F _videotask_exporter videotask-exporter
"""


def script(parser: argparse.ArgumentParser, shell: str, types: Sequence[str]) -> str:
    """The script for bash, zsh or fish; `types` are the vendors there are."""
    for action in _actions(parser):
        if action.metavar == "TYPE":
            action.choices = types
        elif action.metavar in _FILES or action.metavar == "DIR":
            # The place that shtab looks at.
            action.complete = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE  # type: ignore[attr-defined]
    text = shtab.complete(parser, shell)
    match shell:
        case "bash":
            return f"{text}\n{_BASH}"
        case "zsh":  # a flag that takes a value may have it after `=`
            return re.sub(r'(?m)^(  (?:"\*")?"--[a-z.-]+)(?=\[.*\]:)', r"\1=", text)
    return text


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """All that the parser and those of its commands take."""
    found: list[argparse.Action] = []
    for action in parser._actions:
        found.append(action)
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                found += _actions(command)
    return found
