"""Transforms of the objective that make it easier for a Gaussian process. All are monotone."""

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import ndtri

from evotune import finite

Array = npt.NDArray[np.float64]

#: Range of the power of the Yeo-Johnson transform.
POWERS = (-4.0, 4.0)
#: Values are cut off this many interquartile ranges above the third quartile.
FAR = 20.0
#: So far beyond them there still is a float.
_TAMEABLE = (-finite.LARGEST / 64, finite.LARGEST / 64)
#: Where the feasible lies when the border is at 0 and the median violation at 1.
FEASIBLE = -0.5


def standardised(values: Array) -> Array:
    """Return values with mean 0 and standard deviation 1; all 0 where they are constant."""
    centred = values - values.mean()
    spread = float(centred.std())
    flat = spread <= 1e-13 * max(float(np.abs(values).max()), 1e-290)
    return np.zeros_like(values) if flat else centred / spread


def _in_range(values: Array) -> Array:
    """Return values divided by their largest: neither 1e-300 nor 1e300 under- or overflows then."""
    if finite.unit(values) != 1.0:  # a penalty of 1e308 would leave no digits to the others
        values = _tamed(np.clip(values, *_TAMEABLE))
    largest = float(np.abs(values).max())
    return values / largest if largest > 0 else values


def _tamed(values: Array) -> Array:
    """Cut off extremely bad values, so that one outlier does not hide all other differences."""
    low, high = np.percentile(values, (25, 75))
    return np.minimum(values, high + FAR * (high - low)) if high > low else values


def power(values: Array) -> Array:
    """Return values made as normal as a Yeo-Johnson transform can, standardised.

    Source: Yeo and Johnson, "A new family of power transformations to improve normality or
    symmetry", Biometrika 2000, eq. 2.1; its power maximises the likelihood, eq. 3.1.

    Args:
        values: Finite numbers, shape ``(points,)``.
    """
    values = standardised(_tamed(_in_range(values)))
    if not values.any():
        return values
    logs = np.sign(values) * np.log1p(np.abs(values))

    def loss(exponent: float) -> float:
        spread = float(np.var(_yeo_johnson(values, exponent)))
        # eq. 3.1, without its constants
        return 0.5 * math.log(max(spread, 1e-300)) - (exponent - 1.0) * float(logs.mean())

    found = minimize_scalar(loss, bounds=POWERS, method="bounded", options={"xatol": 1e-3})
    return standardised(_yeo_johnson(values, float(found.x)))


def _yeo_johnson(values: Array, exponent: float) -> Array:
    # eq. 2.1; both halves are Box-Cox transforms of 1 + |y|, mirrored below 0
    powers = np.where(values >= 0, exponent, 2.0 - exponent)
    logs = np.log1p(np.abs(values))
    small = np.abs(powers) < 1e-9
    safe = np.where(small, 1.0, powers)
    return np.asarray(np.sign(values) * np.where(small, logs, np.expm1(safe * logs) / safe))


def ranks(values: Array) -> Array:
    """Return the sum of normal scores and values without the far bad tail, standardised.

    Normal scores of the ranks (ties share the mean rank) resist any outlier and any scale. To
    these, the standardised values are added, cut off at twice the distance from the best to the
    median beyond the median, so that the distances among the good ones still count.

    Args:
        values: Finite numbers to be minimised, shape ``(points,)``.
    """
    scaled = _in_range(values)
    values, given = scaled, scaled if finite.unit(values) == 1.0 else values
    _, place, count = np.unique(given, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count - 1) / 2.0  # mean rank of each group of ties, from 1
    scores = ndtri((middle - 0.5) / len(values))[place]
    median, best = float(np.median(values)), float(values.min())
    cut = np.minimum(values, median + 2.0 * (median - best)) if median > best else values
    return standardised(scores + standardised(cut))


def signed(violations: Array) -> Array:
    """Return constraint violations as numbers that are negative where feasible.

    Feasible trials do not say how far from the border they lie, so they all get the same number;
    the median violation becomes 1, and larger ones grow by their logarithm.

    Args:
        violations: Not negative, shape ``(points,)``.
    """
    violated = violations > 0
    if not violated.any():
        return np.zeros_like(violations)
    with np.errstate(over="ignore"):
        share = np.minimum(violations / finite.median(violations[violated]), finite.LARGEST)
    return np.where(violated, np.log2(1.0 + share), FEASIBLE)
