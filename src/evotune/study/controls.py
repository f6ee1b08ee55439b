"""Controls: a schedule against constant settings, and a search against random search.

The runs are separate studies in the same storage, named after the study they belong to, so that
they too can be resumed after a kill and found by a report.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from evotune import finite
from evotune.algorithms.random_search import RandomSearch
from evotune.algorithms.replay import Plan, Replay, TrainedPlan, trained_plans
from evotune.analysis.comparison import Comparison
from evotune.analysis.text import count
from evotune.errors import NoResultError, StudyError
from evotune.evolution.survival import by_first
from evotune.objectives import Objectives
from evotune.protocols import Algorithm, Evaluate, Storage
from evotune.schedules.schedule import Schedule
from evotune.space import Scheduled, Space
from evotune.storage.damage import DamageError, located, refuse_damage, space_of
from evotune.trial import Trial

log = logging.getLogger("evotune")

#: How many settings of a schedule are tried as constants, each in one training.
CONSTANTS = 5
#: How many of them are trained more often before one is chosen, and how often then in all.
FINALISTS, TRAININGS = 3, 3
EVOLUTION, RANDOM, SCHEDULES = "evolution", "random search", "Hybrid over schedules"
SCHEDULE, CONSTANT, BASELINE = "schedule", "constant", "baseline"


class StudyLike(Protocol):
    """What is needed of a study here."""

    algorithm: Algorithm
    objectives: Objectives
    storage: Storage

    @property
    def name(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def trials(self) -> tuple[Trial, ...]: ...
    def sibling(self, algorithm: Algorithm | None, name: str, seed: int) -> Any: ...


@dataclass(frozen=True, slots=True)
class Spent:
    """Epochs that a study has trained.

    Attributes:
        total: Sum over all trials.
        line: Most epochs that any weights were trained for, over all trials that inherited them.
    """

    total: float
    line: float


def lines(trials: Sequence[Trial]) -> dict[int, float]:
    """Return the epochs each trial's weights were trained for, inherited epochs included."""
    found: dict[int, float] = {}
    for trial in trials:
        start = max((found.get(donor, 0.0) for donor in trial.donors), default=0.0)
        found[trial.number] = start + (trial.budget or 0.0)
    return found


def spent(trials: Sequence[Trial]) -> Spent:
    """Return the epochs that trials have trained; a trial without a budget counts as 0."""
    longest = max(lines(trials).values(), default=0.0)
    return Spent(finite.limited(sum(trial.budget or 0.0 for trial in trials)), longest)


