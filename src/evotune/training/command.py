"""CommandTask: evaluates a trial by running a program in any language."""

import io
import json
import os
import re
import reprlib
import shlex
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from string import Formatter
from typing import Any

from evotune import guard
from evotune.checks import did_you_mean, option, seconds, user_path
from evotune.errors import TaskError
from evotune.running import RunningTrial
from evotune.training.params import check_all_used, declared_names
from evotune.trial import BARE_NUMBER, Failed

_FORMATTER = Formatter()
_FLAG = re.compile(r"--?[A-Za-z][^={}]*")


def split(command: str | Sequence[str]) -> tuple[str, ...]:
    """Return the arguments of a command template without quotes; a sequence is returned as it is.

    Raises:
        TaskError: The command is empty, or quotes or braces are not closed.
    """
    if not isinstance(command, str | Sequence) or isinstance(command, bytes):
        raise TaskError(
            f'the command is a text or a list of arguments, such as "python train.py --lr {{lr}}"; '
            f"got {command!r}"
        )
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
        values: The values of the placeholders. Strings are inserted as they are, all else as JSON
            (``true``, ``0.001``), or by a format such as ``{lr:.3g}``.
        dormant: Genes that are not active. An argument with such a gene is left out; if it is only
            the placeholder, the option before it (``--depth {depth}``) too.

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
            f"for literal braces write {{{{{name}}}}}"
        )
    return values[name]


def _as_text(argument: str, value: Any, form: str, conversion: Any) -> str:
    try:
        if form or conversion:
            return format(_FORMATTER.convert_field(value, conversion), form)
        return value if isinstance(value, str) else json.dumps(value)
    except (ValueError, TypeError) as error:
        raise TaskError(f"the argument {argument!r} cannot show {value!r}: {error}") from error


#: Placeholders other than genes.
_OWN = ("number", "seed", "budget")
#: How many lines of a failed program's output are kept.
_TAIL = 20
#: Of all that a program prints, so much of the end is kept.
_KEPT_BYTES = 2**20
#: Seconds in which the output of a program that has ended is read to its end, should another
#: process hold it open.
_AFTER_THE_END = 1.0


