"""Which generation a trial belongs to, or which block of trials where there are none."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evotune.trial import Trial

#: More points would not make a curve more informative.
GROUPS_AT_MOST = 200
BLOCKS = 20


@dataclass(frozen=True, slots=True)
class Groups:
    """Trials put together for statistics over time.

    Attributes:
        of: Generation (or first trial of the block) of every trial, shape ``(trials,)``.
        name: Name of the numbers in ``of``, for an axis.
        born: Generation of every trial, never merged; without generations, the trial's number.
        born_name: Name of the numbers in ``born``.
    """

    of: npt.NDArray[np.int64]
    name: str
    born: npt.NDArray[np.int64]
    born_name: str

    @property
    def are_generations(self) -> bool:
        """Whether the groups are generations, not blocks of trials."""
        return self.born_name == "generation"

    def axis(self) -> dict[str, Any]:
        """Return the layout of a Plotly axis of these groups: whole numbers only."""
        few = np.ptp(self.of) <= 6
        return {"tickformat": ",d", "nticks": 6} | ({"dtick": 1} if few else {})


def group(trials: Sequence[Trial]) -> Groups:
    """Group trials by generation, or in about twenty blocks where they have no generations.

    Args:
        trials: In the order of their numbers.
    """
    numbers = np.array([trial.number for trial in trials], dtype=np.int64)
    if has_generations(trials):
        return _by_generation([trial.origin.generation for trial in trials])
    size = _round_up(len(trials) / BLOCKS)
    firsts = numbers[np.arange(len(numbers)) // size * size]
    name = "trial" if size == 1 else f"trial, in blocks of {size}"
    return Groups(firsts, name, numbers, "trial")


def has_generations(trials: Sequence[Trial]) -> bool:
    """Return whether a search goes by generations: most trials have one, and there are several.

    One alone may be how another search begins, and shows nothing over time.
    """
    given = [trial.origin.generation for trial in trials]
    known = [generation for generation in given if generation is not None]
    return len(known) * 2 > len(given) and len(set(known)) > 1


def _by_generation(given: Sequence[int | None]) -> Groups:
    born = np.empty(len(given), dtype=np.int64)
    last = next(g for g in given if g is not None)
    for k, generation in enumerate(given):  # a warm start has none: it counts with its neighbours
        last = last if generation is None else generation
        born[k] = last
    size = math.ceil((born.max() - born.min() + 1) / GROUPS_AT_MOST)
    name = "generation" if size == 1 else f"generation, {size} at a time"
    return Groups(born // size * size, name, born, "generation")


def _round_up(size: float) -> int:
    """Return the next of 1, 2, 5, 10, 20, 50, ..."""
    power: int = 10 ** max(0, math.floor(math.log10(max(size, 1))))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= size)


def quantiles(
    groups: npt.NDArray[np.int64], values: npt.NDArray[np.float64], levels: Sequence[float]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return each group, shape ``(groups,)``, and the quantiles of its values.

    Args:
        groups: Group of every value, shape ``(values,)``.
        values: Shape ``(values,)``; NaN is left out.
        levels: Between 0 and 1; the quantiles have shape ``(levels, groups)``.
    """
    known = ~np.isnan(values)
    order = np.lexsort([values[known], groups[known]])
    ordered = values[known][order]
    names, counts = np.unique(groups[known], return_counts=True)
    firsts = np.cumsum(counts) - counts
    places = np.multiply.outer(np.asarray(levels), counts - 1)
    below = places.astype(np.intp)
    above = np.minimum(below + 1, counts - 1)
    low, high = ordered[firsts + below], ordered[firsts + above]
    share = places - below
    with np.errstate(over="ignore", invalid="ignore"):
        between = low + share * (high - low)
    return names, np.where(np.isfinite(between), between, (1 - share) * low + share * high)
