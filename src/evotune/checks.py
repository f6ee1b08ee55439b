"""A check of arguments that many parts share."""

from numbers import Integral

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