@dataclass(frozen=True)
class CommandTask:
    r"""An evaluate function that runs a program and reads metrics from its standard output.

    The command is split into arguments once, by the rules of a shell; then each ``{gene}`` is
    replaced inside its argument. No shell is run, so a value with spaces or ``;`` is harmless.
    A chain of layers is replaced by its records as JSON.

    ``{number}``, ``{seed}`` and ``{budget}`` are those of the trial; ``{{`` and ``}}`` are literal
    braces. An argument whose gene is not active is left out, and with ``--depth {depth}`` the
    option before it too. The environment variable ``EVOTUNE_PARAMS`` holds the active genes as
    JSON; ``EVOTUNE_NUMBER``, ``EVOTUNE_SEED`` and, where there are, ``EVOTUNE_BUDGET`` and
    ``EVOTUNE_DEVICE`` (with ``devices=`` of a run, such as ``cuda:0``) are set too.

    Args:
        command: The command as one text, or as a sequence of arguments.
        metric: How to read the metrics. ``"json"``: from lines that are a JSON object; the last
            number of each name counts, and entries that are not numbers are left out. Where the
            objectives need a single metric, the last line may also be that number alone.
            A regular expression with named groups such as ``accuracy=(?P<accuracy>\S+)``: each
            group is a metric; its last match counts. Or a mapping of names to regular expressions
            with one group each.
        cwd: Directory in which the program runs.
        env: Environment variables on top of this process's.
        timeout: Seconds after which the program and its child processes are killed. On POSIX they
            are killed also when this process ends or is killed.
        budget: Value of ``{budget}`` if the algorithm gives none.
        genes: Names of genes that need not be in the command, because the program reads them from
            ``EVOTUNE_PARAMS``; ``space.entries`` for all.

    Raises:
        TaskError: The command or a regular expression is invalid.

    Example:
        ``CommandTask("python train.py --lr {lr} --epochs {budget}", budget=10)``
    """

    command: str | Sequence[str]
    _: KW_ONLY
    metric: str | Mapping[str, str] = "json"
    cwd: str | Path | None = None
    env: Mapping[str, str] | None = None
    timeout: float | None = None
    budget: float | None = None
    genes: str | Sequence[str] = ()

    def __post_init__(self) -> None:
        split(self.command)
        _patterns(self.metric)
        declared_names(self.genes)
        if not isinstance(self.env, Mapping | None):
            raise TaskError(f'env= is a mapping such as {{"A": "1"}}, got {self.env!r}')
        for name, value in (
            ("cwd", _folder(self.cwd)),
            ("timeout", _optional(seconds, "timeout", self.timeout, "(0, inf]")),
            ("budget", _optional(option, "budget", self.budget, "(0, inf)")),
        ):
            object.__setattr__(self, name, value)

    def __call__(self, trial: RunningTrial) -> dict[str, float]:
        """Run the program for one trial and return the metrics that it printed.

        Raises:
            TaskError: The program cannot be started, a placeholder has no value, or a gene has no
                effect: every trial would fail in the same way.
            Failed: The program failed, took too long, or printed no metrics.
        """
        own: dict[str, float] = {"number": trial.number, "seed": trial.seed}
        budget = self.budget if trial.budget is None else trial.budget
        if budget is not None:
            own["budget"] = int(budget) if budget == int(budget) else budget
        arguments = self._arguments(trial, own)
        output = _run(arguments, self.cwd, self._environment(trial.params, own), self.timeout)
        return _read_json(output) if self.metric == "json" else _search(self.metric, output)

    def _arguments(self, trial: RunningTrial, own: Mapping[str, float]) -> list[str]:
        for name in _OWN:
            if name in trial.params or name in trial.dormant:
                raise TaskError(
                    f"a gene cannot be named {name!r} here: {{{name}}} is the trial's own {name}; "
                    "give the gene another name"
                )
        template = split(self.command)
        shown = {name for argument in template for name in placeholders(argument)}
        if "budget" in shown and "budget" not in own:
            raise TaskError(
                "the command has {budget}, but the algorithm gives no budget; "
                "write CommandTask(..., budget=10)"
            )
        arguments = fill(template, {**trial.params, **own}, trial.dormant)
        takers = {"the command": sorted(shown)}
        check_all_used(trial.params, shown | declared_names(self.genes), takers)
        return arguments

    def _environment(self, params: Mapping[str, Any], own: Mapping[str, float]) -> dict[str, str]:
        # The environment may hold the budget of an outer trial, if this process runs inside one.
        inherited = {k: v for k, v in os.environ.items() if k != "EVOTUNE_BUDGET"}
        values = {"PARAMS": params} | {name.upper(): value for name, value in own.items()}
        ours = {f"EVOTUNE_{name}": json.dumps(value) for name, value in values.items()}
        added = {name: str(value) for name, value in (self.env or {}).items()}
        return inherited | added | ours


def _folder(cwd: Any) -> Path | None:
    try:
        return None if cwd is None else user_path(cwd, TaskError)
    except TaskError as error:
        raise TaskError(f"cwd= is a directory: {error}") from error


def _optional(read: Any, name: str, value: Any, interval: str) -> Any:
    return None if value is None else read(name, value, interval, error_type=TaskError)


def _run(
    arguments: Sequence[str],
    cwd: str | Path | None,
    environment: Mapping[str, str],
    timeout: float | None,
) -> str:
    """Run a program to its end and return the last of its standard output."""
    try:
        process = guard.start(
            arguments,
            leave_helpers=True,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except (OSError, ValueError) as error:  # a null byte in an argument is a ValueError
        raise TaskError(f"the command {arguments[0]!r} cannot be started: {error}") from error
    streams = [_Last(pipe) for pipe in (process.stdout, process.stderr)]
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"the command ran longer than {timeout:g} s and was killed") from error
    finally:
        guard.stop(process)
    output, errors = (stream.text() for stream in streams)
    if process.returncode == guard.CANNOT_START and f"{arguments[0]!r} {guard.SAYS}" in errors:
        raise TaskError(f"the command {errors.strip().splitlines()[-1]}")
    if process.returncode != 0:
        which, text = ("stderr", errors) if errors.strip() else ("stdout", output)
        # The last line of a traceback says most, and lists of trials show the beginning only.
        last = text.rstrip().rpartition("\n")[2].strip()
        how = f"{_how_it_ended(process.returncode)}{f': {last}' if last else ''}"
        raise Failed(f"the command {how}; {_tail(which, text)}")
    return output


