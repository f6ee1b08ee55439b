"""Racing: the more promising a genome is, the more often it is evaluated.

References: Maron and Moore (1994), Hoeffding races; Birattari et al. (2002), F-Race;
Heidrich-Meisner and Igel (2009), races within evolution.
"""

import math
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from evotune import finite
from evotune.algorithms.wrapping import check_algorithm, disowned, unwrap, wrap
from evotune.checks import check_in, check_whole
from evotune.errors import AlgorithmError
from evotune.protocols import Algorithm, Traits
from evotune.trial import Proposal, Trial

Values = npt.NDArray[np.float64]


class Racing:
    """Repeats the promising genomes of any algorithm, where results are noisy.

    Each genome is evaluated once, and again as long as it may still be as good as the best: until
    its lower bound, mean − caution·σ/√n, lies above the upper bound, mean + caution·σ/√n, of one
    that has been raced before. σ is the standard deviation of a single evaluation, pooled over all
    repeats so far; n is the number of evaluations, at most ``repeats``. With several objectives
    this must hold in all of them. The algorithm inside then gets the means as the result of its
    proposal. A repeat that fails, or is stopped, ends the race of its genome.

    Each repeat counts as a trial of ``study.run(trials=...)``. The study averages repeats, and
    chooses `Study.best` by a confidence bound of the means.

    Args:
        algorithm: A new algorithm whose trials inherit no weights.
        repeats: Evaluations of one genome at most.
        caution: Half the width of the bounds in standard errors; a larger one repeats more genomes.

    Raises:
        AlgorithmError: A number out of bounds, or an algorithm that cannot be inside.

    Attributes:
        space: The space of the algorithm inside.
        algorithm: The algorithm inside.
    """

    def __init__(self, algorithm: Algorithm, *, repeats: int = 5, caution: float = 0.5) -> None:
        check_algorithm("Racing: algorithm", algorithm)
        if algorithm.traits.inherits:
            raise AlgorithmError(
                "Racing: a repeat starts afresh, so the algorithm must not hand on weights; write "
                f"Racing(Genetic(space)), got {algorithm!r}"
            )
        if algorithm.traits.duplicates == "allow":
            raise AlgorithmError(
                "Racing averages all results of the same params, and the algorithm inside measures "
                f"them again to see them change; write Drifting(Racing(...)), got {algorithm!r}"
            )
        check_whole("Racing", "repeats", repeats, 2)
        check_in("Racing", "caution", caution, "[0, inf)")
        self.space = algorithm.space
        self.algorithm = algorithm
        self.at_most = repeats
        self.caution = caution
        self._races: dict[int, _Race] = {}
        self._best: list[_Race] = []  # races that are over and that no other one's bounds beat
        self._units: Values = np.ones(1)  # what deviations are measured in, one an objective
        self._squares: Values | None = None  # of deviations, summed over all repeats
        self._freedom = 0

    def __repr__(self) -> str:
        return f"Racing({self.algorithm!r}, repeats={self.at_most}, caution={self.caution})"

    @property
    def traits(self) -> Traits:
        """Not generational: whether a genome is raced on depends on what has arrived by then."""
        inside = self.algorithm.traits
        return replace(inside, generational=False, duplicates="repeat", size=None)

    def donors(self) -> Collection[int]:
        """Return no trials: weights are never inherited."""
        return ()

    # -- ask: reads only ----------------------------------------------------------------------

    def ask(self, rng: np.random.Generator) -> Proposal | None:
        """Propose the next repeat of a race, else what the algorithm inside proposes."""
        for number, race in self._races.items():
            if not race.running:
                first = race.first
                return Proposal(
                    dict(first.genome),
                    first.budget,
                    parents=first.parents,
                    origin=first.origin,
                    note={"race": number},
                )
        proposal = self.algorithm.ask(rng)
        if proposal is None:
            return None
        return wrap("race", -1, proposal)

    # -- tell: the only change ----------------------------------------------------------------

    def tell(self, trial: Trial) -> None:
        """Record a trial; the last one of a race goes to the algorithm inside."""
        number = trial.note.get("race")
        if number in self._races:
            self._tell_repeat(self._races[number], trial)
        elif number != -1:
            self.algorithm.tell(disowned(trial))
        elif trial.state == "done" and trial.values is not None:
            race = _Race(trial)
            self._races[trial.number] = race
            self._go_on(race)
        else:
            self.algorithm.tell(unwrap(trial))

    def _tell_repeat(self, race: "_Race", trial: Trial) -> None:
        race.running = not trial.has_ended
        if trial.state == "done" and trial.values is not None:
            self._learn(*race.add(trial))
        if trial.has_ended:
            self._go_on(race, over=trial.state != "done")

    def _learn(self, squares: Values, units: Values) -> None:
        """Add what a repeat says of the noise, in the larger of both units."""
        if self._squares is None:
            self._squares, self._units = np.zeros_like(squares), units
        shared = np.maximum(self._units, units)
        old, new = (self._units / shared) ** 2, (units / shared) ** 2
        self._squares, self._units = self._squares * old + squares * new, shared
        self._freedom += 1

    def _go_on(self, race: "_Race", *, over: bool = False) -> None:
        """End a race, unless its genome may still be as good as the best."""
        if not over and race.count < self.at_most and self._is_promising(race):
            return
        del self._races[race.first.number]
        margin = self._margin
        if not any(best.leads(race, margin) for best in self._best):
            self._best = [best for best in self._best if not race.leads(best, margin)] + [race]
        self.algorithm.tell(unwrap(race.result()))

    def _is_promising(self, race: "_Race") -> bool:
        if self._freedom < self.at_most - 1:
            return True  # as much as one whole race, before the noise counts as known
        margin = self._margin
        return bool(margin.any()) and not any(best.beats(race, margin) for best in self._best)

    @property
    def _margin(self) -> Values:
        """Half the width of the bounds around a single evaluation, one number per objective."""
        if self._squares is None:
            return np.zeros(1)
        return finite.times(self.caution * np.sqrt(self._squares / self._freedom), self._units)


