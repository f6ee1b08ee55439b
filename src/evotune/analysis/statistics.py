"""Intervals and tests: one of each per question, used by the package and its benchmarks.

Whether two methods differ is decided by a rank test, because it assumes no distribution and a
single outlier cannot decide it: Wilcoxon's signed-rank test (1945) if run k of both has the same
seed, Mann and Whitney's (1947) for independent runs. If several pairs are tested, the p-values are
corrected by Holm's method (1979).

By how much they differ is estimated by the mean and its 95 % interval: Student's (1908) for paired
differences, Welch's (1947) for independent runs. The bootstrap (Efron, 1987) assumes less, but its
intervals are too narrow for the usual few runs: if two methods differ only by normal, heavy-tailed
(t with 3 degrees of freedom) or log-normal noise, its 95 % interval of the mean difference contains
0 in 76 to 85 % of cases with 5 seeds and in 83 to 92 % with 10, Student's in 95 to 97 %. The
interval is not used for decisions.

A median has the interval between two order statistics (David and Nagaraja, 2003), which assumes no
distribution either. Many methods are compared by mean ranks, Friedman's test (1937) and Nemenyi's
critical difference (1963), as Demšar (2006) advises. Titles are in docs/references.md.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evotune import finite
from evotune.errors import StudyError

# scipy.stats takes half a second to load, hence the imports within functions.

Floats = npt.NDArray[np.float64]

#: Significance level, and one minus the confidence level of intervals.
LEVEL = 0.05
#: Up to so many divisions of the runs the test of independent runs is exact: 8 runs against 8.
DIVISIONS = 20_000


# -- two methods ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """How much larger ``a`` is than ``b``.

    Attributes:
        mean: Mean of a − b.
        low: Lower end of the 95 % interval of that mean: Student's, or Welch's where not paired.
        high: Upper end.
        p: Two-sided: Wilcoxon's signed-rank test of pairs, else Mann and Whitney's.
        larger: In how many pairs a > b; where not paired, among all pairs of one with the other.
        smaller: In how many a < b.
        pairs: How many pairs there are.
    """

    mean: float
    low: float
    high: float
    p: float
    larger: int
    smaller: int
    pairs: int

    @property
    def sign(self) -> int:
        """1 or −1 where the test says that a and b differ, else 0; see `sign_of`."""
        return sign_of(self.mean, self.larger - self.smaller, self.p)


def sign_of(mean: float, majority: int, p: float) -> int:
    """Return 1 or −1 if one of two methods is significantly larger or smaller, else 0.

    Args:
        mean: Mean difference.
        majority: Number of pairs with a positive difference minus those with a negative one.
        p: p-value of the test that both are equal. The result is 0 if p is 5 % or above, or if the
            signs of mean and majority differ.
    """
    return int(np.sign(mean)) if p < LEVEL and mean * majority > 0 else 0


def paired(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Compare two methods that ran with the same seeds, one value per seed in the same order.

    Raises:
        StudyError: Fewer than two pairs, or lists of unequal length.
    """
    if len(a) != len(b) or len(a) < 2:
        raise StudyError(f"needs two or more pairs of values, got {len(a)} and {len(b)}")
    gaps = finite.plus(np.asarray(a, float), np.negative(b))
    larger, smaller = int((gaps > 0).sum()), int((gaps < 0).sum())
    low, high = mean_interval(gaps)
    return Difference(mean_of(gaps), low, high, signed_rank(gaps), larger, smaller, len(gaps))


