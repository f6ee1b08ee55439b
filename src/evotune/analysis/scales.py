"""The axis of a gene or an objective: its ends, whether it is logarithmic, its tick labels."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evotune import finite
from evotune.analysis.text import label
from evotune.printing import number
from evotune.space import Domain, Space
from evotune.trial import Trial

Floats = npt.NDArray[np.float64]

#: Where a linear axis is so long that room beside it would be beyond floats, its ends are here.
_FARTHEST = finite.LARGEST / 4
#: Scores count as no larger while an axis is looked for: three of its lengths are a float.
_NEAR = finite.LARGEST / 16
#: Ticks that would lie closer than this are no normal floats.
_NEAREST = 1e-300
#: A tick for each of so many whole numbers.
_FEW = 6
#: Logarithms of all floats.
_DECADES = (-324.0, 308.25)


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis.

    Attributes:
        low: Lower end.
        high: Upper end.
        log: Logarithmic.
        labels: Texts for 0, 1, 2, ... where the axis lists values instead of measuring them.
        whole: Whether ticks stand at whole numbers only.
    """

    low: float
    high: float
    log: bool = False
    labels: tuple[str, ...] = ()
    whole: bool = False

    def __post_init__(self) -> None:
        if not self.log and float(self.high) / 2 - float(self.low) / 2 > _FARTHEST:
            object.__setattr__(self, "low", max(self.low, -_FARTHEST))
            object.__setattr__(self, "high", min(self.high, _FARTHEST))

    def position(self, values: Floats) -> Floats:
        """Return where values lie on a linear axis, those beyond its ends at its ends."""
        inside = np.clip(values, self.low, self.high)
        return np.log10(inside) if self.log else inside

    def ends(self) -> tuple[float, float]:
        """Return the positions of the two ends."""
        low, high = self.position(np.array([self.low, self.high]))
        return float(low), float(high)

    def at(self, share: float) -> float:
        """Return the value at a share of the axis' length from its lower end, also beyond it."""
        low, high = self.ends()
        place = low + share * ((high - low) or 1.0)
        return float(10.0 ** min(place, 308.0)) if self.log else finite.limited(place)

    def ticks(self, wanted: int = 5) -> tuple[list[float], list[str]]:
        """Return values worth a tick and their labels."""
        if self.labels:
            return [float(k) for k in range(len(self.labels))], list(self.labels)
        values = _log_ticks(self.low, self.high, wanted) if self.log else []
        values = values or _linear_ticks(self.low, self.high, wanted, self.whole)
        return values, [f"{value:.6g}" for value in values]

    def axis(self, padding: float = 0.03) -> dict[str, Any]:
        """Return the layout of a Cartesian Plotly axis with this scale."""
        low, high = self.ends()
        room = padding * ((high - low) or 1.0)
        first, last = low - room, high + room
        if self.log:
            first, last = max(first, _DECADES[0]), min(last, _DECADES[1])
        layout: dict[str, Any] = {
            "type": "log" if self.log else "linear",
            "range": [first, last],
            "nticks": 7,
        }
        if self.log or self.labels:
            values, texts = self.ticks()
            layout |= {"tickvals": values, "ticktext": texts}
        elif self.whole and self.high - self.low <= _FEW:
            layout["dtick"] = 1  # Plotly would put ticks between them
        return layout


def _log_ticks(low: float, high: float, wanted: int) -> list[float]:
    for steps in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        values = [float(f"{step}e{decade}") for decade in decades for step in steps]
        inside = [v for v in values if low * (1 - 1e-9) <= v <= finite.limited(high * (1 + 1e-9))]
        if len(inside) >= min(3, wanted):
            return inside[:: math.ceil(len(inside) / (wanted + 2))]
    return []


def _linear_ticks(low: float, high: float, wanted: int, whole: bool) -> list[float]:
    if not high > low:
        return [low]
    rough = (high - low) / wanted
    if rough < _NEAREST:
        return [low, high]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= 0.75 * rough)
    step = math.ceil(step) if whole else step
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [finite.limited(float(f"{(first + k) * step:.10g}")) for k in range(count)]


def is_listed(domain: Domain) -> bool:
    """Tell whether a gene's values are listed on its axis instead of measured."""
    return bool(domain.axis().values)


def gene_scale(domain: Domain) -> Scale:
    """Return the axis of a gene."""
    axis = domain.axis()
    if not axis.values:
        whole = isinstance(axis.low, int) and isinstance(axis.high, int)
        return Scale(float(axis.low), float(axis.high), axis.log, whole=whole)  # may be huge
    labels = tuple(label(number(value), 16) for value in axis.values)
    return Scale(-0.4, len(labels) - 0.6, labels=labels)


def gene_values(domain: Domain, trials: Iterable[Trial], name: str) -> Floats:
    """Return a gene of each trial as its axis shows it, NaN where it is not active.

    Returns:
        Shape ``(trials,)``: numbers as they are, positions in the list for listed values.
    """
    listed = domain.axis().values
    if not listed:
        return np.array([t.params.get(name, math.nan) for t in trials], dtype=float)
    place = {domain.key(value): k for k, value in enumerate(listed)}
    missing = object()  # lies in no domain
    values = [t.params.get(name, missing) for t in trials]
    return np.array([place[domain.key(v)] if domain.contains(v) else math.nan for v in values])


def varied_genes(space: Space) -> list[str]:
    """Return the genes that have more than one value, in the order of the space."""
    return [name for name in space if space[name].size > 1]


def units(space: Space, genes: Sequence[str], trials: Sequence[Trial]) -> Floats:
    """Return genes of trials in the unit cube, shape ``(trials, genes)``, NaN where not active."""
    columns = [_unit_column(space[name], name, trials) for name in genes]
    return np.array(columns, dtype=float).reshape(len(genes), len(trials)).T


def _unit_column(domain: Domain, name: str, trials: Sequence[Trial]) -> list[float]:
    to_unit = domain.to_unit
    return [to_unit(t.params[name]) if name in t.params else math.nan for t in trials]


def score_scale(scores: Floats, direction: str) -> tuple[Scale, int]:
    """Return an axis for scores that leaves out a few very bad ones, if there are such.

    Args:
        scores: Finite, in the sign of the metric, shape ``(trials,)``.
        direction: ``"max"`` or ``"min"``.

    Returns:
        The axis, and how many scores lie beyond its bad end.
    """
    if not scores.size:
        return Scale(0.0, 1.0), 0
    ends = float(scores.min()), float(scores.max())
    scores = np.clip(scores, -_NEAR, _NEAR)
    best, worst = float(scores.max()), float(scores.min())
    if direction == "min":
        best, worst = worst, best
    if direction == "min" and best > 0 and np.median(scores) > 50 * best:
        return Scale(*ends, log=True), 0
    usual = float(np.quantile(scores, 0.05 if direction == "max" else 0.95))
    reach = best - usual
    end = usual - 0.5 * reach
    if reach == 0 or abs(best - worst) <= 2.5 * abs(reach):
        end = worst
    if end == best:
        half = (abs(best) or 1.0) / 2
        return Scale(best - half, best + half), 0
    hidden = int(np.sum(scores < end) if direction == "max" else np.sum(scores > end))
    low, high = min(best, end), max(best, end)
    return Scale(ends[0] if low == -_NEAR else low, ends[1] if high == _NEAR else high), hidden
