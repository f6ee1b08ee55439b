"""Whole numbers."""

import math
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from numbers import Integral
from typing import Any, ClassVar

import numpy as np

from evotune.space.domains.base import Array, Domain, Mix, check_bounds, fill, lattice_of
from evotune.space.domains.lattice import FINE, Lattice, below, made_up, share_of
from evotune.space.domains.scale import Scale
from evotune.space.folding import reflect
from evotune.space.plain import flag, whole

#: Below this, whole numbers are rounded from floats, which is exact; above, they are counted.
FAR = 2**40


@dataclass(frozen=True)
class Int(Domain):
    """A whole number in [low, high], both included. It is exact, however large it is.

    Args:
        low: Smallest value.
        high: Largest value.
        log: Search on a logarithmic scale; needs ``low > 0``.
        step: Only ``low, low + step, ...``; not together with ``log``.
        when: Conditions.

    Raises:
        SpaceError: Bounds in the wrong order, not whole or beyond floats, a log range that
            reaches zero, a step that is not positive or wider than the range.
    """

    low: int
    high: int
    _: KW_ONLY
    log: bool = False
    step: int = 1
    when: Any = None
    _lattice: Lattice = field(init=False, repr=False, compare=False)
    _scale: Scale | None = field(init=False, repr=False, compare=False)
    _fine: bool = field(init=False, repr=False, compare=False)

    kind: ClassVar[str] = "int"
    ordered: ClassVar[bool] = True

    def __post_init__(self) -> None:
        low, high = whole("Int: low", self.low), whole("Int: high", self.high)
        step, log = whole("Int: step", self.step), flag("Int: log", self.log)
        check_bounds("Int", low, high, log=log, step=None if step == 1 else step)
        fill(self, low=low, high=high, log=log, step=step)
        super().__post_init__()
        count = (high - low) // step + 1
        rounded = step == 1 and max(abs(low), abs(high)) < FAR
        if log and not rounded and high - low < low >> 20:
            log = False  # linear is the same so far from zero, and logs have too few digits
        # Half a unit beyond each bound, so that rounding gives the ends their full share.
        scale = Scale.over(low - 0.5, high + 0.5, log) if rounded or log else None
        fine = not rounded if log else count > FINE
        fill(self, _lattice=lattice_of(self, count), _scale=scale, _fine=fine)

    @property
    def size(self) -> float:
        return self._lattice.count

    @property
    def even(self) -> bool:  # type: ignore[override]
        return self._scale is None or not self._scale.log

    def contains(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, Integral):
            return False
        return self.low <= int(value) <= self.high and (int(value) - self.low) % self.step == 0

    def canonical(self, value: Any) -> int:
        return int(value)

    def to_unit(self, value: Any) -> float:
        if self._scale is not None:
            return self._scale.to_unit(value)
        return self._lattice.to_unit(self._place(value))

    def from_unit(self, unit: float) -> int:
        if self._scale is None:
            return self.low + self.step * self._lattice.from_unit(unit)
        if not self._fine:
            return min(max(math.floor(self._scale.from_unit(unit) + 0.5), self.low), self.high)
        first, count = self._cell(unit)
        return min(first + made_up(unit, count), self.high)

    def values(self) -> Iterator[int]:
        yield from range(self.low, self.high + 1, self.step)

    def ends(self) -> tuple[int, int]:
        return self.low, self.high

    def draw(self, rng: np.random.Generator) -> int:
        if not self._fine:
            return self.from_unit(float(rng.random()))
        if self._scale is None:
            return self.low + self.step * self._lattice.draw(rng)
        first, count = self._cell(float(rng.random()))
        return min(first + below(count, rng), self.high)

    def move(self, value: Any, delta: float) -> int:
        if not self._fine:
            return self.from_unit(reflect(self.to_unit(value) + delta))
        if self._scale is None:
            return self.low + self.step * self._lattice.move(self._place(value), delta)
        unit = self._scale.to_unit(value) + delta
        if not 0.0 <= unit <= 1.0:
            return self.from_unit(reflect(unit))
        moved: int = self.clip(value + share_of(math.expm1(delta * self._scale.width), value))
        return moved

    def neighbour(self, value: Any, direction: int) -> int:
        return self.low + self.step * self._lattice.next(self._place(value), direction)

    def grow(self, value: Any, share: float) -> int:
        if max(abs(self.low), abs(self.high)) < FAR:
            grown: int = super().grow(value, share)
            return grown
        target = self.clip(value + share_of(share, abs(value) or self.high - self.low))
        moved = self.low + self.step * min(self._place(target), self._lattice.count - 1)
        return self.neighbour(value, 1 if share > 0 else -1) if moved == value else moved

    def cross(self, a: Any, b: Any, draw: float, mix: Mix) -> Any:
        near = self._fine and (self._scale is None or abs(b - a) < min(a, b) >> 20)
        if not near or a == b:
            return super().cross(a, b, draw, mix)
        place = self._lattice.between(self._place(a), self._place(b), mix(0.0, 1.0, draw))
        return self.low + self.step * place

    def to_json(self) -> dict[str, Any]:
        data = super().to_json()
        if self.step == 1:  # as in descriptions older than the option
            del data["step"]
        return data

    def snap(self, units: Array, directions: Array | None = None) -> Array:
        if self.even or self._scale is None:
            return super().snap(units, directions)
        found = np.clip(
            np.floor(np.exp(self._scale.origin + units * self._scale.width) + 0.5),
            self.low,
            self.high,
        )
        if directions is not None:
            moved = found + directions
            outside = (moved < self.low) | (moved > self.high)
            found = np.where(outside, found - directions, moved)
        return np.asarray((np.log(found) - self._scale.origin) / self._scale.width)

    def _place(self, value: Any) -> int:
        """Return the place of a value; of any number in between, the nearest."""
        nearest: int = round(value)
        return (nearest - self.low + self.step // 2) // self.step

    def _cell(self, unit: float) -> tuple[int, int]:
        """Return the first whole number at a point of a wide log scale, and how many lie there."""
        scale = self._scale or Scale(0.0, 0.0, True)
        place = min(scale.origin + unit * scale.width, _LARGEST)
        first = math.floor(math.exp(place) + 0.5)
        end = math.floor(math.exp(min(math.nextafter(place, math.inf), _LARGEST)) + 0.5)
        return min(max(first, self.low), self.high), max(end - first, 1)


_LARGEST = math.log(1.7e308)
