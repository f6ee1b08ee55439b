"""Any algorithm proposes several candidates, and a surrogate picks the one that is tried.

References: the surrogate models of Singh, "Evolutionary Hyperparameter Tuning for Deep Learning
Models"; Jin (2011), "Surrogate-assisted evolutionary computation", which calls it pre-selection.
"""

import bisect
import logging
import math
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from scipy.special import ndtri

from evotune.algorithms.wrapping import check_algorithm
from evotune.checks import check_operator, check_whole
from evotune.errors import AlgorithmError
from evotune.evolution.survival import best_first
from evotune.protocols import Algorithm, Genome, Traits
from evotune.proxies.archive import Scores, scores_of
from evotune.proxies.ranking import Agreement, agreement, rank
from evotune.surrogates.features import Features
from evotune.surrogates.regressors import REGRESSORS, Predict, Regressor
from evotune.surrogates.rows import Array, Rows
from evotune.trial import Proposal, Trial

log = logging.getLogger("evotune")

#: Entry of the note of a proposal that proxies have chosen: its scores by name, None for NaN.
SCORES = "proxy_scores"
#: Ended trials that the surrogate learns from: the last ones, so that its cost stays bounded.
KNOWN = 300


class Prescreened:
    """A search whose every trial is the most promising of several that its algorithm proposes.

    The surrogate learns the order of the trials, best to worst, not their values: so the scale of
    the objective does not matter, several objectives and constraints count as they do for the
    survivors of a population, and failed trials are the last. The candidate with the best
    prediction is tried: how widely to explore is left to the algorithm.

    Zero-cost proxies may take the place of the surrogate, from the first trial on. The search looks
    at how well their ranks agree with the results of the trials that they chose; from ``initial``
    of them on, proxies that disagree are used no further, as long as they do.

    Args:
        algorithm: A new algorithm; its operators say what candidates there are.
        surrogate: ``"gaussian_process"``, ``"forest"``, or a function like those in
            `evotune.surrogates.regressors`.
        pool: Candidates for each trial.
        initial: Ended trials before the surrogate is used.
        proxies: Function of params that returns zero-cost scores of their network by name, such as
            `evotune.proxies.Proxies`; it needs no surrogate.

    Raises:
        AlgorithmError: No algorithm, an unknown surrogate, a surrogate beside proxies, or a number
            out of bounds.

    Attributes:
        space: The space that is searched.
        algorithm: The algorithm inside.
        agreement: How well the proxies agree with the results so far, or None.

    Example:
        ``Prescreened(Genetic(space), surrogate="forest", pool=20)``
    """

    def __init__(
        self,
        algorithm: Algorithm,
        *,
        surrogate: str | Regressor = "gaussian_process",
        pool: int = 10,
        initial: int = 10,
        proxies: Scores | None = None,
    ) -> None:
        check_algorithm("Prescreened: the algorithm inside", algorithm)
        check_whole("Prescreened", "pool", pool, 2)
        check_whole("Prescreened", "initial", initial, 2)
        self.space = algorithm.space
        self.algorithm = algorithm
        self.surrogate = surrogate
        self.pool = pool
        self.initial = initial
        self.agreement: Agreement | None = None
        self._regressor = _regressor(surrogate)
        self._proxies = None if proxies is None else _checked(proxies, surrogate)
        self._rows = Rows(self.space)
        self._features = Features(self._rows)
        self._ended: list[Trial] = []  # by number
        self._learned: tuple[list[int], Predict] | None = None

    def __repr__(self) -> str:
        judge = f"surrogate={self.surrogate!r}" if self._proxies is None else "proxies=..."
        return f"Prescreened({self.algorithm!r}, {judge}, pool={self.pool})"

    @property
    def traits(self) -> Traits:
        """Those of the algorithm inside; they may change while it runs, as those of `Phases` do."""
        return self.algorithm.traits

    def donors(self) -> Collection[int]:
        """Return the donors of the algorithm inside."""
        return self.algorithm.donors()

    def ask(self, rng: np.random.Generator) -> Proposal | None:
        """Propose the best of a pool; None when the algorithm has nothing to propose."""
        first = self.algorithm.ask(rng)
        if first is None:
            return None
        if self._proxies is not None:
            return self._best_by(self._proxies, first, rng)
        trials = self._known_to(first)
        if len(trials) < self.initial or not self._rows.names:
            return first
        pool = self._pool(first, rng)
        predicted = self._learn(trials)(self._seen([proposal.genome for proposal in pool]))
        return pool[int(np.argmin(predicted))]

    def _pool(self, first: Proposal, rng: np.random.Generator) -> list[Proposal]:
        others = [self.algorithm.ask(rng) for _ in range(self.pool - 1)]
        return [first, *(proposal for proposal in others if proposal is not None)]

    def _best_by(self, proxies: Scores, first: Proposal, rng: np.random.Generator) -> Proposal:
        """Return the proposal that the proxies rank best of a pool, with its scores in its note."""
        if self._is_bad(_agreement(self._known_to(first))):
            return first
        pool = self._pool(first, rng)
        scores = [scores_of(self.space, proxies, each.genome) for each in pool]
        best = int(np.argmax(rank(scores)))
        kept = {n: value if math.isfinite(value) else None for n, value in scores[best].items()}
        return replace(pool[best], note={**pool[best].note, SCORES: kept})

    def tell(self, trial: Trial) -> None:
        """Record a trial."""
        self.algorithm.tell(trial)
        if trial.has_ended:
            bisect.insort(self._ended, trial, key=lambda known: known.number)
            del self._ended[: -KNOWN - self._newest()]
            if SCORES in trial.note:
                before, self.agreement = self.agreement, _agreement(self._ended)
                if self._is_bad(self.agreement) and not self._is_bad(before):
                    log.warning(
                        "proxies disagree with the results, and are used no further: %s",
                        self.agreement,
                    )

    def _is_bad(self, found: Agreement | None) -> bool:
        return found is not None and found.trials >= self.initial and found.correlation < 0

    def _newest(self) -> int:
        """Return how many of the newest generation have ended; they push out no earlier ones."""
        numbers = [_generation(trial) for trial in self._ended]
        return numbers.count(max(numbers)) if self.traits.generational and max(numbers) >= 0 else 0

    def _known_to(self, proposal: Proposal) -> list[Trial]:
        """Return the trials that a proposal may depend on.

        In a generational search these are the ones of earlier generations: which of its own have
        ended by now is a matter of timing.
        """
        generation = proposal.origin.generation
        if not self.traits.generational or generation is None:
            return self._ended
        return [t for t in self._ended if _generation(t) < generation][-KNOWN:]

    def _learn(self, trials: Sequence[Trial]) -> Predict:
        """Return the surrogate of some trials; the last one made is kept."""
        numbers = [trial.number for trial in trials]
        if self._learned is None or self._learned[0] != numbers:
            targets = _normal_scores(trials)
            features = self._seen([trial.genome for trial in trials])
            predict = self._regressor(features, targets, self._features.layout)
            self._learned = (numbers, predict)
        return self._learned[1]

    def _seen(self, genomes: Sequence[Genome]) -> Array:
        rows = np.array([self._rows.row(genome) for genome in genomes])
        return self._features(rows, self._rows.active(rows))


