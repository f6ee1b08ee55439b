"""Command templates: ``python train.py --lr {lr}`` -> the arguments of one trial's process."""

import json
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from string import Formatter
from typing import Any

from evotune.checks import did_you_mean
from evotune.errors import TaskError

_FORMATTER = Formatter()
_FLAG = re.compile(r"--?[A-Za-z][^={}]*")


def split(command: str | Sequence[str]) -> tuple[str, ...]:
    """Return the arguments of a command template, quotes taken off; a sequence is one already.

    Raises:
        TaskError: Nothing is left, or quotes or braces are not closed.
    """
    try:
        arguments = tuple(shlex.split(command) if isinstance(command, str) else map(str, command))
    except ValueError as error:
        raise TaskError(f"the command {command!r} cannot be split: {error}") from error
    if not arguments:
        raise TaskError('the command is empty; write "python train.py --lr {lr}"')
    for argument in arguments:
        placeholders(argument)
    return arguments


def placeholders(argument: str) -> tuple[str, ...]:
    """Return the names in braces, in order.

    Raises:
        TaskError: Braces are not closed or are empty.
    """
    try:
        names = tuple(name for _, name, _, _ in _FORMATTER.parse(argument) if name is not None)
    except ValueError as error:
        raise TaskError(
            f"the argument {argument!r} cannot be read: {error}; for a brace itself write {{{{ or "
            "}}"
        ) from error
    if "" in names:
        raise TaskError(f"the argument {argument!r} has empty braces; write a gene's name in them")
    return names


def fill(template: Sequence[str], values: Mapping[str, Any], dormant: Collection[str]) -> list[str]:
    """Return the arguments with every placeholder replaced.

    Args:
        template: Arguments with placeholders.
        values: What the placeholders stand for. Texts are put in as they are, all else as JSON
            (``true``, ``0.001``), or as a format such as ``{lr:.3g}`` asks.
        dormant: Genes that are not active. An argument with such a gene is left out; where it is
            nothing but the placeholder, the option before it (``--depth {depth}``) too.

    Raises:
        TaskError: A placeholder has no value; the nearest name is suggested.
    """
    filled: list[str] = []
    previous = ""
    for argument in template:
        names = placeholders(argument)
        if any(name in dormant for name in names):
            if _FLAG.fullmatch(previous) and re.fullmatch(r"\{[^{}]*\}", argument):
                filled.pop()
            previous = ""
        else:
            filled.append(_fill_one(argument, values))
            previous = argument
    return filled


def _fill_one(argument: str, values: Mapping[str, Any]) -> str:
    parts = []
    for text, name, form, conversion in _FORMATTER.parse(argument):
        parts.append(text)
        if name is not None:
            parts.append(_as_text(argument, _value(name, values), form or "", conversion))
    return "".join(parts)


def _value(name: str, values: Mapping[str, Any]) -> Any:
    if name not in values:
        raise TaskError(
            f"the command has a placeholder {{{name}}}, but there are only "
            f"{', '.join(values)}{did_you_mean(name, values)}; "
            f"for braces that are no placeholder write {{{{{name}}}}}"
        )
    return values[name]


def _as_text(argument: str, value: Any, form: str, conversion: Any) -> str:
    try:
        if form or conversion:
            return format(_FORMATTER.convert_field(value, conversion), form)
        return value if isinstance(value, str) else json.dumps(value)
    except (ValueError, TypeError) as error:
        raise TaskError(f"the argument {argument!r} cannot show {value!r}: {error}") from error
