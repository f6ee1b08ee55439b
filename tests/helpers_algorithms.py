"""What tests of algorithms look at in a rehearsal."""

from collections.abc import Iterable

from evotune.testing.algorithms import Rehearsal
from evotune.trial import Trial


def generations(rehearsal: Rehearsal) -> list[list[Trial]]:
    """The trials of each generation, in order."""
    by_number: dict[int, list[Trial]] = {}
    for trial in rehearsal.trials:
        by_number.setdefault(trial.origin.generation, []).append(trial)
    return [by_number[number] for number in sorted(by_number)]


def numbers(trials: Iterable[Trial]) -> list[int]:
    return [trial.number for trial in trials]


def best(trials: Iterable[Trial], count: int) -> list[Trial]:
    """The best of one objective, best first."""
    return sorted(trials, key=lambda t: (t.values, t.number))[:count]
