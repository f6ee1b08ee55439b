"""Results of the arms of a study's controls, and their statistical comparison."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from evotune import finite
from evotune.analysis.statistics import (
    LEVEL,
    Difference,
    holm,
    independent_runs_needed,
    least_rank_sum,
    mean_of,
    paired,
    runs_needed,
    unpaired,
)
from evotune.errors import StudyError


@dataclass(frozen=True, slots=True)
class Comparison:
    """Results of several arms on one metric.

    Attributes:
        metric: Name of the metric.
        direction: ``"max"`` or ``"min"``.
        arms: The values of each arm, one per run, in the sign of the metric. The other arms are
            compared with the first one.
        are_paired: Whether run k of every arm has the same seed.
        epochs: Epochs trained for one run of each arm.
        settings: Params of the arms with constant params.
        notes: How the params in ``settings`` were chosen, of the arms where it matters.
    """

    metric: str
    direction: Literal["max", "min"]
    arms: Mapping[str, tuple[float, ...]]
    are_paired: bool
    epochs: Mapping[str, float]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    def against(self, other: str) -> Difference:
        """Return by how much the first arm is better than another; positive is better.

        If the first arm is compared with several others, p is corrected by Holm's method (1979),
        see `evotune.analysis.statistics`.

        Raises:
            StudyError: There is no such arm, or an arm has too few runs.
        """
        first, *others = self.arms
        if other not in others:
            raise StudyError(
                f"there is no arm {other!r} to compare {first} with; there are {', '.join(others)}"
            )
        tests = [self._difference(first, arm) for arm in others]
        p = holm([test.p for test in tests])
        place = others.index(other)
        return replace(tests[place], p=float(p[place]))

    def _difference(self, first: str, other: str) -> Difference:
        sign = 1.0 if self.direction == "max" else -1.0
        a, b = ([sign * value for value in self.arms[arm]] for arm in (first, other))
        return (paired if self.are_paired else unpaired)(a, b)

    def verdict(self, other: str) -> str:
        """Say whether the first arm is better than another, by which test, and by how much.

        A rank test decides: Wilcoxon's signed-rank test where runs are paired by seed, else Mann
        and Whitney's, with p as in `against`. The interval is of the mean (Student's of paired
        runs, else Welch's). The text says so where the two disagree, and where so few runs cannot
        prove any difference.
        """
        first, test = next(iter(self.arms)), self.against(other)
        runs = len(self.arms[first]), len(self.arms[other])
        raised = (test.mean > 0) == (self.direction == "max")
        if self.are_paired:
            decides, interval, number = "Wilcoxon signed-rank test", "Student's", f"{runs[0]}"
            of = f"{runs[0]} runs, paired by seed"
        else:
            decides, interval = "Mann-Whitney test", "Welch's"
            number = f"{runs[0]}" if runs[0] == runs[1] else f"{runs[0]} and {runs[1]}"
            of = f"{number} independent runs"
        others = len(self.arms) - 1
        if others > 1:
            of += f", corrected for {others} comparisons"
        word = {1: f"is better than {other}", -1: f"is worse than {other}"}.get(test.sign)
        p = "p < 0.001" if test.p < 0.001 else f"p = {test.p:.3f}"
        head = f"{first} {word}" if word else f"{first} and {other} cannot be told apart"
        lines = [
            f"{head} ({decides}, {p}, {of}): the {self.metric} of {first} is "
            f"{abs(test.mean):.4g} {'higher' if raised else 'lower'} on average (gain "
            f"{test.mean:+.4g}, {interval} 95 % interval {test.low:+.4g} to {test.high:+.4g})."
        ]
        enough = (runs_needed if self.are_paired else independent_runs_needed)(others)
        if runs[0] < enough if self.are_paired else least_rank_sum(*runs) * others >= LEVEL:
            lines.append(
                f"{number} runs cannot prove a difference at 5 % by this test, however large: "
                f"that takes {enough} of each."
            )
        elif not test.sign and test.p < LEVEL:
            lines.append("The ranks differ, but in the other direction than the means.")
        elif bool(test.sign) != (not test.low <= 0 <= test.high):
            lines.append(
                "The test, which compares ranks, decides; the interval is about the means, which "
                "single runs can move."
            )
        return " ".join(lines)

    def table(self) -> str:
        """Return one line per arm: runs, mean, standard deviation, range, epochs."""
        width = max(len(name) for name in self.arms)
        lines = [
            f"{'arm':{width}}  runs  {'mean':>9}  {'std':>9}  {'worst':>9}  {'best':>9}  "
            f"{'epochs':>7}"
        ]
        for name, values in self.arms.items():
            ordered = sorted(values, reverse=self.direction == "min")
            unit, mean = finite.unit(values), mean_of(np.array(values, dtype=float))
            shares = np.divide(values, unit)
            spread = float(np.std(shares, ddof=1)) * unit if len(values) > 1 else math.nan
            lines.append(
                f"{name:{width}}  {len(values):4}  {mean:9.5g}  {finite.limited(spread):9.3g}  "
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
            if name in self.notes:
                lines.append(f"  {self.notes[name]}")
        if min(map(len, self.arms.values())) > 1:
            lines += [self.verdict(other) for other in list(self.arms)[1:]]
        return "\n".join(lines)
