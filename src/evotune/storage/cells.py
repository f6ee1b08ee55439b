"""Cells of the tables to values: each reader says what is wrong with a cell that it cannot read.

A reader raises ValueError, in words that go on after "column ...:".
"""

import json
import math
import reprlib
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, get_args

from evotune.trial import NOWHERE, PURPOSES, Checkpoint, Failure, Origin, State, frozen

#: Unix times, in seconds, that a calendar has: up to the year 9999.
LATEST = 253_402_200_000.0
_NUMBERS = frozenset({int, float})
_LARGEST = int(sys.float_info.max)
_STATES = frozenset(get_args(State))

Reader = Callable[[Any], Any]
Check = Callable[[Any], bool]


def text(cell: Any) -> str:
    """Read a text."""
    if type(cell) is not str:
        raise ValueError(f"is no text but {reprlib.repr(cell)}")
    if not cell.isascii() and any("\ud800" <= c <= "\udfff" for c in cell):
        raise ValueError(f"is no UTF-8: {reprlib.repr(cell)}")
    return cell


def state(cell: Any) -> str:
    """Read the state of a trial."""
    if cell not in _STATES:
        raise ValueError(f"is {reprlib.repr(cell)}, which is no state of a trial")
    return str(cell)


def whole(cell: Any) -> int:
    """Read a whole number from 0 up."""
    if not is_whole(cell):
        raise ValueError(f"is {reprlib.repr(cell)}, no whole number from 0 up")
    return int(cell)


def time(cell: Any) -> float:
    """Read a Unix time in seconds."""
    if type(cell) not in _NUMBERS or not 0 <= cell < LATEST:
        raise ValueError(f"is {reprlib.repr(cell)}, no time")
    return float(cell)


def digits(cell: Any) -> int:
    """Read a whole number from 0 up that is written as text."""
    if not text(cell).isascii() or not cell.isdigit():
        raise ValueError(f"is {reprlib.repr(cell)}, no whole number from 0 up")
    return int(cell)


#: What `json.loads` calls after looking for white space and encodings, which take half its time.
_decode = json.JSONDecoder().raw_decode


def json_of(cell: Any) -> Any:
    """Read any JSON."""
    given = text(cell)
    try:
        return _parsed(given)
    except ValueError as error:  # a number of too many digits is another one than bad JSON
        raise ValueError(f"is {reprlib.repr(given)}, no JSON: {error}") from None
    except RecursionError:
        raise ValueError("is JSON that is nested too deeply") from None


def _parsed(given: str) -> Any:
    try:
        value, end = _decode(given)
    except json.JSONDecodeError:
        end = -1
    return value if end == len(given) else json.loads(given)  # which takes white space, or errs


def mapping(cell: Any) -> Any:
    """Read a JSON object."""
    return _read(cell, "object", lambda value: isinstance(value, dict))


def amount(cell: Any) -> Any:
    """Read a finite number from 0 up."""
    return _read(cell, "finite number from 0 up", _is_amount)


def violation(cell: Any) -> Any:
    """Read a number from 0 up; infinity is one."""
    return _read(cell, "number from 0 up", lambda value: _is_float(value) and value >= 0)


def numbers(cell: Any) -> tuple[Any, ...]:
    """Read a list of numbers, infinity included."""
    return tuple(_read(cell, "list of numbers", _listed(_is_float)))


def named_numbers(cell: Any) -> Any:
    """Read an object of numbers."""
    return _read(cell, "object of numbers", _is_named_numbers)


def reports(cell: Any) -> tuple[Any, ...]:
    """Read a list of objects of numbers, each with a step."""
    is_report = _listed(lambda value: _is_named_numbers(value) and "step" in value)
    return tuple(_read(cell, 'list of objects of numbers with "step"', is_report))


def trial_numbers(cell: Any) -> tuple[int, ...]:
    """Read a list of numbers of trials."""
    return tuple(_read(cell, "list of numbers of trials", _listed(is_whole)))


def inherit(cell: Any) -> Any:
    """Read how weights are taken over."""
    return _fields(mapping(cell), _INHERIT)


def failure(cell: Any) -> Failure:
    """Read why a trial has no result."""
    return Failure(**_fields(mapping(cell), _FAILURE, "kind", "message"))


def checkpoint(cell: Any) -> Checkpoint:
    """Read the record of weights."""
    return Checkpoint(**_fields(mapping(cell), _CHECKPOINT, "epochs", "size"))


@lru_cache(1024)  # a whole generation has the same
def origin(cell: Any) -> Origin:
    """Read where a proposal comes from."""
    data = _fields(mapping(cell), _ORIGIN)
    for name in ("islands", "mutated"):
        if data.get(name) is not None:
            data[name] = tuple(data[name])
    return Origin(**data) if data else NOWHERE


def _read(cell: Any, what: str, is_right: Check) -> Any:
    value = json_of(cell)
    if not is_right(value):
        raise ValueError(f"is {reprlib.repr(cell)}, no {what}")
    try:
        return frozen(value)
    except RecursionError:
        raise ValueError("is JSON that is nested too deeply") from None


def _fields(data: dict[str, Any], checks: dict[str, Check], *needed: str) -> dict[str, Any]:
    for name in needed:
        if name not in data:
            raise ValueError(f"has no {name!r}")
    for name, value in data.items():
        if name not in checks:
            raise ValueError(f"has {name!r}, which is unknown")
        if not checks[name](value):
            raise ValueError(f"has {name!r}: {reprlib.repr(value)}, which it cannot be")
    return dict(data)


def is_whole(value: Any) -> bool:
    """Tell whether a value is a whole number from 0 up."""
    return type(value) is int and value >= 0


def _is_amount(value: Any) -> bool:
    return _is_float(value) and 0 <= value < math.inf


def _is_float(value: Any) -> bool:
    """Tell whether a value is a number that a float can hold, and not NaN."""
    if type(value) is float:
        return value == value  # not NaN
    return type(value) is int and abs(value) <= _LARGEST


def _is_number(value: Any) -> bool:
    return type(value) is float or _is_float(value)


def _is_named_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_file_name(value: Any) -> bool:
    return isinstance(value, str) and not set(value) & set("/\\\0") and value not in (".", "..")


def _listed(is_right: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(is_right, value))


def _or_none(is_right: Check) -> Check:
    return lambda value: value is None or is_right(value)


_FAILURE: dict[str, Check] = {
    "kind": _is_text,
    "message": _is_text,
    "traceback": _is_text,
    "fatal": _is_flag,
    "donor": _or_none(is_whole),
}
_CHECKPOINT: dict[str, Check] = {
    "epochs": _is_amount,
    "size": is_whole,
    "file": _is_file_name,
    "digest": _is_text,
    "deleted": _is_flag,
    "external": _is_flag,
    "purpose": lambda value: value in PURPOSES,
}
_INHERIT: dict[str, Check] = {
    "shrink": _is_float,
    "perturb": _is_float,
    "networks": _listed(_or_none(is_whole)),
    "kin": _listed(_or_none(is_whole)),
}
_ORIGIN: dict[str, Check] = {
    "generation": _or_none(is_whole),
    "member": _or_none(is_whole),
    "islands": _listed(is_whole),
    "rung": _or_none(_is_float),
    "promotes": _or_none(is_whole),
    "replaces": _or_none(is_whole),
    "mutated": _or_none(_listed(_is_text)),
    "arm": _or_none(_is_text),
}
