"""Domains: the range of one gene.

Every domain maps its values onto the unit interval and back. Numbers and ordinals keep their
order there, in log scale where the domain says so; everything that varies genes works in that unit
interval and needs no case per domain.
"""

import math
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from evotune.errors import SpaceError
from evotune.space.conditions import normalise_when, when_to_json


def reflect(unit: float) -> float:
    """Fold a number back into [0, 1] as if the two ends were mirrors."""
    if 0.0 <= unit <= 1.0:
        return unit
    unit = abs(unit) % 2.0
    return 2.0 - unit if unit > 1.0 else unit


def reflect_all(units: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Fold many numbers back into [0, 1], as `reflect` does one."""
    folded = np.abs(units) % 2.0
    return np.where(folded > 1.0, 2.0 - folded, folded)


@dataclass(frozen=True, slots=True)
class _Scale:
    """A linear or logarithmic map between an interval and [0, 1]."""

    origin: float
    width: float
    log: bool

    @classmethod
    def over(cls, low: float, high: float, log: bool) -> "_Scale":
        if log:
            return cls(math.log(low), math.log(high) - math.log(low), True)
        return cls(float(low), float(high) - float(low), False)

    def to_unit(self, value: float) -> float:
        if self.width == 0.0:
            return 0.5
        return ((math.log(value) if self.log else value) - self.origin) / self.width

    def from_unit(self, unit: float) -> float:
        value = self.origin + unit * self.width
        return math.exp(value) if self.log else value


class Domain:
    """What all domains share; not used by itself.

    Attributes:
        kind: Name of the domain in JSON and TOML.
        ordered: True when near values are alike, so that variation may move instead of redraw.
        when: Conditions under which the gene is active; empty means always.
    """

    kind: ClassVar[str] = ""
    ordered: ClassVar[bool] = False
    when: Any = ()

    @property
    def size(self) -> float:
        """How many values it has, ``inf`` for a continuous one."""
        raise NotImplementedError

    def contains(self, value: Any) -> bool:
        """Tell whether a value lies in the domain."""
        raise NotImplementedError

    def to_unit(self, value: Any) -> float:
        """Map a value of the domain to [0, 1]."""
        raise NotImplementedError

    def from_unit(self, unit: float) -> Any:
        """Map [0, 1] to the domain; a uniform unit gives a fair sample."""
        raise NotImplementedError

    def canonical(self, value: Any) -> Any:
        """Return the value as a plain Python, JSON-able one."""
        return value

    def values(self) -> Iterator[Any]:
        """Yield all values of a finite domain, in order."""
        for k in range(int(self.size)):
            yield self.from_unit((k + 0.5) / self.size)

    def shift(self, value: Any, delta: float) -> Any:
        """Move an ordered value by ``delta`` in the unit interval, reflected at the bounds.

        A discrete value always moves, by one step at least.
        """
        moved = self.from_unit(reflect(self.to_unit(value) + delta))
        if moved != value or self.size <= 1 or self.size == math.inf:
            return moved
        return self.neighbour(value, 1 if delta >= 0 else -1)

    def neighbour(self, value: Any, direction: int) -> Any:
        """Move a discrete ordered value by one, the other way at a bound."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able description."""
        raise NotImplementedError


def _finite(kind: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise SpaceError(f"{kind}: {name} must be a finite number, got {value!r}")


def _check_bounds(kind: str, low: Any, high: Any, log: bool) -> None:
    _finite(kind, "low", low)
    _finite(kind, "high", high)
    if low > high:
        raise SpaceError(
            f"{kind}({low!r}, {high!r}): low lies above high; write {kind}({high!r}, {low!r})"
        )
    if log and low <= 0:
        raise SpaceError(
            f"{kind}({low!r}, {high!r}, log=True): a log range needs low > 0; "
            "raise low, or leave log=True out"
        )


@dataclass(frozen=True)
class Float(Domain):
    """A real number in [low, high].

    Args:
        low: Smallest value.
        high: Largest value.
        log: Search on a logarithmic scale; needs ``low > 0``.
        step: Only ``low, low + step, ...``; not together with ``log``.
        when: Conditions, e.g. ``{"optimizer": "sgd"}``.

    Raises:
        SpaceError: Bounds in the wrong order, not finite or too far apart, a log range that
            reaches zero, a step that is not positive.
    """

    low: float
    high: float
    _: KW_ONLY
    log: bool = False
    step: float | None = None
    when: Any = None
    _scale: _Scale = field(init=False, repr=False, compare=False)
    _count: float = field(init=False, repr=False, compare=False)

    kind: ClassVar[str] = "float"
    ordered: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_bounds("Float", self.low, self.high, self.log)
        _finite("Float", "high - low", self.high - self.low)
        count = math.inf if self.high > self.low else 1.0
        if self.step is not None:
            _finite("Float", "step", self.step)
            if self.step <= 0 or self.log:
                raise SpaceError(
                    f"Float: step must be positive and not combined with log, "
                    f"got step={self.step!r}, log={self.log!r}"
                )
            count = math.floor((self.high - self.low) / self.step + 1e-9) + 1.0
        _set(self, low=float(self.low), high=float(self.high), when=normalise_when(self.when))
        _set(self, _scale=_Scale.over(self.low, self.high, self.log), _count=count)

    @property
    def size(self) -> float:
        return self._count

    def contains(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, Real):
            return False
        number = float(value)
        if not self.low <= number <= self.high:
            return False
        if self.step is None:
            return True
        steps = (number - self.low) / self.step
        return abs(steps - round(steps)) < 1e-6

    def to_unit(self, value: Any) -> float:
        if self.step is not None:
            return (round((float(value) - self.low) / self.step) + 0.5) / self._count
        return self._scale.to_unit(value)

    def from_unit(self, unit: float) -> float:
        if self.step is not None:
            return self._at(min(int(unit * self._count), int(self._count) - 1))
        # Rounding must not leave the bounds.
        return min(max(self._scale.from_unit(unit), self.low), self.high)

    def _at(self, index: int) -> float:
        value = float(f"{self.low + index * (self.step or 0.0):.12g}")  # not 0.30000000000000004
        return min(max(value, self.low), self.high)

    def canonical(self, value: Any) -> float:
        return float(value)

    def neighbour(self, value: Any, direction: int) -> float:
        index = round((value - self.low) / (self.step or 1.0))
        return self._at(move_index(index, direction, int(self._count)))

    def to_json(self) -> dict[str, Any]:
        data = {"type": self.kind, "low": self.low, "high": self.high, "log": self.log}
        return data | {"step": self.step} | when_to_json(self.when)


@dataclass(frozen=True)
class Int(Domain):
    """A whole number in [low, high], both included.

    Args:
        low: Smallest value.
        high: Largest value.
        log: Search on a logarithmic scale; needs ``low > 0``.
        when: Conditions.

    Raises:
        SpaceError: Bounds in the wrong order or not whole, a log range that reaches zero.
    """

    low: int
    high: int
    _: KW_ONLY
    log: bool = False
    when: Any = None
    _scale: _Scale = field(init=False, repr=False, compare=False)

    kind: ClassVar[str] = "int"
    ordered: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_bounds("Int", self.low, self.high, self.log)
        if int(self.low) != self.low or int(self.high) != self.high:
            raise SpaceError(
                f"Int: bounds must be whole numbers, got {self.low!r} and {self.high!r}"
            )
        _set(self, low=int(self.low), high=int(self.high), when=normalise_when(self.when))
        # Half a unit beyond each bound, so that rounding gives the ends their full share.
        _set(self, _scale=_Scale.over(self.low - 0.5, self.high + 0.5, self.log))

    @property
    def size(self) -> float:
        return self.high - self.low + 1

    def contains(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, Integral):
            return False
        return self.low <= int(value) <= self.high

    def to_unit(self, value: Any) -> float:
        return self._scale.to_unit(value)

    def from_unit(self, unit: float) -> int:
        return min(max(math.floor(self._scale.from_unit(unit) + 0.5), self.low), self.high)

    def canonical(self, value: Any) -> int:
        return int(value)

    def values(self) -> Iterator[int]:
        yield from range(self.low, self.high + 1)

    def neighbour(self, value: Any, direction: int) -> int:
        return self.low + move_index(value - self.low, direction, int(self.size))

    def to_json(self) -> dict[str, Any]:
        data = {"type": self.kind, "low": self.low, "high": self.high, "log": self.log}
        return data | when_to_json(self.when)


def move_index(index: int, direction: int, size: int) -> int:
    """Move an index by one, the other way at an end."""
    moved = index + direction
    if 0 <= moved < size:
        return moved
    return min(max(index - direction, 0), size - 1)


def _set(target: object, **fields: Any) -> None:
    for name, value in fields.items():
        object.__setattr__(target, name, value)  # frozen to users, filled here once
