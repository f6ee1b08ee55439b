"""Separate runs, paired by seed and evaluated at the same costs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from evotune.analysis.runs import (
    HYPERVOLUME,
    Log,
    RunLike,
    TaskRuns,
    counts_epochs,
    curves,
    objectives_of,
    read_log,
)
from evotune.analysis.text import count
from evotune.checks import is_number
from evotune.errors import StudyError
from evotune.printing import number

Runs = Mapping[str, Sequence[RunLike]]
Logs = Mapping[str, Mapping[str, Mapping[int, Log]]]

#: Points of a curve, and the shares of the whole at which ranks are printed.
POINTS = 60
SHARES = (0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Paired:
    """Runs of several methods that can be compared.

    Attributes:
        tasks: The curves of all runs, by task; all tasks have the same methods.
        unit: What the runs have spent: ``"evaluations"`` or ``"epochs"``.
        points: Where the curves are known, in this unit.
        checkpoints: Those of the points that tables show; the last is the end.
        notes: What was left out, or should be read with care.
    """

    tasks: tuple[TaskRuns, ...]
    unit: str
    points: tuple[float, ...]
    checkpoints: tuple[float, ...]
    notes: tuple[str, ...]


def pair(methods: Runs | Mapping[str, Runs], at: Sequence[float] | None) -> Paired:
    """Pair runs by seed.

    Args:
        methods: The studies of each method; or such a mapping for each task.
        at: Costs (in that unit) shown in tables, the last is the end; by default a quarter, half
            and all of what the shortest run has spent.

    Raises:
        StudyError: There are fewer than two methods, other objectives, or no common seed.
    """
    by_task = _by_task(methods)
    runs = [run for of_task in by_task.values() for some in of_task.values() for run in some]
    epochs = counts_epochs(runs)
    objectives = {task: objectives_of(of_task, task) for task, of_task in by_task.items()}
    logs = {task: _logs(of_task, epochs=epochs) for task, of_task in by_task.items()}
    seeds = {task: _shared_seeds(task, of_task) for task, of_task in logs.items()}
    kept = {
        task: {name: {seed: of[seed] for seed in seeds[task]} for name, of in logs[task].items()}
        for task in logs
    }
    unit = "epochs" if epochs else "evaluations"
    lengths = _lengths(kept)
    checkpoints = _checkpoints(at, min(lengths.values()))
    points = _points(checkpoints)
    tasks = [curves(task, objectives[task], kept[task], points) for task in by_task]
    notes = [
        *_dropped(logs, seeds),
        *_unequal(lengths, checkpoints[-1], unit),
        *_empty(tasks),
        *_hypervolumes(tasks),
    ]
    return Paired(tuple(tasks), unit, tuple(points), tuple(checkpoints), tuple(notes))


def _by_task(methods: Runs | Mapping[str, Runs]) -> dict[str, Runs]:
    """Return the runs by task and method, checked."""
    example = 'compare({"genetic": [study, ...], "random": [study, ...]})'
    if not isinstance(methods, Mapping) or not methods:
        raise StudyError(f"compare needs the runs of each method: write {example}")
    nested = [isinstance(value, Mapping) for value in methods.values()]
    if any(nested) and not all(nested):
        raise StudyError("compare needs a list of studies for each method, or a task's mapping")
    tasks = cast("dict[str, Runs]", dict(methods) if all(nested) else {"": methods})
    names = list(next(iter(tasks.values())))
    for task, of_task in tasks.items():
        if set(of_task) != set(names):
            raise StudyError(
                f"every task needs the same methods; task {task!r} has {', '.join(of_task)}, "
                f"another {', '.join(names)}"
            )
        for name, runs in of_task.items():
            _check_runs(name, runs, example)
    if len(names) < 2:
        raise StudyError(f"compare needs two methods or more, got {', '.join(names)}")
    return {task: {name: of_task[name] for name in names} for task, of_task in tasks.items()}


def _check_runs(name: str, runs: object, example: str) -> None:
    if not isinstance(runs, Sequence) or isinstance(runs, str) or not runs:
        raise StudyError(f"method {name!r} needs a list of studies, got {runs!r}; write {example}")
    for run in runs:
        if not hasattr(run, "definition") or not hasattr(run, "trials"):
            raise StudyError(f"method {name!r} needs studies, got {type(run).__name__}: {run!r}")


def _logs(methods: Runs, *, epochs: bool) -> dict[str, dict[int, Log]]:
    found: dict[str, dict[int, Log]] = {}
    for name, runs in methods.items():
        of_method = found.setdefault(name, {})
        for run in runs:
            seed = run.definition.seed
            if seed in of_method:
                raise StudyError(
                    f"method {name!r} has two runs with seed {seed}; give each its own seed="
                )
            of_method[seed] = read_log(run, epochs=epochs)
    return found


def _shared_seeds(task: str, logs: Mapping[str, Mapping[int, Log]]) -> list[int]:
    shared = set.intersection(*(set(of_method) for of_method in logs.values()))
    if not shared:
        where = f" on task {task!r}" if task else ""
        seeds = "; ".join(f"{name}: {_listed(of_method)}" for name, of_method in logs.items())
        raise StudyError(
            f"no seed is shared by all methods{where}, so that nothing can be paired ({seeds}); "
            "run each method with the same seeds, e.g. Study(..., seed=0), seed=1, ..."
        )
    return sorted(shared)


def _listed(items: Iterable[object], most: int = 6) -> str:
    texts = [str(item) for item in items]
    return ", ".join(texts[:most]) + (", …" if len(texts) > most else "")


def _lengths(logs: Logs) -> dict[tuple[str, int], float]:
    """Return what the runs of each method and seed have spent, on the task with the least."""
    found: dict[tuple[str, int], float] = {}
    for methods in logs.values():
        for name, of_method in methods.items():
            for seed, log in of_method.items():
                spent = float(log.spent[-1])
                found[name, seed] = min(spent, found.get((name, seed), math.inf))
    return found


def _checkpoints(at: Sequence[float] | None, shortest: float) -> list[float]:
    if at is None:
        return sorted({float(max(1, round(share * shortest))) for share in SHARES})
    given = list(at)
    if not given or not all(is_number(x) and 0 < x < math.inf for x in given):
        raise StudyError(f"at needs numbers above 0, such as at=(25, 50, 100); got {at!r}")
    return sorted({float(point) for point in given})


def _points(checkpoints: Sequence[float]) -> list[float]:
    """Return the costs at which curves are evaluated, denser at the beginning."""
    end = checkpoints[-1]
    between = np.round(np.geomspace(min(1.0, end), end, POINTS)) if end > POINTS else ()
    every = np.arange(1.0, end + 1) if end <= POINTS else ()
    inside = [float(x) for x in (*between, *every) if 0 < x <= end]
    return sorted({*inside, *checkpoints})


# -- what wants care ---------------------------------------------------------------------------


def _dropped(logs: Logs, seeds: Mapping[str, Sequence[int]]) -> Iterable[str]:
    for task, methods in logs.items():
        extra = {
            name: sorted(set(of_method) - set(seeds[task])) for name, of_method in methods.items()
        }
        lost = "; ".join(f"{name}: {_listed(some)}" for name, some in extra.items() if some)
        if lost:
            where = f"Task {task}: seeds" if task else "Seeds"
            yield f"{where} that not every method has run with are left out ({lost})."


def _unequal(lengths: Mapping[tuple[str, int], float], end: float, unit: str) -> Iterable[str]:
    shortest, longest = min(lengths.values()), max(lengths.values())
    (name, seed) = min(lengths, key=lambda run: lengths[run])
    which = f"{name}, seed {seed}"
    if shortest < end:
        short = sum(length < end for length in lengths.values())
        yield (
            f"{count(short, 'run')} ended before {number(end)} {unit}, the shortest ({which}) "
            f"after {number(shortest)}: its best is carried on to the end."
        )
    elif longest > end:
        yield (
            f"Runs are compared at {number(end)} {unit}, although the longest has "
            f"{number(longest)}; the shortest ({which}) has {number(shortest)}."
        )


def _empty(tasks: Sequence[TaskRuns]) -> Iterable[str]:
    for task in tasks:
        empty = [
            f"{name}, seed {seed}"
            for name, curve in task.curves.items()
            for seed, last in zip(task.seeds, curve[:, -1], strict=True)
            if math.isnan(last)
        ]
        if empty:
            where = f"Task {task.task}: " if task.task else ""
            yield (
                f"{where}{count(len(empty), 'run')} without any result that counts "
                f"({_listed(empty)}): ranked last, and taken as the worst of all otherwise."
            )


def _hypervolumes(tasks: Sequence[TaskRuns]) -> Iterable[str]:
    if any(task.metric == HYPERVOLUME for task in tasks):
        yield (
            "Several objectives are compared by the hypervolume of what a run has found, scaled so "
            "that the front of all runs together spans 0 to 1, with the reference point at 1.1."
        )
