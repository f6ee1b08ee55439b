"""The rungs of successive halving: their trials, and which of these were promoted."""

from collections.abc import Sequence
from dataclasses import dataclass

from evotune.evolution.survival import best_first
from evotune.trial import Trial


@dataclass(frozen=True, slots=True)
class Rung:
    """All trials of one budget.

    Attributes:
        budget: Counted from fresh weights.
        trials: Its trials, by number, in any state.
        promoted: Numbers of the trials that were promoted to a higher rung.
        best: The best done trial, or None.
    """

    budget: float
    trials: tuple[Trial, ...]
    promoted: frozenset[int]
    best: Trial | None


def rungs(trials: Sequence[Trial]) -> list[Rung]:
    """Return the rungs of a study, smallest budget first; none for a study without.

    Args:
        trials: All trials of the study, by number.
    """
    by_budget: dict[float, list[Trial]] = {}
    for trial in trials:
        if trial.origin.rung is not None:
            by_budget.setdefault(trial.origin.rung, []).append(trial)
    went_on = {trial.origin.promotes for trial in trials}
    return [_rung(budget, by_budget[budget], went_on) for budget in sorted(by_budget)]


def _rung(budget: float, trials: Sequence[Trial], went_on: set[int | None]) -> Rung:
    promoted = frozenset(trial.number for trial in trials if trial.number in went_on)
    best = best_first([trial for trial in trials if trial.is_done])[:1]
    return Rung(budget, tuple(trials), promoted, best[0] if best else None)
