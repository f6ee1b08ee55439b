"""Genomes as rows of one matrix, so that thousands of candidates are varied and scored at once.

A row holds the genes that have more than one value. An ordered gene is its point of the unit
interval, discrete ones in the middle of their cell; an unordered gene is the index of its value.
"""

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from evotune.errors import AlgorithmError
from evotune.space import Domain, Range, Space
from evotune.space.conditions import in_order

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]

#: Domains of at most this many values are looked up in a table when a condition asks for them.
TABLE = 10_000
#: Digits to which two rows must agree to be the same candidate.
DIGITS = 9


class Rows:
    """The rows of a space.

    Args:
        space: What may be searched.

    Raises:
        AlgorithmError: A gene without order has no list of values.

    Attributes:
        names: The gene of each column.
        ordered: Which columns have an order, shape ``(columns,)``.
        sizes: Number of values of each column, ``inf`` where continuous, shape ``(columns,)``.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.names = space.variable
        self._domains = domains = [space[name] for name in self.names]
        self.ordered = np.array([d.ordered for d in domains], dtype=bool)
        self.sizes = np.array([d.size for d in domains], dtype=float)
        for name, domain in zip(self.names, domains, strict=True):
            if not domain.ordered and domain.size == math.inf:
                raise AlgorithmError(
                    f"gene {name!r} has neither an order nor a list of values, which a surrogate "
                    "needs; search this space with Genetic"
                )
        self._values = [None if d.ordered else list(d.values()) for d in domains]
        self._index: list[dict[Hashable, int] | None] = [
            None if v is None else {d.key(value): k for k, value in enumerate(v)}
            for d, v in zip(domains, self._values, strict=True)
        ]
        self._column = {name: k for k, name in enumerate(self.names)}
        self._fixed = {n: space[n].from_unit(0.5) for n in space if n not in self._column}
        discrete = self.ordered & np.isfinite(self.sizes)
        self._cells = discrete & np.array([d.even for d in domains], dtype=bool)
        self._uneven = np.flatnonzero(discrete & ~self._cells).tolist()
        self._order = in_order({name: space[name].when for name in space})
        self._tests = {
            (name, other): _Test(space[other], allowed)
            for name, when in space.conditions.items()
            for other, allowed in when
        }

    # -- one genome ---------------------------------------------------------------------------

    def row(self, genome: Mapping[str, Any]) -> Array:
        """Return a genome's row, shape ``(columns,)``."""
        return np.array(
            [
                domain.to_unit(genome[name]) if index is None else index[domain.key(genome[name])]
                for name, domain, index in zip(self.names, self._domains, self._index, strict=True)
            ],
            dtype=float,
        )

    def genome(self, row: Iterable[float]) -> dict[str, Any]:
        """Return the genome of a row."""
        genome = dict(self._fixed)
        for name, values, cell in zip(self.names, self._values, row, strict=True):
            unit = float(cell)
            genome[name] = self.space[name].from_unit(unit) if values is None else values[int(unit)]
        return {name: genome[name] for name in self.space}

    def features(self, column: np.intp, index: int | np.intp) -> Array:
        """Return what a surrogate sees of a value of an unordered gene, shape ``(features,)``."""
        return self._domains[column].features((self._values[column] or [])[index])

    # -- many rows ----------------------------------------------------------------------------

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """Draw rows uniformly, shape ``(count, columns)``."""
        units = rng.random((count, len(self.names)))
        loose = ~self.ordered
        units[:, loose] = np.floor(units[:, loose] * self.sizes[loose])
        return self.snap(units)

    def snap(self, rows: Array) -> Array:
        """Move every discrete gene to the value that its genome would have."""
        snapped = rows.copy()
        size = self.sizes[self._cells]
        cells = np.clip(np.floor(rows[:, self._cells] * size), 0, size - 1)
        snapped[:, self._cells] = (cells + 0.5) / size
        for k in self._uneven:
            snapped[:, k] = self._domains[k].snap(rows[:, k])
        return snapped

    def shift_cells(self, rows: Array, directions: Array) -> Array:
        """Move discrete ordered genes by one value, the other way at an end.

        Args:
            rows: Shape ``(rows, columns)``.
            directions: 1, -1, or 0 for genes to leave alone, of the same shape.
        """
        moved = rows.copy()
        size = self.sizes[self._cells]
        index = np.floor(rows[:, self._cells] * size)
        moved[:, self._cells] = (_step(index, directions[:, self._cells], size) + 0.5) / size
        for k in self._uneven:
            stepped = self._domains[k].snap(rows[:, k], directions[:, k])
            moved[:, k] = np.where(directions[:, k] == 0, rows[:, k], stepped)
        return moved

    def active(self, rows: Array) -> Mask:
        """Return which genes are active, shape ``(rows, columns)``."""
        active = np.ones(rows.shape, dtype=bool)
        if not self.space.conditional:
            return active
        awake: dict[str, Mask] = {}
        for name in self._order:
            awake[name] = np.ones(len(rows), dtype=bool)
            for other, _ in self.space.conditions.get(name, ()):
                awake[name] &= awake[other] & self._holds(name, other, rows)
            if name in self._column:
                active[:, self._column[name]] = awake[name]
        return active

    def keys(self, rows: Array, active: Mask) -> list[bytes]:
        """Return one key a row; equal where all active genes agree."""
        plain = np.where(active, np.round(rows, DIGITS), -1.0) + 0.0
        return [row.tobytes() for row in plain]

    def _holds(self, name: str, other: str, rows: Array) -> Mask:
        test = self._tests[name, other]
        if other not in self._column:
            return np.full(len(rows), test.holds(self._fixed[other]))
        k = self._column[other]
        if test.table is None:
            return test.on_units(rows[:, k])
        held: Mask = test.table[self._positions(rows[:, k], k, test)]
        return held

    def _positions(self, cells: Array, k: int, test: "_Test") -> Indices:
        """Return the positions of a discrete gene's values in its domain."""
        if self._cells[k]:
            cells = np.clip(cells * self.sizes[k], 0, self.sizes[k] - 1)
        elif self.ordered[k]:
            return np.searchsorted(test.limits, cells)
        return np.asarray(cells.astype(np.intp))


class _Test:
    """Whether a gene's value is among those that a condition allows."""

    def __init__(self, domain: Domain, allowed: Range | tuple[Any, ...]) -> None:
        self._domain = domain
        self._allowed = allowed
        self.table: Mask | None = None
        self.limits: Array = np.zeros(0)
        if domain.size <= TABLE:
            values = list(domain.values())
            self.table = np.array([self.holds(value) for value in values], dtype=bool)
            if domain.ordered and not domain.even:
                units = np.array([domain.to_unit(value) for value in values])
                self.limits = (units[1:] + units[:-1]) / 2  # half way between the values

    def holds(self, value: Any) -> bool:
        return value in self._allowed

    def on_units(self, units: Array) -> Mask:
        values = [self._domain.from_unit(unit) for unit in units.tolist()]
        return np.array([self.holds(value) for value in values], dtype=bool)


def _step(index: Array, direction: Array, size: Array | float) -> Array:
    moved = index + direction
    outside = (moved < 0) | (moved > size - 1)
    return np.where(outside, index - direction, moved)
