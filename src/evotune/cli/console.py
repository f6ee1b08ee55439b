"""Where output goes, and how numbers, genomes and commands look in it."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from evotune.report.text import number

#: Colour of each state of a trial.
STYLES = {"done": "green", "failed": "red", "running": "cyan", "stopped": "yellow", "waiting": ""}
_NO_TERMINAL_WIDTH = 1000


def make_console() -> Console:
    """Return the console of a command; a pipe or file gets lines as long as they are."""
    wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(highlight=False, width=_NO_TERMINAL_WIDTH if wide else None)


def is_live(console: Console) -> bool:
    """Tell whether lines that were written can be written over."""
    return console.is_terminal and not console.is_dumb_terminal


def params_text(params: Mapping[str, Any]) -> str:
    """Return params, or metrics, on one line."""
    return " ".join(f"{name}={number(value)}" for name, value in params.items())


def this_command() -> str:
    """Return how this program was called, so that commands to copy work as they stand."""
    called = Path(sys.argv[0])
    if called.suffix == ".py":
        return f"{shlex.quote(sys.executable)} -m evotune.cli.main"
    found = shutil.which(called.name)
    if found is not None and Path(found).absolute() == called.absolute():
        return called.name
    return shlex.quote(str(called))


def print_next(console: Console, commands: Iterable[tuple[str, ...]]) -> None:
    """Print commands to try next.

    Args:
        console: Where to.
        commands: The arguments of each.
    """
    console.print("\nNext:")
    for arguments in commands:
        console.print(
            f"  [bold]{escape(f'{this_command()} {shlex.join(arguments)}')}[/]", soft_wrap=True
        )
