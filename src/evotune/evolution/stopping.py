"""Rules that end trials early, based on their intermediate reports.

Before a trial starts, the driver makes its *bar*, the standard that its reports must reach, from
the trials finished by then. The bar is small and travels with the trial, so that a worker can end
the trial without asking the driver.
"""

import logging
import math
from bisect import insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from evotune import finite
from evotune.checks import check_in, check_whole, did_you_mean
from evotune.errors import ObjectiveError
from evotune.evolution import pareto
from evotune.objectives import AnyObjective, Objectives, parse_objectives
from evotune.trial import Bar, Trial

log = logging.getLogger("evotune")

Report = Mapping[str, float]
Front = npt.NDArray[np.float64]


class Standards(Protocol):
    """What a rule has learnt from the finished trials of one run."""

    def tell(self, trial: Trial) -> None:
        """Record a trial that has ended."""

    def bar(self) -> Bar:
        """Return a new bar for one trial."""


class Stopping(Protocol):
    """A stopping rule; it is immutable."""

    def fresh(self, objectives: Objectives) -> Standards:
        """Return standards that have seen no trial yet.

        Args:
            objectives: Objectives of the study.

        Raises:
            ObjectiveError: The rule watches a metric whose direction is unknown.
        """


@dataclass(frozen=True, slots=True)
class MedianStopping:
    """Stops a trial whose best report is worse than the median trial's average so far.

    A trial is stopped at a step when the best value that it has reported up to there is worse than
    the median, over the finished trials that reported at this step, of their averages up to there
    (Golovin et al., 2017, section 3.1.2). Steps are those of `RunningTrial.report`, by default
    epochs; a trial that goes on from another's weights is judged by its own reports.

    Args:
        metric: The metric to watch; ``"min loss"`` for one that is not an objective; by default
            that of the first objective.
        grace: Steps that every trial gets: no trial is stopped at a step below this.
        startup: Finished trials that must have reported at a step before a trial is stopped there.

    Raises:
        AlgorithmError: A number out of bounds.
    """

    metric: str | None = None
    grace: int = 1
    startup: int = 5

    def __post_init__(self) -> None:
        _check(self)

    def fresh(self, objectives: Objectives) -> Standards:
        """Return standards that have seen no trial yet."""
        return _Curves(self, _watched(self, [self.metric], objectives)[0], 50.0, _averages)


@dataclass(frozen=True, slots=True)
class PercentileStopping:
    """Stops a trial whose best report is not among the best ``percentile`` per cent.

    A trial is stopped at a step when the best value that it has reported up to there is worse than
    this percentile, over the finished trials that reported at this step, of their best values up
    to there.

    Args:
        percentile: Per cent of the finished trials that are good enough, above 0 and below 100.
        metric: As for `MedianStopping`, like ``grace`` and ``startup``.
        grace: Steps that every trial gets.
        startup: Finished trials that must have reported at a step.

    Raises:
        AlgorithmError: A number out of bounds.
    """

    percentile: float = 25.0
    metric: str | None = None
    grace: int = 1
    startup: int = 5

    def __post_init__(self) -> None:
        _check(self)
        _check_percentile(self)

    def fresh(self, objectives: Objectives) -> Standards:
        """Return standards that have seen no trial yet."""
        watched = _watched(self, [self.metric], objectives)[0]
        return _Curves(self, watched, self.percentile, _bests)


