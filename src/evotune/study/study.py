"""`Study`: the object through which users run a search and read its results."""

import copy
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from evotune.analysis.comparison import Comparison
from evotune.analysis.importance import Importance, Method
from evotune.analysis.lineage import weights_line, winner
from evotune.checkpoints.store import Checkpoints
from evotune.checks import flag, option
from evotune.errors import CheckpointError, NoResultError, StudyError
from evotune.evolution.hypervolume import knee
from evotune.evolution.stopping import Stopping
from evotune.evolution.survival import by_first
from evotune.execution.evaluate import read_metrics, without_texts
from evotune.objectives import Constraint, ObjectiveSpec, parse_objectives
from evotune.protocols import Algorithm, Evaluate, Executor, Fit, Storage, task_traits
from evotune.running import plain_notes
from evotune.schedules.schedule import Schedule
from evotune.storage import MemoryStorage, open_storage
from evotune.study import controls
from evotune.study.controls import find_comparison, find_replay
from evotune.study.definition import check_new, open_definition, studied
from evotune.study.engine import Duplicates, Engine
from evotune.study.grown import begin_from
from evotune.study.keeper import Keeper, default_folder, owner_of
from evotune.study.ledger import Ledger, judge
from evotune.study.notebook import study_html
from evotune.study.notebook import watch as watch_study
from evotune.study.progress import shown
from evotune.study.run import Limits, Run, after_each, check_epochs, executor_for, finish_each
from evotune.study.soup import Soup, greedy_soup
from evotune.trial import Failed, Failure, Outcome, Trial, TrialList

log = logging.getLogger("evotune")

Callback = Callable[["Study", Trial], None]


#: What users of Optuna look for on a study, and what to write instead.
_ELSEWHERE = {
    "best_params": "study.best.params",
    "best_value": "study.best.metrics[...]",
    "best_trial": "study.best",
    "best_trials": "study.front",
    "optimize": "study.run(evaluate, trials=60)",
    "enqueue_trial": "study.enqueue(params)",
    "add_trial": "study.add(params, metrics)",
    "trials_dataframe": "study.to_frame()",
}


