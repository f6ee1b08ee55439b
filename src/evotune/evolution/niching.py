"""Survival by reference directions: NSGA-III.

Reference: Deb and Jain, "An evolutionary many-objective optimization algorithm using
reference-point-based nondominated sorting approach, part I" (2014); equation numbers refer to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import comb

import numpy as np

from evotune import finite
from evotune.checks import check_whole
from evotune.evolution.pareto import Array, Indices
from evotune.evolution.survival import constrained
from evotune.trial import Trial


@dataclass(frozen=True, slots=True)
class Niching:
    """Orders trials by front, then so that every reference direction keeps a trial.

    A trial belongs to the nearest reference direction. Within a front, trials whose direction has
    the fewest trials ahead of them come first, and among these the nearest to its direction. Where
    the paper draws at random, the order here is fixed, so that it depends on the trials alone.
    Infeasible trials follow by their violation; one objective is ordered by value.

    Args:
        directions: Largest number of reference directions.
    """

    directions: int = 20

    def __post_init__(self) -> None:
        check_whole("Niching", "directions", self.directions, 1)

    def __call__(self, trials: Sequence[Trial]) -> list[Trial]:
        return constrained(trials, self._order)

    def _order(self, values: Array, fronts: Indices) -> Indices:
        values = values / finite.units(values)
        rays = reference_directions(values.shape[1], self.directions)
        niche, distance = _associate(_normalised(values, values[fronts == 0]), rays)
        # Algorithm 4 in one sort: a trial's place in its niche is how often the niche was chosen
        # before it, in the fronts before (ρ) and in its own.
        by_niche = np.lexsort((distance, fronts, niche))
        first = np.searchsorted(niche[by_niche], niche[by_niche])
        place = np.empty(len(values), dtype=np.intp)
        place[by_niche] = np.arange(len(values)) - first
        return np.lexsort((distance, place, fronts))


@cache
def reference_directions(objectives: int, count: int) -> Array:
    """Return directions that cover all weightings of the objectives evenly.

    The points of Das and Dennis (1998); where so few would all lie on the border, a second layer
    of half the size is added inside (section V).

    Args:
        objectives: Number of objectives.
        count: Largest number of directions; there is always one for each objective.

    Returns:
        Unit vectors, shape ``(directions, objectives)``.
    """
    divisions = _divisions(objectives, count)
    points = _lattice(objectives, divisions)
    rest = count - len(points)
    if divisions < objectives and rest >= objectives:
        inner = _lattice(objectives, _divisions(objectives, rest))
        points = np.concatenate([points, (inner + 1.0 / objectives) / 2.0])
    directions: Array = points / np.linalg.norm(points, axis=1, keepdims=True)
    directions.flags.writeable = False
    return directions


def _divisions(objectives: int, count: int) -> int:
    """Return into how many parts each axis is cut for at most ``count`` points (eq. 1)."""
    divisions = 1
    while objectives > 1 and comb(objectives + divisions, divisions + 1) <= count:
        divisions += 1
    return divisions


def _lattice(objectives: int, divisions: int) -> Array:
    """Return all points of the simplex whose coordinates are multiples of 1 / divisions."""
    slots = divisions + objectives - 1
    bars = np.array(list(combinations(range(slots), objectives - 1)), dtype=float)
    edges = np.pad(bars, ((0, 0), (1, 1)), constant_values=((0, 0), (-1, slots)))
    points: Array = (np.diff(edges, axis=1) - 1.0) / divisions
    return points


def _normalised(values: Array, front: Array) -> Array:
    """Return values with the ideal point at 0 and the front's intercepts at 1 (eqs. 4 and 5).

    The intercepts are those of the first front, not of all fronts that survive as in the paper
    (Blank, Deb and Roy, 2019): they do not depend on how many trials will be kept.
    """
    ideal = front.min(axis=0)
    # A front that is flat up to rounding must not inflate the other values.
    spread = np.maximum(front.max(axis=0) - ideal, 1e-12 * (values.max(axis=0) - ideal))
    spread[spread == 0] = 1.0
    scaled: Array = (values - ideal) / spread / _intercepts((front - ideal) / spread)
    return scaled


def _intercepts(front: Array) -> Array:
    """Return where the plane through the front's extreme points cuts each axis, ``(objectives,)``.

    Where there is no such plane, the ends of the front are taken: 1, as it is scaled already.
    """
    objectives = front.shape[1]
    weights = np.where(np.eye(objectives) == 1, 1.0, 1e-6)
    extremes = [front[np.argmin((front / row).max(axis=1))] for row in weights]  # eq. 4
    try:
        plane = np.linalg.solve(np.array(extremes), np.ones(objectives))
    except np.linalg.LinAlgError:
        return np.ones(objectives)
    # Intercepts behind the ideal point, or beyond the worst of the front, are not usable.
    return 1.0 / plane if np.all((plane >= 1 - 1e-9) & (plane < 1e6)) else np.ones(objectives)


def _associate(values: Array, rays: Array) -> tuple[Indices, Array]:
    """Return the nearest ray of each point and the distance to it, both ``(points,)``."""
    along = values @ rays.T
    across = np.linalg.norm(values[:, None] - along[..., None] * rays, axis=2)  # algorithm 3
    niche = across.argmin(axis=1)
    return niche, across[np.arange(len(values)), niche]