def _checked(proxies: Scores, surrogate: str | Regressor) -> Scores:
    check_operator("Prescreened", "proxies", proxies, "proxies.Proxies(model, x, y)")
    if surrogate != "gaussian_process":
        raise AlgorithmError(
            f"Prescreened: got surrogate={surrogate!r} and proxies; either judges the candidates, "
            "so give only one of them"
        )
    return proxies


def _agreement(trials: Sequence[Trial]) -> Agreement | None:
    """Return how well the proxies that chose trials agree with the order of their results."""
    ordered = best_first([t for t in trials if t.is_done and SCORES in t.note])
    names = set(ordered[0].note[SCORES]) if ordered else set()
    scores = [
        {name: math.nan if value is None else value for name, value in t.note[SCORES].items()}
        for t in ordered
        if set(t.note[SCORES]) == names
    ]
    return agreement([*rank(scores)], range(len(scores), 0, -1))


def _normal_scores(trials: Sequence[Trial]) -> Array:
    """Return where in a normal distribution each trial's rank lies; equal ones share theirs."""
    place = {trial.number: float(k) for k, trial in enumerate(best_first(trials))}
    ranks = np.array([place.get(trial.number, float(len(trials) - 1)) for trial in trials])
    known: dict[object, list[int]] = {}
    for k, trial in enumerate(trials):
        known.setdefault((trial.violation, trial.values), []).append(k)
    for same in known.values():
        ranks[same] = ranks[same].mean()
    scores: Array = ndtri((ranks + 0.5) / len(trials))
    return scores


def _regressor(surrogate: str | Regressor) -> Regressor:
    if callable(surrogate):
        return surrogate
    if not isinstance(surrogate, str) or surrogate not in REGRESSORS:
        raise AlgorithmError(
            f"Prescreened: surrogate must be one of {', '.join(REGRESSORS)}, got {surrogate!r}"
        )
    return REGRESSORS[surrogate]


def _generation(trial: Trial) -> int:
    return -1 if trial.origin.generation is None else trial.origin.generation
