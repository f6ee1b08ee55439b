"""The trials of a study in memory: by number, by params, with repeats averaged."""

import heapq
import math
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from evotune.checks import did_you_mean
from evotune.evolution import pareto
from evotune.evolution.repeats import average, by_bound, noise, root, squares
from evotune.evolution.survival import Order, by_first, measured_at
from evotune.objectives import Objectives
from evotune.protocols import SearchSpace
from evotune.trial import BARE_NUMBER, Failure, Outcome, Trial, TrialList


def judge(trial: Trial, result: Outcome | Failure, objectives: Objectives, **further: Any) -> Trial:
    """Return the record of an ended trial: with values, or with a failure that says why not.

    A stopped trial has values only if it reported every metric that the objectives need.

    Args:
        trial: The running trial.
        result: What the executor collected.
        objectives: Which metrics are needed, and how they become values.
        **further: Other fields of the record.
    """
    trial = replace(trial, notes={**trial.notes, **result.notes})
    if isinstance(result, Failure):
        failure = replace(result, notes={})
        return replace(trial, state="failed", failure=failure, **further)
    metrics = dict(result.metrics)
    if BARE_NUMBER in metrics:
        if len(objectives.needed) != 1:
            names = ", ".join(map(repr, objectives.needed))
            text = (
                f"returned a bare number, but the objectives need {names}: return a dict; a "
                'command prints a JSON object such as {"accuracy": 0.93}, or metric = says how to '
                "read its output"
            )
            failure = Failure("missing_metric", text)
            return replace(trial, state="failed", failure=failure, **further)
        metrics[objectives.needed[0]] = metrics.pop(BARE_NUMBER)
    wrong = _missing_or_not_finite(metrics, objectives, result.notes)
    has_failed = wrong is not None and not result.stopped
    return replace(
        trial,
        state="failed" if has_failed else "stopped" if result.stopped else "done",
        metrics=metrics,
        reports=result.reports,
        # The reports of a stopped trial may be incomplete, but the weights that it kept are not.
        failure=wrong if has_failed else None,
        checkpoint=None if has_failed else result.checkpoint,
        values=objectives.values(metrics) if wrong is None else None,
        violation=objectives.violation(metrics) if wrong is None else 0.0,
        **further,
    )


def _missing_or_not_finite(
    metrics: Mapping[str, Any], objectives: Objectives, notes: Mapping[str, Any]
) -> Failure | None:
    for name in objectives.needed:
        if name not in metrics and isinstance(notes.get(name), str):
            return Failure("not_a_number", f"metric {name!r} is the text {notes[name]!r}")
        if name not in metrics:
            given = ", ".join(map(repr, metrics)) or "no metric"
            hint = did_you_mean(name, metrics) or "; use one name in the objective and the function"
            text = f"metric {name!r} was not returned; the function gave {given}{hint}"
            return Failure("missing_metric", text)
        if not math.isfinite(metrics[name]):
            return Failure("not_finite", f"metric {name!r} is {metrics[name]}")
    return None


