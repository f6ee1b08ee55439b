"""Repeats: several trials of the same params averaged into one, and bounds on the mean."""

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt
from statistics import fmean, stdev

from evotune.evolution.survival import Order, by_first
from evotune.objectives import Objectives
from evotune.trial import Trial

#: One-sided 95 % bound of a normally distributed mean, in standard errors.
CAUTION = 1.645


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


def squares(group: Sequence[Trial]) -> float:
    """Return the sum of squared deviations of a group's first values from their mean."""
    values = [trial.values[0] for trial in group if trial.values]
    middle = fmean(values)
    return sum((value - middle) * (value - middle) for value in values)  # ** may raise


def by_bound(trial: Trial, noise: float) -> Order:
    """Return a sort key for averaged trials that does not rank a lucky one too early.

    As `by_first`, but the first value, minimised, counts as value + 1.645·σ/√repeats: the one-sided
    95 % confidence bound of its mean. Without noise it is `by_first`.

    Args:
        trial: A trial with values.
        noise: σ, the standard deviation of the first value of a single evaluation.
    """
    stopped, violation, (first, *others), number = by_first(trial)
    return stopped, violation, (bound(first, trial, noise), *others), number


def bound(value: float, trial: Trial, noise: float) -> float:
    """Return the upper confidence bound of a minimised value, see `by_bound`."""
    return value + CAUTION * noise / sqrt(trial.repeats)