def compare_with_random(
    study: StudyLike,
    evaluate: Evaluate,
    *,
    runs: int = 6,
    controls: Sequence[str] | Mapping[str, Evaluate] = (),
    **options: Any,
) -> Comparison:
    """Repeat a search with other seeds, and run random search for as many epochs with each seed.

    The result of a run is the best among the networks that were trained for the full number of
    epochs: picking the best epoch of each network would favour runs that are evaluated more often.

    Args:
        study: A finished study; it is the first run.
        evaluate: The function that the study ran.
        runs: Number of seeds, this study's own included; with fewer than six, no test can reach
            the 5 % level.
        controls: Further arms, at equal epochs. Of a `SupervisedTask` these are random searches:
            ``"averaged"`` measures a moving average of the weights, ``"last"`` the last weights,
            ``"cosine"`` lets the learning rate decay to 0 along a cosine; and ``"schedules"`` is
            `Hybrid` over schedules of the learning rate, see `Scheduled`. Or functions of one's
            own, by name, for random search.
        **options: As for `Study.run`.

    Raises:
        StudyError: The study has several objectives, or nothing to compare yet; or a control is
            unknown, or the same as without it.
        KeyboardInterrupt: Ctrl-C; call it again to go on.
    """
    _check_one_objective(study)
    if runs < 2:
        raise StudyError(f"runs must be at least 2 for a comparison over seeds; got {runs!r}")
    used = spent(study.trials)
    if not any(trial.is_done for trial in study.trials):
        raise NoResultError(f"study {study.name!r} has no trials to compare; run it first")
    per_trial = {"epochs": used.line} if used.line else {}
    control = max(1, round(used.total / used.line)) if used.line else len(study.trials)
    train_again = evaluate
    # Random search has no members: it gets the averages that a population has by itself.
    if study.algorithm.traits.inherits and getattr(evaluate, "averaging", None) == "auto":
        evaluate = evaluate.control("averaged", int(used.line))  # type: ignore[attr-defined]
    space = study.algorithm.space
    further = _controls(evaluate, controls, int(used.line))
    if SCHEDULES in further:
        scheduled = _with_schedules(space)  # that it cannot be is said before anything is trained
    arms = {RANDOM: evaluate, **further}
    ended: dict[str, list[Sequence[Trial]]] = {EVOLUTION: [], **{arm: [] for arm in arms}}
    for run in range(runs):
        if run:
            with study.sibling(None, _again(study.name, run), study.seed + run) as again:
                _run(again, train_again, trials=len(study.trials), **per_trial, **options)
                ended[EVOLUTION].append(again.trials)
        else:
            ended[EVOLUTION].append(study.trials)
        for arm, train in arms.items():
            search = _hybrid(scheduled) if arm == SCHEDULES else RandomSearch(space)
            name = _random(study.name, run, arm)
            with study.sibling(search, name, study.seed + run) as random:
                _run(random, train, trials=control, **per_trial, **options)
                ended[arm].append(random.trials)
    return _comparison(study.objectives, ended)


def _controls(evaluate: Evaluate, given: Any, epochs: int) -> dict[str, Evaluate]:
    """Return the functions of further arms, by the arm's name.

    Raises:
        StudyError: A control is unknown, or has no effect.
    """
    if isinstance(given, Mapping):
        for name, train in given.items():
            if not isinstance(name, str) or not callable(train) or name in (EVOLUTION, RANDOM):
                raise StudyError(
                    "controls= maps names of arms to functions of a trial, such as "
                    f'{{"with dropout": other_task}}; got {name!r}: {train!r}'
                )
        return dict(given)
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise StudyError(
            'controls= is a list of names, such as ["averaged", "cosine"], or a mapping of names '
            f"to functions of a trial; got {given!r}"
        )
    control = getattr(evaluate, "control", None)
    if given and not callable(control):
        raise StudyError(
            f"controls={given!r} are of a SupervisedTask; for a function of your own give others "
            'by name, such as controls={"averaged": train_averaged}'
        )
    names = {name: SCHEDULES if name == "schedules" else f"{RANDOM}, {name}" for name in given}
    return {arm: control(name, epochs) for name, arm in names.items()}  # type: ignore[misc]


def _hybrid(space: Space) -> Algorithm:
    from evotune.algorithms.hybrid import Hybrid  # its surrogates take a while to load

    return Hybrid(space)


def _with_schedules(space: Space) -> Space:
    """Return the space with schedules of the learning rate.

    Raises:
        StudyError: It has none, or one that is a schedule already.
    """
    entries = {name: space.compounds.get(name) or space[name] for name in space.entries}
    rates = {name: space[name] for name in ("lr", "learning_rate") if name in space.domains}
    found = {name: Scheduled(rate) for name, rate in rates.items() if rate.ends() is not None}
    if not found:
        raise StudyError(
            'the control "schedules" needs a learning rate among the genes, such as '
            f"lr=Float(1e-4, 1.0, log=True); there are {', '.join(entries)}"
        )
    return Space(entries | found)


def find_comparison(storage: Storage, name: str) -> Comparison | None:
    """Return the comparison with random search that a storage has for a study, if any."""
    return _found(_find_comparison, storage, name, "comparison with random search")


