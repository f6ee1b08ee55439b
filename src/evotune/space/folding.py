"""Folding numbers back into the unit interval, as if its two ends were mirrors."""

import numpy as np
import numpy.typing as npt


def reflect(unit: float) -> float:
    """Fold a number back into [0, 1] as if the two ends were mirrors."""
    if 0.0 <= unit <= 1.0:
        return unit
    unit = abs(unit) % 2.0
    return 2.0 - unit if unit > 1.0 else unit


def reflect_all(units: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Fold many numbers back into [0, 1], as `reflect` does one."""
    folded = np.abs(units) % 2.0
    return np.where(folded > 1.0, 2.0 - folded, folded)
