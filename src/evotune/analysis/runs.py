"""Runs of several methods on one task, as curves of the best so far over what they have spent."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from evotune import finite
from evotune.errors import StudyError
from evotune.evolution.pareto import non_dominated
from evotune.evolution.repeats import root
from evotune.objectives import Direction, Objectives
from evotune.protocols import StudyDefinition
from evotune.trial import Trial

Floats = npt.NDArray[np.float64]

HYPERVOLUME = "hypervolume"
#: Distance of the reference point beyond the front's worst values, in units of its range.
REFERENCE = 1.1


class RunLike(Protocol):
    """A study, or the record of one."""

    @property
    def definition(self) -> StudyDefinition: ...
    @property
    def trials(self) -> Sequence[Trial]: ...


@dataclass(frozen=True, slots=True)
class TaskRuns:
    """The results of several methods on one task, by seed.

    Attributes:
        task: Name of the task; empty if there is only one.
        metric: The compared metric: the objective, or the hypervolume of several.
        direction: ``"max"`` or ``"min"``.
        seeds: The seeds that all methods have in common.
        curves: By method, its best so far at each point in the sign of the metric, NaN before the
            first feasible result; shape ``(seeds, points)``.
    """

    task: str
    metric: str
    direction: Direction
    seeds: tuple[int, ...]
    curves: Mapping[str, Floats]

    def losses(self, point: int = -1) -> Floats:
        """Return the best so far at a point, minimised, inf for none: ``(seeds, methods)``."""
        sign = -1.0 if self.direction == "max" else 1.0
        found = sign * np.stack([curve[:, point] for curve in self.curves.values()], axis=1)
        return np.where(np.isnan(found), np.inf, found)


@dataclass(frozen=True, slots=True)
class Log:
    """The ended trials of a run, in the order of their results.

    Attributes:
        spent: Evaluations, or epochs, up to and with each, shape ``(trials,)``.
        roots: The trial that each repeats, or itself, shape ``(trials,)``.
        values: Minimised objectives, NaN where there is no result that counts, shape
            ``(trials, objectives)``.
        repeats: Whether any trial repeats another.
    """

    spent: Floats
    roots: npt.NDArray[np.int64]
    values: Floats
    repeats: bool

    def found(self, limit: float) -> Floats:
        """Return the results within a limit, repeats averaged: shape ``(results, objectives)``."""
        upto = int(np.searchsorted(self.spent, limit, side="right"))
        counts = ~np.isnan(self.values[:upto, 0])
        values, roots = self.values[:upto][counts], self.roots[:upto][counts]
        if not self.repeats:
            return values
        _, places, repeats = np.unique(roots, return_inverse=True, return_counts=True)
        sums = [np.bincount(places, column) for column in values.T]
        return np.stack(sums, axis=1) / repeats[:, None]


def ended(run: RunLike) -> list[Trial]:
    """Return the trials of a run that have ended, in the order of their results."""
    done = [trial for trial in run.trials if trial.has_ended]
    return sorted(done, key=lambda t: t.number if t.result_order is None else t.result_order)


def counts_epochs(runs: Collection[RunLike]) -> bool:
    """Return whether to compare runs by epochs: all trials have budgets, which are not equal."""
    budgets = {trial.budget for run in runs for trial in ended(run)}
    return None not in budgets and len(budgets) > 1


def read_log(run: RunLike, *, epochs: bool) -> Log:
    """Return the costs and results of a run.

    Raises:
        StudyError: No trial of the run has ended.
    """
    trials = ended(run)
    if not trials:
        name = run.definition.name
        raise StudyError(f"study {name!r} has no ended trial; run it, or leave it out")
    width = len(run.definition.objectives["objectives"])
    nothing = (math.nan,) * width
    values = np.array([t.values if _counts(t) else nothing for t in trials], dtype=float)
    return Log(
        np.cumsum([(t.budget or 0.0) if epochs else 1.0 for t in trials]),
        np.array([root(trial) for trial in trials]),
        values.reshape(len(trials), width),
        repeats=any(trial.repeat_of is not None for trial in trials),
    )


def _counts(trial: Trial) -> bool:
    finite = trial.values is not None and all(map(math.isfinite, trial.values))
    return trial.state == "done" and finite and trial.violation == 0


def objectives_of(methods: Mapping[str, Sequence[RunLike]], task: str) -> Objectives:
    """Return the objectives of all runs.

    Raises:
        StudyError: The runs have different objectives.
    """
    found = {
        method: Objectives.from_json(run.definition.objectives)
        for method, runs in methods.items()
        for run in runs
    }
    shown = {f"{method}: {_text(objectives)}" for method, objectives in found.items()}
    described = {repr(run.definition.objectives) for runs in methods.values() for run in runs}
    if len(described) > 1:
        where = f" on task {task!r}" if task else ""
        raise StudyError(
            f"runs can be compared on the same task only; their objectives{where} differ: "
            + "; ".join(sorted(shown))
        )
    return next(iter(found.values()))


def _text(objectives: Objectives) -> str:
    bounds = ", ".join(f"{c.metric} constrained" for c in objectives.constraints)
    return f"{objectives}, {bounds}" if bounds else str(objectives)


def curves(
    task: str,
    objectives: Objectives,
    logs: Mapping[str, Mapping[int, Log]],
    points: Sequence[float],
) -> TaskRuns:
    """Return the best result so far of every run at given costs.

    Args:
        task: Its name.
        objectives: Several are compared by the hypervolume of what a run has found, scaled to the
            front of all runs.
        logs: By method and seed; every method has the same seeds in the same order.
        points: Evaluations or epochs.
    """
    if len(objectives.objectives) == 1:
        (objective,) = objectives.objectives
        metric, direction, score = objective.metric, objective.direction, objective.score
        judge: Callable[[Floats], float] = lambda found: score(found[:, 0].min())  # noqa: E731
    else:
        metric, direction = HYPERVOLUME, "max"
        every = [log.found(points[-1]) for of in logs.values() for log in of.values()]
        judge = _hypervolume_of(every)
    drawn = {
        method: np.array([[_judged(judge, log.found(p)) for p in points] for log in runs.values()])
        for method, runs in logs.items()
    }
    seeds = tuple(next(iter(logs.values())))
    return TaskRuns(task, metric, direction, seeds, drawn)


def _judged(judge: Callable[[Floats], float], found: Floats) -> float:
    return float(judge(found)) if len(found) else math.nan


def _hypervolume_of(found: Sequence[Floats]) -> Callable[[Floats], float]:
    """Return the hypervolume of results where the front of all of them fills the unit cube."""
    import moocore

    everything = np.concatenate(found)
    front = everything[non_dominated(everything)] if len(everything) else everything
    units = finite.units(front)
    front = front / units
    best = front.min(axis=0, initial=math.inf)
    scale = front.max(axis=0, initial=-math.inf) - best
    scale = np.where(scale > 0, scale, 1.0)
    reference = np.full(everything.shape[1], REFERENCE)

    def volume(points: Floats) -> float:
        with np.errstate(over="ignore"):  # far beyond the reference point it is all the same
            cube = (points / units - best) / scale
        return float(moocore.hypervolume(cube, ref=reference))

    return volume
