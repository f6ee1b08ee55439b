"""Paired comparison of two methods that ran on the same seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Difference:
    """How much larger ``a`` is than ``b`` over paired seeds.

    Attributes:
        mean: Mean of a − b.
        low: Lower end of Student's 95 % interval of that mean.
        high: Upper end.
        p: Wilcoxon's exact signed-rank test, two-sided.
        larger: In how many pairs a > b.
        pairs: How many pairs there are.
    """

    mean: float
    low: float
    high: float
    p: float
    larger: int
    pairs: int

    @property
    def sign(self) -> int:
        """1 or −1 where the interval leaves no doubt about the sign, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def difference(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Compare two methods, one value a seed in the same order.

    Student's interval, because a bootstrap of so few values is too narrow: of five seeds it covers
    the mean in about 80 % instead of 95 % of cases.

    Raises:
        ValueError: Fewer than two pairs, or lists of unequal length.
    """
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"needs two or more pairs of values, got {len(a)} and {len(b)}")
    gaps = np.subtract(a, b)
    mean, error = float(gaps.mean()), float(stats.sem(gaps))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(gaps) - 1)) * error
    p = float(stats.wilcoxon(gaps).pvalue) if gaps.any() else 1.0
    return Difference(mean, mean - reach, mean + reach, p, int((gaps > 0).sum()), len(gaps))
