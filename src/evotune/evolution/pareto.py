"""Pareto dominance on minimised values."""

import moocore
import numpy as np
import numpy.typing as npt

from evotune import finite

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


def non_dominated(values: Array) -> npt.NDArray[np.bool_]:
    """Return which points no other point dominates.

    Args:
        values: Minimised objectives, shape ``(points, objectives)``.

    Returns:
        Shape ``(points,)``. Equal points do not dominate each other.
    """
    return np.asarray(moocore.is_nondominated(values, keep_weakly=True), dtype=bool)


def ranks(values: Array) -> Indices:
    """Return the front of each point, 0 for the non-dominated (Deb et al., 2002).

    Args:
        values: Minimised objectives, shape ``(points, objectives)``.
    """
    return np.asarray(moocore.pareto_rank(values), dtype=np.intp)


def crowding(values: Array) -> Array:
    """Return the crowding distance of each point of one front, ``inf`` at its ends.

    Args:
        values: Minimised objectives, shape ``(points, objectives)``.
    """
    distance = np.zeros(len(values))
    for column in (values / finite.units(values)).T:
        order = np.argsort(column, kind="stable")
        spread = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = np.inf
        if spread > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread
    return distance
