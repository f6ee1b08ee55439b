"""How many epochs a population trains between two selections.

Reference: Chebykin, Alderliesten and Bosman, "To be greedy, or not to be: that is the question for
population based training variants" (2025), intervals that grow.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from evotune.checks import check_whole
from evotune.errors import AlgorithmError
from evotune.trial import Trial


class Interval(Protocol):
    """Epochs of the running generation."""

    @property
    def epochs(self) -> int: ...

    @property
    def models(self) -> bool:
        """Whether new genes are drawn from a model."""

    def after(self, generation: int, population: Sequence[Trial]) -> None:
        """Record the population that a generation has left, best first."""

    def restarts(self, generation: int) -> bool:
        """Return whether the children of a generation get new genes."""


@dataclass(frozen=True, slots=True)
class FixedInterval:
    """The same number of epochs each time.

    Args:
        epochs: From 1 up.
    """

    epochs: int = 1
    models = False

    def __post_init__(self) -> None:
        check_whole("PopulationBasedTraining", "interval", self.epochs, 1)

    def __str__(self) -> str:
        return str(self.epochs)

    def after(self, generation: int, population: Sequence[Trial]) -> None: ...

    def restarts(self, generation: int) -> bool:
        return False


@dataclass(slots=True)
class GrowingInterval:
    """An interval that grows when the population stagnates.

    A short interval is greedy: it prefers what helps at once. A population that stagnates is given
    more time. Restarts with genes from a Bayesian model are those of Chebykin, Alderliesten and
    Bosman, "Iterated population based training with task-agnostic restarts" (IPBT, 2025); the model
    here is one of this library, and simpler: a Gaussian process of how much genes improved weights
    in one interval, by which the best of 32 random genomes is taken.

    Args:
        initial: Epochs at the beginning.
        factor: By how much the interval grows.
        patience: Generations without improvement after which it grows.
        at_most: Largest interval, in epochs; None is no limit.
        restart: After it has grown, the children of one generation get new genes: ``"random"``
            (or True), or ``"model"``, those that promise most by the improvements seen so far.
    """

    initial: int = 1
    factor: int = 2
    patience: int = 3
    at_most: int | None = None
    restart: bool | Literal["random", "model"] = False
    epochs: int = field(init=False)
    _best: tuple[float, tuple[float, ...]] | None = field(default=None, init=False, repr=False)
    _idle: int = field(default=0, init=False, repr=False)
    _restarting: int | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("initial", "patience"):
            check_whole("GrowingInterval", name, getattr(self, name), 1)
        check_whole("GrowingInterval", "factor", self.factor, 2)
        if self.at_most is not None:
            check_whole("GrowingInterval", "at_most", self.at_most, self.initial)
        if self.restart not in (True, False, "random", "model"):
            raise AlgorithmError(
                f'GrowingInterval: restart is "random", "model" or False, got {self.restart!r}'
            )
        self.epochs = self.initial

    @property
    def models(self) -> bool:
        """See `Interval.models`."""
        return self.restart == "model"

    def fresh(self) -> "GrowingInterval":
        """Return a new interval with the same settings and no history."""
        return GrowingInterval(self.initial, self.factor, self.patience, self.at_most, self.restart)

    def after(self, generation: int, population: Sequence[Trial]) -> None:
        """Grow when ``patience`` generations have brought nothing better."""
        if not population:
            return
        best = (population[0].violation, population[0].values or ())
        if self._best is None or best < self._best:
            self._best, self._idle = best, 0
            return
        self._idle += 1
        if self._idle >= self.patience:
            longer = self.epochs * self.factor
            self.epochs = longer if self.at_most is None else min(longer, self.at_most)
            self._idle = 0
            self._restarting = generation + 1

    def restarts(self, generation: int) -> bool:
        """See `Interval.restarts`."""
        return bool(self.restart) and generation == self._restarting


def interval_of(given: Any) -> Interval:
    """Return the interval that a user means: epochs, ``"auto"``, or a `GrowingInterval`.

    Raises:
        AlgorithmError: It is none of these.
    """
    if isinstance(given, GrowingInterval):
        return given.fresh()
    if isinstance(given, str):
        if given == "auto":
            return GrowingInterval()
        raise AlgorithmError(
            'PopulationBasedTraining: interval is a number of epochs, "auto" or '
            f"GrowingInterval(...), got {given!r}"
        )
    return FixedInterval(given)
