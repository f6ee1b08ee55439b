"""The study: what users hold in their hands."""

import logging
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self

from evotune.engine import Duplicates, Engine
from evotune.errors import NoResultError, StudyError, StudyMismatchError
from evotune.execution.evaluate import read_metrics
from evotune.execution.stacked import can_stack
from evotune.keeping import default_folder
from evotune.objectives import Constraint, ObjectiveSpec, parse_objectives
from evotune.protocols import Algorithm, Evaluate, Executor, Storage, StudyDefinition
from evotune.running import Run, Stopping, after_each, executor_for
from evotune.seeding import fresh_seed
from evotune.space.space import difference
from evotune.storage import open_storage
from evotune.training.checkpoints import Checkpoints
from evotune.trial import Failed, Failure, Outcome, Trial

log = logging.getLogger("evotune")

Callback = Callable[["Study", Trial], None]


class Study:
    """A search: an algorithm, objectives, and the record of all trials.

    Opening a study that is stored already goes on with it: its trials are told to the algorithm
    again, in the order in which they were told before.

    Args:
        algorithm: A new algorithm, not used in another study.
        objectives: ``"max accuracy"``, ``"min loss"``, a `WeightedSum`, or a list of these;
            `Constraint`s may stand in the list.
        storage: None keeps the study in memory; a path or ``"sqlite:///runs.db"`` keeps it on disk.
        name: Name of the study in its storage.
        seed: Seed of all random streams; drawn and recorded when left out.
        constraints: Further constraints.
        duplicates: What happens to a proposal whose params were proposed before: ``"redraw"``
            asks again, up to 20 times, then repeats; ``"repeat"`` runs it again and averages;
            ``"allow"`` keeps it as a trial of its own.
        take_over: Become the driver although another process is.
        checkpoints: Where inherited weights are kept: a folder, any fsspec URL, or `Checkpoints`
            with a quota. By default in a folder beside the SQLite file, or in memory.

    Raises:
        ObjectiveError: An objective that is not understood.
        CheckpointError: The folder cannot be used.
        StudyMismatchError: The storage has this study with another space, other objectives or
            another seed.
        StorageError: The storage cannot be opened or read.

    Attributes:
        stop_reason: Why the last run ended.
    """

    def __init__(  # noqa: PLR0913  (each option stands alone; users see them as keywords)
        self,
        algorithm: Algorithm,
        objectives: ObjectiveSpec,
        *,
        storage: str | PathLike[str] | Storage | None = None,
        name: str = "study",
        seed: int | None = None,
        constraints: Constraint | Sequence[Constraint] = (),
        duplicates: Duplicates = "redraw",
        take_over: bool = False,
        checkpoints: str | PathLike[str] | Checkpoints | None = None,
    ) -> None:
        if duplicates not in ("redraw", "repeat", "allow"):
            raise StudyError(
                f'duplicates must be "redraw", "repeat" or "allow", got {duplicates!r}'
            )
        _check_new(algorithm)
        self.algorithm = algorithm
        self.objectives = parse_objectives(objectives, constraints)
        self.storage = open_storage(storage)
        self._owns_storage = self.storage is not storage
        self.definition = self._open(name, seed)
        self.stop_reason = ""
        self._run: Run | None = None
        self._handed_out: set[int] = set()
        if not isinstance(checkpoints, Checkpoints):
            checkpoints = Checkpoints(checkpoints)
        checkpoints.open(self.definition.name, default_folder(self.storage))
        self._engine = Engine(
            algorithm,
            self.objectives,
            self.storage,
            self.definition,
            checkpoints=checkpoints,
            duplicates=duplicates,
            take_over=take_over,
        )

    def _open(self, name: str, seed: int | None) -> StudyDefinition:
        wanted = StudyDefinition(
            name=_checked_name(name),
            seed=fresh_seed() if seed is None else _checked_seed(seed),
            space=self.algorithm.space.to_json(),
            objectives=self.objectives.to_json(),
            algorithm=repr(self.algorithm),
            created=time.time(),
        )
        stored = self.storage.create(wanted)
        lines = [] if seed in (None, stored.seed) else [f"~ seed: {stored.seed} -> {seed}"]
        if stored.objectives != wanted.objectives:
            lines.append(f"~ objectives: {stored.objectives} -> {wanted.objectives}")
        if stored.space != wanted.space:
            lines += difference(stored.space, wanted.space)
        if stored.algorithm != wanted.algorithm:
            log.warning(
                "study %r was made with %s and goes on with %s",
                name,
                stored.algorithm,
                wanted.algorithm,
            )
        if lines:
            raise StudyMismatchError(
                f"study {name!r} exists already and differs:\n  " + "\n  ".join(lines) + "\n"
                "Give the new study another name=, or change it back to go on with the old one"
            )
        return stored

    # -- results ------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name of the study in its storage."""
        return self.definition.name

    @property
    def seed(self) -> int:
        """Seed of all its random streams."""
        return self.definition.seed

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The records of all trials, by number."""
        return tuple(self._engine.ledger.trials)

    @property
    def best(self) -> Trial:
        """The best trial, its metrics averaged over repeats.

        With several objectives it is the best in the first one; see `front` for all of them.

        Raises:
            NoResultError: No trial is done yet.
        """
        best = self._engine.ledger.best()
        if best is None:
            raise NoResultError(self._nothing_done())
        return best

    @property
    def front(self) -> list[Trial]:
        """The feasible trials that no other dominates, repeats averaged, by number."""
        return self._engine.ledger.front()

    @property
    def counts(self) -> Mapping[str, int]:
        """How many trials are in each state."""
        return {state: count for state, count in self._engine.ledger.counts.items() if count}

    @property
    def exhausted(self) -> bool:
        """True once every point of a finite space has been proposed."""
        return self._engine.exhausted

    def averaged(self) -> list[Trial]:
        """Return one trial for each distinct params that is done, repeats averaged, by number."""
        return self._engine.ledger.averaged()

    def lineage(self, number: int) -> list[Trial]:
        """Return a trial and all its ancestors, oldest first.

        Raises:
            StudyError: There is no trial of that number.
        """
        self._record(number)
        from evotune.report.lineage import ancestors

        return ancestors(self.trials, number)

    def to_frame(self) -> Any:
        """Return a pandas DataFrame with one row a trial."""
        from evotune.report.tables import to_frame

        return to_frame(self.trials)

    def report(self, path: str | PathLike[str]) -> Path:
        """Write one self-contained HTML page about the study, or a picture, and return its path.

        Args:
            path: Where to; ``"report.html"``, or ``"picture.svg"`` for a small picture.
        """
        from evotune.report.write import write

        return write(Path(path), self.definition, self.trials)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {state}" for state, count in self.counts.items())
        return f"Study({self.name!r}, {self.objectives}, {counts or 'no trials'})"

    def _nothing_done(self) -> str:
        failed = [t for t in self._engine.ledger.trials if t.failure is not None]
        if not failed:
            return f"study {self.name!r} has no finished trial yet"
        last = failed[-1]
        reason = last.failure.message if last.failure else ""
        return (
            f"study {self.name!r} has no finished trial: {len(failed)} failed, "
            f"trial {last.number} with: {reason}"
        )

    def _record(self, number: int) -> Trial:
        if not 0 <= number < len(self._engine.ledger.trials):
            raise StudyError(
                f"there is no trial {number}; study {self.name!r} has {len(self.trials)} trials"
            )
        return self._engine.ledger.trials[number]

    # -- ask and tell -------------------------------------------------------------------------

    def ask(self) -> Trial | None:
        """Propose the next trial and record it as running.

        A trial that an earlier process left unfinished is handed out again first.

        Returns:
            The trial; None when the algorithm has nothing to propose until more results are told.

        Raises:
            StudyLockedError: Another process drives this study.
        """
        self._engine.tell_ended()
        for trial in self._engine.unfinished():
            if trial.number not in self._handed_out:
                self._handed_out.add(trial.number)
                return self._engine.restart(trial)
        proposed = self._engine.propose()
        if proposed is not None:
            self._handed_out.add(proposed.number)
        return proposed

    def tell(self, trial: Trial | int, result: float | Mapping[str, float] | Failed) -> Trial:
        """Record the result of a trial that `ask` gave.

        Args:
            trial: The trial, or its number.
            result: A number, a dict of metrics, or ``Failed("why")``.

        Returns:
            The ended record.

        Raises:
            StudyError: There is no such trial, or it has ended already.
            StudyLockedError: Another process drives this study.
        """
        record = self._record(trial if isinstance(trial, int) else trial.number)
        if record.has_ended:
            raise StudyError(f"trial {record.number} has ended already: it is {record.state}")
        metrics = read_metrics(result)
        if not isinstance(metrics, Failure):
            metrics.setdefault("train_seconds", max(time.time() - (record.started or 0.0), 0.0))
            metrics.setdefault("evaluation_seconds", 0.0)
        outcome = (
            metrics
            if isinstance(metrics, Failure)
            else Outcome(metrics, checkpoint=self._engine.keeper.external(record))
        )
        self._engine.record({record.number: outcome}, in_order=False)
        self._engine.tell_ended()
        self._engine.clean()
        return self._engine.ledger.trials[record.number]

    # -- run ----------------------------------------------------------------------------------

    def run(  # noqa: PLR0913  (each option stands alone; users see them as keywords)
        self,
        evaluate: Evaluate,
        trials: float | None = None,
        *,
        epochs: float | None = None,
        timeout: float | None = None,
        target: float | None = None,
        stagnation: int | None = None,
        workers: int | None = None,
        executor: Executor | None = None,
        trial_timeout: float | None = None,
        deterministic: bool | None = None,
        max_failures: float = 0.5,
        callbacks: Callback | Sequence[Callback] = (),
    ) -> Self:
        """Run trials until a stopping rule holds; run the same command again to go on.

        Running trials are finished before it returns. Ctrl-C returns at once: finished trials are
        kept, running ones run again the next time.

        Args:
            evaluate: Function of a running trial that returns a number or a dict of metrics.
            trials: Trials of the whole study, not of this call.
            epochs: Epochs that any weights are trained for, over all trials that inherit them from
                one another; population-based training ends when all its members have them. To
                other algorithms it is the budget of a trial.
            timeout: Seconds after which no trial is started any more.
            target: Stop when the first objective is as good as this, in the user's own sign.
            stagnation: Stop after so many generations without a better best.
            workers: Processes; 1 runs in this process, one trial after another. Left out, a
                `SupervisedTask` with ``epochs=`` trains a whole generation stacked into one model.
            executor: Where trials run, instead of ``workers``.
            trial_timeout: Seconds after which a trial is failed.
            deterministic: Tell results in trial order, so that the same seed gives the same study.
                By default so where it costs nothing: with generational algorithms, or one worker.
            max_failures: Share of this call's trials that may fail, from the tenth on; 1 goes on
                whatever fails.
            callbacks: One or several, called as ``callback(study, trial)`` after each result; may
                call `stop`.

        Returns:
            The study itself.

        Raises:
            StudyError: No stopping rule, or an option out of bounds.
            StudyLockedError: Another process drives this study.
            TooManyFailuresError: More trials failed than ``max_failures`` allows.
            ExecutionError: The function cannot be run where it should.
            StorageError: A result cannot be stored; it is kept in memory, and stored first when
                ``run`` is called again on this study.
        """
        if not callable(evaluate):
            raise StudyError(
                f"run() needs a function of a trial, such as def train(trial): ...; "
                f"got {evaluate!r}"
            )
        if trials is None:
            trials = getattr(self.algorithm, "size", None)
        stopping = Stopping(trials, timeout, target, stagnation, max_failures, epochs)
        stacked = epochs is not None and self.algorithm.generational and can_stack(evaluate)
        executor = executor_for(executor, workers, trial_timeout, stacked=stacked)
        if deterministic is None:
            deterministic = self.algorithm.generational or executor.capacity == 1
        after = after_each(self, [callbacks] if callable(callbacks) else callbacks)
        self._run = Run(self._engine, executor, stopping, deterministic, after)
        self.stop_reason = self._run(evaluate)
        return self

    def stop(self) -> None:
        """Let the running `run` end after the trials that are running now."""
        if self._run is not None:
            self._run.stop("stopped")

    def close(self) -> None:
        """Leave the study to another process; results stay readable. Harmless when repeated.

        A storage that was given as an object is left open.
        """
        self._engine.close()
        if self._owns_storage:
            self.storage.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or not name.strip():
        raise StudyError(f"a study needs a name, got {name!r}")
    return name


def _checked_seed(seed: int) -> int:
    if isinstance(seed, bool) or int(seed) != seed or not 0 <= seed < 2**63:
        raise StudyError(f"seed must be a whole number from 0 to 2**63 - 1, got {seed!r}")
    return int(seed)


def _check_new(algorithm: Algorithm) -> None:
    """Refuse an algorithm whose state already comes from another study."""
    for method in ("ask", "tell", "space"):
        if not hasattr(algorithm, method) or isinstance(algorithm, type):
            raise StudyError(
                f"a study needs an algorithm such as Genetic(space), got {algorithm!r}"
            )
    if algorithm in _studied:
        raise StudyError(
            "this algorithm has been used in another study and remembers it; "
            f"make a new one: {type(algorithm).__name__}(space, ...)"
        )
    _studied.add(algorithm)


_studied: "weakref.WeakSet[Any]" = weakref.WeakSet()
