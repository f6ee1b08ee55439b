"""Results of the arms of a study's controls, and their statistical comparison."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from evotune import finite
from evotune.analysis.statistics import Difference, mean_of, paired, unpaired
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
    """

    metric: str
    direction: Literal["max", "min"]
    arms: Mapping[str, tuple[float, ...]]
    are_paired: bool
    epochs: Mapping[str, float]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def against(self, other: str) -> Difference:
        """Return by how much the first arm is better than another; positive is better.

        Raises:
            StudyError: There is no such arm, or it has too few runs.
        """
        if other not in self.arms:
            raise StudyError(f"there is no arm {other!r}; there are {', '.join(self.arms)}")
        first = next(iter(self.arms.values()))
        sign = 1.0 if self.direction == "max" else -1.0
        a, b = ([sign * value for value in values] for values in (first, self.arms[other]))
        return (paired if self.are_paired else unpaired)(a, b)

    def verdict(self, other: str) -> str:
        """Return one sentence that says whether the first arm is better than another."""
        first, test = next(iter(self.arms)), self.against(other)
        how = "paired by seed" if self.are_paired else "independent runs"
        raised = (test.mean > 0) == (self.direction == "max")
        numbers = (
            f"its {self.metric} is {abs(test.mean):.4g} {'higher' if raised else 'lower'} on "
            f"average (gain {test.mean:+.4g}, 95 % interval {test.low:+.4g} to {test.high:+.4g}, "
            f"p = {test.p:.3f}, {len(self.arms[first])} runs, {how})"
        )
        if not test.sign:
            return f"{first} and {other} cannot be told apart: {numbers}."
        word = "better" if test.sign > 0 else "worse"
        return f"{first} is {word} than {other}: {numbers}."

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
        if min(map(len, self.arms.values())) > 1:
            lines += [self.verdict(other) for other in list(self.arms)[1:]]
        return "\n".join(lines)
