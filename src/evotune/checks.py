"""Checks of what users write, shared by many parts."""

import difflib
from collections.abc import Iterable
from numbers import Integral, Real

from evotune.errors import AlgorithmError


def check_whole(owner: str, name: str, value: object, least: int) -> None:
    """Check an option of an algorithm or operator that counts something.

    Args:
        owner: Class whose option it is.
        name: Name of the option.
        value: What was given.
        least: Smallest value allowed.

    Raises:
        AlgorithmError: It is no whole number, or too small.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise AlgorithmError(
            f"{owner}: {name} must be a whole number from {least} up, got {value!r}"
        )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'lr'?"``, or nothing when no known name is near."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), by_lower, 1, cutoff=0.5)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""


def check_operator(owner: str, name: str, operator: object, example: str) -> None:
    """Check an option that must be a callable object, not its name nor its class.

    Raises:
        AlgorithmError: It is something else.
    """
    if not callable(operator) or isinstance(operator, type):
        raise AlgorithmError(f"{owner}: {name} must be such as {example}, got {operator!r}")


def is_number(value: object) -> bool:
    """Return True for a real number that is no truth value."""
    return isinstance(value, Real) and not isinstance(value, bool)
