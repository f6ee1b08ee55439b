"""Optuna: its studies and spaces brought here, and the algorithms of evotune as its samplers."""

import copy
import logging
import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from numbers import Real
from typing import Any

from evotune.algorithms.auto import independent
from evotune.checks import option
from evotune.errors import AlgorithmError, GenomeError, SpaceError, StudyError
from evotune.objectives import Objective
from evotune.protocols import Algorithm
from evotune.seeding import fresh_seed, generator
from evotune.space import Choice, Domain, Float, Int, Space
from evotune.study.study import Study
from evotune.trial import Failure, Origin, Proposal, Trial, thawed

try:
    import optuna
except ModuleNotFoundError as error:
    if error.name != "optuna":
        raise  # Optuna is installed, but one of its dependencies is not
    raise ModuleNotFoundError(
        'evotune.integrations.optuna needs Optuna 5; install it with pip install "evotune[optuna]"',
        name="optuna",
    ) from None
if int(optuna.__version__.partition(".")[0]) < 5:
    raise ImportError(
        f"evotune.integrations.optuna needs Optuna 5, found {optuna.__version__}; install it with "
        'pip install "evotune[optuna]"'
    )

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

log = logging.getLogger("evotune")

__all__ = ["Sampler", "distributions", "import_study", "space"]

#: Under this name a trial of Optuna keeps what the algorithm has proposed.
PROPOSAL = "evotune:proposal"
#: How often a proposal whose params were tried is drawn again.
REDRAWS = 20


def __dir__() -> list[str]:
    return __all__


# -- spaces ---------------------------------------------------------------------------------------


def space(source: "optuna.Study | Mapping[str, BaseDistribution]") -> Space:
    """Return the space that a study of Optuna has searched, or that distributions describe.

    Ranges, logarithmic scales and steps stay as they are; categories become a `Choice`. Optuna
    records no conditions: where some params were suggested only sometimes, write the space anew
    with ``when=``.

    Args:
        source: The study; or distributions by name. Where a range has changed during a study, it
            is the smallest that holds all of them.

    Raises:
        SpaceError: The study has no params yet, a range has changed its kind, scale or step, or a
            category is no string, number, True, False or None.
    """
    if isinstance(source, Mapping):
        return Space({name: _domain(name, each) for name, each in source.items()})
    if not isinstance(source, optuna.Study):
        raise SpaceError(
            "space() needs a study of Optuna, or a dict of its distributions such as "
            f'{{"lr": FloatDistribution(1e-4, 1.0, log=True)}}; got {source!r}'
        )
    found: dict[str, BaseDistribution] = {}
    for trial in source.get_trials(deepcopy=False):
        for name, each in trial.distributions.items():
            found[name] = _wider(name, found.get(name, each), each)
    if not found:
        raise SpaceError(
            f"study {source.study_name!r} of Optuna has no trial with params yet, and so no space; "
            "write space({name: distribution})"
        )
    return space(found)


def _domain(name: str, given: BaseDistribution) -> Domain:
    if isinstance(given, FloatDistribution):
        return Float(given.low, given.high, log=given.log, step=given.step)
    if isinstance(given, IntDistribution):
        return Int(given.low, given.high, log=given.log, step=given.step)
    if isinstance(given, CategoricalDistribution):
        try:
            return Choice(list(given.choices))
        except SpaceError as error:
            raise SpaceError(f"param {name!r}: {error}") from None
    raise SpaceError(
        f"param {name!r}: {given!r} has no counterpart here; a FloatDistribution, an "
        "IntDistribution and a CategoricalDistribution have"
    )


