"""Acquisition: the expected improvement of candidates, as a logarithm that never underflows."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import erfcx, log_ndtr, logsumexp, ndtr

Array = npt.NDArray[np.float64]

_LOG_ROOT_2PI = 0.5 * math.log(2.0 * math.pi)
#: Below this, 1 - |z|·Φ(z)/φ(z) has no digits left, and its limit 1/z² takes over.
_FAR = -1e5


def log_expected_improvement(mean: Array, std: Array, best: float) -> Array:
    """Return the logarithm of the expected improvement on a minimum.

    Source: Ament et al., "Unexpected improvements to expected improvement", NeurIPS 2023, eq. 8
    and 9.

    Args:
        mean: Predicted means, shape ``(candidates,)``.
        std: Predicted standard deviations, positive, shape ``(candidates,)``.
        best: The minimum so far.
    """
    z = (best - mean) / std
    return _log_h(z) + np.log(std)


def _log_h(z: Array) -> Array:
    """Return log(φ(z) + z·Φ(z)), eq. 9."""
    near = np.maximum(z, -1.0)
    density = np.exp(-0.5 * near**2 - _LOG_ROOT_2PI)
    above = np.log(density + near * ndtr(near))
    far = np.clip(z, _FAR, -1.0)
    below = np.log1p(far * math.sqrt(0.5 * math.pi) * erfcx(-far / math.sqrt(2.0)))
    limit = -2.0 * np.log(-np.minimum(z, _FAR))
    tail = -0.5 * z**2 - _LOG_ROOT_2PI + np.where(z < _FAR, limit, below)
    return np.where(z > -1.0, above, tail)


#: Points below the best value at which the gain in several objectives is integrated.
_STEPS = np.concatenate([[0.0], np.geomspace(1e-3, 8.0, 23)])
_WIDTHS = np.convolve(np.diff(_STEPS), [0.5, 0.5])  # trapezoids


def log_chebyshev_improvement(
    means: Sequence[Array], stds: Sequence[Array], weights: Array, origin: Array, best: float
) -> Array:
    """Return the log expected improvement of the largest weighted objective.

    With S = max_k w_k·(f_k - origin_k) over independent normal f_k, E[(best - S)⁺] is the integral
    of P(S ≤ t) = Π_k Φ((origin_k + t / w_k - mean_k) / std_k) over t below ``best``.

    Args:
        means: Predicted means of each objective, each of shape ``(candidates,)``.
        stds: Predicted standard deviations, likewise.
        weights: Positive weight of each objective, shape ``(objectives,)``.
        origin: Value of each objective at which S is 0, shape ``(objectives,)``.
        best: The smallest S so far.
    """
    scale = float(weights.min())  # S moves no faster than its slowest objective
    levels = best - _STEPS * scale
    log_chance = np.zeros((len(means[0]), len(levels)))
    for mean, std, weight, zero in zip(means, stds, weights, origin, strict=True):
        log_chance += log_ndtr((zero + levels / weight - mean[:, None]) / std[:, None])
    return np.asarray(logsumexp(log_chance, b=_WIDTHS * scale, axis=1))
