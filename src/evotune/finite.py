"""Sums, means and spreads of finite numbers that stay finite, however large or small these are.

A power of two is taken out of the numbers first, which costs no digits. Of ordinary numbers it is
1, so that nothing about them changes.
"""

import math
import statistics
import sys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: The largest float; what lies beyond it, such as the distance from it to -1e300, is this.
LARGEST = sys.float_info.max
#: Between these, the fourth power and the sum of very many numbers are floats.
_ORDINARY = (2.0**-200, 2.0**200)


def unit(values: npt.ArrayLike) -> float:
    """Return the power of two to divide numbers by before they are added or squared.

    Args:
        values: Of any shape.

    Returns:
        1 where the largest of them is ordinary, zero or not finite; else about its size.
    """
    largest = float(np.abs(np.asarray(values, dtype=float)).max(initial=0.0))
    if _ORDINARY[0] <= largest <= _ORDINARY[1] or largest == 0 or not math.isfinite(largest):
        return 1.0
    return max(math.ldexp(1.0, math.frexp(largest)[1] - 1), sys.float_info.min)


def units(values: npt.ArrayLike) -> Array:
    """Return the `unit` of each column, shape ``(columns,)`` for values ``(rows, columns)``."""
    return np.array([unit(column) for column in np.asarray(values, dtype=float).T])


def limited(value: float) -> float:
    """Return a number, the largest float in place of what lies beyond it; NaN stays."""
    return min(max(value, -LARGEST), LARGEST)


def near(values: npt.ArrayLike) -> Array:
    """Return numbers whose differences are floats, as those beyond a quarter of all are cut off.

    For what looks at the usual ones, which keep all digits; `unit` is for what the largest rule.
    """
    return np.asarray(values, dtype=float).clip(-LARGEST / 4, LARGEST / 4)


def median(values: npt.ArrayLike) -> Array:
    """Return the median of numbers, or of each column, as ``np.median`` does."""
    rows = np.asarray(values, dtype=float)
    with np.errstate(over="ignore"):
        found = np.median(rows, axis=0)
        return np.where(np.isinf(found), 2 * np.median(rows / 2, axis=0), found)


def times(values: Array, units: Array | float) -> Array:
    """Return the product, the largest float in place of what lies beyond it."""
    with np.errstate(over="ignore"):
        return np.asarray(values * units).clip(-LARGEST, LARGEST)


def plus(values: Array, others: Array | float) -> Array:
    """Return the sum, the largest float in place of what lies beyond it."""
    with np.errstate(over="ignore"):
        return np.asarray(values + others).clip(-LARGEST, LARGEST)


def mean(values: Sequence[float]) -> float:
    """Return the mean of one number or more, not finite where one of them is not."""
    if not all(map(math.isfinite, values)):
        return sum(values) / len(values)  # fmean refuses to add inf and -inf
    one = unit(values)
    if one == 1.0:
        return statistics.fmean(values)
    found = statistics.fmean([value / one for value in values]) * one
    return min(max(found, min(values)), max(values))  # rounding may have left the floats


def deviation(values: Sequence[float]) -> float:
    """Return the standard deviation of two numbers or more; NaN where one is not finite."""
    if not all(map(math.isfinite, values)):
        return math.nan
    one = unit(values)
    return limited(statistics.stdev([value / one for value in values]) * one)
