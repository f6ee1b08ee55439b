"""Checks of what users write, shared by many parts."""

import difflib
import math
import os
from collections.abc import Iterable
from numbers import Integral, Real
from pathlib import Path

from evotune.errors import AlgorithmError, EvotuneError, StudyError


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
    low, high = map(float, interval[1:-1].split(","))
    number = float(value) if isinstance(value, Real) and is_number(value) else math.nan
    above = low <= number if interval[0] == "[" else low < number
    below = number <= high if interval[-1] == "]" else number < high
    if not (above and below):
        words = f"must lie in {interval}"
        if high == math.inf:
            words = (
                f"must be a number {f'from {low:g} up' if interval[0] == '[' else f'above {low:g}'}"
            )
        raise AlgorithmError(f"{owner}: {name} {words}, got {value!r}")


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


def is_number(value: object) -> bool:
    """Return True for a real number that is not a boolean."""
    return isinstance(value, Real) and not isinstance(value, bool)


def write_whole(path: str | Path, text: str, error_type: type[EvotuneError] = StudyError) -> Path:
    """Write a text file atomically and create missing folders.

    Args:
        path: Path of the file.
        text: Its new content.
        error_type: Type of the error to raise.

    Returns:
        The path that was written.

    Raises:
        EvotuneError: The path cannot be written; an existing file is unchanged.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise error_type(
            f"cannot write {str(target)!r}: {error.strerror or error}; "
            "give a path to a file in a folder that you may write to"
        ) from error
    return target
