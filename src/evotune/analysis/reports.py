"""What trials reported while they trained."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evotune.analysis.data import StudyData
from evotune.trial import Trial


@dataclass(frozen=True, slots=True)
class Curve:
    """The finite values of one metric that a trial reported.

    Attributes:
        trial: The trial.
        steps: Epochs or steps, shape ``(reports,)``.
        values: The metric at each, shape ``(reports,)``.
    """

    trial: Trial
    steps: Sequence[float]
    values: Sequence[float]


def reported(data: StudyData) -> tuple[str, list[Curve]]:
    """Return a metric that trials reported, and the curve of each trial that reported it.

    It is that of the first objective, or else, as with a weighted sum, the first one that the
    objectives need and some trial reported.
    """
    for metric in dict.fromkeys((data.objective.metric, *data.objectives.needed)):
        found = [curve for trial in data.trials if (curve := curve_of(trial, metric))]
        if found:
            return metric, found
    return data.objective.metric, []


def curve_of(trial: Trial, metric: str) -> Curve | None:
    """Return the curve of a trial, or None where it reported no finite value of the metric."""
    points = [
        (float(report["step"]), float(report[metric]))
        for report in trial.reports
        if metric in report and math.isfinite(report[metric])
    ]
    if not points:
        return None
    steps, values = zip(*points, strict=True)
    return Curve(trial, steps, values)
