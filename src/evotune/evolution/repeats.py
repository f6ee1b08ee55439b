"""Repeats: several trials of the same params averaged into one, and bounds on the mean."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import sqrt

from evotune import finite
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
    metrics = {name: finite.mean(column) for name, column in columns.items()}
    return replace(
        trial,
        metrics=metrics,
        values=objectives.values(metrics),
        violation=objectives.violation(metrics),
        repeats=len(group),
        spread={name: finite.deviation(column) for name, column in columns.items()},
    )


def merge_repeats(trials: Sequence[Trial]) -> list[Trial]:
    """Keep one trial of each group of repeats: the one that averages the most evaluations."""
    kept: dict[int, Trial] = {}
    for trial in trials:
        known = kept.get(root(trial))
        if known is None or trial.repeats >= known.repeats:
            kept[root(trial)] = trial
    return list(kept.values())


def squares(group: Sequence[Trial], unit: float = 1.0) -> float:
    """Return the sum of squared deviations of a group's first values from their mean.

    Args:
        group: Trials with the same params.
        unit: What the values are measured in: ``inf`` may come of extreme ones measured in 1.
    """
    values = [trial.values[0] / unit for trial in group if trial.values]
    middle = finite.mean(values)
    return sum((value - middle) * (value - middle) for value in values)  # ** may raise


def noise(groups: Iterable[Sequence[Trial]]) -> float:
    """Return the standard deviation of the first value of a single evaluation, by its repeats.

    Args:
        groups: The trials with values of each params; 0 is returned where none has two.
    """
    repeated = [group for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in repeated)
    if not freedom:
        return 0.0
    unit = finite.unit([t.values[0] for group in repeated for t in group if t.values])
    return finite.limited(sqrt(sum(squares(g, unit) for g in repeated) / freedom) * unit)


def by_bound(trial: Trial, noise: float) -> Order:
    """Return a sort key for averaged trials that does not rank a lucky one too early.

    As `by_first`, but the first value, minimised, counts as value + 1.645·σ/√repeats: the one-sided
    95 % confidence bound of its mean. Without noise it is `by_first`.

    Args:
        trial: A trial with values.
        noise: σ, the standard deviation of the first value of a single evaluation.
    """
    stopped, violation, (first, *others), number = by_first(trial)
    # Beside a huge noise all bounds are the same float: then the mean decides.
    return stopped, violation, (bound(first, trial, noise), first, *others), number


def bound(value: float, trial: Trial, noise: float) -> float:
    """Return what a value is at worst, minimised, as `by_bound` says."""
    return finite.limited(float(value) + CAUTION * noise / sqrt(trial.repeats))