def _found(
    find: Callable[[Storage, str], Comparison | None], storage: Storage, name: str, what: str
) -> Comparison | None:
    try:
        with located(storage):
            return find(storage, name)
    except DamageError as error:  # of another study, which must not keep this one's report
        log.warning("study %r has no %s: %s", name, what, error)
        return None


def _find_comparison(storage: Storage, name: str) -> Comparison | None:
    definition = storage.load(name)
    if definition is None or storage.load(_random(name, 1)) is None:
        return None
    objectives = Objectives.from_json(definition.objectives)
    named = {summary.definition.name for summary in storage.studies()}
    runs = 0
    while _random(name, runs) in named:
        runs += 1
    siblings = {EVOLUTION: [_again(name, run) for run in range(runs)]}
    for arm in (RANDOM, *_other_arms(name, named)):
        siblings[arm] = [_random(name, run, arm) for run in range(runs)]
    ended: dict[str, list[Sequence[Trial]]] = {}
    for arm, of_arm in siblings.items():
        found = [storage.trials(sibling) for sibling in of_arm if sibling in named]
        for sibling, trials in zip(of_arm, found, strict=False):
            own = storage.load(sibling) or definition
            refuse_damage(sibling, trials, space_of(own), objectives)
        if len(found) == runs and all(any(t.is_done for t in trials) for trials in found):
            ended[arm] = list(found)
    return (
        _comparison(objectives, ended) if runs > 1 and {EVOLUTION, RANDOM} <= set(ended) else None
    )


def _other_arms(name: str, named: Iterable[str]) -> list[str]:
    """Return the arms of a comparison beside random search itself, by the names of its runs."""
    first = re.compile(rf"{re.escape(name)} · with (.+) 0")
    return sorted(found[1] for each in named if (found := first.fullmatch(each)))


def find_replay(storage: Storage, name: str) -> Comparison | None:
    """Return what `replay` has trained for a study, if a storage has it of two arms or more.

    Of each arm these are the runs of the plan that was trained last, among the plans that are as
    long as the schedule's.
    """
    return _found(_find_replay, storage, name, "replay of its schedule")


def _find_replay(storage: Storage, name: str) -> Comparison | None:
    definition, sibling = storage.load(name), _of_controls(name, "replay")
    if definition is None or storage.load(sibling) is None:
        return None
    objectives, trials = Objectives.from_json(definition.objectives), storage.trials(sibling)
    refuse_damage(sibling, trials, space_of(definition), objectives)
    plans = trained_plans(trials)
    epochs = lines(trials)
    found: dict[str, tuple[TrainedPlan, float]] = {}
    for arm in (SCHEDULE, CONSTANT, BASELINE):
        for plan in plans.get(arm, ()):
            length = epochs[plan.ends[0].number]
            if not found or length == next(iter(found.values()))[1]:
                found[arm] = plan, length
                break
    if SCHEDULE not in found or len(found) < 2:
        return None
    objective = objectives.objectives[0]
    return Comparison(
        objective.metric,
        objective.direction,
        {
            arm: tuple(_value(objectives, end) for end in plan.ends)
            for arm, (plan, _) in found.items()
        },
        are_paired=False,
        epochs={arm: length for arm, (_, length) in found.items()},
        settings={
            arm: plan.ends[0].params for arm, (plan, _) in found.items() if plan.segments == 1
        },
    )


