"""How the hypervolume of the front grew."""

import numpy as np
import numpy.typing as npt

from evotune import finite
from evotune.analysis.data import Floats, Indices, StudyData
from evotune.evolution.hypervolume import hypervolume, reference_point
from evotune.evolution.pareto import non_dominated

#: With more objectives the exact hypervolume of large fronts takes minutes.
OBJECTIVES_AT_MOST = 5


def volumes(data: StudyData) -> tuple[Indices, Floats]:
    """Return each generation and the hypervolume of the front up to it, as a share of the last.

    Only finished trials that break no constraint count.

    Returns:
        Two arrays of shape ``(generations,)``.
    """
    whole = np.flatnonzero(eligible(data))
    order = whole[np.argsort(data.done_groups[whole], kind="stable")]
    groups = data.done_groups[order]
    last = np.flatnonzero(np.diff(groups, append=groups[-1:] + 1))
    # In the unit cube between the best ends and the reference point no product overflows.
    front = data.values[data.front]
    units = finite.units(front)
    best = front.min(axis=0) / units
    with np.errstate(over="ignore"):  # far beyond the reference point it is all the same
        cube = (data.values[order] / units - best) / (reference_point(front / units) - best)
    front, reached = cube[:0], []
    for start, end in zip([0, *(last[:-1] + 1)], last + 1, strict=True):
        front = np.concatenate([front, cube[start:end]])
        front = front[non_dominated(front)]
        reached.append(hypervolume(front, np.ones(cube.shape[1])))
    return groups[last], np.array(reached) / reached[-1]


def eligible(data: StudyData) -> npt.NDArray[np.bool_]:
    """Return which of the done trials count: finished, and within all constraints."""
    return np.array([t.violation == 0 and t.state != "stopped" for t in data.done], dtype=bool)


def reference(data: StudyData) -> Floats:
    """Return the reference point of the volume, minimised, shape ``(objectives,)``."""
    return reference_point(data.values[data.front])
