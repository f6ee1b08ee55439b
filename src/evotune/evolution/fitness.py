"""Fitness: by what members of a population are compared, along the line of their weights.

A fitness is a callable ``(values, epochs) -> fitness`` with ``values`` what the line has measured
at its last selections, minimised, oldest first, shape ``(looks, objectives)``, and ``epochs`` how
long it had been trained at each, shape ``(looks,)``. The result is minimised too, shape
``(objectives,)`` or ``(1,)``. It decides who lives on and who becomes a parent; the best trial of a
study is always the one with the best values.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evotune.checks import by_name, check_in, check_whole
from evotune.errors import AlgorithmError
from evotune.names import own_names

__dir__ = own_names(__name__)

Array = npt.NDArray[np.float64]
Fitness = Callable[[Array, Array], Array]

#: The last selections of a line that a fitness is told of.
LOOKS = 16


@dataclass(frozen=True, slots=True)
class Last:
    """The last values, as they are."""

    def __call__(self, values: Array, epochs: Array) -> Array:
        return np.asarray(values[-1])


@dataclass(frozen=True, slots=True)
class Smoothed:
    """An exponential moving average of the values along the line.

    One lucky measurement, or one step that only pays at once, counts for less. Of several
    objectives each is averaged; whether a member is feasible is decided by its last values.

    Args:
        share: Of each new value in the average, in (0, 1]; 1 is the last value alone.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        check_in("Smoothed", "share", self.share, "(0, 1]")

    def __call__(self, values: Array, epochs: Array) -> Array:
        average = np.asarray(values[0])
        for value in values[1:]:
            average = (1 - self.share) * average + self.share * value
        return average


@dataclass(frozen=True, slots=True)
class Improvement:
    """How much an epoch still improves the best value of the line.

    After Dalibard and Jaderberg, "Faster Improvement Rate Population Based Training" (2021): of
    networks with similar performance and similar hyperparameters, the one that improves faster
    ends better, and selection by values alone loses it. Taken over is that members are compared by
    their rate of improvement. Not taken over are sub-populations and evaluators: there, workers
    of their own train copies with a greedy sub-population's hyperparameters, so that
    rates are compared at similar performance and hyperparameters, and one sub-population stays
    greedy. Here a member's own line is all there is, and members are compared as they are: what is
    behind may count as better because it has more left to learn. A fall and the recovery from it
    are no improvement. Equal rates, as at the first selection, where nobody has one yet, are
    ordered by value.

    Args:
        over: How many selections the rate looks back.

    Raises:
        AlgorithmError: There are several objectives.
    """

    over: int = 2

    def __post_init__(self) -> None:
        check_whole("Improvement", "over", self.over, 1)
        if self.over >= LOOKS:
            raise AlgorithmError(f"Improvement: over is below {LOOKS}, got {self.over}")

    def __call__(self, values: Array, epochs: Array) -> Array:
        if values.shape[1] > 1:
            raise AlgorithmError(
                f'fitness="improvement" compares one objective, and there are {values.shape[1]}; '
                'write fitness="smoothed" or "last", or combine them: et.WeightedSum'
            )
        first = max(0, len(values) - 1 - self.over)
        if first == len(values) - 1:
            return np.zeros(1)
        before, now = values[: first + 1, 0].min(), values[-1, 0]
        return np.array([(now - before) / (epochs[-1] - epochs[first])])


_NAMED: dict[str, Fitness] = {
    "last": Last(),
    "smoothed": Smoothed(),
    "improvement": Improvement(),
}


def fitness_named(given: str | Fitness) -> Fitness:
    """Return the fitness that a name stands for; a callable is returned as it is.

    Raises:
        AlgorithmError: The name is not known.
    """
    return by_name("fitness", given, _NAMED, "Smoothed(0.3)")