def unpaired(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Compare two methods with independent runs.

    Raises:
        StudyError: Fewer than two values of one of them.
    """
    from scipy import stats

    if min(len(a), len(b)) < 2:
        raise StudyError(f"needs two or more values of each, got {len(a)} and {len(b)}")
    x, y = np.asarray(a, float), np.asarray(b, float)
    gaps = finite.plus(x[:, None], -y)
    unit = finite.unit([*x, *y])
    shares = x / unit, y / unit
    mean = low = high = float(shares[0].mean() - shares[1].mean())
    if any(map(np.ptp, shares)):
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            # Of all but equal runs, or of variances too far apart, digits are lost: no matter.
            low, high = stats.ttest_ind(*shares, equal_var=False).confidence_interval(1 - LEVEL)
    mean, low, high = (finite.limited(float(x) * unit) for x in (mean, low, high))
    larger, smaller = int((gaps > 0).sum()), int((gaps < 0).sum())
    return Difference(mean, low, high, rank_sum(x, y), larger, smaller, gaps.size)


def signed_rank(gaps: Floats) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test of paired gaps, ``(runs,)``."""
    from scipy.stats import wilcoxon

    return float(wilcoxon(gaps).pvalue) if gaps.any() else 1.0


def rank_sum(x: Floats, y: Floats) -> float:
    """Return the two-sided p-value of Mann and Whitney's test of independent runs, ``(runs,)``."""
    from scipy import stats

    runs = len(x) + len(y)
    # Of few runs all divisions into two are tried: scipy's other ways assume that no runs tie.
    few = math.comb(runs, len(x)) <= DIVISIONS
    method = stats.PermutationMethod(n_resamples=DIVISIONS) if few else "auto"
    return float(stats.mannwhitneyu(x, y, method=method).pvalue)


def mean_interval(values: Floats) -> tuple[float, float]:
    """Return both ends of Student's 95 % interval of the mean of values, ``(runs,)``.

    Returns:
        NaN with fewer than two values.
    """
    from scipy import stats

    if len(values) < 2:
        return math.nan, math.nan
    unit = finite.unit(values)
    mean = (values / unit).mean()
    reach = stats.t.ppf(1 - LEVEL / 2, len(values) - 1) * stats.sem(values / unit)
    low, high = (float(mean + way * reach) * unit for way in (-1.0, 1.0))
    return finite.limited(low), finite.limited(high)


def mean_of(values: Floats) -> float:
    """Return the mean of values, ``(runs,)``."""
    unit = finite.unit(values)
    return finite.limited(float((values / unit).mean()) * unit)


def median_interval(values: npt.ArrayLike) -> Floats:
    """Return both ends of the 95 % interval of the median, from order statistics.

    Args:
        values: Shape ``(runs,)`` or ``(runs, points)``; a column with NaN has no upper end.

    Returns:
        Shape ``(2,)`` or ``(2, points)``; NaN where fewer than six runs allow no such interval.
    """
    from scipy.stats import binom

    ordered = np.sort(np.asarray(values, dtype=float), axis=0)
    runs = len(ordered)
    below = int(binom.ppf(LEVEL / 2, runs, 0.5)) if runs else 0
    if below == 0:
        return np.full((2, *ordered.shape[1:]), math.nan)
    return ordered[[below - 1, runs - below]]


# -- many methods ---------------------------------------------------------------------------------


def holm(p_values: Sequence[float]) -> Floats:
    """Return p-values corrected for multiple comparisons (Holm, 1979)."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1.0)


def runs_needed(pairs: int) -> int:
    """Return the fewest runs with which a signed-rank test of so many pairs can be significant."""
    return math.floor(math.log2(2 * pairs / LEVEL)) + 1  # all gaps of one sign: p = 2 / 2^runs


def independent_runs_needed(pairs: int) -> int:
    """Return the fewest runs with which a rank-sum test of so many pairs can be significant.

    The exact test of Mann and Whitney (1947), see `least_rank_sum`.
    """
    return next(runs for runs in range(2, DIVISIONS) if pairs * least_rank_sum(runs, runs) < LEVEL)


def least_rank_sum(a: int, b: int) -> float:
    """Return the smallest two-sided p-value of a rank-sum test of a runs against b.

    It is reached where each of the a runs is better than each of the b.
    """
    return 2 / math.comb(a + b, a)


def mean_ranks(losses: Floats) -> Floats:
    """Return the mean rank of each method; 1 is best, ties share their ranks.

    Args:
        losses: Minimised results, inf for a run without one, shape ``(runs, methods)``.
    """
    from scipy.stats import rankdata

    means: Floats = rankdata(losses, axis=1).mean(axis=0)
    return means


def friedman(losses: Floats) -> float:
    """Return the p-value of Friedman's test that all methods are alike.

    Args:
        losses: As for `mean_ranks`.

    Returns:
        NaN with fewer than three methods, or fewer than two runs.
    """
    from scipy.stats import friedmanchisquare, rankdata

    if losses.shape[1] < 3 or losses.shape[0] < 2:
        return math.nan
    ranks = rankdata(losses, axis=1)
    if (ranks == ranks[0, 0]).all():
        return 1.0
    return float(friedmanchisquare(*ranks.T).pvalue)


def critical_difference(methods: int, runs: int) -> float:
    """Return Nemenyi's critical difference of mean ranks at 5 %."""
    from scipy.stats import studentized_range

    q = studentized_range.ppf(1 - LEVEL, methods, math.inf) / math.sqrt(2)
    return float(q * math.sqrt(methods * (methods + 1) / (6 * runs)))


def alike(ranks: Floats, distance: float) -> list[tuple[int, int]]:
    """Return the largest groups of methods whose mean ranks lie within a distance.

    Args:
        ranks: Sorted mean ranks, shape ``(methods,)``.
        distance: The critical difference.

    Returns:
        First and last position of each group of two or more.
    """
    groups: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = int(np.searchsorted(ranks, ranks[first] + distance, side="right")) - 1
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return groups
