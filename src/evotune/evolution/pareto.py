"""Pareto dominance on minimised values."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


def non_dominated(values: Array) -> npt.NDArray[np.bool_]:
    """Tell which points no other point dominates.

    Args:
        values: Minimised objectives, shape ``(points, objectives)``.

    Returns:
        Shape ``(points,)``. Equal points do not dominate each other.
    """
    alive = np.ones(len(values), dtype=bool)
    # In lexicographic order a point can only be dominated by an earlier one.
    order = np.lexsort(values.T[::-1])
    front: list[int] = []
    for index in order:
        point = values[index]
        ahead = values[front]
        if np.any(np.all(ahead <= point, axis=1) & np.any(ahead < point, axis=1)):
            alive[index] = False
        else:
            front.append(index)
    return alive


def ranks(values: Array) -> Indices:
    """Return the front of each point, 0 for the non-dominated (Deb et al., 2002).

    Args:
        values: Minimised objectives, shape ``(points, objectives)``.
    """
    result = np.zeros(len(values), dtype=np.intp)
    left = np.arange(len(values))
    front = 0
    while left.size:
        best = non_dominated(values[left])
        result[left[best]] = front
        left = left[~best]
        front += 1
    return result


def crowding(values: Array) -> Array:
    """Return the crowding distance of each point of one front, ``inf`` at its ends.

    Args:
        values: Minimised objectives, shape ``(points, objectives)``.
    """
    distance = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        spread = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = np.inf
        if spread > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread
    return distance
