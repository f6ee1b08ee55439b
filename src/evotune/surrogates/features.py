"""Features of rows: numbers in [0, 1], and one column for each value of an unordered gene.

Chains of layers are seen twice: slot by slot, and as a whole.
"""

from dataclasses import dataclass

import numpy as np

from evotune.surrogates.rows import Array, Indices, Mask, Rows
from evotune.surrogates.summary import Summary


@dataclass(frozen=True, slots=True)
class Layout:
    """Which feature belongs to which gene; ordered genes come first, one feature each.

    Each number of the summary of a chain counts as a gene of its own. It is not warped: that
    brought nothing where it was measured, and two hyperparameters a number more to fit.

    Attributes:
        warped: Number of ordered genes.
        genes: Number of genes, numbers of summaries included.
        gene: The gene of each feature, shape ``(features,)``.
        slots: The genes that belong to one layer of a chain which is summarised.
    """

    warped: int
    genes: int
    gene: Indices
    slots: tuple[int, ...] = ()


class Features:
    """Turns rows into features.

    Genes without an order are encoded by `Domain.features`; a dormant gene sits in the middle.
    Chains are summarised too.

    Args:
        rows: The rows of the space.

    Attributes:
        layout: Which feature belongs to which gene.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._numbers = np.flatnonzero(rows.ordered)
        self._listed = np.flatnonzero(~rows.ordered)
        self._summary = Summary(rows)
        sizes = [len(rows.features(k, 0)) for k in self._listed]
        warped = len(self._numbers)
        first = warped + self._summary.size
        gene = [np.arange(first), *(np.full(n, first + k) for k, n in enumerate(sizes))]
        column = [*self._numbers, *(-1 for _ in range(self._summary.size)), *self._listed]
        slots = tuple(np.flatnonzero(np.isin(column, self._summary.columns)).tolist())
        features = np.concatenate(gene).astype(np.intp)
        self.layout = Layout(warped, first + len(sizes), features, slots)

    def __call__(self, rows: Array, active: Mask) -> Array:
        """Return the features of rows, shape ``(rows, features)``.

        Args:
            rows: Shape ``(rows, columns)``.
            active: Which genes count, of the same shape.
        """
        numbers = np.where(active, rows, 0.5)[:, self._numbers]
        blocks = [numbers, self._summary(rows, active)]
        for k in self._listed:
            found, place = np.unique(rows[:, k].astype(np.intp), return_inverse=True)
            seen = np.array([self._rows.features(k, index) for index in found])
            blocks.append(seen[place] * active[:, k, None])
        return np.concatenate(blocks, axis=1)