def replay(
    study: StudyLike,
    evaluate: Evaluate,
    schedule: Schedule,
    *,
    runs: int = 5,
    epochs: int | None = None,
    baseline: Mapping[str, Any] | Schedule | None = None,
    **options: Any,
) -> Comparison:
    """Train from scratch with a schedule, with a good constant setting and with a baseline.

    The constant setting is the best of a few candidates, see `_best_constant`; it is not searched
    for in the whole space. Its trainings to choose it are not among the runs that are compared.

    Args:
        study: The study that found the schedule; its space, objectives and seed are used.
        evaluate: The function that the study ran.
        schedule: The schedule.
        runs: Trainings per arm, each from fresh weights with its own seed, which follows from the
            name of the arm and the number of the run. What was trained before is used again.
        epochs: Epochs of each training, to which the schedule is stretched; by default its length.
        baseline: Constant params, or another schedule, to train with.
        **options: As for `Study.run`.

    Raises:
        StudyError: The study has several objectives, or every run of an arm has failed.
    """
    _check_one_objective(study)
    if not isinstance(schedule, Schedule):
        raise StudyError(f"schedule= must be such as study.schedule(), got {schedule!r}")
    length = len(schedule) if epochs is None else epochs
    constant, chosen = _best_constant(study, evaluate, schedule, length, options)
    arms: dict[str, Plan] = {
        SCHEDULE: _plan(schedule.stretched(length)),
        CONSTANT: [(length, constant)],
    }
    if baseline is not None:
        if isinstance(baseline, Schedule):
            arms[BASELINE] = _plan(baseline.stretched(length))
        else:
            arms[BASELINE] = [(length, baseline)]
    values = _trained(study, evaluate, arms, "replay", runs, options)
    objective = study.objectives.objectives[0]
    return Comparison(
        objective.metric,
        objective.direction,
        {arm: tuple(found) for arm, found in values.items()},
        are_paired=False,
        epochs=dict.fromkeys(values, float(length)),
        settings={arm: plan[0][1] for arm, plan in arms.items() if len(plan) == 1},
        notes={CONSTANT: chosen},
    )


def _run(study: Any, evaluate: Evaluate, **options: Any) -> None:
    study.run(evaluate, **options)
    if study.stop_reason == "interrupted":  # a half-finished arm must not be compared
        raise KeyboardInterrupt


