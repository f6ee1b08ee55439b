"""Survival: trials -> the same trials, best first. Later steps read positions only."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evotune.checks import check_whole
from evotune.evolution import pareto
from evotune.evolution.pareto import Array, Indices
from evotune.names import own_names
from evotune.trial import Trial

__dir__ = own_names(__name__)

Survival = Callable[[Sequence[Trial]], list[Trial]]

#: (values, front of each) -> positions best first. Equal ones stay in the order that they have.
FrontOrder = Callable[[Array, Indices], Indices]

#: Sort key of trials: stopped or not, violation, values, number.
Order = tuple[bool, float, tuple[float, ...], int]


def by_first(trial: Trial) -> Order:
    """Return a sort key for trials, best first: violation, then the objectives in turn.

    Stopped trials come last: their values are those of an unfinished training.
    """
    return trial.state == "stopped", trial.violation, trial.values or (), trial.number


def measured_at(trial: Trial) -> float:
    """Return the budget that a trial's values belong to; those of smaller ones are no rivals.

    For a promoted trial it is its rung, whatever its own share of it. Infinite where values are
    compared whatever the budget: the function chose it, or a line of weights is trained on and
    each look at it counts.
    """
    origin = trial.origin
    if origin.rung is not None:
        return float(origin.rung)
    if trial.budget is None or origin.member is not None or trial.donors:
        return math.inf
    return float(trial.budget)


def best_first(trials: Sequence[Trial]) -> list[Trial]:
    """Order trials from best to worst; those without values are left out.

    Feasible trials come before infeasible ones, these by their violation (Deb, 2000). One
    objective is ordered by value; several by front, then by crowding distance (NSGA-II, Deb et
    al., 2002). Stopped trials come last. Ties go to the lower number, so that the order never
    depends on arrival.
    """
    return constrained(trials, _by_crowding)


def constrained(trials: Sequence[Trial], order: FrontOrder) -> list[Trial]:
    """Order trials by constrained domination (Deb, 2000; Deb et al., 2002, definition 1).

    Args:
        trials: Any trials; those without values are left out.
        order: Orders the feasible ones where there are several objectives.
    """
    ranked = [t for t in trials if t.values is not None]
    if ranked and len(ranked[0].values or ()) == 1:
        return sorted(ranked, key=by_first)
    able = sorted((t for t in ranked if _competes(t)), key=lambda t: t.number)
    behind = sorted((t for t in ranked if not _competes(t)), key=_by_violation)
    if len(able) > 1:
        values = np.array([t.values for t in able])
        able = [able[k] for k in order(values, pareto.ranks(values))]
    return able + behind


def _competes(trial: Trial) -> bool:
    """Return whether the values count: neither of an infeasible trial nor of an unfinished one."""
    return trial.violation == 0 and trial.state != "stopped"


def _by_violation(trial: Trial) -> tuple[bool, float, int]:
    return trial.state == "stopped", trial.violation, trial.number


def _by_crowding(values: Array, fronts: Indices) -> Indices:
    crowd = np.zeros(len(values))
    for front in range(int(fronts.max()) + 1):
        members = fronts == front
        crowd[members] = pareto.crowding(values[members])
    return np.lexsort((-crowd, fronts))


def scalar_values(
    best_first_trials: Sequence[Trial],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return one minimised number per trial for selection, shape ``(trials,)``.

    A single objective is used as it is; several objectives, or infeasible or stopped trials, have
    no common scale, so that positions are used instead.
    """
    if all(t.values is not None and len(t.values) == 1 and _competes(t) for t in best_first_trials):
        return np.array([t.values[0] for t in best_first_trials if t.values])
    return np.arange(len(best_first_trials), dtype=float)


def no_worse(trial: Trial, other: Trial) -> bool:
    """Return whether a trial dominates another one or equals it; both have values.

    A finished trial precedes a stopped one, and less violation more, whatever the values (Deb,
    2000); otherwise no objective may be worse.
    """
    first, second = ((t.state == "stopped", t.violation) for t in (trial, other))
    if first != second:
        return first < second
    return all(a <= b for a, b in zip(trial.values or (), other.values or (), strict=True))


@dataclass(frozen=True, slots=True)
class Youngest:
    """Ageing: the trials proposed last survive, however good older ones are (Real et al., 2019).

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
