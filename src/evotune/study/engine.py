"""The engine of a study: it proposes, records and tells trials, and rebuilds from the record."""

import atexit
import logging
import os
import shlex
import threading
import time
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from evotune.checkpoints.store import Checkpoints
from evotune.errors import EvotuneError, StorageError, StudyError, StudyLockedError
from evotune.garbage import no_collection
from evotune.objectives import Objectives
from evotune.protocols import Algorithm, Driver, Fit, Storage, StudyDefinition
from evotune.seeding import generator, trial_seed
from evotune.storage.damage import located, refuse_damage, source_of
from evotune.storage.outages import pause
from evotune.storage.rescue import rescue
from evotune.study import lock
from evotune.study.fitting import Fitting
from evotune.study.keeper import Keeper, default_folder
from evotune.study.ledger import Ledger, judge
from evotune.study.lock import one_at_a_time
from evotune.study.recorded import Recorded
from evotune.trial import Checkpoint, Failure, Outcome, Proposal, Trial

log = logging.getLogger("evotune")

Duplicates = Literal["redraw", "repeat", "allow"]

#: How often a duplicate proposal is drawn again before it becomes a repeat.
REDRAWS = 20


class Engine:
    """Algorithm, storage and ledger of one study, kept in step.

    Each change is made in memory first and then written in one transaction: after a kill, the next
    process resumes from what was written; after a full disk, this one writes the rest next time.

    Several threads may use an engine: its methods run one at a time. A forked child of this
    process may read, but is not the driver.

    Args:
        algorithm: A new algorithm.
        objectives: Objectives of the study.
        storage: Where its trials are stored.
        definition: Its name, seed, space and objectives, as stored.
        checkpoints: Where weights are kept, opened for this study.
        duplicates: What happens to params that were proposed before.
        take_over: Become the driver even if another process drives the study.

    Attributes:
        lock: Held during changes and consistent reads; never while trials or callbacks run.
        ledger: The trials in memory.
        keeper: The weights of the trials.
        is_forked: True in a forked child of the driver.
        untold: Numbers of the trials whose results the algorithm does not know yet, ascending.
        exhausted: True once every point of a finite space has been proposed.
        fitting: Makes genomes fit before they become trials.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        objectives: Objectives,
        storage: Storage,
        definition: StudyDefinition,
        *,
        checkpoints: Checkpoints,
        duplicates: Duplicates,
        take_over: bool,
    ) -> None:
        self.lock = threading.RLock()
        self.algorithm = algorithm
        self.objectives = objectives
        self.storage = storage
        self.definition = definition
        self.duplicates = duplicates
        self.ledger = Ledger(algorithm.space, objectives)
        self.keeper = Keeper(checkpoints, self.ledger, algorithm)
        self.untold: dict[int, None] = {}
        self.exhausted = False
        self.fitting = Fitting(algorithm.space)
        self._has_begun = False
        self.is_forked = False
        self._told: set[int] = set()
        self._unsaved: list[Trial] = []
        self._driver: Driver | None = None
        self._rescue: Path | None = None
        self._refusal: StudyLockedError | StorageError | StudyError | None = None
        self._superseded: set[tuple[int, float | None]] = set()  # starts of trials started again
        _engines.add(self)
        if isinstance(algorithm, Recorded):
            self._refusal = StudyError(
                f"study {definition.name!r} was opened to be read; to go on with it, declare it as "
                f"before: Study({definition.algorithm.split('(')[0]}(space, ...), objectives, "
                f"storage=..., name={definition.name!r})"
            )
        else:
            self._acquire(take_over)
        try:
            self._replay()
        except Exception:
            self.close()  # another process may repair what is damaged
            raise

    # -- opening and closing ------------------------------------------------------------------

    def _acquire(self, take_over: bool) -> None:
        """Become the driver, or remember why not: a study may be read while another drives it."""
        name = self.definition.name
        _release_abandoned()
        try:
            self._driver = lock.acquire(self.storage, name, take_over=take_over)
        except (StudyLockedError, StorageError) as refusal:
            self._refusal = refusal
        else:
            self._finalizer = weakref.finalize(
                self, _abandoned.append, (self.storage, name, self._driver)
            )

    @property
    def driver(self) -> Driver:
        """This process as the study's driver.

        Raises:
            StudyLockedError: Another process drives the study.
            StorageError: The storage is read-only.
            StudyError: The study was closed.
        """
        if self._refusal is not None:
            raise self._refusal
        if self._driver is None:
            raise StudyError(f"study {self.definition.name!r} was closed; open it again to go on")
        return self._driver

    def check_driver(self) -> None:
        """Raise the error of `driver` unless this process drives the study."""
        _ = self.driver

    @property
    def is_driver(self) -> bool:
        """True from opening to closing, unless another process drives the study."""
        return self._driver is not None

    @one_at_a_time
    def close(self) -> None:
        """Write what could not be written before, and release the study for another process.

        Raises:
            StudyLockedError: This is a forked child of the driver.
            StorageError: It cannot be written, and all of the study was written to another file.
        """
        if self.is_forked:
            self.check_driver()
        try:
            if self._driver is not None:
                self._finalizer.detach()
                self._give_up(self._driver)
        finally:
            self._driver = None
            self.keeper.store.close()

    def _give_up(self, driver: Driver) -> None:
        try:
            if self._unsaved:
                self._write([])
        except StorageError as error:
            if not error.lost:  # else it is rescued already
                raise self._rescued(error, driver) from error
        except StudyLockedError:
            pass  # what whoever drives it now has recorded counts
        refused = _release(self.storage, self.definition.name, driver)
        if isinstance(refused, StorageError) and refused.lost and self._rescue is None:
            raise self._rescued(refused, driver) from refused

    def leave_to_parent(self) -> None:
        """In a forked child: hold nothing, release nothing, and refuse to move the study on."""
        self.lock = threading.RLock()  # some thread of the parent may have held the old one
        if self._driver is not None:
            self._finalizer.detach()
            self.is_forked = True
            self._refusal = StudyLockedError(
                f"study {self.definition.name!r} is driven by process {self._driver.pid}, of which "
                "this process is a fork; only one process may drive a study. Call ask, tell and "
                "close there, sending params to this process and results back; or open the study "
                "here from its storage once that process has closed it"
            )
            self._driver = None

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("lock", "_finalizer")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, lock=threading.RLock())
        _engines.add(self)

    def _replay(self) -> None:
        """Tell the recorded trials again, each start after as many results as the first time."""
        with no_collection():
            self._tell_again()

    def _tell_again(self) -> None:
        trials = self.storage.trials(self.definition.name)
        with located(self.storage):
            refuse_damage(self.definition.name, trials, self.algorithm.space, self.objectives)
        if getattr(self.algorithm.space, "has_members", False):  # a storage knows their names only
            trials = [replace(t, params=self.algorithm.space.params(t.genome)) for t in trials]
        results = {t.result_order: t for t in trials if t.result_order is not None}
        for trial in trials:
            self.ledger.put(trial)
        self.keeper.load()
        for trial in trials:
            while len(self._told) < trial.results_seen:
                self._retell(results[len(self._told)], self._tell)
            self._retell(_as_started(trial), self.algorithm.tell)
            self.untold[trial.number] = None
        # Whether the next proposal comes before or after further results is up to the run; only
        # for generational algorithms it makes no difference.
        while self.algorithm.traits.generational and len(self._told) in results:
            self._retell(results[len(self._told)], self._tell)

    def _retell(self, trial: Trial, tell: Callable[[Trial], object]) -> None:
        """Tell of a recorded trial; its note, private to the algorithm, may be damaged too."""
        try:
            tell(trial)
        except EvotuneError:
            raise
        except Exception as error:
            source = source_of(self.storage)
            commands = (
                f" (evotune storage repair {source} sets those trials aside that evotune storage "
                f"check {source} finds)"
            )
            raise StorageError(
                f"study {self.definition.name!r}, trial {trial.number}: the algorithm cannot be "
                f"told of it again: {type(error).__name__}: {error}. Either column 'note' or "
                f"'origin' of this trial is damaged{commands if source else ''}, or the algorithm "
                "is another one than has proposed it"
            ) from error

    # -- starting trials ----------------------------------------------------------------------

    @one_at_a_time
    def told(self) -> list[Trial]:
        """Return the trials whose results were told, in that order."""
        told = [trial for trial in self.ledger.trials if trial.number in self._told]
        return sorted(told, key=lambda trial: trial.result_order or 0)

    @one_at_a_time
    def unfinished(self) -> list[Trial]:
        """Return the trials that have started, in this process or an earlier one, but not ended."""
        return [t for n in self.untold if not (t := self.ledger.trials[n]).has_ended]

    @one_at_a_time
    def waiting(self, limit: float) -> Trial | None:
        """Return the first trial that waits, if any.

        Args:
            limit: Trials of the study: one that has never started does so only as one of these.
        """
        for number in self.untold:
            trial = self.ledger.trials[number]
            if trial.state == "waiting" and (trial.started is not None or number < limit):
                return trial
        return None

    def rest(self) -> Mapping[str, Any]:
        """Return the genome that completes what is enqueued: the best one, or one that is drawn."""
        best = self.ledger.best()
        if best is not None:
            return best.genome
        rng = generator(self.definition.seed, len(self.ledger.trials))
        return self.fitting(self.algorithm.space.sample(rng))

    @one_at_a_time
    def enqueue(
        self,
        genome: Mapping[str, Any],
        budget: float | None = None,
        repeat_of: int | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> Trial:
        """Record a trial that the algorithm did not ask for; it waits for a run, or to be asked.

        Raises:
            StudyError: The study's trials are steps of one population that trains on.
        """
        self.check_driver()
        traits = self.algorithm.traits
        if traits.inherits and not (traits.newcomers or traits.budgets):
            raise StudyError(
                f"{type(self.algorithm).__name__} trains one population on and on, in which params "
                "from elsewhere have no weights to go on from: write seeds=[{...}] when the study "
                "begins, or try them in a study of their own"
            )
        number = len(self.ledger.trials)
        budget = max(traits.budgets, default=None) if budget is None else budget
        started = self._started(number, Proposal(genome, budget), repeat_of)
        trial = replace(started, state="waiting", started=None, notes=notes or {})
        self.untold[number] = None
        self.algorithm.tell(_as_started(trial))
        self._write([trial])
        return trial

    @one_at_a_time
    def begin(self, fit: Fit | None) -> None:
        """Prepare to start trials.

        Args:
            fit: Makes genomes fit; None leaves them as they are.
        """
        self.fitting.use(fit)
        if not self._has_begun:
            self._has_begun = True
            self._enqueue_late_seeds()

    def _enqueue_late_seeds(self) -> None:
        """Let seeds that were given to a study which had begun be the next trials."""
        key, first = self.algorithm.space.key, self.ledger.first
        new = [s for s in self.algorithm.traits.seeds if first(key(s)) is None]
        fitted = [(s, self.fitting(s)) for s in new]
        seeds = [f for s, f in fitted if first(key(f)) is None]
        if not seeds or not self.is_driver:
            return
        name = self.definition.name
        try:
            for seed in seeds:
                self.enqueue(seed)
                self.fitting.say(f"study {name!r}: a seed", seed)
        except StudyError as error:
            log.warning("study %r: the seeds given now are not tried: %s", name, error)
        else:
            log.info("study %r: %d seeds given now are tried next", name, len(seeds))

    @one_at_a_time
    def restart(self, trial: Trial, epochs: float | None = None) -> Trial:
        """Mark a waiting trial as running; the algorithm was told of it before.

        Args:
            trial: The trial.
            epochs: One that has never started gets no larger budget.

        Raises:
            CheckpointError: None of the weights to go on from can be read; nothing was recorded.
        """
        self.keeper.check_there()
        if trial.started is None and epochs is not None:
            budget = epochs if trial.budget is None else min(trial.budget, epochs)
            trial = replace(trial, budget=budget)
        if trial.started is None:
            self._warn_of_unfit(trial)
        self._superseded.add((trial.number, trial.started))
        started = replace(trial, state="running", started=time.time())
        self._write([started])
        return started

    def _warn_of_unfit(self, trial: Trial) -> None:
        """Say that a trial does not keep to limits that nobody knew when it was enqueued."""
        changes = self.fitting.changes(trial.genome)
        if changes:
            log.warning(
                "study %r: trial %d is tried as it was enqueued, although the limits of the task, "
                "which were not known then, want %s; write Study(..., fit=model.fit), and what is "
                "enqueued is made to fit at once",
                *(self.definition.name, trial.number, changes),
            )

    @one_at_a_time
    def suspend(self) -> None:
        """Mark unfinished trials as waiting, because nobody runs them now."""
        waiting = [replace(t, state="waiting") for t in self.unfinished() if t.state != "waiting"]
        if waiting:
            self._write(waiting)

    @one_at_a_time
    def propose(self, epochs: float | None = None) -> Trial | None:
        """Ask the algorithm for a trial, record it as running, and tell of its start.

        Args:
            epochs: No weights are trained for more epochs than this, over all trials that inherit
                them; a trial without a budget gets what is left.

        Returns:
            The trial; None when the algorithm has nothing to propose until more results are told,
            or proposes to continue weights that have already been trained for ``epochs``.
        """
        self.check_driver()  # before the algorithm is asked
        number = len(self.ledger.trials)
        rng = generator(self.definition.seed, number)
        proposal = self._asked(rng)
        if proposal is None:
            return None
        proposal, first = self._checked_new(proposal, rng)
        if epochs is not None:
            trained = self.keeper.epochs(proposal.weights_from)
            left = epochs - (trained if proposal.clock is None else proposal.clock)
            if left <= 0:
                return None
            budget = left if proposal.budget is None else min(proposal.budget, left)
            proposal = replace(proposal, budget=budget)
        self.keeper.check_there()
        self.algorithm.space.check(proposal.genome)  # what is recorded must be read again
        trial = self._started(number, proposal, first)
        if self.keeper.is_deleted(trial.donors) and self._has_news():
            return None  # perhaps removed for an ended trial that the algorithm was not yet told of
        self.untold[number] = None
        self.algorithm.tell(trial)
        self._write([trial])
        if self.fitting.is_from(self.algorithm.traits.seeds, trial.genome):
            self.fitting.say(f"study {self.definition.name!r}: a seed", trial.genome)
        return trial

    def _asked(self, rng: Any) -> Proposal | None:
        """Return what the algorithm proposes, made to fit."""
        heed = self.algorithm.traits.heed
        if heed is not None:
            heed(self.fitting if self.fitting else None)
        proposal = self.algorithm.ask(rng)
        if proposal is None or not self.fitting:
            return proposal
        # What was tried before is tried as it was, and weights go on in their own network.
        donor = proposal.weights_from
        goes_on = donor is not None and self.ledger.trials[donor].genome == proposal.genome
        if goes_on or self.ledger.first(self.algorithm.space.key(proposal.genome)) is not None:
            return proposal
        return replace(proposal, genome=self.fitting(proposal.genome))

    def _has_news(self) -> bool:
        return any(self.ledger.trials[number].has_ended for number in self.untold)

    def _started(self, number: int, proposal: Proposal, first: int | None) -> Trial:
        return Trial(
            number=number,
            genome=proposal.genome,
            params=self.algorithm.space.params(proposal.genome),
            state="running",
            seed=trial_seed(self.definition.seed, number)
            if proposal.seed is None
            else proposal.seed,
            budget=proposal.budget,
            weights_from=proposal.weights_from,
            inherit=proposal.inherit,
            parents=proposal.parents,
            origin=proposal.origin,
            note=proposal.note,
            repeat_of=first,
            results_seen=len(self._told),
            started=time.time(),
        )

    def _checked_new(self, proposal: Proposal, rng: Any) -> tuple[Proposal, int | None]:
        """Return the proposal, or another for a duplicate, and which trial it repeats, if any."""
        if self.algorithm.traits.inherits:
            return proposal, None  # with other weights, equal params are no repeat
        first = self.ledger.first(self.algorithm.space.key(proposal.genome))
        policy = self.algorithm.traits.duplicates or self.duplicates
        if first is not None and policy == "redraw":
            return self._redraw(proposal, first, rng)
        return proposal, None if policy == "allow" else first

    def _redraw(self, proposal: Proposal, first: int, rng: Any) -> tuple[Proposal, int | None]:
        """Draw again until the params are new; return the proposal and which trial it repeats."""
        space = self.algorithm.space
        if not self.exhausted:
            for _ in range(REDRAWS):
                drawn = self._asked(rng)
                if drawn is None:
                    break
                if self.ledger.first(space.key(drawn.genome)) is None:
                    return drawn, None
            unseen = self._unseen(proposal.genome, rng)
            if unseen is not None:
                return replace(proposal, genome=unseen), None
        return proposal, first

    def _unseen(self, genome: Mapping[str, Any], rng: Any) -> Mapping[str, Any] | None:
        """Return params near these, in a space that can be listed, that are new and fit."""
        space, seen = self.algorithm.space, self.ledger.seen
        for _ in range(REDRAWS):
            unseen = space.unseen(genome, seen, rng)
            if unseen is None:
                break
            fitted = self.fitting(unseen)
            if self.ledger.first(space.key(fitted)) is None:
                return fitted
            seen = {*seen, space.key(unseen)}  # it comes to params that were tried
        self._notice_exhaustion(len(seen), space.size())
        return None

    def _notice_exhaustion(self, seen: int, size: float) -> None:
        if seen >= size:
            self.exhausted = True
            log.warning(
                "study %r has tried all %d points of its space; from now on trials are repeats",
                self.definition.name,
                size,
            )

    def is_own(self, trial: Trial) -> bool:
        """Return whether a record is this study's, not another study's with the same number."""
        if not 0 <= trial.number < len(self.ledger.trials):
            return False
        own = self.ledger.trials[trial.number]
        start = (trial.number, trial.started)
        return (trial.seed, trial.genome) == (own.seed, own.genome) and (
            trial.started == own.started or start in self._superseded
        )

    # -- ending trials ------------------------------------------------------------------------

    @one_at_a_time
    def record(self, results: Mapping[int, Outcome | Failure], *, in_order: bool) -> None:
        """Record ended trials in one transaction; the algorithm is told of them separately.

        Args:
            results: The collected results, by trial number.
            in_order: The results will be told in trial order, by `tell_next`, rather than in order
                of arrival, by `tell_ended`.
        """
        ranks = {number: k for k, number in enumerate(self.untold if in_order else results)}
        ended, now = [], time.time()
        for number, result in results.items():
            order = len(self._told) + ranks[number]
            started = self.ledger.trials[number]
            trial = judge(started, result, self.objectives, result_order=order, ended=now)
            if trial.checkpoint is not None:
                trial = replace(trial, checkpoint=self.keeper.take(number, trial.checkpoint))
            ended.append(trial)
        self._write(ended)
        for trial in ended:  # only now: another process may have taken the study over
            self.keeper.discard(trial.number)

    @one_at_a_time
    def tell_next(self) -> Trial | None:
        """Tell the result of the first untold trial, if it has ended, and return its record."""
        first = next(iter(self.untold), None)
        if first is None or not self.ledger.trials[first].has_ended:
            return None
        return self._tell(self.ledger.trials[first])

    @one_at_a_time
    def tell_ended(self) -> list[Trial]:
        """Tell the results of all ended trials, in order of arrival."""
        kept = [t for n in self.untold if (t := self.ledger.trials[n]).has_ended]
        kept.sort(key=lambda trial: trial.result_order or 0)
        # Results that an ordered run held back until their turn get their present position.
        places = {trial.number: k for k, trial in enumerate(kept, start=len(self._told))}
        moved = [t for t in kept if t.result_order != places[t.number]]
        if moved:
            self._write([replace(t, result_order=places[t.number]) for t in moved])
        return [self._tell(self.ledger.trials[number]) for number in places]

    def _tell(self, trial: Trial) -> Trial:
        self.algorithm.tell(self.ledger.average(trial, self._told))
        self._told.add(trial.number)
        self.untold.pop(trial.number, None)
        return trial

    @one_at_a_time
    def clean(self, again: Collection[Trial] = ()) -> None:
        """Remove weights that nobody needs any more; the records follow with the next write."""
        self._unsaved += self.keeper.clean(again)

    @one_at_a_time
    def open_weights(self, *, shares_memory: bool) -> None:
        """Prepare weights for trials in this process (``shares_memory``) or in others.

        Raises:
            CheckpointError: None of those that unfinished trials need can be read.
        """
        self._unsaved += self.keeper.open(shares_memory=shares_memory, has_news=self._has_news())
        if any(trial.started is not None for trial in self.unfinished()):
            self.keeper.check_there()

    @one_at_a_time
    def save_weights(self) -> None:
        """Write to disk the needed weights that are only in memory.

        Raises:
            CheckpointError: The quota or the disk is full; weights written before are recorded.
        """
        try:
            self._unsaved += self.keeper.write_out()
        finally:
            if self._unsaved:
                self._write([])

    @one_at_a_time
    def restored(self, trial: Trial, checkpoint: Checkpoint | None) -> None:
        """Record weights that were trained again after they were lost with their process."""
        record = self.keeper.take(trial.number, checkpoint)
        self._write([replace(trial, checkpoint=record or trial.checkpoint)])

    def _write(self, trials: Sequence[Trial]) -> None:
        """Store trials; those that cannot be stored are kept and written first the next time."""
        driver = self.driver
        for trial in trials:
            self.ledger.put(trial)
        newest = {trial.number: trial for trial in (*self._unsaved, *trials)}
        self._unsaved = list(newest.values())
        try:
            self.storage.write(self.definition.name, self._unsaved, driver)
        except StorageError as error:
            if not error.lost:
                raise
            raise self._rescued(error, driver) from error
        self._unsaved = []

    def _rescued(self, error: StorageError, driver: Driver) -> StorageError:
        """Write all that is in memory to a new file; return the error that says where it is."""
        trials, place = self.ledger.trials, getattr(self.storage, "path", None)
        self._rescue = rescue(self.definition, trials, driver, lost=place, before=self._rescue)
        known = f"all {len(trials)} trials of study {self.definition.name!r}"
        if self._rescue is None:
            return StorageError(
                f"{error}; {known} are in this process only, and no file could be written",
                lost=True,
            )
        self.keeper.store.follow(self._rescue)
        file, folder = str(self._rescue), default_folder(self.storage)
        text = f"{known} are in {file}: look at them with evotune show {shlex.quote(file)}, and go "
        text += f"on with storage={file!r}"
        if self.keeper.has_weights and folder is not None and folder.is_dir():
            text += f", checkpoints={str(folder)!r}"
        return StorageError(f"{error}; {text}", lost=True)


def _as_started(trial: Trial) -> Trial:
    """Return a trial as it was when it started, which is how an algorithm first hears of it."""
    # Field by field, because `replace` takes twice as long and this runs for every trial of a
    # stored study; the fields that an evaluation adds are left out.
    return Trial(
        number=trial.number,
        genome=trial.genome,
        params=trial.params,
        state="running",
        seed=trial.seed,
        budget=trial.budget,
        weights_from=trial.weights_from,
        inherit=trial.inherit,
        parents=trial.parents,
        origin=trial.origin,
        note=trial.note,
        repeat_of=trial.repeat_of,
        results_seen=trial.results_seen,
        started=trial.started,
    )


#: All engines of this process: in a forked child their copies must not act as drivers.
_engines: "weakref.WeakSet[Engine]" = weakref.WeakSet()

#: Locks of studies that were garbage-collected without being closed. They are released later, as
#: the collector may run inside another study's transaction, while the database is locked.
_abandoned: list[tuple[Storage, str, Driver]] = []


def _after_fork() -> None:
    _abandoned.clear()
    for engine in list(_engines):
        engine.leave_to_parent()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _release_abandoned() -> None:
    waits = pause.set(None)
    while _abandoned:
        _release(*_abandoned.pop())
    pause.reset(waits)


def _release(storage: Storage, name: str, driver: Driver) -> Exception | None:
    try:
        storage.release(name, driver)
    except Exception as error:  # at exit the disk may be gone; a dead process is replaced anyway
        log.debug("could not release study %r: %s", name, error)
        return error
    return None
