"""A linear or logarithmic map between an interval and [0, 1]."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear or logarithmic map between an interval and [0, 1].

    Args:
        origin: Start of the interval, or its logarithm.
        width: Length of the interval, or of its logarithm.
        log: True for a logarithmic map.
    """

    origin: float
    width: float
    log: bool

    @classmethod
    def over(cls, low: float, high: float, log: bool) -> "Scale":
        """Return the map for an interval."""
        if log:
            return cls(math.log(low), math.log(high) - math.log(low), True)
        return cls(float(low), float(high) - float(low), False)

    def to_unit(self, value: float) -> float:
        """Map the interval to [0, 1]."""
        if self.width == 0.0:
            return 0.5
        return ((math.log(value) if self.log else value) - self.origin) / self.width

    def from_unit(self, unit: float) -> float:
        """Map [0, 1] to the interval, within rounding."""
        value = self.origin + unit * self.width
        return math.exp(value) if self.log else value