def _wider(name: str, one: BaseDistribution, other: BaseDistribution) -> BaseDistribution:
    """Return the smallest distribution that holds both."""
    if one == other:
        return one
    numbers = FloatDistribution | IntDistribution
    if (
        type(one) is type(other)
        and isinstance(one, numbers)
        and isinstance(other, numbers)
        and (one.log, one.step) == (other.log, other.step)
        and (one.step is None or ((one.low - other.low) / one.step).is_integer())
    ):
        wider = copy.copy(one)
        wider.low, wider.high = min(one.low, other.low), max(one.high, other.high)
        return wider
    raise SpaceError(
        f"param {name!r} was {one!r} in some trials and {other!r} in others, which no single gene "
        "holds; write the space anew"
    )


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return the distributions of Optuna that describe a space, conditional genes included.

    Args:
        space: The space; of `Ordinal`, `Choice`, `Bool` and `Fixed` genes the values become
            categories, in their order.

    Raises:
        SpaceError: The space has a chain or schedule, or a domain that Optuna does not know.
    """
    if space.compounds:
        names = ", ".join(map(repr, space.compounds))
        raise SpaceError(f"chains and schedules have no counterpart in Optuna: {names}")
    return {name: _distribution(name, domain) for name, domain in space.domains.items()}


def _distribution(name: str, domain: Any) -> BaseDistribution:
    settings = domain.to_json()
    kind = settings["type"]
    if kind == "float":
        return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
    if kind == "int":
        return IntDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
    if kind in ("choice", "ordinal", "bool", "fixed"):
        return CategoricalDistribution(tuple(domain.values()))
    raise SpaceError(f"gene {name!r}: {domain!r} has no counterpart in Optuna")


# -- studies --------------------------------------------------------------------------------------


def import_study(source: "optuna.Study", study: Study) -> list[Trial]:
    """Add the finished trials of a study of Optuna to a study; the algorithm learns from them.

    Values go to the objectives in their order; numbers among the user attributes go along as
    metrics, such as those that a `Constraint` needs, and texts as notes. What the study has
    already, with the same params and values, is not added again. One line of the log says how many
    trials were left out, and why: pruned and failed ones, and those whose params do not lie in the
    space.

    Args:
        source: The study of Optuna.
        study: Where to; on ``space(source)``, or on a space of your own with the same names.

    Returns:
        The trials that were added.

    Raises:
        StudyError: The studies have other numbers of objectives, or other directions; or as
            `Study.add` does.
    """
    if not isinstance(source, optuna.Study) or not isinstance(study, Study):
        raise StudyError(
            "import_study needs a study of Optuna and one of evotune: write "
            f"import_study(optuna_study, study); got {source!r} and {study!r}"
        )
    _check_directions(source, study)
    genes = study.algorithm.space
    known = {(genes.key(t.genome), t.values) for t in study.trials}
    added: list[Trial] = []
    left_out: Counter[str] = Counter()
    example = ""
    for trial in source.get_trials(deepcopy=False):
        metrics = _metrics(trial, study)
        if metrics is None:
            left_out[_STATES.get(trial.state, "with a value that is not finite")] += 1
            continue
        try:
            genome = genes.complete(trial.params)
        except GenomeError as error:
            left_out[_OUTSIDE] += 1
            example = example or f" (trial {trial.number}: {error})"
            continue
        if (genes.key(genome), study.objectives.values(metrics)) in known:
            left_out[_KNOWN] += 1
        else:
            added.append(study.add(genes.params(genome), metrics))
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    log.log(
        logging.WARNING if left_out.keys() - {_KNOWN} else logging.INFO,
        "study %r: added %d trials of study %r of Optuna%s%s",
        *(study.name, len(added), source.study_name),
        *(f"; left out: {reasons}" if reasons else "", example),
    )
    return added


_STATES = {
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "still running",
    TrialState.WAITING: "not begun",
}
_KNOWN = "there already"
_OUTSIDE = "with params that do not lie in the space"


def _metrics(trial: FrozenTrial, study: Study) -> dict[str, Any] | None:
    """Return the metrics of a finished trial and its texts, None for one without values."""
    values = trial.values
    if trial.state != TrialState.COMPLETE or not all(map(math.isfinite, values)):
        return None
    attributes = {
        name: value
        for name, value in trial.user_attrs.items()
        if isinstance(value, Real | str) and not isinstance(value, bool)
    }
    return attributes | dict(zip(study.objectives.needed, values, strict=False))


def _check_directions(source: "optuna.Study", study: Study) -> None:
    objectives = study.objectives.objectives
    theirs = [_DIRECTIONS[direction] for direction in source.directions]
    if not all(isinstance(each, Objective) for each in objectives):
        raise StudyError(
            f"the values of Optuna are single metrics, but study {study.name!r} has a weighted "
            f"sum: {study.objectives}; write objectives such as {_example(theirs)}"
        )
    if theirs != [each.direction for each in objectives]:
        raise StudyError(
            f"study {source.study_name!r} of Optuna has the directions {theirs}, but study "
            f"{study.name!r} has {study.objectives}; write Study(..., {_example(theirs)})"
        )


_DIRECTIONS = {StudyDirection.MAXIMIZE: "max", StudyDirection.MINIMIZE: "min"}


def _example(directions: list[str]) -> str:
    named = [f"{each} metric{k or ''}" for k, each in enumerate(directions)]
    return repr(named[0] if len(named) == 1 else named)


# -- the sampler ----------------------------------------------------------------------------------


class Sampler(optuna.samplers.BaseSampler):
    """Lets an algorithm of evotune propose in a study of Optuna.

    It keeps no state that could be lost: each proposal is stored with its trial, and a sampler in
    another process, or after a restart, is told all trials of the study. One trial after another,
    with the same ``seed``, goes on exactly as if there had been no restart, and tries what a
    `Study` of this seed would. Pruned and failed trials count as failed, trials of other samplers
    and enqueued ones as trials from elsewhere, ``trial.set_constraint`` as constraints.

    Where several trials run at a time, an algorithm with generations does not wait for the rest of
    one, as Optuna cannot: further trials come from what it would propose if the rest had failed.

    Example::

        space = et.Space(lr=et.Float(1e-4, 1.0, log=True), layers=et.Int(1, 5))
        study = optuna.create_study(sampler=Sampler("Hybrid", space, seed=1))
        study.optimize(objective, n_trials=100)

    Args:
        algorithm: ``"auto"``, the name of a search such as ``"Hybrid"``, a function of the space
            that makes one, such as ``functools.partial(Genetic, population_size=8)``, or an
            algorithm on this space. Its trials start afresh, without budgets.
        search_space: All that may be suggested: a `Space`, in which genes may have conditions, or
            distributions of Optuna by name. The objective suggests each param as it is declared
            here, and need not suggest those whose condition fails.
        seed: Seed of the search; several processes may share it.

    Raises:
        SpaceError: The space has a chain or schedule, or a domain that Optuna does not know.
        AlgorithmError: The algorithm is not known, or its trials have budgets or weights.
    """

    def __init__(
        self,
        algorithm: str | Algorithm | Callable[[Space], Algorithm],
        search_space: Space | Mapping[str, BaseDistribution],
        *,
        seed: int | None = None,
    ) -> None:
        if not isinstance(search_space, Space | Mapping):
            raise SpaceError(
                'Sampler needs a search_space: write Sampler("Hybrid", space) with an et.Space, or '
                f"a dict of Optuna's distributions; got {search_space!r}"
            )
        ours = search_space if isinstance(search_space, Space) else space(search_space)
        self.search_space: Space = ours
        self.distributions = distributions(self.search_space)
        self.algorithm = algorithm
        self.seed = fresh_seed() if seed is None else option("seed", seed, "[0, inf)", whole=True)
        self._new(objectives=1)  # a mistake is said now
        self._lock = threading.Lock()
        self._told: _Told | None = None
        self._genomes: dict[int, Mapping[str, Any]] = {}  # of running trials, by trial id

    def __repr__(self) -> str:
        return f"Sampler({self.algorithm!r}, seed={self.seed})"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_lock": None, "_told": None, "_genomes": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def _new(self, objectives: int) -> Algorithm:
        return independent("Sampler", self.algorithm, self.search_space, objectives=objectives)

    def reseed_rng(self) -> None:
        """Do nothing: each trial draws from a stream of its own, that of its number."""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return nothing: `sample_independent` hands out all genes, and can say what is wrong."""
        return {}

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the value of a gene; the first call for a trial makes its proposal.

        Raises:
            SpaceError: The param is not in the search space, or is declared differently there.
        """
        declared = self.distributions.get(param_name)
        if declared is None:
            raise SpaceError(
                f"param {param_name!r} is suggested, but is not in the search_space of the "
                f"Sampler, which has {', '.join(self.distributions)}; add it there"
            )
        if not _alike(declared, param_distribution):
            raise SpaceError(
                f"param {param_name!r} is suggested from {param_distribution}, but the "
                f"search_space of the Sampler has {declared}; write the same in both"
            )
        with self._lock:
            genome = self._genomes.get(trial._trial_id)
            if genome is None:
                genome = self._genomes[trial._trial_id] = self._propose(study, trial)
        return genome[param_name]

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any
    ) -> None:
        """Forget the proposal, which is stored; the algorithm is told before it proposes next."""
        with self._lock:
            self._genomes.pop(trial._trial_id, None)

    def _propose(self, study: optuna.Study, trial: FrozenTrial) -> Mapping[str, Any]:
        key = (study.study_name, study._study_id, id(study._storage))
        if self._told is None or self._told.key != key:
            self._told = _Told(key, self._new(len(study.directions)), study.directions)
        told = self._told
        told.update(study.get_trials(deepcopy=False))
        proposal = told.propose(generator(self.seed, trial.number))
        fixed = trial.system_attrs.get("fixed_params", {})  # enqueued
        if fixed.keys() & proposal.genome.keys():
            proposal = Proposal(proposal.genome)  # it is not what the algorithm has proposed
        stored = {
            "genome": thawed(proposal.genome),
            "parents": list(proposal.parents),
            "note": thawed(proposal.note),
            "origin": asdict(proposal.origin),
        }
        study._storage.set_trial_system_attr(trial._trial_id, PROPOSAL, stored)
        return proposal.genome


def _alike(one: BaseDistribution, other: BaseDistribution) -> bool:
    """Return whether two distributions have the same values on the same scale."""
    if one == other:
        return True
    if isinstance(one, CategoricalDistribution) and isinstance(other, CategoricalDistribution):
        values = Choice(list(one.choices))  # in another order
        return values.size == len(other.choices) and all(map(values.contains, other.choices))
    return False


class _Told:
    """An algorithm, and what it has been told of a study of Optuna.

    Args:
        key: Which study.
        algorithm: A new algorithm.
        directions: Those of the study.
    """

    def __init__(self, key: Any, algorithm: Algorithm, directions: Any) -> None:
        self.key = key
        self.algorithm = algorithm
        self._signs = [-1.0 if each == StudyDirection.MAXIMIZE else 1.0 for each in directions]
        self._next = 0  # all trials before this one have ended, and were told
        self._running: dict[int, Trial] = {}
        self._ended: set[int] = set()  # from _next on
        self._keys: set[Any] = set()

    def update(self, trials: list[FrozenTrial]) -> None:
        """Tell what is new: that trials have started, and results, in the order of numbers."""
        for trial in trials[self._next :]:
            if trial.number not in self._ended:
                self._tell(trial)
        while self._next in self._ended:
            self._ended.remove(self._next)
            self._next += 1

    def _tell(self, trial: FrozenTrial) -> None:
        running = self._running.get(trial.number)
        if running is None:
            running = self._started(trial)
            if running is not None:
                self._running[trial.number] = running
                self._keys.add(self.algorithm.space.key(running.genome))
                self.algorithm.tell(running)
        if trial.state.is_finished():
            self._ended.add(trial.number)
            if running is not None:
                del self._running[trial.number]
                self.algorithm.tell(self._result(trial, self._as_tried(trial, running)))

    def _started(self, trial: FrozenTrial) -> Trial | None:
        """Return the trial as it started; None as long as not all its params are known."""
        space = self.algorithm.space
        stored = trial.system_attrs.get(PROPOSAL)
        if stored is None:  # another sampler's
            try:
                genome = space.complete(trial.params)
            except GenomeError:
                return None  # it has not all genes, or has not yet
            return Trial(trial.number, genome, space.params(genome), "running")
        return Trial(
            trial.number,
            stored["genome"],
            space.params(stored["genome"]),
            "running",
            parents=tuple(stored["parents"]),
            note=stored["note"],
            origin=_origin(stored["origin"]),
        )

    def _as_tried(self, trial: FrozenTrial, running: Trial) -> Trial:
        """Return a trial with the params that it has in the end: some may have been fixed."""
        space = self.algorithm.space
        try:
            genome = space.complete(dict(running.genome) | trial.params)
        except GenomeError:
            return running
        return replace(running, genome=genome, params=space.params(genome))

    def _result(self, trial: FrozenTrial, running: Trial) -> Trial:
        values = tuple(s * v for s, v in zip(self._signs, trial.values or (), strict=False))
        if trial.state != TrialState.COMPLETE or not all(map(math.isfinite, values)):
            failure = Failure("exception", f"{trial.state.name.lower()} in Optuna")
            return replace(running, state="failed", failure=failure)
        violation = math.fsum(max(each, 0.0) for each in trial.constraints.values())
        return replace(running, state="done", values=values, violation=violation)

    def propose(self, rng: Any) -> Proposal:
        """Return the next proposal.

        Raises:
            AlgorithmError: The algorithm has proposed all that it has.
        """
        proposal = self._drawn(self.algorithm, rng)
        if proposal is not None:
            return proposal
        ahead = copy.deepcopy(self.algorithm)
        for trial in self._running.values():
            ahead.tell(replace(trial, state="failed", failure=Failure("died", "still running")))
        proposal = self._drawn(ahead, rng)
        if proposal is None:
            raise AlgorithmError(f"{self.algorithm!r} has nothing more to propose")
        return Proposal(proposal.genome, parents=proposal.parents)  # it belongs to no generation

    def _drawn(self, algorithm: Algorithm, rng: Any) -> Proposal | None:
        """Ask, again where the params were tried before, as a `Study` does."""
        space = algorithm.space
        first = algorithm.ask(rng)
        if first is None or algorithm.traits.duplicates or not self._is_known(first.genome):
            return first
        for _ in range(REDRAWS):
            drawn = algorithm.ask(rng)
            if drawn is None:
                break
            if not self._is_known(drawn.genome):
                return drawn
        unseen = space.unseen(first.genome, self._keys, rng)
        return first if unseen is None else replace(first, genome=unseen)

    def _is_known(self, genome: Mapping[str, Any]) -> bool:
        return self.algorithm.space.key(genome) in self._keys


def _origin(stored: Mapping[str, Any]) -> Origin:
    lists = {name: tuple(value) for name, value in stored.items() if isinstance(value, list)}
    return Origin(**{**stored, **lists})