def _best_constant(
    study: StudyLike,
    evaluate: Evaluate,
    schedule: Schedule,
    epochs: int,
    options: Mapping[str, Any],
) -> tuple[Mapping[str, Any], str]:
    """Return the best of some constant settings, and how it was chosen.

    The candidates are some settings out of the schedule, and the best of random search if it ran.
    Each is trained once for all epochs. As the best of single trainings may only be a lucky one,
    the best few are trained more often, and the best mean decides.
    """
    segments = schedule.segments
    chosen = sorted({k * (len(segments) - 1) // (CONSTANTS - 1) for k in range(CONSTANTS)})
    candidates = {f"setting {k}": segments[place].params for k, place in enumerate(chosen)}
    source = f"{count(len(chosen), 'setting')} of the schedule"
    control = [t for t in study.storage.trials(_random(study.name, 0)) if t.is_done]
    if control:
        candidates["random search"] = min(control, key=by_first).params
        source += " and the best of random search"
    if len(candidates) == 1:
        return next(iter(candidates.values())), "the only setting of the schedule"
    arms: dict[str, Plan] = {arm: [(epochs, params)] for arm, params in candidates.items()}
    once = _trained(study, evaluate, arms, "constants", 1, options)
    finalists = _ranked(study, once)[:FINALISTS]
    often = {arm: arms[arm] for arm in finalists}
    means = _trained(study, evaluate, often, "constants", TRAININGS, options)
    how = f"chosen from {source}: each was trained once, the best {len(finalists)} of them "
    how += f"{TRAININGS} times, and this one had the best mean; other constants may be better"
    return candidates[_ranked(study, means)[0]], how


def _ranked(study: StudyLike, scores: Mapping[str, Sequence[float]]) -> list[str]:
    """Return arms by the mean of their scores, best first; those of which runs failed go last."""
    sign = -1.0 if study.objectives.objectives[0].direction == "max" else 1.0
    return sorted(scores, key=lambda arm: (-len(scores[arm]), sign * finite.mean(scores[arm])))


def _trained(
    study: StudyLike,
    evaluate: Evaluate,
    arms: Mapping[str, Plan],
    what: str,
    runs: int,
    options: Mapping[str, Any],
) -> dict[str, list[float]]:
    """Train plans in a study of their own; return the scores at the end of each arm's runs.

    The study has the trainings of all earlier calls too: only those that it lacks are made.
    """
    seed = study.seed + 1
    algorithm = Replay(study.algorithm.space, arms, runs=runs, seed=seed)
    length = max(sum(epochs for epochs, _ in plan) for plan in arms.values())
    name = _of_controls(study.name, what)
    with study.sibling(algorithm, name, seed) as again:
        size = algorithm.size
        if len(again.trials) < size or not all(trial.has_ended for trial in again.trials):
            _run(again, evaluate, trials=size, epochs=length, **options)
        values = {arm: _finals(again, arm, len(steps)) for arm, steps in arms.items()}
        _say_what_was_fitted(again, arms)
    found = {arm: scores for arm, scores in values.items() if scores}
    if len(found) < len(arms) and (what == "replay" or not found):
        failed = ", ".join(arm for arm in arms if arm not in found)
        raise StudyError(f"every run of {failed} has failed; see study {name!r}")
    return found


def _say_what_was_fitted(again: Any, arms: Mapping[str, Plan]) -> None:
    """Log which arms were trained with other params, as the limits of the task want them."""
    space = again.algorithm.space
    first = {t.origin.member: t.params for t in again.trials if t.weights_from is None}
    for arm, plan in arms.items():
        given = space.params(space.complete(plan[0][1]))
        trained = [first[member] for member in again.algorithm.members(arm)]
        if trained and trained[0] != given:
            log.warning(
                "%s was made to fit the limits of the task: trained was %s instead of %s",
                arm,
                trained[0],
                given,
            )


def _plan(schedule: Schedule) -> Plan:
    return [(segment.epochs, segment.params) for segment in schedule.segments]


def _finals(again: Any, arm: str, steps: int) -> list[float]:
    """Return the score at the end of each complete run of an arm."""
    members = again.algorithm.members(arm)
    done: dict[Any, list[Trial]] = {member: [] for member in members}
    for trial in again.trials:
        if trial.origin.member in done and trial.is_done:
            done[trial.origin.member].append(trial)
    return [_score(again, run[-1]) for run in done.values() if len(run) == steps]


def _score(study: Any, trial: Trial) -> float:
    return _value(study.objectives, trial)


def _value(objectives: Objectives, trial: Trial) -> float:
    return float(objectives.objectives[0].score((trial.values or (float("nan"),))[0]))


def _comparison(
    objectives: Objectives, ended: Mapping[str, Sequence[Sequence[Trial]]]
) -> Comparison:
    objective = objectives.objectives[0]
    return Comparison(
        objective.metric,
        objective.direction,
        {arm: tuple(_value(objectives, _final(t)) for t in runs) for arm, runs in ended.items()},
        are_paired=True,
        epochs={
            arm: sum(spent(trials).total or len(trials) for trials in runs) / len(runs)
            for arm, runs in ended.items()
        },
    )


def _final(trials: Sequence[Trial]) -> Trial:
    """Return the best of the trials whose weights were trained for the longest time."""
    done = [trial for trial in trials if trial.is_done]
    if not done:
        raise NoResultError("a run of the comparison has no finished trial; see its study")
    epochs = lines(trials)
    longest = max(epochs[trial.number] for trial in done)
    return min((t for t in done if epochs[t.number] == longest), key=by_first)


def _check_one_objective(study: StudyLike) -> None:
    if len(study.objectives.objectives) > 1:
        raise StudyError(
            "a comparison needs one objective to compare by, and study "
            f"{study.name!r} has {len(study.objectives.objectives)}"
        )


def _again(name: str, run: int) -> str:
    return name if run == 0 else f"{name} · again {run}"


def _of_controls(name: str, what: str) -> str:
    return f"{name} · {what}"


def _random(name: str, run: int, arm: str = RANDOM) -> str:
    return f"{name} · random {run}" if arm == RANDOM else f"{name} · with {arm} {run}"
