"""What all figures and tables of one report share, prepared once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from evotune.analysis.diversity import Diversity, diversity
from evotune.analysis.generations import Groups, group
from evotune.analysis.importance import Importance, Method, importance
from evotune.analysis.lineage import ancestors, main_line, weights_line
from evotune.analysis.scales import Scale, score_scale
from evotune.analysis.steps import Step, inherits_weights, steps, survivors
from evotune.errors import StudyError
from evotune.evolution.hypervolume import knee
from evotune.evolution.pareto import non_dominated
from evotune.evolution.repeats import average, bound, noise, root
from evotune.evolution.survival import measured_at
from evotune.objectives import AnyObjective, Objective, Objectives
from evotune.protocols import StudyDefinition
from evotune.space import Space
from evotune.trial import Trial

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

FAMILY_AT_MOST = 400


class Recorded(Protocol):
    """The attributes of a study that are read here; a `StudyData` has them too."""

    @property
    def definition(self) -> StudyDefinition: ...
    @property
    def trials(self) -> Sequence[Trial]: ...


@dataclass(frozen=True)  # no slots, because cached properties need a __dict__
class StudyData:
    """A study, prepared for figures and tables.

    Attributes:
        definition: Name, seed and settings of the study.
        space: The space.
        objectives: The objectives.
        trials: All trials, by number.
        groups: Generation of each of ``trials``.
        done: Trials with finite values, by number; repeats of the same params all have the mean of
            their metrics and values.
        places: Position in ``trials`` of each of ``done``, shape ``(done,)``.
        values: Objectives, minimised, shape ``(done, objectives)``.
        scores: Objectives in the sign of the metrics, shape ``(done, objectives)``.
        front: Which of ``done`` are non-dominated, shape ``(done,)``; only feasible ones, if there
            are any, and no repeats. With one objective it is the trial of `Study.best`.
        ranking: Positions in ``done`` without repeats, best first: the front before the rest,
            stopped trials last, feasible before infeasible, then by the first objective.
        inherits: Whether trials inherit weights, so that results also depend on the epochs that
            the weights were trained for before.
    """

    definition: StudyDefinition
    space: Space
    objectives: Objectives
    trials: tuple[Trial, ...]
    groups: Groups
    done: tuple[Trial, ...]
    places: Indices
    values: Floats
    scores: Floats
    front: npt.NDArray[np.bool_]
    ranking: Indices
    inherits: bool = False

    @cached_property
    def importance(self) -> Importance:
        """Importance of genes for the first objective, among comparable trials."""
        return self.comparable.importance if self.inherits else self.importance_by("fanova")

    def importance_by(self, method: Method) -> Importance:
        """Return the importance for the first objective; see `evotune.analysis.importance`."""
        data = self.comparable
        trials = [data.done[k] for k in np.sort(data.ranking)]
        return importance(self.space, trials, method=method)

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Each of ``trials`` as a step of its member."""
        return tuple(steps(self.trials))

    @cached_property
    def step_of(self) -> dict[int, Step]:
        """The steps by number of their trial."""
        return {step.trial.number: step for step in self.steps}

    @cached_property
    def score_of(self) -> dict[int, float]:
        """The first objective of each of ``done``, in the sign of the metric, by trial number."""
        pairs = zip(self.done, self.first_scores.tolist(), strict=True)
        return {trial.number: score for trial, score in pairs}

    @cached_property
    def diversity(self) -> Diversity:
        """How diverse the trials of each generation are."""
        return diversity(self.space, self.trials, self.groups.of)

    @cached_property
    def comparable(self) -> "StudyData":
        """The same study; if weights are inherited, with scores among trials of equal age."""
        return _at_equal_age(self) if self.inherits else self

    def params(self, trial: Trial) -> dict[str, Any]:
        """Return the params of one of ``trials``, with one value for each chain or schedule.

        The trials here hold each active gene of either by itself.
        """
        return self.space.assembled(trial.params)

    @property
    def objective(self) -> AnyObjective:
        """The first objective."""
        return self.objectives.objectives[0]

    @property
    def has_several_objectives(self) -> bool:
        """Whether there is a front instead of one best trial."""
        return len(self.objectives.objectives) > 1

    @property
    def best(self) -> Trial | None:
        """The best trial, or None when none is done."""
        return self.done[self.ranking[0]] if self.done else None

    @cached_property
    def knee(self) -> int | None:
        """Position in ``done`` of the front's knee; None if the front has fewer than 3 trials."""
        front = np.flatnonzero(self.front)
        return int(front[knee(self.values[front])]) if len(front) > 2 else None

    @property
    def infeasible(self) -> list[Trial]:
        """The done trials that break a constraint."""
        return [trial for trial in self.done if trial.violation > 0]

    @property
    def failed(self) -> list[Trial]:
        """The trials that failed."""
        return [trial for trial in self.trials if trial.state == "failed"]

    @property
    def done_groups(self) -> npt.NDArray[np.int64]:
        """Generation of each of ``done``, shape ``(done,)``."""
        return self.groups.of[self.places]

    @property
    def first_scores(self) -> Floats:
        """The first objective in the sign of the metric, shape ``(done,)``."""
        return self.scores[:, 0]

    @cached_property
    def score_scale(self) -> tuple[Scale, int]:
        """The axis of the first objective, and how many trials are beyond its bad end."""
        return score_scale(self.first_scores, self.objective.direction)

    @cached_property
    def best_so_far(self) -> Indices:
        """Position in ``done`` of the best trial up to each, inclusive, shape ``(done,)``."""
        return self._running_best(np.arange(len(self.done)))

    @cached_property
    def best_by_group(self) -> tuple[npt.NDArray[np.int64], Indices]:
        """Each group, and the position in ``done`` of the best in it and those before."""
        # Not by number: islands and asynchronous members are in different generations.
        order = np.argsort(self.done_groups, kind="stable")
        groups = self.done_groups[order]
        last = np.flatnonzero(np.diff(groups, append=groups[-1:] + 1))
        return groups[last], self._running_best(order)[last]

    def _running_best(self, order: Indices) -> Indices:
        """Return the position in ``done`` of the best up to and with each place of an order."""
        pairs = zip(self.done, self.values, strict=True)
        keys = [(t.state == "stopped", -measured_at(t), t.violation, *row) for t, row in pairs]
        best = order.copy()
        for k in range(1, len(order)):
            best[k] = order[k] if keys[order[k]] < keys[best[k - 1]] else best[k - 1]
        return best

    def family(self) -> list[Trial]:
        """Return the best trial and its latest ancestors that have a value, oldest first.

        If weights are inherited, the trials that trained its weights are among them.
        """
        if self.best is None:
            return []
        found = {t.number: t for t in ancestors(self.done, self.best.number)[-FAMILY_AT_MOST:]}
        found |= {t.number: t for t in self.best_path()} if self.inherits else {}
        return [found[number] for number in sorted(found)]

    def best_path(self) -> list[Trial]:
        """Return the line of ancestors that leads to the best trial, oldest first.

        It follows the donors of weights if these are inherited, else each time the better parent.
        """
        if self.best is None:
            return []
        if self.inherits:
            return weights_line(self.done, self.best.number)
        return main_line(ancestors(self.done, self.best.number)[-FAMILY_AT_MOST:])

    def line_of(self, number: int) -> list[Step]:
        """Return the steps that trained a trial's weights, oldest first."""
        return [self.step_of[trial.number] for trial in weights_line(self.trials, number)]

    @cached_property
    def best_line(self) -> list[Step]:
        """The line of weights that ends in the best trial, oldest first."""
        return [] if self.best is None else self.line_of(self.best.number)

    @cached_property
    def surviving_lines(self) -> list[list[Step]]:
        """The lines of weights of the final population, best first, each oldest first."""
        ends = survivors(self.steps)
        ends.sort(key=lambda step: (step.trial.violation, step.trial.values or ()))
        return [self.line_of(step.trial.number) for step in ends]

    @cached_property
    def family_of_members(self) -> list[Step]:
        """The best trial and all from which its weights and genes come, oldest first."""
        if self.best is None:
            return []
        found, waiting = {self.best.number}, [self.best.number]
        while waiting:
            trial = self.step_of[waiting.pop()].trial
            for origin in (*trial.parents, *trial.donors):
                if origin in self.step_of and origin not in found:
                    found.add(origin)
                    waiting.append(origin)
        return [self.step_of[number] for number in sorted(found) if self.step_of[number].lane]

    @property
    def has_members(self) -> bool:
        """Whether the algorithm noted which member of a population each trial trains."""
        return any(step.lane for step in self.steps)

    @property
    def path_name(self) -> str:
        """A description of `best_path` for a legend."""
        return "line of its weights" if self.inherits else "line of the best parents"

    def thinned(self, limit: int) -> Indices:
        """Return at most ``limit`` positions in ``done``: a fifth the best, the rest random."""
        if len(self.done) <= limit:
            return np.arange(len(self.done))
        best = self.ranking[: limit // 5]
        rest = np.setdiff1d(np.arange(len(self.done)), best)
        drawn = np.random.default_rng(0).choice(rest, limit - len(best), replace=False)
        return np.sort(np.concatenate([best, drawn]))


def prepare(study: Recorded) -> StudyData:
    """Collect what figures and tables share, once for all of them.

    Args:
        study: A study, or another record of its definition and its trials, which may be in any
            order and state. Data that is already prepared is returned as it is.

    Raises:
        StudyError: The object is not a study.
    """
    if isinstance(study, StudyData):
        return study
    try:
        definition, trials = study.definition, study.trials
    except AttributeError:
        raise StudyError(
            f"a study is needed, got {study!r}; give the study itself, as et.plot.progress(study)"
        ) from None
    space = Space.from_json(definition.space)
    objectives = Objectives.from_json(definition.objectives)
    ordered = tuple(_plain(t, space) for t in sorted(trials, key=lambda trial: trial.number))
    places = np.array([k for k, t in enumerate(ordered) if _is_finite(t)], dtype=np.intp)
    done, spread = _averaged([ordered[k] for k in places], objectives)
    count = len(objectives.objectives)
    values = np.array([t.values for t in done], dtype=float).reshape(len(done), count)
    signs = np.array([objective.score(1.0) for objective in objectives.objectives])
    at_worst = values.copy()
    if count == 1:
        at_worst[:, 0] = [bound(v, t, spread) for v, t in zip(values[:, 0], done, strict=True)]
    front = _front(done, at_worst)
    return StudyData(
        definition=definition,
        space=space,
        objectives=objectives,
        trials=ordered,
        groups=group(ordered),
        done=done,
        places=places,
        values=values,
        scores=values * signs + 0.0,  # no -0.0
        front=front,
        ranking=_ranking(done, np.hstack([at_worst, values]), front),
        inherits=inherits_weights(ordered),
    )


def _at_equal_age(data: StudyData) -> StudyData:
    """Return the study with one objective: the rank of a trial among the trials of equal age.

    Trials are of equal age if their weights were trained for the same number of epochs.
    """
    from scipy.stats import rankdata  # takes half a second to load

    ages = np.array([data.steps[k].end for k in data.places])
    keys = np.array(
        [(t.violation, value) for t, value in zip(data.done, data.values[:, 0], strict=True)]
    )
    places = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    scores = np.full(len(ages), 50.0)
    for age in np.unique(ages):
        peers = ages == age
        if peers.sum() > 1:
            scores[peers] = 100 * (peers.sum() - rankdata(places[peers])) / (peers.sum() - 1)
    pairs = zip(data.done, scores.tolist(), strict=True)
    done = [replace(trial, values=(-score,)) for trial, score in pairs]
    return replace(
        data,
        objectives=Objectives((Objective(f"{data.objective.metric} rank, %", "max"),)),
        done=tuple(done),
        values=-scores[:, None],
        scores=scores[:, None],
        inherits=False,
    )


def _plain(trial: Trial, space: Space) -> Trial:
    """Return a trial whose params are its active genes as they are stored.

    They hold no members of an ``Enum``, and each gene of a chain or schedule by itself.
    """
    if space.compounds:
        return replace(
            trial, params={name: trial.genome[name] for name in space.active(trial.genome)}
        )
    if not any(isinstance(value, Enum) for value in trial.params.values()):
        return trial
    return replace(trial, params={name: trial.genome[name] for name in trial.params})


def _is_finite(trial: Trial) -> bool:
    return trial.values is not None and all(map(math.isfinite, trial.values))


def _averaged(done: Sequence[Trial], objectives: Objectives) -> tuple[tuple[Trial, ...], float]:
    """Return the trials with the means of their repeats, and the noise of a single first value."""
    groups: dict[tuple[int, bool], list[Trial]] = {}
    for trial in done:
        groups.setdefault(_group(trial), []).append(trial)
    means = tuple(average(trial, groups[_group(trial)], objectives) for trial in done)
    return means, noise(groups.values())


def _group(trial: Trial) -> tuple[int, bool]:
    """Return the key that repeats share; a stopped trial has its own, as its budget was smaller."""
    stopped = trial.state == "stopped"
    return trial.number if stopped else root(trial), stopped


def _front(done: Sequence[Trial], values: Floats) -> npt.NDArray[np.bool_]:
    fresh = _fresh(done)
    feasible = np.array([trial.violation == 0 for trial in done], dtype=bool) & fresh
    whole = (_behind(done) == 0) & fresh
    choices = (feasible & whole, whole, feasible, fresh)
    eligible = np.flatnonzero(next((choice for choice in choices if choice.any()), fresh))
    front = np.zeros(len(done), dtype=bool)
    front[eligible] = non_dominated(values[eligible])
    return front


def _ranking(done: Sequence[Trial], values: Floats, front: npt.NDArray[np.bool_]) -> Indices:
    violations = np.array([trial.violation for trial in done], dtype=float)
    # numpy's last key counts most; with one objective the front is just the best.
    keys = (*values.T[::-1], violations, _behind(done), ~front)
    order = np.lexsort(keys)
    return order[_fresh(done)[order]]


def _behind(done: Sequence[Trial]) -> Indices:
    """Return 0 for a trial that competes, 1 for one of a smaller budget, 2 for a stopped one."""
    stopped = np.array([trial.state == "stopped" for trial in done], dtype=bool)
    depths = np.array([measured_at(trial) for trial in done])
    largest = np.max(depths[~stopped & np.isfinite(depths)], initial=0.0)
    return np.where(stopped, 2, depths < largest).astype(np.intp)


def _fresh(done: Sequence[Trial]) -> npt.NDArray[np.bool_]:
    """Return which trials are the first with their params, shape ``(done,)``."""
    fresh = np.zeros(len(done), dtype=bool)
    fresh[np.unique([root(trial) for trial in done], return_index=True)[1]] = True
    return fresh
