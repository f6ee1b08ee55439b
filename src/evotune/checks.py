"""Checks of what users write, shared by many parts."""

import difflib
import math
import os
import reprlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

from evotune.errors import AlgorithmError, EvotuneError, StudyError

T = TypeVar("T")


def check_whole(owner: str, name: str, value: object, least: int) -> None:
    """Check an option of an algorithm or operator that counts something.

    Args:
        owner: Class whose option it is.
        name: Name of the option.
        value: What was given.
        least: Smallest value allowed.

    Raises:
        AlgorithmError: The value is not a whole number, or is too small.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise AlgorithmError(
            f"{owner}: {name} must be a whole number from {least} up, got {value!r}"
        )
    if int(value) >= 2**63:  # no machine counts that far, and numpy does not
        raise AlgorithmError(
            f"{owner}: {name} must be a whole number below 2**63, got {reprlib.repr(value)}"
        )


def check_in(owner: str, name: str, value: object, interval: str) -> None:
    """Check an option that is a number between bounds.

    Args:
        owner: Class whose option it is.
        name: Name of the option.
        value: What was given.
        interval: What is allowed, as the error writes it: ``"(0, 1]"`` is above 0 and at most 1,
            ``"[0, inf)"`` is finite and not negative.

    Raises:
        AlgorithmError: The value is not a number, or lies outside the interval.
    """
    if not _lies_in(value, interval):
        raise AlgorithmError(f"{owner}: {name} must {_words(interval)}, got {value!r}")


def option(
    name: str,
    value: Any,
    interval: str,
    *,
    whole: bool = False,
    error_type: type[EvotuneError] = StudyError,
) -> Any:
    """Return an option that is a number as Python's own: numpy's and a tensor's are understood.

    Args:
        name: Name of the option.
        value: What was given.
        interval: What is allowed, as for `check_in`.
        whole: It counts something; infinity may stand for no limit where the interval has it.
        error_type: What is raised.

    Raises:
        EvotuneError: Of that type: it is no number, such as a text, or lies outside.
    """
    plain = value.item() if getattr(value, "ndim", None) == 0 else value
    if _lies_in(plain, interval) and not (whole and math.isfinite(plain) and plain != int(plain)):
        is_int = isinstance(plain, Integral) or (whole and math.isfinite(plain))
        return int(plain) if is_int else float(plain)
    hint = ""
    if isinstance(value, str):
        with suppress(ValueError):
            hint = f"; write {name}={float(value):g}, without quotation marks"
    raise error_type(f"{name} must {_words(interval, whole=whole)}, got {value!r}{hint}")


def seconds(
    name: str, value: Any, interval: str, error_type: type[EvotuneError] = StudyError
) -> Any:
    """Return a time in seconds, also that of a ``datetime.timedelta``; see `option`."""
    given = value.total_seconds() if isinstance(value, timedelta) else value
    return option(name, given, interval, error_type=error_type)


def flag(name: str, value: Any, error_type: type[EvotuneError] = StudyError) -> bool:
    """Return an option that is True or False, also one of numpy.

    Raises:
        EvotuneError: Of that type: it is something else, such as a text or a number.
    """
    plain = value.item() if getattr(value, "ndim", None) == 0 else value
    if not isinstance(plain, bool):
        raise error_type(f"{name} must be True or False, got {value!r}")
    return plain


def _lies_in(value: object, interval: str) -> bool:
    low, high = map(float, interval[1:-1].split(","))
    try:
        number = float(value) if isinstance(value, Real) and is_number(value) else math.nan
    except OverflowError:  # a whole number beyond floats
        number = math.nan
    above = low <= number if interval[0] == "[" else low < number
    return above and (number <= high if interval[-1] == "]" else number < high)


def _words(interval: str, *, whole: bool = False) -> str:
    low, high = map(float, interval[1:-1].split(","))
    kind = "a whole number" if whole else "a number"
    if high < math.inf and low > -math.inf:
        return f"be {kind} in {interval}" if whole else f"lie in {interval}"
    if low == -math.inf:
        return f"be a {'' if interval[0] == '[' else 'finite '}number"
    return f"be {kind} {'from' if interval[0] == '[' else 'above'} {low:g}" + (
        " up" if interval[0] == "[" else ""
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'lr'?"``, or an empty text when no known name is similar."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), by_lower, 1, cutoff=0.5)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""


def check_operator(owner: str, name: str, operator: object, example: str) -> None:
    """Check an option that must be a callable object, not its name or its class.

    Raises:
        AlgorithmError: The option is something else.
    """
    if not callable(operator) or isinstance(operator, type):
        raise AlgorithmError(f"{owner}: {name} must be such as {example}, got {operator!r}")


def by_name(what: str, given: str | T, known: Mapping[str, T], example: str) -> T:
    """Return what a name stands for; an object is returned as it is.

    Args:
        what: The option, in words.
        given: A name, or an object.
        known: Objects by name.
        example: An object that could be given, as code.

    Raises:
        AlgorithmError: The name is not known.
    """
    if not isinstance(given, str):
        return given
    if given not in known:
        raise AlgorithmError(
            f"{what} {given!r} is not known{did_you_mean(given, known) or ';'} choose "
            f"{', '.join(map(repr, known))}, or {example}"
        )
    return known[given]


def is_number(value: object) -> bool:
    """Return True for a real number that is not a boolean."""
    return isinstance(value, Real) and not isinstance(value, bool)


def user_path(
    path: object, error_type: type[EvotuneError] = StudyError, endings: tuple[str, ...] = ()
) -> Path:
    """Return a path that a user wrote, a leading ``~`` as the home folder.

    Args:
        path: What was given.
        error_type: What is raised.
        endings: Those that a file may have beside none at all; empty allows any.

    Raises:
        EvotuneError: Of that type: it is no path, nobody's home, or has another ending.
    """
    if not isinstance(path, str | os.PathLike) or not str(path).strip():
        raise error_type(f"a path to a file is needed, got {path!r}")
    try:
        found = Path(path).expanduser()
    except (RuntimeError, TypeError) as error:
        raise error_type(f"{str(path)!r} is no path to a file: {error}") from error
    if endings and found.suffix and found.suffix.lower() not in endings:
        raise error_type(
            f"a file that ends in {found.suffix!r} cannot be written, only "
            f"{' and '.join(endings)}; got {str(path)!r}"
        )
    return found


def write_whole(
    path: str | Path, content: str | bytes, error_type: type[EvotuneError] = StudyError
) -> Path:
    """Write a file atomically and create missing folders.

    Args:
        path: Path of the file.
        content: Its new content.
        error_type: Type of the error to raise.

    Returns:
        The path that was written.

    Raises:
        EvotuneError: The path cannot be written; an existing file is unchanged.
    """
    target = user_path(path, error_type)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if isinstance(content, str):
                part.write_text(content, encoding="utf-8")
            else:
                part.write_bytes(content)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise error_type(
            f"cannot write {str(target)!r}: {error.strerror or error}; "
            "give a path to a file in a folder that you may write to"
        ) from error
    return target
