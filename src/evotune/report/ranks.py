"""Ranks of methods over paired runs, and the tests that belong to them: plain statistics.

Demšar (2006), Statistical comparisons of classifiers over multiple data sets.
"""

import math
import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEVEL = 0.05
RESAMPLES = 4999


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


def critical_difference(methods: int, runs: int, level: float = LEVEL) -> float:
    """Return by how much two mean ranks must differ to differ by more than chance (Nemenyi).

    Args:
        methods: How many are compared.
        runs: How many runs of each.
        level: Chance of calling any two different although all are alike.
    """
    from scipy.stats import studentized_range

    q = studentized_range.ppf(1 - level, methods, math.inf) / math.sqrt(2)
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


def signed_rank(gaps: Floats) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test of paired gaps."""
    from scipy.stats import wilcoxon

    return float(wilcoxon(gaps).pvalue) if gaps.any() else 1.0


def holm(p_values: Sequence[float]) -> Floats:
    """Return p-values that may be held against one level although they are many (Holm, 1979)."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1.0)


def runs_needed(pairs: int, level: float = LEVEL) -> int:
    """Return with how many runs the smallest p-value that there can be lies below the level."""
    return math.floor(math.log2(2 * pairs / level)) + 1  # all gaps of one sign: p = 2 / 2^runs


def mean_interval(gaps: Floats, level: float = LEVEL) -> tuple[float, float]:
    """Return the bootstrap interval of the mean, bias-corrected and accelerated (Efron, 1987).

    Args:
        gaps: Shape ``(runs,)``.
        level: One minus its confidence.

    Returns:
        Both ends; NaN with a single run.
    """
    from scipy.stats import bootstrap

    if len(gaps) < 2:
        return math.nan, math.nan
    if np.ptp(gaps) == 0:
        return float(gaps[0]), float(gaps[0])
    ends = (math.nan, math.nan)
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where BCa is not defined it warns and gives NaN
            found = bootstrap(
                (gaps,),
                np.mean,
                n_resamples=RESAMPLES,
                confidence_level=1 - level,
                method=method,
                rng=np.random.default_rng(0),
            ).confidence_interval
        ends = float(found.low), float(found.high)
        if not any(map(math.isnan, ends)):
            break
    return ends


def median_band(curves: Floats, level: float = LEVEL, resamples: int = 400) -> Floats:
    """Return the median over runs at each point, with its bootstrap interval.

    Args:
        curves: Shape ``(runs, points)``; NaN where a run has no result yet.
        level: One minus the confidence.
        resamples: How often runs are drawn again, the same ones at all points.

    Returns:
        Lower end, median, upper end: shape ``(3, points)``; NaN where a run has no result.
    """
    drawn = np.random.default_rng(0).integers(len(curves), size=(resamples, len(curves)))
    medians = np.median(curves[drawn], axis=1)
    low, high = np.quantile(medians, [level / 2, 1 - level / 2], axis=0)
    return np.stack([low, np.median(curves, axis=0), high])