class _Last(threading.Thread):
    """Reads a pipe to its end, for as long as any process holds it, and keeps the last of it.

    Args:
        pipe: Where a program writes.
    """

    def __init__(self, pipe: Any) -> None:
        super().__init__(daemon=True)
        self._pipe = pipe
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self.start()

    def run(self) -> None:
        with self._pipe:
            while chunk := self._pipe.read1(65536):
                self._chunks.append(chunk)
                self._size += len(chunk)
                while self._size - len(self._chunks[0]) >= _KEPT_BYTES:
                    self._size -= len(self._chunks.popleft())

    def text(self) -> str:
        """Return what a program that has ended wrote; a helper that it has left may write on."""
        self.join(_AFTER_THE_END)
        last = b"".join(list(self._chunks))[-_KEPT_BYTES:]
        return io.TextIOWrapper(io.BytesIO(last), encoding="utf-8-sig", errors="replace").read()


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"was ended by signal {-code} ({signal.strsignal(-code)})"
    return f"ended with exit code {code}"


def _tail(which: str, text: str) -> str:
    lines = text.rstrip().splitlines()[-_TAIL:]
    return f"the last lines of its {which}:\n" + "\n".join(lines) if lines else "it printed nothing"


def _read_json(output: str) -> dict[str, float]:
    found: dict[str, Any] = {}
    for line in output.splitlines():
        with suppress(ValueError, RecursionError):
            entries = json.loads(line, parse_int=float)
            found |= entries if isinstance(entries, dict) else {}
    metrics = {name: value for name, value in found.items() if isinstance(value, float)}
    if not metrics:
        with suppress(ValueError):  # one number alone; a study with more objectives refuses it
            return {BARE_NUMBER: float(output.rstrip().rpartition("\n")[2])}
        others = ", ".join(f"{k!r} is {reprlib.repr(v)}" for k, v in found.items())
        raise Failed(
            "the command printed no JSON object with a number, such as "
            f'{{"accuracy": 0.93}}, on a line of its own{f" ({others})" if others else ""}, and '
            "no number alone as its last line; print one of them, or say how to read what it "
            "prints, such as metric = 'accuracy=(?P<accuracy>\\S+)' in [task] of a TOML file; "
            f"{_tail('stdout', output)}"
        )
    return metrics


def _patterns(metric: str | Mapping[str, str]) -> dict[str, tuple[re.Pattern[str], int]]:
    """Return for every metric a regular expression and the number of its group."""
    if isinstance(metric, str) and metric == "json":
        return {}
    if isinstance(metric, str):
        pattern = _compiled(metric)
        found = {name: (pattern, group) for name, group in pattern.groupindex.items()}
    elif isinstance(metric, Mapping):
        found = {name: (_compiled(text), 1) for name, text in metric.items()}
        if any(pattern.groups != 1 for pattern, _ in found.values()):
            raise TaskError(
                f"every regular expression of a mapping needs one group, got {metric!r}; "
                'write metric={"accuracy": r"accuracy=(\\S+)"}'
            )
    else:
        found = {}
    if not found:
        raise TaskError(
            f'metric= is "json", a regular expression with named groups or a mapping of names to '
            f'regular expressions; got {metric!r}. Write metric=r"accuracy=(?P<accuracy>\\S+)"'
        )
    return found


def _compiled(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.MULTILINE)
    except (re.error, TypeError) as error:
        raise TaskError(f"metric= has no valid regular expression {text!r}: {error}") from error


def _search(metric: str | Mapping[str, str], output: str) -> dict[str, float]:
    metrics = {}
    for name, (pattern, group) in _patterns(metric).items():
        matches = [match[group] for match in pattern.finditer(output) if match[group] is not None]
        if not matches:
            raise Failed(
                f"the command printed no {name!r}: nothing matches {pattern.pattern!r}; "
                f"{_tail('stdout', output)}"
            )
        try:
            metrics[name] = float(matches[-1])
        except ValueError as error:
            text = f"the command printed {matches[-1]!r} as {name!r}, which is not a number"
            raise Failed(text) from error
    return metrics