class _Race:
    """The evaluations of one genome so far.

    Args:
        first: The first of them, which the algorithm inside has proposed.
    """

    def __init__(self, first: Trial) -> None:
        self.first = self.last = first
        self.mean: Values = np.array(first.values)
        self.count = first.repeats
        self.running = False

    def add(self, trial: Trial) -> tuple[Values, Values]:
        """Take in a done repeat; return what it adds to the sum of squared deviations.

        The squares are those of deviations measured in units, which are returned too.

        A study gives the mean of all repeats, whoever else drives the algorithm may give the
        repeat's own values.
        """
        count = self.count
        units = finite.units(np.stack([self.mean, np.array(trial.values)]))
        before, values = self.mean / units, np.array(trial.values) / units
        self.count = max(count + 1, trial.repeats)
        mean = values if trial.repeats > 1 else before + (values - before) / self.count
        self.mean = np.array(trial.values) if trial.repeats > 1 else mean * units
        self.last = trial
        # The update of Welford (1962), of the means instead of the values.
        return count * self.count / (self.count - count) * (mean - before) ** 2, units

    def leads(self, other: "_Race", margin: Values) -> bool:
        """Return whether its worst bound is no worse than that of another one."""
        return self._compares(other, self.high(margin) <= other.high(margin))

    def beats(self, other: "_Race", margin: Values) -> bool:
        """Tell whether it is at worst better than another one is at best."""
        low = finite.plus(other.mean, -margin / math.sqrt(other.count))
        return self._compares(other, self.high(margin) < low)

    def _compares(self, other: "_Race", ahead: npt.NDArray[np.bool_]) -> bool:
        mine, others = self.last.violation, other.last.violation
        return mine < others if mine != others else bool(ahead.all())

    def high(self, margin: Values) -> Values:
        """Return its values at worst."""
        return finite.plus(self.mean, margin / math.sqrt(self.count))

    def result(self) -> Trial:
        """Return the first trial with the means of all."""
        if self.last is self.first:
            return self.first
        return replace(
            self.first,
            metrics=self.last.metrics,
            values=tuple(self.mean.tolist()),
            violation=self.last.violation,
            repeats=self.count,
            spread=self.last.spread,
        )
