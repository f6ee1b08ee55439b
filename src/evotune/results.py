"""What a study has found."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from evotune.comparing import find_comparison
from evotune.engine import Engine
from evotune.errors import CheckpointError, NoResultError, StudyError
from evotune.evolution.hypervolume import knee
from evotune.keeping import Keeper
from evotune.ledger import Ledger
from evotune.objectives import Objectives
from evotune.protocols import Storage, StudyDefinition
from evotune.report.importance import Importance, Method
from evotune.report.lineage import weights_line, winner
from evotune.training.schedules import Schedule
from evotune.trial import Trial


class Results:
    """The results of a study, read only; `Study` adds what moves it on.

    Attributes:
        definition: Name, seed, space and objectives as stored.
        objectives: Objectives and constraints.
        storage: Where its trials are.
    """

    definition: StudyDefinition
    objectives: Objectives
    storage: Storage
    _engine: Engine

    @property
    def _ledger(self) -> Ledger:
        return self._engine.ledger

    @property
    def _keeper(self) -> Keeper:
        return self._engine.keeper

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

        With several objectives it is the best in the first one; see `front` for all of them. Where
        params were repeated, what counts is the lower confidence bound of the score, mean −
        1.645·σ/√repeats (upper, and plus, when minimising), with σ pooled over all repeats, so that
        one lucky run is not ahead of a good one that was tested well. A stopped trial is the best
        only as long as none is done.

        Raises:
            NoResultError: No trial is done yet.
        """
        best = self._ledger.best()
        if best is None:
            raise NoResultError(self._nothing_done())
        return best

    @property
    def front(self) -> list[Trial]:
        """The feasible trials that no other dominates, repeats averaged, by number."""
        return self._ledger.front()

    @property
    def knee(self) -> Trial:
        """The trial of the front from which any step costs most: a compromise to begin with.

        It lies farthest from the line, or plane, through the front's extremes, each objective
        scaled to the front's range (Das, 1999). With one objective it is the best feasible trial.

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
        return {state: count for state, count in self._ledger.counts.items() if count}

    @property
    def exhausted(self) -> bool:
        """True once every point of a finite space has been proposed."""
        return self._engine.exhausted

    def averaged(self) -> list[Trial]:
        """Return one trial for each distinct params that is done, repeats averaged, by number."""
        return self._ledger.averaged()

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

    def importance(self, method: Method = "fanova") -> Importance:
        """Return how much each gene decides the first objective.

        Args:
            method: ``"fanova"``, over the whole space, or ``"ped_anova"``, about being among the
                best tenth of the trials.

        Raises:
            StudyError: Another method.
        """
        from evotune.report.data import prepare

        return prepare(self.definition, self.trials).importance_by(method)

    def report(self, path: str | PathLike[str]) -> Path:
        """Write one self-contained HTML page about the study, or a picture, and return its path.

        Args:
            path: Where to; ``"report.html"``, or ``"picture.svg"`` for a small picture.
        """
        from evotune.report.write import write

        return write(
            Path(path), self.definition, self.trials, find_comparison(self.storage, self.name)
        )

    def restore(self, number: int | None = None, **objects: Any) -> Trial:
        """Load weights that a trial has kept into a model, as ``study.restore(model=model)``.

        Args:
            number: The trial; by default the best one that has kept its weights.
            **objects: What was given to ``trial.keep``, or a part of it, by the same names.

        Returns:
            The trial.

        Raises:
            NoResultError: No trial has kept its weights.
            CheckpointError: They are gone, damaged, or do not fit.
        """
        if not isinstance(number, int | None):
            raise StudyError(f"write study.restore(model={type(number).__name__.lower()})")
        number = self._ledger.best_with_weights() if number is None else number
        if number is None:
            raise NoResultError(f"no trial of study {self.name!r} has kept its weights")
        trial = self._record(number)
        if trial.checkpoint is None:
            raise CheckpointError(f"trial {number} has kept no weights")
        self._keeper.restore(trial, objects)
        return trial

    def schedule(self, number: int | None = None) -> Schedule:
        """Return the hyperparameters per epoch along the line of weights that ends in a trial.

        Args:
            number: The trial; by default the best of those that were trained for the longest time,
                so that the schedule is as long as the run. The best moment of all may have come
                earlier: that is ``study.best.number``.

        Raises:
            NoResultError: No trial is done yet.
            ScheduleError: Its trials have no budget in epochs.
        """
        best = winner(self.trials) or self.best
        line = weights_line(self.trials, best.number if number is None else number)
        return Schedule.from_line(
            line, self.definition.space, study=self.name, metrics=self.objectives.needed
        )

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {state}" for state, count in self.counts.items())
        return f"Study({self.name!r}, {self.objectives}, {counts or 'no trials'})"

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
        if not 0 <= number < len(self._ledger.trials):
            raise StudyError(
                f"there is no trial {number}; study {self.name!r} has {len(self.trials)} trials"
            )
        return self._ledger.trials[number]
