"""Conversion of values and settings, numpy's and others', to plain Python; the rest is refused."""

import math
from decimal import Decimal
from enum import Enum
from numbers import Integral, Real
from typing import Any

import numpy as np

from evotune.errors import SpaceError

Scalar = str | int | float | bool | None


def plain(what: str, value: Any) -> Scalar:
    """Return a value as the plain Python type in which JSON returns it.

    Numpy's scalars become the numbers that they print; members of a ``StrEnum`` or an ``IntEnum``
    become the string or number that they equal, those of any other ``Enum`` their name.

    Args:
        what: Name of the value in the error message.
        value: What a user gave.

    Raises:
        SpaceError: The value has no such type, or is not finite.
    """
    found: Scalar
    if isinstance(value, np.floating):
        found = float(str(value))  # float32(0.1) is meant as 0.1, not as 0.10000000149
    elif isinstance(value, np.bool_ | np.integer):
        found = value.item()
    elif value is None or isinstance(value, bool):
        found = value
    elif isinstance(value, str):
        found = str.__str__(value)
    elif isinstance(value, int | float):
        found = int(value) if isinstance(value, int) else float(value)
    elif isinstance(value, Enum) and value.name:
        found = value.name
    else:
        raise SpaceError(
            f"{what} must be strings, numbers, True, False or None, to be stored; got "
            f"{type(value).__name__}: {value!r}. Give it a name and look the object up by that "
            "name in your function"
        )
    if isinstance(found, float) and not math.isfinite(found):
        raise SpaceError(f"{what} must be finite, got {value!r}")
    return found


def real(value: Any) -> float | None:
    """Return any real number as a finite float; None for anything else or beyond floats."""
    if isinstance(value, np.floating):
        value = float(str(value))
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):  # 10**400; a Decimal that signals
        return None
    return number if math.isfinite(number) else None


def number(what: str, value: Any) -> float:
    """Return a setting as a float.

    Raises:
        SpaceError: The value is not a real number, not finite, or beyond ±1.8e308.
    """
    found = real(value)
    if found is None:
        beyond = isinstance(value, Real | Decimal) and not isinstance(
            value, bool | float | np.floating
        )
        raise SpaceError(
            f"{what} must be a finite number, got {_shown(value)}"
            f"{'; floats end at ±1.8e308' if beyond else ''}"
        )
    return found


def whole(what: str, value: Any) -> int:
    """Return a setting as a whole number, exact however large it is.

    Raises:
        SpaceError: The value is not a whole number, or is beyond ±1.8e308.
    """
    number(what, value)
    found = int(value)
    if not isinstance(value, Integral) and found != value:
        raise SpaceError(f"{what} must be a whole number, got {value!r}")
    return found


def flag(what: str, value: Any) -> bool:
    """Return a setting that is True or False.

    Raises:
        SpaceError: The value is something else.
    """
    if not isinstance(value, bool | np.bool_):
        raise SpaceError(f"{what} must be True or False, got {value!r}")
    return bool(value)


def _shown(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > 1024:  # Python refuses to print some
        return f"a whole number of about {round(value.bit_length() * math.log10(2))} digits"
    return repr(value)
