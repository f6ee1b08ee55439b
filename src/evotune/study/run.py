"""One call of `Study.run`: its limits, its loop, its executor and its handling of Ctrl-C."""

import logging
import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import FrameType
from typing import Any

from evotune.checks import option, seconds
from evotune.errors import (
    CheckpointError,
    StorageError,
    StudyError,
    StudyLockedError,
    TaskError,
    TooManyFailuresError,
)
from evotune.evolution.stopping import SameEnd, Stopping
from evotune.evolution.survival import measured_at
from evotune.execution.inline import InlineExecutor
from evotune.execution.processes import ProcessExecutor
from evotune.execution.stacked import StackedExecutor
from evotune.protocols import Algorithm, Evaluate, Executor
from evotune.storage.outages import pause
from evotune.study import lock
from evotune.study.engine import Engine
from evotune.study.progress import line
from evotune.trial import Bar, Failure, Outcome, Trial

log = logging.getLogger("evotune")

#: A run is not stopped because of failures before this many trials have ended.
FAILURES_COUNT_FROM = 10

#: So many trials without the needed metrics end a run that has no result: no later one will differ.
WITHOUT_METRICS = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run ends.

    Args:
        trials: Trials of the whole study.
        epochs: Epochs that any weights are trained for, over all trials that inherit them.
        timeout: Seconds after which no further trial is started.
        target: Value of the first objective that is good enough, in the sign of the metric.
        stagnation: Generations without improvement of the best value.
        max_failures: Share of this call's trials that may fail.

    Raises:
        StudyError: No limit is given, or one is out of bounds.
    """

    trials: float | None
    timeout: float | None
    target: float | None
    stagnation: int | None
    max_failures: float
    epochs: float | None = None

    @property
    def has_only_epochs(self) -> bool:
        """True when nothing but ``epochs`` ends the run."""
        rules = (self.trials, self.timeout, self.target, self.stagnation)
        return self.epochs is not None and all(rule is None for rule in rules)

    def __post_init__(self) -> None:
        rules = (self.trials, self.timeout, self.target, self.stagnation, self.epochs)
        if all(rule is None for rule in rules):
            raise StudyError(
                "run() needs to know when to stop: write trials=100, timeout=3600 (seconds), "
                "target=, stagnation=, or epochs=20 where weights are inherited"
            )
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check(name, value))


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "trials": partial(option, interval="[1, inf]", whole=True),
    "epochs": partial(option, interval="[1, inf)", whole=True),
    "timeout": partial(seconds, interval="(0, inf]"),
    "target": partial(option, interval="(-inf, inf)"),
    "stagnation": partial(option, interval="[1, inf)", whole=True),
    "max_failures": partial(option, interval="[0, 1]"),
}


class Stagnation:
    """Counts the generations since the best value got better."""

    def __init__(self, generations: int | None, engine: Engine) -> None:
        self.generations = generations
        if generations is None:
            return
        if len(engine.objectives.objectives) > 1:
            raise StudyError("stagnation= needs a single objective; use trials= or timeout=")
        if not engine.algorithm.traits.generations:
            raise StudyError(
                f"stagnation={generations} counts generations, which {engine.algorithm!r} has not "
                "(its traits say generations=False); use trials=, timeout= or target="
            )
        self._best: tuple[float, ...] = (math.inf,)
        self._since = self._latest = 0

    def __call__(self, trial: Trial) -> bool:
        if self.generations is None or not trial.has_ended:
            return False
        generation = trial.origin.generation
        if generation is None:  # from outside: it belongs to none, but may be the best
            generation = self._latest
        order = (-measured_at(trial), trial.violation, *(trial.values or ()))
        if trial.state == "done" and order < self._best:
            self._best, self._since = order, generation
        self._latest = generation
        # The generation after the last idle one has begun, or is as good as begun.
        return bool(generation - self._since > self.generations)


def check_epochs(algorithm: Algorithm, limits: Limits) -> None:
    """Refuse a run that would end trials before the algorithm has compared them all, or never end.

    Raises:
        StudyError: ``epochs`` lies below the largest budget that the algorithm gives, would all go
            to the first trials of lines of weights, or is the only limit of an algorithm whose
            trials all start afresh.
    """
    epochs, longest = limits.epochs, max(algorithm.traits.budgets, default=0)
    if epochs is not None and algorithm.traits.newcomers and not longest:
        raise StudyError(
            f"epochs={epochs:g} limits a whole line of inherited weights, and its first trial "
            "would take all of it: write Genetic(..., inherit=True, epochs=2) for what each trial "
            "adds"
        )
    may_inherit = algorithm.traits.inherits or algorithm.traits.changes
    if limits.has_only_epochs and not may_inherit and not longest:
        raise StudyError(
            f"epochs={epochs:g} ends a run only where trials inherit weights, as in "
            f"PopulationBasedTraining; every trial of {type(algorithm).__name__} starts afresh: "
            "write trials=100 or timeout=3600 too"
        )
    if epochs is not None and epochs < longest:
        shorter = f"{type(algorithm).__name__}(..., maximum={epochs:g})"
        if algorithm.traits.newcomers:
            shorter = f"Genetic(..., inherit=True, epochs={epochs:g})"
        raise StudyError(
            f"epochs={epochs:g} ends trials before their longest budget, {longest:g}: write "
            f"{shorter}, or leave epochs= out"
        )


class Run:
    """The loop of one call.

    Args:
        engine: The engine of the study.
        executor: Where trials run.
        limits: When the run ends.
        deterministic: Tell results in trial order.
        after: Called with each trial whose result was told.
        stopping: Which trials end early.
    """

    def __init__(
        self,
        engine: Engine,
        executor: Executor,
        limits: Limits,
        deterministic: bool,
        after: Callable[[Trial], None],
        *,
        stopping: Stopping | None = None,
    ) -> None:
        self.engine = engine
        self.executor = executor
        self.limits = limits
        self.in_order = deterministic
        self.after = after
        self.stop_reason = ""
        self._shares_memory = executor.traits.shares_memory
        self._is_stacked = executor.traits.stacks and engine.algorithm.traits.generational
        self._began = time.monotonic()
        self._running: set[int] = set()
        self._ended = self._failed = self._without_metrics = 0
        self._has_warned = False
        self._stagnation = Stagnation(limits.stagnation, engine)
        self._standards = None if stopping is None else stopping.fresh(engine.objectives)
        self._told: deque[Trial] = deque()  # that the standards do not know yet
        self._known = 0

    def __call__(self, evaluate: Evaluate) -> str:
        """Run to the end and return why it ended."""
        token = self.engine.driver.token
        lock.running_tokens.add(token)
        try:
            with _Interrupts() as interrupts:
                self.engine.open_weights(shares_memory=self._shares_memory)
                self.executor.open(evaluate)
                if self.engine.keeper.missing is None:
                    self._restore(interrupts)
                self._loop(interrupts)
            self._check_any_done()
        except KeyboardInterrupt:
            self.stop_reason = "interrupted"
        finally:
            self.executor.close()
            lock.running_tokens.discard(token)
            self._settle()
        return self.stop_reason

    def _settle(self) -> None:
        """Record that nothing runs any more, and write weights that are in memory only."""
        errors: list[StorageError | CheckpointError] = []
        for step in (self.engine.suspend, self.engine.save_weights):
            try:
                step()
            except StudyLockedError:
                pass  # it is another process's now; a trial left "running" restarts like any other
            except (StorageError, CheckpointError) as error:
                errors.append(error)
        if errors and self.stop_reason:
            raise errors[0]
        for unsaved in errors:  # another error is on its way, which says more, but not of weights
            if isinstance(unsaved, CheckpointError):
                log.warning("weights in memory were not written: %s", unsaved)

    def _restore(self, interrupts: "_Interrupts") -> None:
        """Train lost weights again, each after those that it started from.

        Raises:
            CheckpointError: Nothing could be trained again, so that no trial can go on.
        """
        why = ""
        while lost := self.engine.keeper.lost():
            numbers = {trial.number for trial in lost}
            ready = [t for t in lost if not numbers.intersection(t.donors)]
            batch = ready[: self.executor.capacity]
            log.info("training the weights of trials %s again", sorted(t.number for t in batch))
            for trial in batch:
                left = len(trial.reports) if trial.state == "stopped" else math.inf
                self._submit(trial, interrupts, SameEnd(left) if trial.reports else None)
            waiting = {trial.number: trial for trial in batch}
            while waiting:
                with interrupts.allowed():
                    results = self.executor.collect()
                _raise_fatal(self._blamed(result) for _, result in results)
                for number, result in results:
                    trial = waiting.pop(number)
                    if isinstance(result, Failure) and result.donor is not None:
                        self.engine.keeper.give_up(result.donor)
                    elif isinstance(result, Failure) or result.checkpoint is None:
                        why = _not_restored(number, result)
                        log.warning("%s", why)
                        self.engine.keeper.give_up(number)
                    else:
                        self.engine.restored(trial, result.checkpoint)
            # Ancestors that were trained again on the way must not fill the quota.
            self.engine.clean(self.engine.keeper.lost())
        if why and not self.engine.keeper.has_any():
            raise CheckpointError(f"{why}; nothing was recorded: mend that, and run again")

    def _bar(self, trial: Trial) -> Bar | None:
        """Return what a trial must reach, judged only by results told before it was proposed."""
        if self._standards is None:
            return None
        while self._known < trial.results_seen:
            self._standards.tell(self._told.popleft())
            self._known += 1
        return self._standards.bar()

    def _submit(self, trial: Trial, interrupts: "_Interrupts", bar: Bar | None) -> None:
        weights = self.engine.keeper.weights(trial, shares_memory=self._shares_memory)
        with interrupts.allowed():
            self.executor.submit(replace(trial, weights=weights, bar=bar))

    def _loop(self, interrupts: "_Interrupts") -> None:
        for trial in self.engine.ledger.trials:
            self._check_result(trial)
        self.engine.suspend()  # what a killed process left running waits like what was enqueued
        self._told.extend(() if self._standards is None else self.engine.told())
        self._tell(interrupts)  # what an earlier run recorded and kept back
        while True:
            self._fill(interrupts)
            if not self._running:
                break
            with interrupts.allowed():
                results = dict(self.executor.collect())
            self._record(results)
            self._tell(interrupts)

    # -- starting -----------------------------------------------------------------------------

    def _fill(self, interrupts: "_Interrupts") -> None:
        while self._may_start():
            trial = self._next()
            if trial is None:
                break
            self._running.add(trial.number)
            self._submit(trial, interrupts, self._bar(trial))

    def _may_start(self) -> bool:
        if len(self._running) >= self.executor.capacity:
            return False
        self._check_time()
        if self.stop_reason or not self.engine.keeper.has_room(len(self._running)):
            return False
        if self._waiting() is not None:
            return True
        if len(self.engine.ledger.trials) >= self._limit:
            self.stop_reason = "trials"
            return False
        # Without generations, proposals and the stopping rule's bars depend on the results told so
        # far: for a deterministic run, a trial may start only after a fixed number of them.
        indifferent = self.engine.algorithm.traits.generational and self._standards is None
        free = indifferent or not self.in_order
        return free or len(self.engine.untold) < self.executor.capacity

    @property
    def _limit(self) -> float:
        return math.inf if self.limits.trials is None else self.limits.trials

    def _waiting(self) -> Trial | None:
        is_any = self.engine.ledger.counts["waiting"] > 0  # looked at twice for every trial
        return self.engine.waiting(self._limit) if is_any else None

    def _next(self) -> Trial | None:
        waiting = self._waiting()
        if waiting is not None:
            return self.engine.restart(waiting, self.limits.epochs)
        trial = self.engine.propose(self.limits.epochs)
        if trial is None and not self.engine.untold:
            inherits = self.engine.algorithm.traits.inherits and self.engine.keeper.has_weights
            if self.limits.epochs is not None and inherits:
                self.stop_reason = "epochs"
            elif self.engine.algorithm.traits.size is not None:
                self.stop_reason = "trials"
            else:
                self.stop_reason = "the algorithm has nothing more to propose"
        return trial

    def _check_time(self) -> None:
        limit = self.limits.timeout
        if limit is not None and time.monotonic() - self._began >= limit:
            self.stop_reason = self.stop_reason or "timeout"

    # -- ending -------------------------------------------------------------------------------

    def _record(self, results: dict[int, Any]) -> None:
        results = {number: self._blamed(result) for number, result in results.items()}
        kept = {n: r for n, r in results.items() if not (isinstance(r, Failure) and r.fatal)}
        self._running.difference_update(results)
        self.engine.record(kept, in_order=self.in_order)
        _raise_fatal(results.values())

    def _blamed(self, result: Outcome | Failure) -> Outcome | Failure:
        """Return a failure for which no trial is to blame as one that ends the run."""
        if not isinstance(result, Failure) or result.donor is None:
            return result
        error = self.engine.keeper.lost_all()
        return result if error is None else Failure("checkpoint", str(error), fatal=True)

    def _tell(self, interrupts: "_Interrupts") -> None:
        if not self.in_order:
            for trial in self.engine.tell_ended():
                self._react(trial)
            return
        while (told := self.engine.tell_next()) is not None:
            self._react(told)
            # Two results that come together must have the same effect as one after the other. Of an
            # executor that trains all as one model they always come together.
            if not self._is_stacked:
                self._fill(interrupts)

    def _react(self, trial: Trial) -> None:
        if self._standards is not None:
            self._told.append(trial)
        self.engine.clean()
        self._check_result(trial)
        self._check_failures(trial)
        self.after(trial)

    def stop(self, reason: str) -> None:
        """Start no more trials; the first reason counts."""
        self.stop_reason = self.stop_reason or reason

    def _check_result(self, trial: Trial) -> None:
        target, objective = self.limits.target, self.engine.objectives.objectives[0]
        if target is not None and self._counts(trial) and trial.values and not trial.violation:
            reached = objective.score(trial.values[0])
            if reached == target or (reached > target) == (objective.direction == "max"):
                self.stop("target")
        if self._stagnation(trial):
            self.stop("stagnation")

    def _counts(self, trial: Trial) -> bool:
        """Tell whether a result is one that `Study.best` goes by, also when all budgets are in."""
        whole = max(self.engine.algorithm.traits.budgets, default=0.0)
        is_whole = measured_at(trial) >= whole and self.engine.ledger.is_comparable(trial)
        return trial.state == "done" and is_whole

    def _check_failures(self, trial: Trial) -> None:
        self._ended += 1
        self._failed += trial.failure is not None
        if trial.failure is None:
            return
        self._without_metrics += trial.failure.kind in ("missing_metric", "not_a_number")
        self._warn_of_heir(trial, trial.failure)
        if self._ended < FAILURES_COUNT_FROM:
            self._check_metrics(trial)
        elif self._failed > self.limits.max_failures * self._ended:
            raise _too_many(
                f"{self._failed} of {self._ended} trials failed, more than max_failures="
                f"{self.limits.max_failures:g} allows (with 1, failures never end a run)",
                trial,
            )

    def _warn_of_heir(self, trial: Trial, failure: Failure) -> None:
        """Say once why a trial with inherited weights failed: often all with other params would.

        The others go on, so that nobody may look for it in the records.
        """
        if self._has_warned or not trial.donors or failure.kind not in ("exception", "checkpoint"):
            return
        self._has_warned = True
        log.warning(
            "study %r: trial %d, which goes on from weights of trial %d, failed: %s. The run goes "
            "on, and trial.failure says so of others",
            *(self.engine.definition.name, trial.number, trial.donors[0], failure.message),
        )

    def _check_metrics(self, trial: Trial) -> None:
        """End a run early whose function never returns what the objectives need."""
        goes_on = self._without_metrics < WITHOUT_METRICS or self.limits.max_failures == 1
        if goes_on or self.engine.ledger.best() is not None:
            return
        needed = ", ".join(map(repr, self.engine.objectives.needed))
        raise _too_many(
            f"the objectives need {needed}, and none of the first {self._ended} trials has "
            "returned that",
            trial,
        )

    def _check_any_done(self) -> None:
        """Refuse to end without a word where every trial of the study has failed."""
        trials = [t for t in self.engine.ledger.trials if t.has_ended]
        if not trials or not all(t.failure for t in trials) or self.stop_reason == "stopped":
            return
        what = f"all of {len(trials)} trials failed"
        if not self._ended:
            what += ", in an earlier run; nothing was run now, as a larger trials= would"
        error = _too_many(what, trials[0])
        if len(trials) > 1 and self.limits.max_failures < 1:
            raise error
        # A single trial is often a trial run, of which its record is wanted.
        log.warning("study %r has no result: %s", self.engine.definition.name, error)


def _too_many(what: str, trial: Trial) -> TooManyFailuresError:
    failure = trial.failure or Failure("exception", "")
    text = f"{what}; trial {trial.number}: {failure.message}\n{failure.traceback}"
    return TooManyFailuresError(text.rstrip())


def _raise_fatal(results: Iterable[Outcome | Failure]) -> None:
    for result in results:
        if isinstance(result, Failure) and result.fatal:
            kind = CheckpointError if result.kind == "checkpoint" else TaskError
            raise kind(result.message)


def _not_restored(number: int, result: Outcome | Failure) -> str:
    why = result.message if isinstance(result, Failure) else "it kept no weights this time"
    return (
        f"the weights of trial {number} were in memory only and were lost with their process; "
        f"training them again failed: {why}"
    )


class _Interrupts:
    """Lets Ctrl-C interrupt the waiting for trials, and delays it during bookkeeping."""

    def __init__(self) -> None:
        self._pending = self._open = self._installed = False

    def __enter__(self) -> "_Interrupts":
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self._installed = True
        self._pause = pause.set(self.sleep)
        return self

    def __exit__(self, *_: object) -> None:
        pause.reset(self._pause)
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self._pending = True
        if self._open:
            raise KeyboardInterrupt

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Raise KeyboardInterrupt inside the block for Ctrl-C now, or since the last block."""
        self._open = True
        try:
            if self._pending:
                raise KeyboardInterrupt
            yield
        finally:
            self._open = False

    def sleep(self, seconds: float) -> None:
        """Let an interrupt through while a database is waited for."""
        with self.allowed():
            time.sleep(seconds)


