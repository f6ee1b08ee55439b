"""Real numbers, continuous or in steps."""

import math
from dataclasses import KW_ONLY, dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

from evotune.errors import SpaceError
from evotune.space.domains.base import Domain, check_bounds, fill, lattice_of
from evotune.space.domains.lattice import Lattice
from evotune.space.domains.scale import Scale
from evotune.space.plain import flag, number, real

#: A step must span at least this many floats, or its values could not be told apart.
FLOATS_A_STEP = 16


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
            reaches zero, a step that is not positive, wider than the range, or too fine for the
            digits of a float.
    """

    low: float
    high: float
    _: KW_ONLY
    log: bool = False
    step: float | None = None
    when: Any = None
    _scale: Scale = field(init=False, repr=False, compare=False)
    _lattice: Lattice | None = field(init=False, repr=False, compare=False)

    kind: ClassVar[str] = "float"
    ordered: ClassVar[bool] = True
    even: ClassVar[bool] = True

    def __post_init__(self) -> None:
        low, high = number("Float: low", self.low), number("Float: high", self.high)
        step = None if self.step is None else number("Float: step", self.step)
        log = flag("Float: log", self.log)
        check_bounds("Float", low, high, log=log, step=step)
        fill(self, low=low, high=high, log=log, step=step)
        super().__post_init__()
        lattice = None if step is None else lattice_of(self, _count(low, high, step))
        fill(self, _scale=Scale.over(low, high, log), _lattice=lattice)

    @property
    def size(self) -> float:
        if self._lattice is not None:
            return self._lattice.count
        return math.inf if self.high > self.low else 1

    def contains(self, value: Any) -> bool:
        found = value if type(value) is float else real(value)
        if found is None or not self.low <= found <= self.high:
            return False
        if self.step is None:
            return True
        steps = (found - self.low) / self.step
        return abs(steps - round(steps)) < 1e-6 + _digits(self.low, self.high, self.step)

    def canonical(self, value: Any) -> float:
        found = number("Float: values", value)
        return found if self.step is None else self._at(self._place(found))

    def key(self, value: Any) -> Any:
        return value if self.step is None else self._place(value)

    @property
    def keyed(self) -> bool:
        return self.step is not None

    def to_unit(self, value: Any) -> float:
        if self._lattice is not None:
            return self._lattice.to_unit(self._place(value))
        return self._scale.to_unit(value)

    def from_unit(self, unit: float) -> float:
        if self._lattice is not None:
            return self._at(self._lattice.from_unit(unit))
        # Rounding must not leave the bounds.
        return min(max(self._scale.from_unit(unit), self.low), self.high)

    def ends(self) -> tuple[float, float]:
        return self.low, self.high

    def neighbour(self, value: Any, direction: int) -> float:
        lattice = self._lattice or Lattice(1)
        return self._at(lattice.next(self._place(value), direction))

    def _place(self, value: Any) -> int:
        return round((float(value) - self.low) / (self.step or 1.0))

    def _at(self, place: int) -> float:
        step = self.step or 0.0
        value = self.low + place * step
        short = float(f"{value:.12g}")  # not 0.30000000000000004
        if abs(short - value) > 1e-9 * step:  # more digits are needed to tell the values apart
            short = float(Fraction(repr(self.low)) + place * Fraction(repr(step)))
        return min(max(short, self.low), self.high)


def _count(low: float, high: float, step: float) -> int:
    if low == high:
        return 1
    digits = _digits(low, high, step)
    if digits > 2 / FLOATS_A_STEP:
        digit = math.ulp(max(abs(low), abs(high)))
        raise SpaceError(
            f"Float({low!r}, {high!r}, step={step!r}): floats of this size lie {digit:.2g} apart, "
            f"too far for such a step. Give a step of {FLOATS_A_STEP * digit:.2g} or more, leave "
            "it out, or search the distance from low and add low in your function"
        )
    # Rounding of the bounds must not lose the last value.
    steps = (Fraction(repr(high)) - Fraction(repr(low))) / Fraction(repr(step))
    return math.floor(steps + Fraction(1e-9 + digits)) + 1


def _digits(low: float, high: float, step: float) -> float:
    """Return the largest rounding error of a distance, as a share of a step."""
    return 2 * math.ulp(max(abs(low), abs(high))) / step