@dataclass(frozen=True, slots=True)
class DominationStopping:
    """Stops a trial that is dominated by the good fronts of the finished trials.

    Trials are judged at rungs: the first report at or after step ``grace``, ``reduction·grace``,
    ``reduction²·grace`` and so on. At a rung the finished trials are sorted into fronts (Deb et
    al., 2002), and the best fronts that together hold ``percentile`` per cent of them are good
    enough. A trial is stopped when a trial of the last such front dominates it. With a single
    objective this is a percentile rule.

    Args:
        percentile: Per cent of the finished trials that are good enough, above 0 and below 100.
        metrics: The metrics to watch, all of which a report must hold; ``"min loss"`` for one that
            is not an objective; by default those of all objectives.
        grace: Step of the first rung.
        reduction: Ratio of the steps of two rungs, from 2 up.
        startup: Finished trials that must have reached a rung before a trial is stopped there.

    Raises:
        AlgorithmError: A number out of bounds.
    """

    percentile: float = 50.0
    metrics: tuple[str, ...] = ()
    grace: int = 1
    reduction: int = 2
    startup: int = 5

    def __post_init__(self) -> None:
        _check(self)
        _check_percentile(self)
        check_whole(type(self).__name__, "reduction", self.reduction, 2)

    def fresh(self, objectives: Objectives) -> Standards:
        """Return standards that have seen no trial yet."""
        names = (self.metrics,) if isinstance(self.metrics, str) else self.metrics
        if not isinstance(names, list | tuple):
            raise ObjectiveError(
                f"{type(self).__name__}: metrics is a list of names, got {names!r}"
            )
        own = (None,) * len(objectives.objectives)
        return _Rungs(self, _watched(self, names or own, objectives))

    def rung(self, step: float) -> int:
        """Return the number of the highest rung at or below a step, -1 below the first one."""
        rung, edge = -1, self.grace
        while edge <= step:
            rung, edge = rung + 1, edge * self.reduction
        return rung


# -- one metric: a curve a trial ------------------------------------------------------------------


def _averages(values: Sequence[float]) -> Iterator[float]:
    unit = finite.unit(values)
    for count, total in enumerate(accumulate(value / unit for value in values), start=1):
        average = total / count * unit
        yield math.inf if math.isnan(average) else average  # of inf and -inf


def _bests(values: Sequence[float]) -> Iterator[float]:
    return accumulate(values, min)


class _Curves:
    """The finished trials' values at each step, sorted, and the value required there."""

    def __init__(self, rule: Any, objective: AnyObjective, percentile: float, running: Any) -> None:
        self._rule = rule
        self._objective = objective
        self._percentile = percentile
        self._running = running
        self._at: dict[float, list[float]] = {}
        self._demands: dict[float, float] = {}
        self._missing = _Missing(rule, [objective])

    def tell(self, trial: Trial) -> None:
        if trial.state != "done":
            return
        read = [
            (r["step"], v) for r in trial.reports if (v := _value(self._objective, r)) is not None
        ]
        self._missing.check(trial, bool(read))
        steps, values = [step for step, _ in read], [value for _, value in read]
        for step, value in zip(steps, self._running(values), strict=True):
            finished = self._at.setdefault(step, [])
            insort(finished, value)
            if step >= self._rule.grace and len(finished) >= self._rule.startup:
                self._demands[step] = _percentile(finished, self._percentile)

    def bar(self) -> Bar:
        return _CurveBar(self._objective, dict(self._demands))


@dataclass(slots=True)
class _CurveBar:
    objective: AnyObjective
    demands: dict[float, float]
    best: float = math.inf

    def stops(self, report: Report) -> bool:
        value = _value(self.objective, report)
        if value is None:
            return False
        self.best = min(self.best, value)
        return self.best > self.demands.get(report["step"], math.inf)


def _percentile(ordered: Sequence[float], percentile: float) -> float:
    """Return a percentile of sorted numbers, which may be infinite, between two interpolated."""
    place, share = divmod((len(ordered) - 1) * percentile / 100, 1)
    low = ordered[int(place)]
    high = ordered[min(int(place) + 1, len(ordered) - 1)]
    if share == 0 or low == high:
        return low
    if math.isinf(high - low):
        return high if math.isinf(low) else (1 - share) * low + share * high
    return low + share * (high - low)


# -- several objectives: a front a rung -----------------------------------------------------------


class _Rungs:
    """The finished trials' points at each rung, and the last front that is good enough there."""

    def __init__(self, rule: DominationStopping, objectives: Sequence[AnyObjective]) -> None:
        self._rule = rule
        self._objectives = tuple(objectives)
        self._at: dict[int, list[list[float]]] = {}
        self._fronts: dict[int, Front] = {}
        self._missing = _Missing(rule, objectives)

    def tell(self, trial: Trial) -> None:
        if trial.state != "done":
            return
        climber = _Climber(self._rule, self._objectives)
        steps = [reached for report in trial.reports if (reached := climber.step(report))]
        self._missing.check(trial, climber.has_read)
        for rung, point in steps:
            points = self._at.setdefault(rung, [])
            points.append(point)
            if len(points) >= self._rule.startup:
                self._fronts[rung] = self._last_good(np.array(points))

    def _last_good(self, points: Front) -> Front:
        ranks = pareto.ranks(points)
        enough = math.ceil(self._rule.percentile / 100 * len(points))
        return np.unique(points[ranks == np.sort(ranks)[enough - 1]], axis=0)

    def bar(self) -> Bar:
        return _FrontBar(_Climber(self._rule, self._objectives), dict(self._fronts))


