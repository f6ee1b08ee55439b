"""Survival: trials -> the same trials, best first. What comes after reads positions only."""

from collections.abc import Callable, Sequence

import numpy as np

from evotune.evolution import pareto
from evotune.trial import Trial

Survival = Callable[[Sequence[Trial]], list[Trial]]


def by_first(trial: Trial) -> tuple[float, tuple[float, ...], int]:
    """Return what sorts done trials best first: violation, then the objectives in turn."""
    return trial.violation, trial.values or (), trial.number


def best_first(trials: Sequence[Trial]) -> list[Trial]:
    """Order trials from best to worst; those without values are left out.

    Feasible trials come before infeasible ones, these by their violation (Deb, 2000). One
    objective is ordered by value; several by front, then by crowding distance (NSGA-II, Deb et
    al., 2002). Ties go to the lower number, so that the order never depends on arrival.
    """
    ranked = [t for t in trials if t.values is not None]
    if not ranked:
        return []
    if len(ranked[0].values or ()) == 1:
        return sorted(ranked, key=lambda t: (t.violation, t.values, t.number))
    feasible = sorted((t for t in ranked if t.violation == 0), key=lambda t: t.number)
    infeasible = sorted((t for t in ranked if t.violation > 0), key=_by_violation)
    return _by_fronts(feasible) + infeasible


def _by_violation(trial: Trial) -> tuple[float, int]:
    return trial.violation, trial.number


def _by_fronts(trials: list[Trial]) -> list[Trial]:
    if not trials:
        return []
    values = np.array([t.values for t in trials])
    fronts = pareto.ranks(values)
    ordered: list[Trial] = []
    for front in range(int(fronts.max()) + 1):
        members = np.flatnonzero(fronts == front)
        crowd = pareto.crowding(values[members])
        ordered += [trials[members[k]] for k in np.argsort(-crowd, kind="stable")]
    return ordered


def scalar_values(
    best_first_trials: Sequence[Trial],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return one minimised number a trial for selection to read, shape ``(trials,)``.

    A single feasible objective is its own number; several objectives, or infeasible trials among
    them, have no common scale: there the position counts.
    """
    if all(
        t.values is not None and len(t.values) == 1 and not t.violation for t in best_first_trials
    ):
        return np.array([t.values[0] for t in best_first_trials if t.values])
    return np.arange(len(best_first_trials), dtype=float)
