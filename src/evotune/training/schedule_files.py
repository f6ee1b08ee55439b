"""Schedules as JSON that people can read and write."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from evotune.checks import did_you_mean
from evotune.errors import ScheduleError

#: The key that tells a schedule, and the version of its format.
_FORMAT = "evotune_schedule"
_VERSION = 1


def described(segments: list[dict[str, Any]], **about: Any) -> dict[str, Any]:
    """Return the description of a schedule, under its format's version."""
    return {_FORMAT: _VERSION, **about, "segments": segments}


def check(data: object) -> None:
    """Check a description of a schedule, as far as its segments do not check themselves.

    Raises:
        ScheduleError: It is none, of another version, or a part is missing, unknown or of another
            form.
    """
    if not isinstance(data, Mapping) or _FORMAT not in data:
        raise ScheduleError(f'it is no schedule: it lacks the key "{_FORMAT}"')
    if data[_FORMAT] != _VERSION:
        raise ScheduleError(
            f"its version is {data[_FORMAT]!r}, this evotune reads {_VERSION}; update evotune"
        )
    _check_keys("a schedule", data, (_FORMAT, "study", "trial", "log", "segments"), ("segments",))
    for name in ("segments", "log"):
        if not isinstance(data.get(name, []), list):
            raise ScheduleError(f"{name} must be a list, got {data[name]!r}")
    for position, segment in enumerate(data["segments"]):
        what = f"segment {position}"
        if not isinstance(segment, Mapping):
            raise ScheduleError(
                f'{what} must be such as {{"epochs": 4, "params": {{"lr": 0.1}}}}, got {segment!r}'
            )
        _check_keys(what, segment, ("epochs", "params", "metrics"), ("epochs", "params"))


def _check_keys(
    what: str, data: Mapping[str, Any], known: Collection[str], needed: Collection[str]
) -> None:
    for name in data:
        if name not in known:
            raise ScheduleError(
                f"{what} has no {name!r}, only {', '.join(known)}{did_you_mean(name, known)}"
            )
    for name in needed:
        if name not in data:
            raise ScheduleError(f"{what} needs {name!r}")


def to_text(data: Mapping[str, Any]) -> str:
    """Return a description as JSON with one segment a line.

    Raises:
        ScheduleError: A value is not JSON-able.
    """
    try:
        rows = [f"    {json.dumps(part, allow_nan=False)}" for part in data["segments"]]
        lines = [
            f"  {json.dumps(name)}: {json.dumps(value)}"
            for name, value in data.items()
            if name != "segments"
        ]
    except (TypeError, ValueError) as error:
        raise ScheduleError(
            f"the schedule cannot be written as JSON ({error}); its values must be finite "
            "numbers, texts, booleans, None, and lists and dicts of these"
        ) from error
    lines.append('  "segments": [\n' + ",\n".join(rows) + "\n  ]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read(path: str | Path) -> Any:
    """Return the JSON in a file.

    Raises:
        ScheduleError: There is no such file, or it holds no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError as error:  # no UTF-8, or no JSON
        reason = f"it is no JSON: {error}"
    raise ScheduleError(f"cannot read the schedule {str(path)!r}: {reason}")
