"""What moves a study on: propose, record, tell, and rebuild all of it from the record."""

import logging
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from evotune import locking
from evotune.errors import StorageError, StudyError, StudyLockedError
from evotune.ledger import Ledger, judge
from evotune.objectives import Objectives
from evotune.protocols import Algorithm, Driver, Storage, StudyDefinition
from evotune.seeding import generator, trial_seed
from evotune.trial import Failure, Outcome, Proposal, Trial

log = logging.getLogger("evotune")

Duplicates = Literal["redraw", "repeat", "allow"]

#: How often a proposal that is not new is drawn again before it becomes a repeat.
REDRAWS = 20


class Engine:
    """Algorithm, storage and ledger of one study, kept in step.

    Memory is changed first and written last, in one transaction: a killed process resumes from
    what was written, and one whose disk was full still knows everything and writes it next time.

    Args:
        algorithm: A new algorithm.
        objectives: Objectives of the study.
        storage: Where its trials are.
        definition: What it is.
        duplicates: What happens to params that were proposed before.
        take_over: Become the driver although another process is.

    Attributes:
        ledger: The trials in memory.
        untold: Numbers of the trials whose results the algorithm does not know yet, ascending.
        exhausted: True once every point of a finite space has been proposed.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        objectives: Objectives,
        storage: Storage,
        definition: StudyDefinition,
        *,
        duplicates: Duplicates,
        take_over: bool,
    ) -> None:
        self.algorithm = algorithm
        self.objectives = objectives
        self.storage = storage
        self.definition = definition
        self.duplicates = duplicates
        self.ledger = Ledger(algorithm.space, objectives)
        self.untold: dict[int, None] = {}
        self.exhausted = False
        self._told: set[int] = set()
        self._unsaved: list[Trial] = []
        self._driver: Driver | None = None
        self._refusal: StudyLockedError | StorageError | None = None
        self._acquire(take_over)
        self._replay()

    # -- opening and closing ------------------------------------------------------------------

    def _acquire(self, take_over: bool) -> None:
        """Become the driver, or remember why not: a study may be looked at while it runs."""
        name = self.definition.name
        try:
            self._driver = locking.acquire(self.storage, name, take_over=take_over)
        except (StudyLockedError, StorageError) as refusal:
            self._refusal = refusal
        else:
            self._finalizer = weakref.finalize(self, _release, self.storage, name, self._driver)

    @property
    def driver(self) -> Driver:
        """This process as the study's driver.

        Raises:
            StudyLockedError: Another process drives the study.
            StorageError: The storage can be read only.
            StudyError: The study was closed.
        """
        if self._refusal is not None:
            raise self._refusal
        if self._driver is None:
            raise StudyError(f"study {self.definition.name!r} was closed; open it again to go on")
        return self._driver

    def check_driver(self) -> None:
        """Raise what `driver` raises, if it does."""
        _ = self.driver

    def close(self) -> None:
        """Give the study free for another process."""
        if self._driver is not None:
            self._finalizer()
            self._driver = None

    def _replay(self) -> None:
        """Tell the recorded trials again: each start after as many results as it had seen."""
        trials = self.storage.trials(self.definition.name)
        results = {t.result_order: t for t in trials if t.result_order is not None}
        for trial in trials:
            self.ledger.put(trial)
        for trial in trials:
            while len(self._told) < trial.results_seen:
                self._tell(results[len(self._told)])
            self.algorithm.tell(_as_started(trial))
            self.untold[trial.number] = None
        while len(self._told) in results:
            self._tell(results[len(self._told)])

    # -- starting trials ----------------------------------------------------------------------

    def unfinished(self) -> list[Trial]:
        """Return the trials that have started, in this process or an earlier one, but not ended."""
        return [t for n in self.untold if not (t := self.ledger.trials[n]).has_ended]

    def restart(self, trial: Trial) -> Trial:
        """Mark an unfinished trial as running again; the algorithm was told of it before."""
        started = replace(trial, state="running", started=time.time())
        self._write([started])
        return started

    def suspend(self) -> None:
        """Mark unfinished trials as waiting, because nobody runs them now."""
        waiting = [replace(t, state="waiting") for t in self.unfinished() if t.state != "waiting"]
        if waiting:
            self._write(waiting)

    def propose(self) -> Trial | None:
        """Ask the algorithm for a trial, record it as running, and tell of its start.

        Returns:
            The trial; None when the algorithm has nothing to propose until more results are told.
        """
        self.check_driver()  # before the algorithm is asked
        number = len(self.ledger.trials)
        rng = generator(self.definition.seed, number)
        proposal = self.algorithm.ask(rng)
        if proposal is None:
            return None
        space = self.algorithm.space
        first = self.ledger.first(space.key(proposal.genome))
        if first is not None and self.duplicates == "redraw":
            proposal, first = self._redraw(proposal, first, rng)
        trial = Trial(
            number=number,
            genome=dict(proposal.genome),
            params=space.params(proposal.genome),
            state="running",
            seed=trial_seed(self.definition.seed, number),
            budget=proposal.budget,
            weights_from=proposal.weights_from,
            parents=proposal.parents,
            note=proposal.note,
            repeat_of=None if self.duplicates == "allow" else first,
            results_seen=len(self._told),
            started=time.time(),
        )
        self.untold[number] = None
        self.algorithm.tell(trial)
        self._write([trial])
        return trial

    def _redraw(self, proposal: Proposal, first: int, rng: Any) -> tuple[Proposal, int | None]:
        """Draw again until the params are new; return the proposal and whom it repeats."""
        space = self.algorithm.space
        if not self.exhausted:
            for _ in range(REDRAWS):
                drawn = self.algorithm.ask(rng)
                if drawn is None:
                    break
                if self.ledger.first(space.key(drawn.genome)) is None:
                    return drawn, None
            unseen = space.unseen(proposal.genome, self.ledger.seen, rng)
            if unseen is not None:
                return replace(proposal, genome=unseen), None
            self._notice_exhaustion(space.size())
        return proposal, first

    def _notice_exhaustion(self, size: float) -> None:
        if len(self.ledger.seen) >= size:
            self.exhausted = True
            log.warning(
                "study %r has tried all %d points of its space; from now on trials are repeats",
                self.definition.name,
                size,
            )

    # -- ending trials ------------------------------------------------------------------------

    def finish(self, results: Mapping[int, Outcome | Failure], *, in_order: bool) -> list[Trial]:
        """Record ended trials in one transaction, then tell the algorithm all whose turn it is.

        Args:
            results: What was collected, by trial number.
            in_order: Tell in the order of trial numbers, keeping back what comes early.

        Returns:
            The records of the trials that were told.
        """
        ranks = {number: k for k, number in enumerate(self.untold if in_order else results)}
        ended, now = [], time.time()
        for number, result in results.items():
            trial = judge(self.ledger.trials[number], result, self.objectives)
            order = len(self._told) + ranks[number]
            ended.append(replace(trial, result_order=order, ended=now))
        try:
            self._write(ended)
        finally:
            told = self._tell_ended(None if in_order else results)
        return told

    def tell_leftovers(self, *, in_order: bool) -> list[Trial]:
        """Tell results that an earlier run recorded but kept back for their turn."""
        if in_order:
            return self._tell_ended(None)
        kept = [t for n in self.untold if (t := self.ledger.trials[n]).has_ended]
        orders = range(len(self._told), len(self._told) + len(kept))
        self._write([replace(t, result_order=k) for t, k in zip(kept, orders, strict=True)])
        return self._tell_ended([t.number for t in kept])

    def _tell_ended(self, numbers: Any) -> list[Trial]:
        """Tell the given trials, or with None the untold ones from the front that have ended."""
        if numbers is None:
            numbers = []
            for number in self.untold:
                if not self.ledger.trials[number].has_ended:
                    break
                numbers.append(number)
        told = [self.ledger.trials[number] for number in numbers]
        for trial in told:
            self._tell(trial)
        return told

    def _tell(self, trial: Trial) -> None:
        self.algorithm.tell(self.ledger.average(trial, self._told))
        self._told.add(trial.number)
        self.untold.pop(trial.number, None)

    def _write(self, trials: Sequence[Trial]) -> None:
        """Store trials; what cannot be stored is kept and goes first the next time."""
        driver = self.driver
        for trial in trials:
            self.ledger.put(trial)
        self._unsaved += trials
        self.storage.write(self.definition.name, self._unsaved, driver)
        self._unsaved = []


def _as_started(trial: Trial) -> Trial:
    """Return a trial as it was when it started, which is how an algorithm first hears of it."""
    return replace(
        trial,
        state="running",
        metrics={},
        values=None,
        violation=0.0,
        failure=None,
        reports=(),
        result_order=None,
        ended=None,
    )


def _release(storage: Storage, name: str, driver: Driver) -> None:
    try:
        storage.release(name, driver)
    except Exception as error:  # at exit the disk may be gone; a dead process is replaced anyway
        log.debug("could not release study %r: %s", name, error)
