"""The surrogate of a search: Gaussian processes that depend on its observations alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from evotune.surrogates import transforms
from evotune.surrogates.features import Features
from evotune.surrogates.gaussian_process import GaussianProcess, Hyperparameters, Priors, fit
from evotune.surrogates.observations import Observation, Table, tabulated
from evotune.surrogates.rows import Array, Mask, Rows

Indices = npt.NDArray[np.intp]
Fits = list[tuple[Hyperparameters, float]]

#: Each objective is modelled once per transform. Where one process fits the objective poorly, the
#: other seldom does.
TRANSFORMS: tuple[Callable[[Array], Array], ...] = (transforms.power, transforms.ranks)
#: A fit is due again when the observations have grown by one in this many.
GROWTH = 20
#: Most observations for fitting hyperparameters, and for conditioning a process.
FITTED, KNOWN = 200, 400


@dataclass(frozen=True, slots=True)
class Model:
    """The processes of all objectives under each transform.

    Attributes:
        features: Turns rows into the inputs of the processes.
        table: The observations that the processes are conditioned on.
        targets: Transformed objectives of these, of each transform ``(observations, objectives)``.
        smoothed: The same, with the noise removed.
        stale: How many of the latest observations did not improve on the best before them, by the
            mean of all objectives under the first transform.
        processes: One for each objective, of each transform.
        border: The process of `transforms.signed` violations; None without any violation.
    """

    features: Features
    table: Table
    targets: tuple[Array, ...]
    smoothed: tuple[Array, ...]
    stale: int
    processes: tuple[tuple[GaussianProcess, ...], ...]
    border: GaussianProcess | None

    def believing(self, rows: Array, active: Mask) -> "Model":
        """Return the model conditioned on its own predictions for trials that still run."""
        seen = self.features(rows, active)
        grown = tuple(tuple(p.believing(seen) for p in family) for family in self.processes)
        border = self.border and self.border.believing(seen)
        return replace(self, processes=grown, border=border)


class Surrogate:
    """Makes models, with hyperparameters fitted at fixed numbers of observations.

    A model depends on the observations alone, not on which models were made before: a resumed
    search goes on as it would have. So a fit starts from the priors, and from what the fit before
    it found from the priors.

    Args:
        rows: The rows of the space.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.features = Features(rows)
        self._cold: dict[int, Fits] = {}
        self._fits: tuple[int, Fits] = (-1, [])

    def model(self, observations: Sequence[Observation]) -> Model | None:
        """Return the model given observations; None when none of them has values.

        Args:
            observations: In the order in which they were told; each call gives those of the last
                one and perhaps further ones.
        """
        known = self._known(observations, KNOWN)
        if known is None:
            return None
        table, seen, columns = known
        layout = self.features.layout
        fits = self._fitted(observations) or [(Priors.of(layout).start(layout), 0.0)] * len(columns)
        processes = [
            GaussianProcess.after(seen, column, layout, found)
            for column, (found, _) in zip(columns, fits, strict=True)
        ]
        smoothed = [process.smooth(c) for process, c in zip(processes, columns, strict=True)]
        border = processes.pop() if columns[-1].any() else None
        size = table.values.shape[1]
        families = range(0, size * len(TRANSFORMS), size)
        return Model(
            self.features,
            table,
            tuple(columns[k : k + size].T for k in families),
            tuple(np.stack(smoothed[k : k + size], axis=1) for k in families),
            len(seen) - 1 - int(columns[:size].mean(axis=0).argmin()),
            tuple(tuple(processes[k : k + size]) for k in families),
            border,
        )

    def _fitted(self, observations: Sequence[Observation]) -> Fits:
        """Return the better of two fits of each column."""
        before, last = due(len(observations))
        if self._fits[0] != last:
            first = self._cold.get(before) or self._fit(observations[:before])
            cold = self._cold.get(last) or self._fit(observations[:last])
            warm = self._fit(observations[:last], first) if first else cold
            better = [min(pair, key=lambda f: f[1]) for pair in zip(cold, warm, strict=True)]
            self._cold, self._fits = {before: first, last: cold}, (last, better)
        return self._fits[1]

    def _fit(self, observations: Sequence[Observation], starts: Fits | None = None) -> Fits:
        known = self._known(observations, FITTED)
        if known is None:
            return []
        _, seen, columns = known
        from_where = [None] * len(columns) if starts is None else [found for found, _ in starts]
        return [
            fit(seen, column, self.features.layout, start)
            for column, start in zip(columns, from_where, strict=True)
        ]

    def _known(
        self, observations: Sequence[Observation], count: int
    ) -> tuple[Table, Array, Array] | None:
        """Return at most ``count`` observations, their features, and all targets.

        Targets have shape ``(columns, observations)``: the objectives under the first transform,
        under the next, and last the border of the feasible.
        """
        table = tabulated(observations)
        if table.is_empty:
            return None
        columns = [transform(column) for transform in TRANSFORMS for column in table.values.T]
        columns.append(transforms.signed(table.violations))
        merit = np.mean(columns[: table.values.shape[1]], axis=0)
        # Feasible observations count as better, or none of them might be kept.
        behind = np.where(table.violations > 0, np.ptp(merit) + table.violations, 0.0)
        kept = representative(merit + behind, count)
        table = table.only(kept)
        seen = self.features(table.rows, self.rows.active(table.rows))
        return table, seen, np.array(columns)[:, kept]


def due(count: int) -> tuple[int, int]:
    """Return the last two numbers of observations, up to ``count``, at which a fit is due.

    Every number at first, later every twentieth part more: 1 2 ... 40 42 ... 60 63 ...
    """
    before, last = 0, 1
    while (following := last + max(1, last // GROWTH)) <= count:
        before, last = last, following
    return before, last


def representative(targets: Array, count: int) -> Indices:
    """Return the indices of the observations to condition a process on, ascending.

    A third of them the best, a third the latest, the others spread over all ranks.

    Args:
        targets: Minimised, in the order of observation, shape ``(observations,)``.
        count: How many.
    """
    total = len(targets)
    if total <= count:
        return np.arange(total)
    order = np.argsort(targets, kind="stable")
    chosen = np.zeros(total, dtype=bool)
    chosen[order[: count // 3]] = True
    chosen[total - count // 3 :] = True
    left = order[~chosen[order]]
    spread = np.linspace(0, len(left) - 1, count - int(chosen.sum())).round().astype(np.intp)
    chosen[left[spread]] = True
    return np.flatnonzero(chosen)
