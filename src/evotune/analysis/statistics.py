"""Ranks of methods over paired runs, and the tests that belong to them: plain statistics.

Demšar (2006), Statistical comparisons of classifiers over multiple data sets.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from evotune.errors import StudyError

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


CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Difference:
    """How much larger ``a`` is than ``b``.

    Attributes:
        mean: Mean of a − b.
        low: Lower end of the 95 % interval of that mean: Student's, or Welch's where not paired.
        high: Upper end.
        p: Two-sided: Wilcoxon's exact signed-rank test of pairs, else Mann and Whitney's.
        larger: In how many pairs a > b; where not paired, among all pairs of one with the other.
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


def paired(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Compare two methods that ran on the same seeds, one value a seed in the same order.

    Student's interval, because a bootstrap of so few values is too narrow: of five seeds it covers
    the mean in about 80 % instead of 95 % of cases.

    Raises:
        StudyError: Fewer than two pairs, or lists of unequal length.
    """
    from scipy import stats  # takes half a second to load

    if len(a) != len(b) or len(a) < 2:
        raise StudyError(f"needs two or more pairs of values, got {len(a)} and {len(b)}")
    gaps = np.subtract(a, b)
    mean, error = float(gaps.mean()), float(stats.sem(gaps))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(gaps) - 1)) * error
    p = float(stats.wilcoxon(gaps).pvalue) if gaps.any() else 1.0
    return Difference(mean, mean - reach, mean + reach, p, int((gaps > 0).sum()), len(gaps))


def unpaired(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Compare two methods whose runs have nothing in common.

    Raises:
        StudyError: Fewer than two values of one of them.
    """
    from scipy import stats

    if min(len(a), len(b)) < 2:
        raise StudyError(f"needs two or more values of each, got {len(a)} and {len(b)}")
    x, y = np.asarray(a, float), np.asarray(b, float)
    mean = float(x.mean() - y.mean())
    larger, pairs = int((x[:, None] > y).sum()), x.size * y.size
    if np.ptp(x) == 0 and np.ptp(y) == 0:
        return Difference(mean, mean, mean, 1.0 if mean == 0 else 0.0, larger, pairs)
    interval = stats.ttest_ind(x, y, equal_var=False).confidence_interval(CONFIDENCE)
    p = float(stats.mannwhitneyu(x, y).pvalue)
    return Difference(mean, float(interval.low), float(interval.high), p, larger, pairs)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Results of several arms on one metric.

    Attributes:
        metric: What was measured.
        direction: ``"max"`` or ``"min"``.
        arms: The values of each arm, one a run, in the user's own sign. The first is the one that
            the others are compared with.
        are_paired: Run k of every arm has the same seed.
        epochs: Epochs trained for one run of each arm.
        settings: Params of the arms that held some all the time.
    """

    metric: str
    direction: Literal["max", "min"]
    arms: Mapping[str, tuple[float, ...]]
    are_paired: bool
    epochs: Mapping[str, float]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def against(self, other: str) -> Difference:
        """Return by how much the first arm is better than another: positive is better.

        Raises:
            StudyError: There is no such arm, or too few runs.
        """
        if other not in self.arms:
            raise StudyError(f"there is no arm {other!r}; there are {', '.join(self.arms)}")
        first = next(iter(self.arms.values()))
        sign = 1.0 if self.direction == "max" else -1.0
        a, b = ([sign * value for value in values] for values in (first, self.arms[other]))
        return (paired if self.are_paired else unpaired)(a, b)

    def verdict(self, other: str) -> str:
        """Return one sentence that says what the numbers allow to say."""
        first, test = next(iter(self.arms)), self.against(other)
        how = "paired by seed" if self.are_paired else "independent runs"
        raised = (test.mean > 0) == (self.direction == "max")
        numbers = (
            f"its {self.metric} is {abs(test.mean):.4g} {'higher' if raised else 'lower'} on "
            f"average (gain {test.mean:+.4g}, 95 % interval {test.low:+.4g} to {test.high:+.4g}, "
            f"p = {test.p:.3f}, {len(self.arms[first])} runs, {how})"
        )
        # Of few runs the interval, which assumes a normal law, says more than the test can.
        if not test.sign or test.p >= 1 - CONFIDENCE:
            return f"{first} and {other} cannot be told apart: {numbers}."
        word = "better" if test.sign > 0 else "worse"
        return f"{first} is {word} than {other}: {numbers}."

    def table(self) -> str:
        """Return one line an arm: runs, mean, standard deviation, range, epochs."""
        width = max(len(name) for name in self.arms)
        lines = [
            f"{'arm':{width}}  runs  {'mean':>9}  {'std':>9}  {'worst':>9}  {'best':>9}  "
            f"{'epochs':>7}"
        ]
        for name, values in self.arms.items():
            ordered = sorted(values, reverse=self.direction == "min")
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
            lines.append(
                f"{name:{width}}  {len(values):4}  {float(np.mean(values)):9.5g}  {spread:9.3g}  "
                f"{ordered[0]:9.5g}  {ordered[-1]:9.5g}  {self.epochs.get(name, 0):7g}"
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        lines = [f"{self.metric} ({self.direction})", self.table(), ""]
        for name, params in self.settings.items():
            held = ", ".join(
                f"{gene} {value:.4g}" if isinstance(value, float) else f"{gene} {value}"
                for gene, value in params.items()
            )
            lines.append(f"{name}: {held}")
        if min(map(len, self.arms.values())) > 1:
            lines += [self.verdict(other) for other in list(self.arms)[1:]]
        return "\n".join(lines)