class _Climber:
    """Reads the reports of one trial, one after the other."""

    def __init__(self, rule: DominationStopping, objectives: Sequence[AnyObjective]) -> None:
        self._rule = rule
        self._objectives = objectives
        self._rung = -1
        self.has_read = False

    def step(self, report: Report) -> tuple[int, list[float]] | None:
        """Return the rung that a report reaches and its values there, if it reaches a new one."""
        point = [_value(objective, report) for objective in self._objectives]
        values = [value for value in point if value is not None]
        if len(values) < len(point):
            return None
        self.has_read = True
        rung = self._rule.rung(report["step"])
        if rung <= self._rung:
            return None
        self._rung = rung
        return rung, values


@dataclass(slots=True)
class _FrontBar:
    climber: _Climber
    fronts: dict[int, Front]

    def stops(self, report: Report) -> bool:
        reached = self.climber.step(report)
        if reached is None or reached[0] not in self.fronts:
            return False
        front, point = self.fronts[reached[0]], np.array(reached[1])
        return bool(np.any(np.all(front <= point, axis=1) & np.any(front < point, axis=1)))


# -- a trial that is trained again ----------------------------------------------------------------


@dataclass(slots=True)
class SameEnd:
    """Ends a retrained trial after as many reports as it made the first time.

    Args:
        left: Reports until then; ``inf`` for a trial that was not stopped.
    """

    left: float

    def stops(self, report: Report) -> bool:
        """Count a report."""
        self.left -= 1
        return self.left <= 0


# -- shared ---------------------------------------------------------------------------------------


def _value(objective: AnyObjective, report: Report) -> float | None:
    """Return a report's minimised value of an objective: ``inf`` for NaN, None if missing."""
    if any(name not in report for name in objective.needed):
        return None
    value = objective.value(report)
    return math.inf if math.isnan(value) else value


class _Missing:
    """Warns once when a finished trial has reported no metric that its rule watches."""

    def __init__(self, rule: object, objectives: Sequence[AnyObjective]) -> None:
        self._rule = rule
        self._needed = list(dict.fromkeys(n for each in objectives for n in each.needed))
        self._said = False

    def check(self, trial: Trial, was_read: bool) -> None:
        if was_read or self._said:
            return
        self._said = True
        reported = dict.fromkeys(n for report in trial.reports for n in report if n != "step")
        log.warning(
            "%r cannot stop any trial until trials report %s: trial %d has reported %s; write "
            "trial.report(%s) in the training loop",
            self._rule,
            " and ".join(map(repr, self._needed)),
            trial.number,
            ", ".join(map(repr, reported)) or "nothing",
            ", ".join(f"{name}=..." for name in self._needed),
        )


def _watched(
    rule: object, metrics: Sequence[str | None], objectives: Objectives
) -> list[AnyObjective]:
    """Return the objectives that a rule watches; None stands for the study's in the same place."""
    known = {objective.metric: objective for objective in objectives.objectives}
    found: list[AnyObjective] = []
    for place, metric in enumerate(metrics):
        if metric is None:
            found.append(objectives.objectives[place])
        elif isinstance(metric, str) and metric in known:
            found.append(known[metric])
        elif isinstance(metric, str) and metric.split()[0:1] in (["max"], ["min"]):
            found += parse_objectives(metric).objectives
        else:
            hint = did_you_mean(str(metric), known)
            raise ObjectiveError(
                f"{type(rule).__name__}: {metric!r} is not an objective of this study{hint}; for "
                f'another metric write its direction too: "min {metric}" or "max {metric}"'
            )
    return found


def _check(rule: MedianStopping | PercentileStopping | DominationStopping) -> None:
    check_whole(type(rule).__name__, "grace", rule.grace, 1)
    check_whole(type(rule).__name__, "startup", rule.startup, 1)


def _check_percentile(rule: PercentileStopping | DominationStopping) -> None:
    check_in(type(rule).__name__, "percentile", rule.percentile, "(0, 100)")
