"""A network pruned at several sparsities."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt

from evotune.evolution.hypervolume import knee
from evotune.evolution.pareto import non_dominated
from evotune.pruning.result import Pruned


class SweepRow(NamedTuple):
    """One of the networks.

    Attributes:
        sparsity: The share of the weights that went.
        kept: How many are left.
        loss: On the calibration examples.
        parameters: Of the compact network.
        latency: Seconds of a forward pass of the compact network, the median.
    """

    sparsity: float
    kept: int
    loss: float
    parameters: int
    latency: float


@dataclass(frozen=True)
class Sweep(Sequence[Pruned]):
    """A network pruned at several sparsities, in the order in which they were asked for.

    It is a sequence of `Pruned`.

    Attributes:
        results: The networks.

    Example::

        sweep = et.prune(model, sparsity=[0.8, 0.9, 0.95, 0.98], data=(x, y))
        sweep.knee.model
    """

    results: tuple[Pruned, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.results)

    @overload
    def __getitem__(self, index: int) -> Pruned: ...
    @overload
    def __getitem__(self, index: slice) -> "Sweep": ...
    def __getitem__(self, index: int | slice) -> "Pruned | Sweep":
        found = self.results[index]
        return Sweep(found) if isinstance(found, tuple) else found

    @cached_property
    def _points(self) -> npt.NDArray[np.float64]:
        """Loss and logarithm of the weights left, ``(networks, 2)``."""
        return np.array([[each.measured["loss"], np.log(max(each.kept, 1))] for each in self])

    @property
    def front(self) -> list[Pruned]:
        """Those that no other beats in loss and in weights left, the densest first."""
        chosen = np.flatnonzero(non_dominated(self._points))
        return sorted((self[int(k)] for k in chosen), key=lambda each: -each.kept)

    @property
    def knee(self) -> Pruned:
        """The compromise beyond which the loss rises steeply.

        Of the front, the point that lies furthest below the line through its ends, in loss and the
        logarithm of the weights left (`evotune.evolution.hypervolume.knee`).
        """
        return self[int(knee(self._points))]

    def table(self) -> list[SweepRow]:
        """Return the figures of each network; latencies are measured, which takes a while."""
        from evotune.pruning.report import FORMS, costs_of  # it loads plotly

        rows = []
        for each in self:
            found = costs_of(each)[FORMS[-1]]
            rows.append(
                SweepRow(
                    each.sparsity,
                    each.kept,
                    each.measured["loss"],
                    found.parameters,
                    found.latency or 0.0,
                )
            )
        return rows
