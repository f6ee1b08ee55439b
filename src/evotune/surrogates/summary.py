"""What a chain is as a whole: numbers in [0, 1] that do not depend on which slot holds what.

A slot of its own says little of a network: one more layer in front moves every other layer to the
next slot. So a surrogate sees, beside the slots, how often each block occurs and where it first
stands, and of each setting its mean, first, last and least value over the layers that have it.
"""

from collections.abc import Iterator

import numpy as np

from evotune.space import Chain
from evotune.space.chain import BLOCK
from evotune.surrogates.rows import Array, Indices, Mask, Rows

#: What stands for a setting that no layer has, as for dormant genes.
MIDDLE = 0.5


class Summary:
    """The summary of all chains of a space.

    Args:
        rows: The rows of the space.

    Attributes:
        size: Number of features; 0 where the space has no chain of several layers.
        columns: Columns of the rows that it summarises, those of all slots.
    """

    def __init__(self, rows: Rows) -> None:
        self._parts = [
            part
            for name, chain in rows.space.chains.items()
            if chain.max > 1
            for part in _parts(rows, name, chain)
        ]
        self.size = sum(part.size for part in self._parts)
        self.columns = np.array([k for part in self._parts for k in part.columns.flat], np.intp)

    def __call__(self, rows: Array, active: Mask) -> Array:
        """Return the features of rows, shape ``(rows, size)``.

        Args:
            rows: Shape ``(rows, columns)``.
            active: Which genes count, of the same shape.
        """
        parts = [part(rows, active) for part in self._parts]
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(rows), 0))


class _Values:
    """For each value of an unordered gene of all slots, its share of layers and first place.

    Args:
        columns: The columns of the gene, slot by slot.
        values: Number of values.
        places: True for blocks: their number as a share of the most layers, and where each first
            stands, 1 where it does not. Else, the share of each value among the layers that have
            the gene.
    """

    def __init__(self, columns: Indices, values: int, *, places: bool) -> None:
        self.columns = columns
        self._values = np.arange(values)[:, None]
        self._places = places
        self.size = 2 * values if places else values

    def __call__(self, rows: Array, active: Mask) -> Array:
        awake = active[:, None, self.columns]
        has = (rows[:, None, self.columns] == self._values) & awake  # (rows, values, slots)
        if self._places:
            first = np.where(has.any(axis=2), has.argmax(axis=2) / has.shape[2], 1.0)
            return np.concatenate([has.mean(axis=2), first], axis=1)
        return np.asarray(has.sum(axis=2) / np.maximum(awake.sum(axis=2), 1))


class _Numbers:
    """Mean, first, last and least value of ordered settings over the layers that have them.

    Args:
        columns: The columns of the settings, shape ``(settings, slots)``.
    """

    def __init__(self, columns: Indices) -> None:
        self.columns = columns
        self.size = 4 * len(columns)

    def __call__(self, rows: Array, active: Mask) -> Array:
        values, awake = rows[:, self.columns], active[:, self.columns]  # (rows, settings, slots)
        count = awake.sum(axis=2)
        mean = (values * awake).sum(axis=2) / np.maximum(count, 1)
        first = _at(values, awake.argmax(axis=2))
        last = _at(values, awake.shape[2] - 1 - awake[:, :, ::-1].argmax(axis=2))
        least = np.where(awake, values, 1.0).min(axis=2)
        found = [np.where(count > 0, each, MIDDLE) for each in (mean, first, last, least)]
        return np.concatenate(found, axis=1)


def _at(values: Array, slots: Indices) -> Array:
    return np.take_along_axis(values, slots[:, :, None], axis=2)[:, :, 0]


def _parts(rows: Rows, name: str, chain: Chain) -> Iterator[_Values | _Numbers]:
    place = {gene: k for k, gene in enumerate(rows.names)}
    numbers = []
    for genes in zip(*(chain.slot(name, k) for k in range(1, chain.max + 1)), strict=True):
        if not all(gene in place for gene in genes):
            continue  # constants, and what a narrowed space has made constant
        columns = np.array([place[gene] for gene in genes])
        if rows.ordered[columns[0]]:
            numbers.append(columns)
        else:
            is_block = genes[0] == f"{name}.1.{BLOCK}"
            yield _Values(columns, int(rows.sizes[columns[0]]), places=is_block)
    if numbers:
        yield _Numbers(np.array(numbers))
