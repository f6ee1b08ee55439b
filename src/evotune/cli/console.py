"""The console: where output goes, and how numbers, params and commands are formatted."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from evotune.printing import number, printable
from evotune.trial import State

#: Colour of each state of a trial.
STYLES: dict[State, str] = {
    "done": "green",
    "stopped": "yellow",
    "failed": "red",
    "running": "cyan",
    "waiting": "dim",
}
_NO_TERMINAL_WIDTH = 1000


class PrintableConsole(Console):
    """A console to which no text brings control characters or passwords, wherever it comes from."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Make a text printable before its width is measured."""
        return super().render_str(printable(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Make all other texts printable; control codes of the console itself stay."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def make_console(file: IO[str] | None = None) -> Console:
    """Return a console that prints texts without markup.

    Args:
        file: Where it prints; by default the standard output. Lines in a pipe or file are not
            wrapped.
    """
    wide = not (file or sys.stdout).isatty() and "COLUMNS" not in os.environ
    width = _NO_TERMINAL_WIDTH if wide else None
    return PrintableConsole(file=file, width=width, highlight=False, markup=False, emoji=False)


def is_live(console: Console) -> bool:
    """Return whether the console can overwrite lines, as a live view needs."""
    return console.is_terminal and not console.is_dumb_terminal


def params_text(params: Mapping[str, Any]) -> str:
    """Return params, or metrics, on one line; layers and schedules are in brackets."""
    return " ".join(f"{name}={_value_text(value)}" for name, value in params.items())


def _value_text(value: Any) -> str:
    text = number(value)
    return f"[{text}]" if isinstance(value, list | Mapping) and not text.startswith("[") else text


def clock(seconds: float) -> str:
    """Return seconds as ``minutes:seconds``, or ``hours:minutes:seconds``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


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
        console: The console to print to.
        commands: The arguments of each command.
    """
    console.print("\nNext:")
    for arguments in commands:
        line = f"  {this_command()} {shlex.join(arguments)}"
        console.print(line, style="bold", soft_wrap=True)  # no break inside: it is to be copied
