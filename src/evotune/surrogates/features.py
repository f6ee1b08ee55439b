"""What a surrogate sees of a row: numbers in [0, 1] and one column for each unordered value."""

from dataclasses import dataclass

import numpy as np

from evotune.surrogates.rows import Array, Indices, Mask, Rows


@dataclass(frozen=True, slots=True)
class Layout:
    """Which feature belongs to which gene; ordered genes come first, one feature each.

    Attributes:
        warped: Number of ordered genes.
        genes: Number of genes.
        gene: The gene of each feature, shape ``(features,)``.
    """

    warped: int
    genes: int
    gene: Indices


class Features:
    """Turns rows into features.

    Two different values of an unordered gene lie at distance 1, as far as the two ends of an
    ordered one; a dormant gene sits in the middle.

    Args:
        rows: The rows of the space.

    Attributes:
        layout: Which feature belongs to which gene.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._numbers = np.flatnonzero(rows.ordered)
        self._listed = np.flatnonzero(~rows.ordered)
        sizes = rows.sizes[self._listed].astype(int)
        self._levels = [np.arange(size) for size in sizes]
        first = len(self._numbers)
        gene = [np.arange(first), *(np.full(n, first + k) for k, n in enumerate(sizes))]
        self.layout = Layout(first, len(rows.names), np.concatenate(gene).astype(np.intp))

    def __call__(self, rows: Array, active: Mask) -> Array:
        """Return the features of rows, shape ``(rows, features)``.

        Args:
            rows: Shape ``(rows, columns)``.
            active: Which genes count, of the same shape.
        """
        numbers = np.where(active, rows, 0.5)[:, self._numbers]
        blocks = [numbers]
        for k, levels in zip(self._listed, self._levels, strict=True):
            hot = (rows[:, k, None] == levels) & active[:, k, None]
            blocks.append(hot * np.sqrt(0.5))  # so that two values differ by a distance of 1
        return np.concatenate(blocks, axis=1)
