"""Hypervolume and knee point of a front of minimised values."""

from collections.abc import Sequence

import moocore
import numpy as np

from evotune import finite
from evotune.evolution.pareto import Array, non_dominated


def hypervolume(values: Array, reference: Sequence[float] | Array) -> float:
    """Return the volume that the points dominate up to a reference point.

    Zitzler and Thiele (1998), computed by the moocore library (Fonseca et al., 2006).

    Args:
        values: Minimised objectives, shape ``(points, objectives)``.
        reference: Shape ``(objectives,)``; points that are not below it in all objectives add
            nothing.
    """
    return float(moocore.hypervolume(values, ref=np.asarray(reference, dtype=float)))


def reference_point(front: Array) -> Array:
    """Return the front's worst values, moved outwards by a tenth of the front's range.

    At this distance the extreme points count about as much as the others (Ishibuchi et al., 2018).

    Args:
        front: Minimised objectives, shape ``(points, objectives)``, one point at least.

    Returns:
        Shape ``(objectives,)``, worse than the front in each; a constant objective counts as if its
        range were its own absolute value.
    """
    units = finite.units(front)
    worst = front.max(axis=0) / units
    spread = worst - front.min(axis=0) / units
    own = np.where(worst == 0, 1.0, np.abs(worst))
    return finite.times(worst + 0.1 * np.where(spread > 0, spread, own), units)


def knee(values: Array) -> int:
    """Return the position of the knee: the compromise from which any step costs most.

    The point that lies furthest below the line (with more objectives, the hyperplane) through the
    front's extremes, the best point in each objective; objectives are scaled to the front's range
    (Das, 1999, "On characterizing the knee of the Pareto curve"). Where the extremes span no
    hyperplane, the one through the ends of all ranges is taken. A front without a bulge has its
    knee at an extreme point.

    Args:
        values: Minimised objectives, shape ``(points, objectives)``, one point at least.
    """
    front = np.flatnonzero(non_dominated(values))
    points = values[front] / finite.units(values[front])
    spread = points.max(axis=0) - points.min(axis=0)
    unit = (points - points.min(axis=0)) / np.where(spread > 0, spread, 1.0)
    # Among equally good extremes, the one that is best in the other objectives.
    extremes = [unit[np.lexsort((unit.sum(axis=1), column))[0]] for column in unit.T]
    depth = _normal(np.array(extremes)) @ unit.T
    return int(front[np.argmin(depth)])


def _normal(corners: Array) -> Array:
    """Return the normal, pointing to worse values, of the hyperplane through the corners."""
    even: Array = np.ones(len(corners))
    try:
        normal: Array = np.linalg.solve(corners, even).astype(np.float64)
    except np.linalg.LinAlgError:
        return even
    return normal if np.all(normal > 0) and np.all(np.isfinite(normal)) else even
