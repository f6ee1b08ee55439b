"""Repeats: several trials of the same params, averaged into one."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev

from evotune.objectives import Objectives
from evotune.trial import Trial


def root(trial: Trial) -> int:
    """Return the number of the first trial with these params: its own, unless it is a repeat."""
    return trial.number if trial.repeat_of is None else trial.repeat_of


def average(trial: Trial, group: Sequence[Trial], objectives: Objectives) -> Trial:
    """Return a trial with metrics, values and violation of the mean over its group.

    Args:
        trial: A done trial.
        group: All done trials with the same params, itself among them.
        objectives: What turns metrics into values.
    """
    if len(group) < 2:
        return trial
    names = [name for name in trial.metrics if all(name in other.metrics for other in group)]
    columns = {name: [other.metrics[name] for other in group] for name in names}
    metrics = {name: fmean(column) for name, column in columns.items()}
    return replace(
        trial,
        metrics=metrics,
        values=objectives.values(metrics),
        violation=objectives.violation(metrics),
        repeats=len(group),
        spread={name: stdev(column) for name, column in columns.items()},
    )


def merge_repeats(trials: Sequence[Trial]) -> list[Trial]:
    """Keep one trial of each group of repeats: the one that averages the most evaluations."""
    kept: dict[int, Trial] = {}
    for trial in trials:
        known = kept.get(root(trial))
        if known is None or trial.repeats >= known.repeats:
            kept[root(trial)] = trial
    return list(kept.values())