def after_each(
    study: Any, callbacks: Sequence[Callable[[Any, Trial], None]]
) -> Callable[[Trial], None]:
    """Return one function that logs a trial and calls every callback with the study and the trial.

    Raises:
        StudyError: One of them cannot be called.
    """
    if not isinstance(callbacks, Sequence) or not all(map(callable, callbacks)):
        raise StudyError(
            "callbacks= must be a function of a study and a trial, or a list of such functions; "
            f"got {callbacks!r}"
        )

    def call(trial: Trial) -> None:
        if log.isEnabledFor(logging.INFO):
            log.info("%s", line(study, trial))
        for callback in callbacks:
            callback(study, trial)

    return call


def finish_each(study: Any, callbacks: Iterable[Any]) -> None:
    """Call ``finish(study)`` of those callbacks that have it: the run has ended."""
    for callback in callbacks:
        finish = getattr(callback, "finish", None)
        if callable(finish):
            finish(study)


def executor_for(
    executor: Executor | None,
    workers: int | None,
    trial_timeout: float | None,
    devices: str | Sequence[str] | None = None,
    *,
    stacked: bool = False,
    stopping: Stopping | None = None,
) -> Executor:
    """Return the executor that the options of `Study.run` ask for.

    Args:
        executor: Returned as it is, if given.
        workers: Number of processes.
        trial_timeout: Seconds that one trial may take.
        devices: What the workers share.
        stacked: Train a whole generation as one model unless another option rules it out.
        stopping: Rule by which trials end early.

    Raises:
        StudyError: The options contradict each other or are out of bounds.
    """
    if executor is not None:
        check_executor(executor)
    if stopping is not None:
        check_stopping(stopping, executor)
    if executor is not None:
        if any(given is not None for given in (workers, trial_timeout, devices)):
            raise StudyError(
                "workers=, trial_timeout= and devices= belong to the executor when you give one: "
                "write executor=ProcessExecutor(workers=2, trial_timeout=600)"
            )
        return executor
    if workers is not None:
        workers = option("workers", workers, "[1, inf)", whole=True)
    if trial_timeout is not None:
        trial_timeout = seconds("trial_timeout", trial_timeout, "(0, inf)")
    if devices is not None:
        return ProcessExecutor(workers, trial_timeout=trial_timeout, devices=devices)
    if stacked and stopping is None and workers is None and trial_timeout is None:
        return StackedExecutor()
    if workers is None or workers == 1:
        return InlineExecutor(trial_timeout=trial_timeout)
    return ProcessExecutor(workers, trial_timeout=trial_timeout)


def check_executor(executor: object) -> None:
    """Raise StudyError unless it has what an executor has."""
    members = ("open", "submit", "collect", "close", "capacity", "traits")
    if isinstance(executor, type) or not all(hasattr(executor, name) for name in members):
        raise StudyError(
            f"executor= must be an executor such as ProcessExecutor(workers=2), got {executor!r}"
        )


def check_stopping(stopping: object, executor: Executor | None = None) -> None:
    """Check a rule, and that the executor can follow it.

    Raises:
        StudyError: It is no rule, or the executor trains several trials as one.
    """
    if isinstance(stopping, type) or not hasattr(stopping, "fresh"):
        raise StudyError(f"stopping= must be a rule such as MedianStopping(), got {stopping!r}")
    if executor is not None and executor.traits.stacks:
        raise StudyError(
            "stopping= cannot be used with StackedExecutor, which trains its trials as one model "
            "and cannot end one early; leave out stopping=, or write workers= instead of executor="
        )
