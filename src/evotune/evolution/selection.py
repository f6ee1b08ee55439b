"""Selection of parents: positions in a population that is ordered best first.

A selection is a callable ``(values, count, rng, generation) -> positions`` with ``values`` the
minimised values best first, shape ``(population,)``, and the result of shape ``(count,)``. Options
out of bounds raise AlgorithmError.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evotune import finite
from evotune.checks import check_in, check_whole
from evotune.names import own_names

__dir__ = own_names(__name__)

Array = npt.NDArray[np.float64]
Positions = npt.NDArray[np.intp]
Selection = Callable[[Array, int, np.random.Generator, int], Positions]


def draw(weights: Array, count: int, rng: np.random.Generator) -> Positions:
    """Draw positions with probability proportional to their weights, with replacement."""
    total = np.cumsum(weights)
    draws = rng.random(count) * total[-1]
    return _within(np.searchsorted(total, draws, side="right"), weights)


def _within(positions: Positions, values: Array) -> Positions:
    """Clip the one position that rounding may push past the end."""
    return np.minimum(positions, len(values) - 1, dtype=np.intp)


@dataclass(frozen=True, slots=True)
class Truncation:
    """Uniformly from the best ``share`` of the population.

    0.5 is the "top half" of "Evolving Hyperparameters" (2024), section 4.3.

    Args:
        share: In (0, 1].
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        check_in("Truncation", "share", self.share, "(0, 1]")

    def __call__(
        self, values: Array, count: int, rng: np.random.Generator, generation: int
    ) -> Positions:
        kept = max(1, int(len(values) * self.share + 0.5))
        return rng.integers(kept, size=count)


@dataclass(frozen=True, slots=True)
class Tournament:
    """The best of ``size`` members drawn at random.

    Args:
        size: Members in a tournament; 1 selects at random.
    """

    size: int = 2

    def __post_init__(self) -> None:
        check_whole("Tournament", "size", self.size, 1)

    def __call__(
        self, values: Array, count: int, rng: np.random.Generator, generation: int
    ) -> Positions:
        drawn: Positions = rng.integers(len(values), size=(count, self.size))
        best: Positions = drawn.min(axis=1)
        return best


@dataclass(frozen=True, slots=True)
class Rank:
    """Linear ranking (Baker, 1985).

    Args:
        pressure: Expected share of the best, relative to the average; in [1, 2].
    """

    pressure: float = 1.7

    def __post_init__(self) -> None:
        check_in("Rank", "pressure", self.pressure, "[1, 2]")

    def __call__(
        self, values: Array, count: int, rng: np.random.Generator, generation: int
    ) -> Positions:
        return draw(np.linspace(self.pressure, 2 - self.pressure, len(values)), count, rng)


def _roulette_weights(values: Array) -> Array:
    """Return fitness above the worst, with a floor so that the worst keeps a chance too."""
    values = values / finite.unit(values)
    fitness: Array = values.max() - values
    average = float(fitness.mean())
    return fitness + (0.1 * average if average > 0 else 1.0)


@dataclass(frozen=True, slots=True)
class Roulette:
    """With probability proportional to fitness: how far a member lies above the worst."""

    def __call__(
        self, values: Array, count: int, rng: np.random.Generator, generation: int
    ) -> Positions:
        return draw(_roulette_weights(values), count, rng)


@dataclass(frozen=True, slots=True)
class StochasticUniversal:
    """Stochastic universal sampling (Baker, 1987): roulette with equally spaced pointers.

    Every member is chosen its expected number of times, up to rounding, in each call; the
    algorithm draws all parents of a generation in one call.
    """

    def __call__(
        self, values: Array, count: int, rng: np.random.Generator, generation: int
    ) -> Positions:
        wheel = np.cumsum(_roulette_weights(values))
        pointers = (rng.random() + np.arange(count)) * (wheel[-1] / count)
        return rng.permutation(_within(np.searchsorted(wheel, pointers, side="right"), values))


@dataclass(frozen=True, slots=True)
class Boltzmann:
    """p_i = exp(β·f_i) / Σ_j exp(β·f_j), with f the negated minimised value.

    Wasudeorao and Prasad (2024), section 3.

    Args:
        beta: Pressure β, in units of one over the objective.
        growth: Factor on β with each generation.
    """

    beta: float = 1.0
    growth: float = 1.0

    def __post_init__(self) -> None:
        check_in("Boltzmann", "beta", self.beta, "[0, inf)")
        check_in("Boltzmann", "growth", self.growth, "(0, inf)")

    def __call__(
        self, values: Array, count: int, rng: np.random.Generator, generation: int
    ) -> Positions:
        # A growth beyond e^500 would overflow; long before, only the best is drawn.
        beta = self.beta * math.exp(min(math.log(self.growth) * generation, 500.0))
        with np.errstate(over="ignore"):  # exp(-inf) is right for what is so far behind
            gaps = np.minimum(values - values.min(), finite.LARGEST)
            weights = np.exp(-finite.limited(beta) * gaps)
        return draw(weights, count, rng)


@dataclass(frozen=True, slots=True)
class RelativeExponential:
    """fitness = exp(−σ²·(fom − min) / (max − min)), drawn in proportion to it.

    Vose et al. (2019), figure 3, can be read as σ or σ²; the whole factor is the parameter here.

    Args:
        strength: σ²; the best is exp(strength) times likelier than the worst.
    """

    strength: float = 4.0

    def __post_init__(self) -> None:
        check_in("RelativeExponential", "strength", self.strength, "[0, inf)")

    def __call__(
        self, values: Array, count: int, rng: np.random.Generator, generation: int
    ) -> Positions:
        values = values / finite.unit(values)
        spread = values.max() - values.min()
        relative = (values - values.min()) / spread if spread > 0 else np.zeros(len(values))
        return draw(np.exp(-self.strength * relative), count, rng)
