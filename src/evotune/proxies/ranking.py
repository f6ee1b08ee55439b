"""Ranks of networks by several scores together, and how well such ranks agree with results."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evotune.errors import AlgorithmError

Array = npt.NDArray[np.float64]


def rank(scores: Sequence[Mapping[str, float]]) -> Array:
    """Return one number for each network, the larger the better: Σ over scores of log(rank / N).

    The logarithm of the geometric mean of its ranks, but for a factor, where rank 1 of N is the
    worst: a network that is poor by one score is poor (Lee and Ham, "AZ-NAS: Assembling Zero-Cost
    Proxies for Network Architecture Search", 2024). Equal scores share the mean of their
    ranks; NaN and infinite ones come last.

    Args:
        scores: For each network, the same scores by name; larger is better.

    Raises:
        AlgorithmError: The names differ, or there are none.
    """
    names = list(scores[0]) if scores else []
    for each in scores:
        if not each or set(each) != set(names):
            raise AlgorithmError(
                "networks are ranked by the same scores: got "
                f"{', '.join(names) or 'none'} of one and {', '.join(each) or 'none'} of another"
            )
    total = np.zeros(len(scores))
    for name in names:
        ranks = places(np.array([each[name] for each in scores], dtype=float))
        total += np.log(ranks / len(scores))
    return total


def places(values: Array) -> Array:
    """Return the rank of each value from 1, the smallest, on; equal ones share their mean.

    Values that are not finite come first, as equals.
    """
    finite = np.where(np.isfinite(values), values, -np.inf)
    _, inverse, counts = np.unique(finite, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse], dtype=float)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well a rank by proxies agrees with results.

    Attributes:
        correlation: Their rank correlation, in [-1, 1]; positive is agreement.
        low: The correlation one standard error below; see `agreement`.
        high: And one above.
        trials: How many trials it is of.
    """

    correlation: float
    low: float
    high: float
    trials: int

    def __str__(self) -> str:
        return (
            f"rank correlation {self.correlation:.2f} ({self.low:.2f} to {self.high:.2f}) over "
            f"{self.trials} trials"
        )


def agreement(ranks: Sequence[float], results: Sequence[float]) -> Agreement | None:
    """Return how well ranks agree with results; None of fewer than four, or where all are equal.

    Bounds are tanh(artanh ρ ± 1 / √(n - 3)), one standard error after Fisher's transformation.

    Args:
        ranks: Of each trial; larger is better.
        results: Of each trial, larger is better.
    """
    count = len(ranks)
    if count < 4:
        return None
    a, b = (places(np.array(values, dtype=float)) for values in (ranks, results))
    if a.std() == 0 or b.std() == 0:
        return None
    correlation = float(np.clip(np.corrcoef(a, b)[0, 1], -1, 1))
    middle = math.atanh(min(max(correlation, -1 + 1e-12), 1 - 1e-12))
    spread = 1 / math.sqrt(count - 3)
    return Agreement(correlation, math.tanh(middle - spread), math.tanh(middle + spread), count)