class Study:
    """A search: an algorithm, objectives, and the record of all trials.

    Opening a study that is already stored resumes it: its trials are told to the algorithm again,
    in their original order.

    Args:
        algorithm: A new algorithm, not used in another study.
        objectives: ``"max accuracy"``, ``"min loss"``, a `WeightedSum`, or a list of these;
            the list may also contain each `Constraint`.
        storage: None keeps the study in memory; a path or ``"sqlite:///runs.db"`` keeps it on disk.
            ``?patience=60`` in a URL limits how long a run waits, in seconds, while the database
            is away; by default 600.
        name: Name of the study in its storage.
        seed: Seed of all random streams; if left out, one is drawn and recorded.
        constraints: Constraints in addition to those among the objectives.
        duplicates: What happens to a proposal whose params were proposed before: ``"redraw"``
            asks again, up to 20 times, then repeats; ``"repeat"`` runs it again and averages the
            results; ``"allow"`` treats it as an independent trial.
        take_over: Become the driver of the study even if another process is driving it.
        checkpoints: Where inherited weights are kept: a folder, any fsspec URL, or `Checkpoints`
            with a quota. By default in a folder beside the SQLite file, or in memory.
        fit: Function of (space, genome) that returns the genome, or one near it which can be tried,
            such as ``image_classifier(..., parameters=500_000).fit``. Every proposal, and what is
            enqueued, goes through it before it is a trial. A `SupervisedTask` whose model is such
            a template brings it along to `run`; give it for a function of your own, or a loop.
        start_from: A study with results to begin with, such as one in a smaller space, or
            ``(study, {"dropout": 0.0})`` where its trials had genes at values that its space does
            not name. Its done trials become results of this study; those that leave a gene open
            cannot, so the best ten of them are tried again with that gene chosen here. What does
            not fit this space is left out. It is read once, when the new study begins.

    Raises:
        ObjectiveError: An objective cannot be parsed.
        CheckpointError: The checkpoint folder cannot be used.
        StudyMismatchError: The storage has a study of this name with another space, other
            objectives or another seed.
        StorageError: The storage cannot be opened or read.

    Attributes:
        definition: Name, seed, space and objectives as stored.
        objectives: Objectives and constraints.
        storage: Where the trials are stored.
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
        fit: Fit | None = None,
        start_from: "Study | tuple[Study, Mapping[str, Any]] | None" = None,
    ) -> None:
        if not isinstance(duplicates, str) or duplicates not in ("redraw", "repeat", "allow"):
            raise StudyError(
                f'duplicates must be "redraw", "repeat" or "allow", got {duplicates!r}'
            )
        if not (fit is None or callable(fit)):
            raise StudyError(
                f"fit must be a function of (space, genome), such as model.fit of a template; got "
                f"{fit!r}"
            )
        check_new(algorithm)
        self._fit = fit
        self._evaluate: Any = None  # what was run last
        self._blank = copy.deepcopy(algorithm)  # for further runs with other seeds
        self.algorithm = algorithm
        self.objectives = parse_objectives(objectives, constraints)
        self.storage = open_storage(storage)
        self._owns_storage = self.storage is not storage
        try:
            self.definition = open_definition(self.storage, algorithm, self.objectives, name, seed)
            self.stop_reason = ""
            self._run: Run | None = None
            self._handed_out: set[int] = set()
            store = (
                checkpoints if isinstance(checkpoints, Checkpoints) else Checkpoints(checkpoints)
            )
            place, owner = default_folder(self.storage), owner_of(self.definition)
            store.open(self.name, place, owner, lasts=not isinstance(self.storage, MemoryStorage))
            self._engine = Engine(
                algorithm,
                self.objectives,
                self.storage,
                self.definition,
                checkpoints=store,
                duplicates=duplicates,
                take_over=flag("take_over", take_over),
            )
            self._engine.fitting.use(fit)
            if start_from is not None:
                begin_from(self, start_from)
        except BaseException:
            if self._owns_storage and not isinstance(self.storage, MemoryStorage):
                self.storage.close()  # nobody else can, and open files hinder who mends it
            raise

    # -- results ----------------------------------------------------------------------------------

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {state}" for state, count in self.counts.items())
        return f"Study({self.name!r}, {self.objectives}, {counts or 'no trials'})"

    if not TYPE_CHECKING:  # a type checker shall go on to refuse what a study does not have

        def __getattr__(self, name: str) -> Any:
            if name not in _ELSEWHERE:
                return object.__getattribute__(self, name)  # raises, maybe what a property did
            hint = f"a study has no {name!r}; write {_ELSEWHERE[name]}"
            raise AttributeError(hint, name=name, obj=self)

    def _repr_html_(self) -> str:
        return study_html(self)

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
        return tuple(self._ledger.trials)

    @property
    def best(self) -> Trial:
        """The best trial, its metrics averaged over repeats.

        With several objectives it is the best in the first one; see `front` for all of them. If
        any params were repeated, trials are compared by the lower confidence bound of the score,
        mean − 1.645·σ/√repeats (when minimising, the upper bound, mean + …), with σ pooled over
        all repeats, so that one lucky run does not beat params that are reliably good. A stopped
        trial is returned only as long as no trial is done.

        Where trials have different budgets (the rungs of halving; ``epochs=`` that was raised from
        one run to the next), only those of the largest one that is done are compared: what ten
        epochs, or all data, come to says nothing beside what one epoch or a share of them did.
        Lines of weights that are trained on, as in population-based training, are compared at any
        age. Reports, ``target=``, `front` and the weights that are kept go by the same rule;
        `best_at` compares others.

        Raises:
            NoResultError: No trial is done yet.
        """
        with self._engine.lock:
            best = self._ledger.best()
        if best is None:
            raise NoResultError(self._nothing_done())
        return best

    def best_at(self, budget: float | None = None) -> Trial:
        """Return the best trial of one budget, or of all together, which `best` does not compare.

        Args:
            budget: The budget, as in ``trial.budget``; None takes all trials, whatever theirs is.

        Raises:
            NoResultError: No trial of this budget is done.
        """
        with self._engine.lock:
            done = [t for t in self._ledger.averaged() if budget is None or t.budget == budget]
        if not done:
            raise NoResultError(
                self._nothing_done() if budget is None else f"no trial of budget {budget!r} is done"
            )
        return min(done, key=by_first)

    @property
    def front(self) -> TrialList:
        """The Pareto front: the feasible non-dominated trials, repeats averaged, by number.

        It is a list, which a notebook shows as a table.
        """
        with self._engine.lock:
            return self._ledger.front()

    @property
    def knee(self) -> Trial:
        """The knee of the front: a balanced compromise between the objectives.

        It is the trial farthest from the line or plane through the front's extremes, with each
        objective scaled to the front's range (Das, 1999). With one objective it is the best
        feasible trial.

        Raises:
            NoResultError: No feasible trial is done yet.
        """
        front = self.front
        if not front:
            raise NoResultError(
                f"study {self.name!r} has no finished trial that keeps all constraints"
                if self._ledger.best()
                else self._nothing_done()
            )
        return front[knee(np.array([trial.values for trial in front]))]

    @property
    def counts(self) -> Mapping[str, int]:
        """How many trials are in each state."""
        with self._engine.lock:
            return {state: count for state, count in self._ledger.counts.items() if count}

    @property
    def exhausted(self) -> bool:
        """True once every point of a finite space has been proposed."""
        return self._engine.exhausted

    def averaged(self) -> list[Trial]:
        """Return one done trial per distinct params, with repeats averaged, by number."""
        with self._engine.lock:
            return self._ledger.averaged()

    def lineage(self, number: int) -> list[Trial]:
        """Return a trial and all its ancestors, oldest first.

        Raises:
            StudyError: There is no trial of that number.
        """
        self._record(number)
        from evotune.analysis.lineage import ancestors

        return ancestors(self.trials, number)

    def to_frame(self) -> Any:
        """Return a pandas DataFrame with one row per trial."""
        from evotune.analysis.frame import to_frame

        return to_frame(self.trials)

    def importance(self, method: Method = "fanova") -> Importance:
        """Return how much each gene influences the first objective.

        Args:
            method: ``"fanova"``, importance over the whole space, or ``"ped_anova"``, importance
                for being among the best tenth of the trials.

        Raises:
            StudyError: The method is neither of these.
        """
        from evotune.analysis.data import prepare

        return prepare(self).importance_by(method)

    def report(
        self,
        path: str | PathLike[str],
        *,
        plotly: str | PathLike[str] = "inline",
        pages: bool = False,
    ) -> Path:
        """Write one self-contained HTML page about the study, or a picture, and return its path.

        Args:
            path: Where to; ``"report.html"``, or ``"picture.svg"`` for a small picture.
            plotly: Where the page has the library from that draws its figures: ``"inline"`` puts
                all 5 MB of it into the page, which then needs no network; ``"cdn"`` loads it from
                the internet whenever the page is opened; a path such as ``"plotly.min.js"`` is a
                file that several reports share, and is written where it is missing.
            pages: Whether each trial gets a page of its own: params, curves, traceback, and links
                to its parents and children. They are files in a folder beside the report,
                ``report.trials`` for ``report.html``, which must stay together. The table of the
                report leads to them, and then has all trials instead of at most 500.

        Raises:
            StudyError: The path has another ending, or cannot be written; or ``plotly`` or
                ``pages`` is none of these, or was given for a picture.
        """
        from evotune.report.page import write

        return write(
            path,
            self,
            find_comparison(self.storage, self.name),
            find_replay(self.storage, self.name),
            plotly=plotly,
            pages=pages,
        )

    def restore(self, number: int | None = None, **objects: Any) -> Any:
        """Return a trained network, or load kept weights into a model of one's own.

        ``study.restore()`` returns the best network that was built by a template, such as
        `image_classifier`. ``study.restore(model=model)`` loads into any model.

        Args:
            number: The trial; by default the best one that has kept its weights, with several
                objectives the best in the first.
            **objects: Objects to load into, under the names that were used in ``trial.keep``
                (``model`` in a `SupervisedTask`); some may be left out.

        Returns:
            With objects, the trial. Without, the network, in evaluation mode; if a trial has kept
            several, a dict of them by name.

        Raises:
            NoResultError: No trial has kept its weights.
            CheckpointError: The weights were removed, are damaged, or do not fit the objects; or no
                objects are given, and what was kept does not say how it is built.
            TaskError: A block of the network is not known here.
        """
        if not isinstance(number, int | None):
            name = type(number).__name__.lower()
            raise StudyError(f"objects are given by name: write study.restore(model={name})")
        number = self._ledger.best_with_weights() if number is None else number
        if number is None:
            raise NoResultError(
                f"no trial of study {self.name!r} has kept its weights; a SupervisedTask keeps "
                "those of the best trial unless keep=None, and a function of your own calls "
                "trial.keep(model=model)"
            )
        trial = self._record(number)
        if trial.checkpoint is None:
            raise CheckpointError(f"trial {number} has kept no weights")
        if trial.checkpoint.deleted:
            raise CheckpointError(
                f"the weights of trial {number} were deleted, as nothing needed them any more: of "
                "those that no trial starts from, only the best trial's are kept, with several "
                "objectives the best in the first. To train a network of these params again: "
                f"task.fit(study.trials[{number}].params)"
            )
        if not objects:
            return self._keeper.rebuild(trial)
        self._keeper.restore(trial, objects)
        return trial

    def soup(self, *, model: Any = None, evaluate: Any = None) -> Soup:
        """Average the weights of the last population's networks as long as that helps.

        The greedy soup of Wortsman et al., "Model soups" (2022): beginning with the best, each
        network of the last population joins the mean if the first objective, measured on the
        validation data, gets no worse. Networks of one population have common ancestors, so that
        the mean of their weights is often better than each. It costs one measurement a network, and
        the validation data choose once more: judge it by other data.

        Args:
            model: A module to load the weights into; None where a template built the networks.
            evaluate: A `SupervisedTask`, or a function of the model that returns metrics on
                validation data; by default what was run last in this process.

        Returns:
            The soup: its members, what was measured, and the module as ``network``.

        Raises:
            NoResultError: No trial of the last population has kept its weights.
            StudyError: Nothing says how to measure a network.
            CheckpointError: Weights were removed, are damaged, or do not fit the model.
        """
        task = self._evaluate if evaluate is None else evaluate
        return greedy_soup(self, self._keeper.state, self._keeper.rebuild, model, task)

    def schedule(self, number: int | None = None) -> Schedule:
        """Return the hyperparameters of each epoch through which a trial's weights were trained.

        Args:
            number: The trial; by default the best of those whose weights were trained longest, so
                that the schedule is as long as the run. The best result of the whole study may
                have been reached earlier: for that, give ``study.best.number``.

        Raises:
            NoResultError: No trial is done yet.
            ScheduleError: The trials have no budget in epochs.
        """
        best = winner(self.trials) or self.best
        line = weights_line(self.trials, best.number if number is None else number)
        return Schedule.from_line(
            line, self.definition.space, study=self.name, metrics=self.objectives.needed
        )

    # -- ask and tell -------------------------------------------------------------------------

    def ask(self) -> Trial | None:
        """Propose the next trial and record it as running.

        A trial that an earlier process left unfinished is handed out again first.

        Returns:
            The trial; None when the algorithm has nothing to propose until more results are told.

        Raises:
            StudyLockedError: Another process drives this study.
            StudyError: The study is inside `run`.
        """
        with self._engine.lock:
            self._check_idle()
            self._engine.begin(self._engine.fitting.fit)
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
            The record of the ended trial.

        Raises:
            StudyError: There is no such trial, it belongs to another study, it has already ended,
                or the study is inside `run`.
            StudyLockedError: Another process drives this study.
        """
        numbers, texts = without_texts(result)
        metrics = read_metrics(numbers)
        with self._engine.lock:
            self._check_idle()
            record = self._asked(trial)
            outcome: Outcome | Failure
            if isinstance(metrics, Failure):
                outcome = replace(metrics, notes=texts)
            else:
                took = 0.0 if record.started is None else time.time() - record.started
                metrics.setdefault("train_seconds", max(took, 0.0))
                metrics.setdefault("evaluation_seconds", 0.0)
                kept = self._keeper.external(record)
                outcome = Outcome(metrics, checkpoint=kept, notes=texts)
            self._engine.record({record.number: outcome}, in_order=False)
            self._engine.tell_ended()
            self._engine.clean()
            told = self._ledger.trials[record.number]
        if told.failure is not None and not isinstance(result, Failed):
            log.warning("trial %d is recorded as failed: %s", told.number, told.failure.message)
        return told

    def enqueue(
        self,
        params: Mapping[str, Any],
        *,
        budget: float | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> Trial:
        """Try these params next, before what the algorithm proposes; it learns from them as well.

        They wait, in order, as trials of the study, for the next `run` or `ask`, also one in
        another process; a run that is going on takes them next.

        Args:
            params: Genes such as the settings that you use today. Active ones that are missing are
                those of the best trial so far, or drawn where there is none.
            budget: Epochs, or what else the algorithm's budgets count; by default the largest one
                that it gives.
            notes: Become part of the trial's record, such as where the params come from.

        Returns:
            The trial. Where the params were tried before, and ``duplicates`` does not want them
            again, it is the trial that did so, and a warning says which. Those of a trial that
            failed may always be tried again.

        Raises:
            GenomeError: A gene is unknown or outside its domain.
            StudyError: No gene is given, or the algorithm trains a population on and on.
            StudyLockedError: Another process drives this study.
        """
        noted = plain_notes({} if notes is None else notes)
        with self._engine.lock:
            genome, budget = self._from_outside(params, budget, self._engine.rest())
            genome = dict(self._engine.fitting(genome))
            self._engine.fitting.say(f"study {self.name!r}: what was enqueued", genome)
            first, policy = self._first_of(genome)
            known = None if first is None else self._ledger.first_kept(first)
            if known is not None and policy == "redraw":
                self._engine.check_driver()
                log.warning("params were not enqueued: trial %d has them, %s", first, known.state)
                return known
            repeated = first if policy == "repeat" else None
            return self._engine.enqueue(genome, budget, repeated, noted)

    def add(
        self,
        params: Mapping[str, Any],
        result: float | Mapping[str, float],
        *,
        budget: float | None = None,
    ) -> Trial:
        """Record what was measured elsewhere as a trial; the algorithm learns from it.

        Args:
            params: Every active gene.
            result: A number, or a dict of metrics.
            budget: As for `enqueue`.

        Returns:
            The ended record; a repeat where the params were tried before.

        Raises:
            GenomeError: As for `enqueue`.
            StudyError: The result has not what the objectives need, the algorithm trains a
                population on and on, or the study is in a `run`.
            StudyLockedError: Another process drives this study.
        """
        genome, budget = self._from_outside(params, budget)
        numbers, texts = without_texts(result)
        metrics = read_metrics(numbers)
        outcome = metrics if isinstance(metrics, Failure) else Outcome(metrics, notes=texts)
        failure = judge(Trial(0, genome, genome), outcome, self.objectives).failure
        if failure is not None:
            raise StudyError(f"the result was not added: {failure.message}")
        with self._engine.lock:
            self._check_idle()
            first, policy = self._first_of(genome)
            # With another budget the same params are another trial.
            alone = policy == "allow" or self.algorithm.traits.inherits
            trial = self._engine.enqueue(genome, budget, None if alone else first, texts)
            return self.tell(trial.number, result)

    def _from_outside(
        self, params: Any, budget: Any, rest: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], float | None]:
        """Return the genome and the budget that a user gave."""
        if not isinstance(params, Mapping) or not params:
            raise StudyError(f'params are a dict such as {{"lr": 0.01}}, got {params!r}')
        if budget is not None:
            budget = option("budget", budget, "(0, inf)")
        return self.algorithm.space.complete(params, rest), budget

    def _first_of(self, genome: Mapping[str, Any]) -> tuple[int | None, Duplicates]:
        """Return the first trial with these params, if any, and what is done with further ones."""
        first = self._ledger.first(self.algorithm.space.key(genome))
        return first, self.algorithm.traits.duplicates or self._engine.duplicates

    def _asked(self, trial: Trial | int) -> Trial:
        """Return the record of a trial whose result is told."""
        if not isinstance(trial, Trial):
            record = self._record(trial)
        elif not self._engine.is_own(trial):
            raise StudyError(
                f"trial {trial.number} does not come from study {self.name!r}, which has another "
                "trial of that number: tell the result to the study whose ask() returned the trial"
            )
        else:
            record = self._record(trial.number)
        if record.has_ended:
            raise StudyError(f"trial {record.number} has ended already: it is {record.state}")
        return record

    def _check_idle(self) -> None:
        """Raise an error if another process drives the study, or if it is inside `run`."""
        self._engine.check_driver()
        if self._run is not None:
            raise StudyError(
                f"study {self.name!r} is inside run(), which asks, evaluates and tells by itself: "
                "call ask(), tell() or run() after it has returned; stop() ends it early"
            )

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
        stopping: Stopping | None = None,
        workers: int | None = None,
        executor: Executor | None = None,
        trial_timeout: float | None = None,
        devices: str | Sequence[str] | None = None,
        deterministic: bool | None = None,
        max_failures: float = 0.5,
        callbacks: Callback | Sequence[Callback] = (),
        progress: bool | None = None,
    ) -> Self:
        """Run trials until one of the limits is reached; repeat the same call to resume.

        Running trials are finished before it returns. Ctrl-C returns at once: finished trials are
        kept, running ones are repeated by the next call.

        Args:
            evaluate: Function of a running trial that returns a number or a dict of metrics.
            trials: Trials of the whole study, not of this call.
            epochs: Epochs that any weights are trained for in total, counted over all trials that
                inherit from one another; population-based training ends when all members have
                been trained that long. For other algorithms it is the budget of each trial.
            timeout: Seconds after which no further trial is started.
            target: Stop when the first objective is at least as good as this value, which has the
                sign of the metric (not negated for ``max``).
            stagnation: Stop after this many generations without improvement of the best value.
            stopping: Rule that ends unpromising trials early, such as ``MedianStopping()``, by what
                they pass to ``trial.report``. A `SupervisedTask` then reports after every epoch.
            workers: Worker processes; 1 runs one trial after another in this process. Left out,
                a `SupervisedTask` with ``epochs=`` trains each generation as one stacked model.
            executor: Where trials run, instead of ``workers``.
            trial_timeout: Seconds after which a trial is ended and counts as failed.
            devices: ``"auto"``, the GPUs of this machine, or a list such as ``["cuda:0",
                "cuda:1"]``: trials run in worker processes, each of which sees one of them alone,
                by default one worker a device; ``trial.device`` is what to train on. More workers
                than devices share them.
            deterministic: Tell results in trial order, so that the same seed gives the same study.
                By default True where it costs no waiting: with one worker, or with generational
                algorithms unless ``stopping`` is given.
            max_failures: Share of this call's trials that may fail, from the tenth on; 1 goes on
                whatever fails. Below 1 a run also ends after three trials without the metrics that
                the objectives need, and never ends well where all trials of the study failed.
            callbacks: One or several, called as ``callback(study, trial)`` after each result; may
                call `stop`. A resumed study may call once more for the last results, so go by
                ``trial.number`` where that matters. One that has a method ``finish(study)``, as
                those of `et.callbacks` have, is told so when the run ends, however it ends.
            progress: Whether to show how far it is: a bar in notebooks and terminals, elsewhere one
                line a trial on the standard error. By default only where someone looks: in a
                notebook, or where the standard error is a terminal.

        Returns:
            The study itself.

        Raises:
            StudyError: No limit is given, or an option is out of bounds.
            StudyLockedError: Another process drives this study.
            TooManyFailuresError: More trials failed than ``max_failures`` allows, or all of them.
            ExecutionError: The function cannot be run where it should.
            StorageError: A result cannot be stored; it is kept in memory, and stored first when
                ``run`` is called again on this study.
        """
        if not callable(evaluate):
            raise StudyError(
                f"run() needs a function of a trial, such as def train(trial): ...; "
                f"got {evaluate!r}"
            )
        if trials is None and self.algorithm.traits.size is not None:
            trials = math.inf  # until it has proposed all, whatever else was tried
        limits = Limits(trials, timeout, target, stagnation, max_failures, epochs)
        check_epochs(self.algorithm, limits)
        stacked = (
            epochs is not None
            and self.algorithm.traits.generational
            and task_traits(evaluate).stacks
        )
        executor = executor_for(
            executor, workers, trial_timeout, devices, stacked=stacked, stopping=stopping
        )
        if deterministic is not None:
            deterministic = flag("deterministic", deterministic)
        else:
            free = self.algorithm.traits.generational and stopping is None
            deterministic = free or executor.capacity == 1
        self._evaluate = evaluate
        theirs = [callbacks] if callable(callbacks) else callbacks
        after_each(self, theirs)  # checks them
        with shown(self, trials, progress) as own:
            after = after_each(self, [*own, *theirs])
            run = Run(self._engine, executor, limits, deterministic, after, stopping=stopping)
            with self._engine.lock:
                self._check_idle()
                self._engine.begin(self._fit or task_traits(evaluate).fit)
                self._run = run
            try:
                self.stop_reason = run(evaluate)
            finally:
                self._run = None
                finish_each(self, theirs)
        return self

    def watch(self, every: float = 2.0) -> None:
        """Show a chart in a notebook that follows the study, until nothing runs it any more.

        The call blocks. The study may run in a thread of the same kernel, or in another process
        that keeps it in the same storage:

        - ``threading.Thread(target=study.run, args=(train, 100)).start(); study.watch()``
        - ``et.open("runs.db", "net").watch()``

        The chart is that of ``et.plot.progress``, with several objectives ``et.plot.front``.
        Interrupting the kernel ends the watching, not the study.

        Args:
            every: Seconds between two looks; longer where a look itself takes long.

        Raises:
            StudyError: This is no notebook; the error says what shows progress elsewhere.
        """
        watch_study(self, every)

    def replay(
        self, evaluate: Evaluate, schedule: Schedule | None = None, **options: Any
    ) -> Comparison:
        """Train from scratch with a schedule, with a good constant setting and with a baseline.

        The constant is the best of a few candidates, not of the whole space: up to five settings of
        the schedule and, if it was run, the best params of `compare_with_random`. Each is trained
        once and the best three of them three times; the best mean is chosen. Then it is trained
        anew, like the schedule: the trainings that chose it are not compared.

        The seeds of a run follow from the name of its arm and its number. Call it again with more
        ``runs`` or another ``baseline``, and only what is missing is trained; with fewer runs the
        first ones are compared. What was trained is found by its arm and its params: after a
        change of the task itself, take a new study.

        From then on the report of this study includes the outcome.

        Args:
            evaluate: The task, or the training function, of this study.
            schedule: By default that of the best trial.
            **options: ``runs=5`` trainings per arm, each with its own seed; ``epochs=`` for another
                length; ``baseline={...}``, params of your own; and options of `run`.

        Returns:
            The results of each arm and their statistical comparison: independent runs, of which
            Mann and Whitney's test (1947) says whether they differ.

        Raises:
            StudyError: The study has several objectives, or every run of an arm has failed.
        """
        return controls.replay(
            self, evaluate, self.schedule() if schedule is None else schedule, **options
        )

    def compare_with_random(self, evaluate: Evaluate, **options: Any) -> Comparison:
        """Repeat this search with other seeds, and run random search for as many epochs beside it.

        From then on the report of this study includes the outcome.

        Args:
            evaluate: The task, or the training function, of this study.
            **options: ``runs=6`` seeds, this study's included; ``controls=``, further arms of
                random search: of a `SupervisedTask` ``["averaged", "cosine"]``, a moving average of
                the weights and a learning rate that decays along a cosine, or a mapping of names to
                functions of a trial; and options of `run`.

        Returns:
            The best result of each run, compared in pairs by seed.

        Raises:
            StudyError: The study has several objectives, or has not run.
        """
        return controls.compare_with_random(self, evaluate, **options)

    def sibling(self, algorithm: Algorithm | None, name: str, seed: int) -> "Study":
        """Return a new study with the same objectives in the same storage.

        Args:
            algorithm: None takes a copy of this study's algorithm in its initial state.
            name: Name of the new study.
            seed: Seed of the new study.
        """
        return Study(
            copy.deepcopy(self._blank) if algorithm is None else algorithm,
            list(self.objectives.objectives),
            constraints=self.objectives.constraints,
            storage=self.storage,
            name=name,
            seed=seed,
            duplicates=self._engine.duplicates,
            checkpoints=self._engine.keeper.store.another(),
            fit=self._fit,
        )

    def stop(self) -> None:
        """End the current `run` after the trials that are running now."""
        run = self._run  # another thread may end it meanwhile
        if run is not None:
            run.stop("stopped")

    def close(self) -> None:
        """Let another process drive the study; results stay readable. Repeated calls do nothing.

        A storage that was given as an object is not closed.

        Raises:
            StudyLockedError: This process is a fork of the one that drives the study.
            StorageError: Something is not recorded yet and cannot be; the error says in which file
                all of the study is.
        """
        try:
            self._engine.close()
        finally:
            if self._owns_storage and not self._engine.is_forked:
                self.storage.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._engine.is_forked:  # a child that ends inside the block leaves it to its parent
            self.close()

    def __getstate__(self) -> dict[str, Any]:
        if self._engine.is_driver:
            raise StudyError(
                f"study {self.name!r} is open, and only one object may drive it: close() it before "
                "it is copied or pickled, or pass on trials or metrics instead of the study"
            )
        return self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        studied.add(self.algorithm)

    @property
    def _ledger(self) -> Ledger:
        return self._engine.ledger

    @property
    def _keeper(self) -> Keeper:
        return self._engine.keeper

    def _nothing_done(self) -> str:
        failed = [t for t in self._ledger.trials if t.failure is not None]
        if not failed:
            return f"study {self.name!r} has no finished trial yet"
        last = failed[-1]
        reason = last.failure.message if last.failure else ""
        return (
            f"study {self.name!r} has no finished trial: {len(failed)} failed, "
            f"trial {last.number} with: {reason}"
        )

    def _record(self, number: int) -> Trial:
        if isinstance(number, bool) or not isinstance(number, Integral):
            raise StudyError(f"give the trial that ask() returned, or its number; got {number!r}")
        if not 0 <= number < len(self._ledger.trials):
            raise StudyError(
                f"there is no trial {number}; study {self.name!r} has {len(self.trials)} trials"
            )
        return self._ledger.trials[number]
