"""How a mutation rate changes from generation to generation."""

import math
from dataclasses import dataclass
from typing import Protocol

from evotune.checks import check_in
from evotune.errors import AlgorithmError
from evotune.names import own_names

__dir__ = own_names(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """What a rate schedule may read after a generation.

    Attributes:
        generation: The generation that begins now, from 0.
        success: Share of the last generation's children that beat all their parents.
        diversity: Mean spread of the genes in the population, 1 for a uniform one.
    """

    generation: int
    success: float = 0.0
    diversity: float = 1.0


class RateSchedule(Protocol):
    """A rule for a rate; it keeps no state of its own."""

    @property
    def initial(self) -> float:
        """Rate of the first generation."""

    def next(self, rate: float, progress: Progress) -> float:
        """Return the rate of the generation that begins, given that of the last."""


@dataclass(frozen=True, slots=True)
class Constant:
    """The same rate always.

    Args:
        initial: The rate.
    """

    initial: float

    def next(self, rate: float, progress: Progress) -> float:
        return self.initial


@dataclass(frozen=True, slots=True)
class Decay:
    """μ(t) = μ₀·exp(−λt) with t the generation (Wasudeorao and Prasad, 2024, section 3).

    Args:
        initial: μ₀.
        decay: λ, per generation.
    """

    initial: float = 0.05
    decay: float = 0.05

    def __post_init__(self) -> None:
        check_in("Decay", "initial", self.initial, "[0, 1]")
        check_in("Decay", "decay", self.decay, "[0, inf)")

    def next(self, rate: float, progress: Progress) -> float:
        return self.initial * math.exp(-self.decay * progress.generation)


@dataclass(frozen=True, slots=True)
class Adaptive:
    """The success rule (Rechenberg, 1973), and more mutation when diversity collapses.

    Args:
        initial: First rate.
        low: Smallest rate.
        high: Largest rate.
        target: Share of successful children above which the rate grows.
        factor: Growth after a successful generation; otherwise the rate shrinks by the factor's
            fourth root, which keeps it steady at a success of one in five.
        collapse: Diversity below which the rate grows regardless of success.
    """

    initial: float = 0.1
    low: float = 0.01
    high: float = 0.5
    target: float = 0.2
    factor: float = 1.5
    collapse: float = 0.1

    def __post_init__(self) -> None:
        if not (0 < self.low <= self.initial <= self.high <= 1 and self.factor > 1):
            raise AlgorithmError(
                "Adaptive: needs 0 < low <= initial <= high <= 1 and factor > 1; got "
                f"low={self.low!r}, initial={self.initial!r}, high={self.high!r}, "
                f"factor={self.factor!r}"
            )

    def next(self, rate: float, progress: Progress) -> float:
        grows = progress.success > self.target or progress.diversity < self.collapse
        rate = rate * self.factor if grows else rate / self.factor**0.25
        return min(max(rate, self.low), self.high)
