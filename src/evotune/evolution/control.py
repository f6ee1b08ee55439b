"""How differential evolution finds its step factor F and its crossover rate CR while it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

#: Entries of SHADE's memory (Tanabe and Fukunaga, 2014).
MEMORY = 6


@dataclass(frozen=True, slots=True)
class Setting:
    """The control parameters of one child.

    Attributes:
        scale: F, the factor on differences.
        crossover_rate: CR, the share of genes that come from the mutant.
    """

    scale: float
    crossover_rate: float

    @classmethod
    def of(cls, note: Mapping[str, Any], default: "Setting") -> "Setting":
        """Return the setting that a trial's note carries, or the default."""
        if "scale" not in note or "crossover_rate" not in note:
            return default
        return cls(note["scale"], note["crossover_rate"])


class Control(Protocol):
    """Draws the setting of each child, and learns from those that succeeded."""

    def draw(self, target: Setting, rng: np.random.Generator) -> Setting:
        """Return the setting of a child.

        Args:
            target: Setting of the child's target, the member that it competes with.
            rng: Random stream of the child.
        """

    def learn(self, successes: Sequence[tuple[Setting, float]]) -> None:
        """Learn from the settings that beat their target in one generation, each with its gain."""


class Constant:
    """The same setting for all.

    Args:
        setting: That setting.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def draw(self, target: Setting, rng: np.random.Generator) -> Setting:
        """Return the one setting."""
        return self._setting

    def learn(self, successes: Sequence[tuple[Setting, float]]) -> None:
        """Do nothing."""


class SelfAdaptive:
    """JDE (Brest et al., 2006): a child keeps its target's setting or, at times, draws a new one.

    Good settings survive with the children made by them, so nothing else is learned. Both numbers
    are redrawn with probability 0.1 each, F from [0.1, 1], CR from [0, 1].
    """

    def draw(self, target: Setting, rng: np.random.Generator) -> Setting:
        """Return the target's setting, or a newly drawn one."""
        new_scale, scale, new_rate, rate = rng.random(4).tolist()
        return Setting(
            0.1 + 0.9 * scale if new_scale < 0.1 else target.scale,  # eq. 5
            rate if new_rate < 0.1 else target.crossover_rate,  # eq. 6
        )

    def learn(self, successes: Sequence[tuple[Setting, float]]) -> None:
        """Do nothing: settings live in the members' notes."""


class SuccessHistory:
    """SHADE (Tanabe and Fukunaga, 2013): draw near settings that worked lately.

    A memory of some pairs of means; each generation that had successes replaces the oldest by the
    means of its successful settings, weighted by their gain.

    Args:
        first: The means that the memory begins with; the paper has 0.5 for both.
    """

    def __init__(self, first: Setting) -> None:
        self._memory = [first] * MEMORY
        self._oldest = 0

    def draw(self, target: Setting, rng: np.random.Generator) -> Setting:
        """Return a setting drawn around a random entry of the memory."""
        mean = self._memory[int(rng.integers(MEMORY))]
        rate = mean.crossover_rate + 0.1 * float(rng.standard_normal())
        scale = 0.0
        while scale <= 0.0:
            scale = mean.scale + 0.1 * float(rng.standard_cauchy())
        return Setting(min(scale, 1.0), min(max(rate, 0.0), 1.0))

    def learn(self, successes: Sequence[tuple[Setting, float]]) -> None:
        """Replace the oldest entry by this generation's means."""
        if not successes:
            return
        scales, rates = np.array([(s.scale, s.crossover_rate) for s, _ in successes]).T
        gains = np.array([gain for _, gain in successes])
        weights = gains / gains.max()  # first by the largest: their sum may overflow
        weights /= weights.sum()
        self._memory[self._oldest] = Setting(
            float(weights @ scales**2 / (weights @ scales)),  # Lehmer mean
            float(weights @ rates),
        )
        self._oldest = (self._oldest + 1) % MEMORY
