"""Replacement: who gives way to whom, where survival of the best is not the rule."""

from collections.abc import Sequence
from dataclasses import dataclass

from evotune.checks import check_whole
from evotune.evolution.survival import Survival, best_first
from evotune.trial import Trial


def no_worse(trial: Trial, other: Trial) -> bool:
    """Tell whether a trial dominates another one or equals it; both have values.

    A stopped trial gives way to a finished one, more violation to less, whatever the values (Deb,
    2000); then no objective may be worse.
    """
    first, second = ((t.state == "stopped", t.violation) for t in (trial, other))
    if first != second:
        return first < second
    return all(a <= b for a, b in zip(trial.values or (), other.values or (), strict=True))


@dataclass(frozen=True, slots=True)
class Youngest:
    """Ageing: the trials proposed last survive, however good the older ones (Real et al., 2019).

    Args:
        size: How many survive.
        order: Orders these best first.

    Raises:
        AlgorithmError: A size below 1.
    """

    size: int
    order: Survival = best_first

    def __post_init__(self) -> None:
        check_whole("Youngest", "size", self.size, 1)

    def __call__(self, trials: Sequence[Trial]) -> list[Trial]:
        done = sorted((t for t in trials if t.is_done), key=lambda t: t.number)
        return self.order(done[-self.size :])
