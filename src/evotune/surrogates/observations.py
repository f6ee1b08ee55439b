"""Observations of trials, as the arrays that a surrogate learns from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evotune.trial import Trial

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Observation:
    """An ended trial.

    Attributes:
        row: See `evotune.surrogates.rows`.
        values: The minimised objectives; None when it has failed.
        violation: Sum of constraint violations.
        root: Number of the first trial with the same params.
        repeats: How many evaluations ``values`` averages.
    """

    row: Array
    values: tuple[float, ...] | None
    violation: float
    root: int
    repeats: int

    @classmethod
    def of(cls, trial: Trial, row: Array) -> "Observation":
        """Return the observation of a trial; values that are not finite count as a failure."""
        values = trial.values
        if values is not None and not all(map(math.isfinite, (*values, trial.violation))):
            values = None
        root = trial.number if trial.repeat_of is None else trial.repeat_of
        return cls(row, values, trial.violation, root, trial.repeats)


@dataclass(frozen=True, slots=True)
class Table:
    """Observations as arrays; failed ones count as the worst in every objective.

    Attributes:
        rows: Shape ``(observations, columns)``.
        values: Minimised objectives, shape ``(observations, objectives)``; while none is feasible,
            the violations stand for them.
        violations: Shape ``(observations,)``, 0 where feasible; all 0 while none is.
    """

    rows: Array
    values: Array
    violations: Array

    def only(self, kept: npt.NDArray[np.intp]) -> "Table":
        """Return some of the observations."""
        return Table(self.rows[kept], self.values[kept], self.violations[kept])

    @property
    def is_empty(self) -> bool:
        """True when nothing can be learned: no trial has values."""
        return bool(self.values.shape[1] == 0)


def tabulated(observations: Sequence[Observation]) -> Table:
    """Return observations as arrays, one line for all repeats of the same params."""
    kept: dict[int, Observation] = {}
    for seen in observations:
        known = kept.get(seen.root)
        newer = known is not None and seen.values is not None and seen.repeats >= known.repeats
        if known is None or known.values is None or newer:
            kept[seen.root] = seen
    merged = list(kept.values())
    rows = np.array([o.row for o in merged])
    done = [(o.values, o.violation) for o in merged if o.values is not None]
    if not done:
        return Table(rows, np.zeros((len(merged), 0)), np.zeros(len(merged)))
    worst = np.array([values for values, _ in done]).max(axis=0)
    most = max(violation for _, violation in done)
    values = np.array([worst if o.values is None else o.values for o in merged])
    violations = np.array([most if o.values is None else o.violation for o in merged])
    if (violations > 0).all():
        values = np.repeat(violations[:, None], values.shape[1], axis=1)
        violations = np.zeros(len(merged))
    return Table(rows, values, violations)