class Ledger:
    """All trials of a study.

    Args:
        space: The space of the study.
        objectives: Its objectives.

    Attributes:
        trials: The records as stored, by number.
        counts: How many trials are in each state.
    """

    def __init__(self, space: SearchSpace, objectives: Objectives) -> None:
        self.space = space
        self.objectives = objectives
        self.trials: list[Trial] = []
        self.counts: Counter[str] = Counter()
        self._first: dict[Hashable, int] = {}
        self._repeats: dict[int, list[int]] = {}
        self._best: Trial | None = None
        self._best_is_stale = False
        self._noise = 0.0  # standard deviation of the first value, estimated from the repeats
        #: For params with at least two done trials: mean and sum of squares, by first trial.
        self._means: dict[int, tuple[Trial, float]] = {}
        self._singles: list[tuple[Order, int]] = []  # heap of done trials, some of them repeated
        self._best_with_weights: Trial | None = None
        self._largest = 0.0  # budget that a done trial was measured at, where budgets count
        #: Numbers of the trials that have not ended.
        self.unfinished: set[int] = set()

    @property
    def seen(self) -> Collection[Hashable]:
        """Keys of all params that were ever proposed."""
        return self._first.keys()

    def first(self, key: Hashable) -> int | None:
        """Return the number of the first trial with these params, or None."""
        return self._first.get(key)

    def first_kept(self, number: int) -> Trial | None:
        """Return the first trial with the params of this one that has not failed, or None."""
        key = self.space.key(self.trials[number].genome)
        later = (t for t in self.trials[number:] if t.failure is None)
        return next((t for t in later if self.space.key(t.genome) == key), None)

    def put(self, trial: Trial) -> None:
        """Add a trial, or replace it by a newer record of the same number."""
        if trial.number == len(self.trials):
            self.trials.append(trial)
            if not trial.donors:  # with inherited weights, equal params are no repeat
                self._first.setdefault(self.space.key(trial.genome), trial.number)
            if trial.repeat_of is not None:
                self._repeats.setdefault(trial.repeat_of, [trial.repeat_of]).append(trial.number)
            was_done = False
        else:
            was_done = self.trials[trial.number].is_done
            self.counts[self.trials[trial.number].state] -= 1
            self.trials[trial.number] = trial
        self.counts[trial.state] += 1
        if trial.has_ended:
            self.unfinished.discard(trial.number)
        else:
            self.unfinished.add(trial.number)
        if trial.is_done:
            self._update_best(trial, is_news=not was_done)

    def average(self, trial: Trial, told: Collection[int] | None = None) -> Trial:
        """Return a done trial with metrics and values averaged over all its repeats.

        A stopped trial ran for a different budget: it is never averaged.

        Args:
            trial: Any trial.
            told: Numbers of the trials to average over, besides the trial itself; by default all.
        """
        if trial.state != "done" or root(trial) not in self._repeats:
            return trial
        numbers = self._repeats[root(trial)]
        group = self._done(n for n in numbers if told is None or n in told or n == trial.number)
        return average(trial, group, self.objectives)

    def _done(self, numbers: Iterable[int]) -> list[Trial]:
        return [self.trials[n] for n in numbers if self.trials[n].state == "done"]

    def averaged(self) -> list[Trial]:
        """Return one done trial per distinct params, with repeats averaged, by number.

        As long as no trial is done, the stopped trials that have values are returned.
        """
        done = [t for t in self.trials if t.state == "done"]
        roots: dict[int, Trial] = {}
        for trial in done or [t for t in self.trials if t.is_done]:
            roots.setdefault(root(trial), trial)
        return [self.average(trial) for trial in roots.values()]

    def best(self) -> Trial | None:
        """Return the best trial, repeats averaged; with several objectives, by the first one.

        Where params were repeated, means of few evaluations need to be better than those of many,
        see `by_bound`. A stopped trial is the best only as long as none is done, and one of a
        smaller budget only as long as no larger one is, see `measured_at`.

        The result is updated with each trial, so that calling this after each trial stays cheap.
        """
        if self._best_is_stale:
            self._best, self._best_is_stale = self._find_best(), False
        return self._best

    def _find_best(self) -> Trial:
        means = [mean for mean, _ in self._means.values()]
        freedom = sum(mean.repeats - 1 for mean in means)
        total = sum(s for _, s in self._means.values())
        if math.isfinite(total):
            self._noise = math.sqrt(total / freedom)
        else:  # squares of extreme values: they count in another unit
            self._noise = noise(self._done(self._repeats[first]) for first in self._means)
        while self._singles and root(self.trials[self._singles[0][1]]) in self._means:
            heapq.heappop(self._singles)
        singles = [self.trials[self._singles[0][1]]] if self._singles else []
        return min(means + singles, key=self._order)

    def best_with_weights(self) -> int | None:
        """Return the number of the best trial among those that kept their weights, or None."""
        return None if self._best_with_weights is None else self._best_with_weights.number

    def is_comparable(self, trial: Trial) -> bool:
        """Tell whether no done trial was measured at a larger budget."""
        return measured_at(trial) >= self._largest

    def _update_best(self, trial: Trial, *, is_news: bool) -> None:
        if trial.checkpoint is not None and not trial.checkpoint.deleted:
            rival = self._best_with_weights
            self._best_with_weights = trial if rival is None else min(rival, trial, key=_deepest)
        if trial.state == "done":
            if not self.is_comparable(trial):
                return
            if self._largest < measured_at(trial) < math.inf:
                self._begin_again(measured_at(trial))
                return
        if trial.state == "done" and is_news:
            heapq.heappush(self._singles, (by_first(trial), trial.number))
        group = [t for t in self._done(self._repeats.get(root(trial), ())) if self.is_comparable(t)]
        if len(group) > 1:
            self._means[root(trial)] = average(group[0], group, self.objectives), squares(group)
            self._best_is_stale = True
        elif not self._best_is_stale:
            self._best = trial if self._best is None else min(trial, self._best, key=self._order)

    def _begin_again(self, largest: float) -> None:
        """Look for the best among the trials of a larger budget than there was."""
        self._largest, self._noise = largest, 0.0
        self._best, self._best_is_stale = None, False
        self._means, self._singles = {}, []
        for trial in self.trials:
            if trial.state == "done":
                self._update_best(trial, is_news=True)

    def _order(self, trial: Trial) -> Order:
        return by_bound(trial, self._noise)

    def front(self) -> TrialList:
        """Return the feasible trials that no other of their budget dominates, by number."""
        done = [t for t in self.averaged() if t.violation == 0 and self.is_comparable(t)]
        if not done:
            return TrialList()
        values = np.array([t.values for t in done])
        return TrialList(done[k] for k in np.flatnonzero(pareto.non_dominated(values)))


def _deepest(trial: Trial) -> tuple[bool, float, Order]:
    return trial.state == "stopped", -measured_at(trial), by_first(trial)
