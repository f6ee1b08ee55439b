"""Domains of one's own, written as CONTRIBUTING tells."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from evotune.checks import is_number
from evotune.space import Domain


@dataclass(frozen=True)
class Share(Domain):
    """A share between 0 and 1, both left out, searched on the logit scale."""

    low: float
    high: float
    when: Any = None

    kind: ClassVar[str] = "share"
    ordered: ClassVar[bool] = True

    def contains(self, value: Any) -> bool:
        return is_number(value) and self.low <= value <= self.high

    def to_unit(self, value: Any) -> float:
        begin, end = _logit(self.low), _logit(self.high)
        return min(max((_logit(value) - begin) / (end - begin), 0.0), 1.0)

    def from_unit(self, unit: float) -> float:
        begin, end = _logit(self.low), _logit(self.high)
        value = 1 / (1 + math.exp(-(begin + unit * (end - begin))))
        return min(max(value, self.low), self.high)


@dataclass(frozen=True)
class Power(Domain):
    """1, 2, 4, ... up to a power of two: finite, and ordered."""

    most: int
    when: Any = None

    kind: ClassVar[str] = "power"
    ordered: ClassVar[bool] = True

    @property
    def size(self) -> float:
        return self.most + 1

    def contains(self, value: Any) -> bool:
        return isinstance(value, int) and value in list(self.values())

    def values(self) -> Iterator[int]:
        yield from (2**k for k in range(self.most + 1))

    def to_unit(self, value: Any) -> float:
        return (math.log2(value) + 0.5) / self.size

    def from_unit(self, unit: float) -> int:
        return 2 ** min(int(unit * self.size), self.most)


def _logit(value: float) -> float:
    return math.log(value / (1 - value))
