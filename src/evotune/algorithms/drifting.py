"""Search on a drifting objective: good genomes are evaluated again, outdated values forgotten.

References: real-time adaptation when the data drifts, in the outlook of Singh, "Evolutionary
Hyperparameter Tuning for Deep Learning Models"; re-evaluation as change detection: Branke (2002),
Richter (2009).
"""

import copy
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from evotune import finite
from evotune.algorithms.wrapping import check_algorithm, disowned, unwrap, wrap
from evotune.checks import check_in, check_whole
from evotune.errors import AlgorithmError
from evotune.evolution.survival import best_first
from evotune.protocols import Algorithm, Traits
from evotune.space import Space
from evotune.trial import Proposal, Trial


class Drifting:
    """Any search algorithm, on an objective that may change while it is searched.

    After every ``every`` trials the oldest of the best is evaluated again. A changed value may only
    mean that it was lucky before: under noise the best of many look better than they are. Therefore
    an ordinary trial from the time of the last good check is evaluated again as well. If its value
    has changed too, the objective has drifted: all values so far are forgotten, the algorithm
    restarts with its first step sizes, and the best genomes so far, evaluated again, come first.

    Args:
        algorithm: A new algorithm, not one whose trials inherit weights.
        every: Trials between two checks.
        tolerance: A value has changed when it differs by more than this many interquartile ranges
            of the recent values. If these vary by noise only, a difference exceeds 1 in a third of
            all cases, and 2 in a twentieth.
        keep: How many of the best genomes are kept after a change.

    Raises:
        AlgorithmError: No algorithm, one that inherits weights, or a number out of bounds.

    Attributes:
        space: The space that is searched.
        algorithm: The algorithm inside.
        changes: How often a drift of the objective was detected.

    Example:
        ``Study(Drifting(CmaEs(space)), "max accuracy")``; what is best now is
        ``study.algorithm.population[0]``, while ``study.best`` is the best value ever measured.
    """

    def __init__(
        self, algorithm: Algorithm, *, every: int = 20, tolerance: float = 1.0, keep: int = 4
    ) -> None:
        check_algorithm("Drifting: the algorithm inside", algorithm)
        if algorithm.traits.inherits:
            raise AlgorithmError(
                "Drifting measures params again from fresh weights, so the trials of the algorithm "
                f"inside must not inherit any; got {algorithm!r}"
            )
        check_whole("Drifting", "every", every, 2)
        check_whole("Drifting", "keep", keep, 1)
        check_in("Drifting", "tolerance", tolerance, "(0, inf]")
        self.space = algorithm.space
        self.algorithm = algorithm
        self.every = every
        self.tolerance = tolerance
        self.keep = keep
        self.changes = 0
        self._blank = copy.deepcopy(algorithm)
        self._best: list[Trial] = []  # since the last change, best first
        self._recent: deque[Trial] = deque(maxlen=2 * int(every))
        self._unchecked = 0  # trials that have ended since the last check
        self._witnesses: tuple[Trial, ...] = ()  # ordinary trials at the last good check
        self._doubts = 0  # since then
        self._doubted = False  # a good trial has changed; a witness is evaluated next
        self._check: int | None = None  # number of the running check
        self._carried: list[Trial] = []  # to be evaluated again after a change

    def __repr__(self) -> str:
        return (
            f"Drifting({self.algorithm!r}, every={self.every}, tolerance={self.tolerance:g}, "
            f"keep={self.keep})"
        )

    @property
    def traits(self) -> Traits:
        """Not generational: when a check comes depends on the results.

        Params are evaluated again on purpose, and never averaged with their earlier values.
        """
        inside = self.algorithm.traits
        return replace(inside, generational=False, duplicates="allow", size=None)

    @property
    def population(self) -> tuple[Trial, ...]:
        """The best trials since the last change, best first."""
        return tuple(self._best)

    def donors(self) -> Collection[int]:
        """Return no trials: weights are never inherited."""
        return ()

    def ask(self, rng: np.random.Generator) -> Proposal | None:
        """Propose a genome to evaluate again when a check is due, else a new one."""
        if self._carried:
            return self._again(self._carried[0], "carried")
        if self._check is None and self._best and self._unchecked >= self.every:
            oldest = min(self._best, key=lambda trial: trial.number)
            return self._again(self._witness() if self._doubted else oldest, "check")
        proposal = self.algorithm.ask(rng)
        if proposal is None:
            return None
        return wrap("era", self.changes, proposal)

    def _again(self, trial: Trial, why: str) -> Proposal:
        note = {"era": self.changes, "again": why, "values": list(trial.values or ())}
        return Proposal(dict(trial.genome), parents=(trial.number,), note=note)

    def _witness(self) -> Trial:
        """Return an ordinary trial, another one at each doubt: a drift may spare one."""
        witnesses = self._witnesses or self._ordinary()
        return witnesses[self._doubts % len(witnesses)]

    def _ordinary(self) -> tuple[Trial, ...]:
        """Return the recent trials at the quartiles."""
        ordered = best_first(self._recent)
        return tuple(ordered[len(ordered) * k // 4] for k in (2, 1, 3))

    def tell(self, trial: Trial) -> None:
        """Record a trial; one from before the last change no longer counts."""
        note = trial.note
        if "era" not in note:
            self.algorithm.tell(disowned(trial))
            self._count(trial)
        elif note["era"] != self.changes:
            return
        elif note.get("again") == "check":
            self._tell_check(trial)
        elif note.get("again") == "carried":
            self._carried = [t for t in self._carried if t.number not in trial.parents]
            self.algorithm.tell(disowned(trial))
            self._count(trial)
        else:
            self.algorithm.tell(unwrap(trial))
            self._count(trial)

    def _count(self, trial: Trial) -> None:
        self._unchecked += trial.has_ended
        if trial.is_done:
            self._recent.append(trial)
            self._best = best_first([*self._best, trial])[: self.keep]

    def _tell_check(self, trial: Trial) -> None:
        if not trial.has_ended:
            self._check = trial.number
            return
        self._check = None
        moved = trial.is_done and self._has_moved(trial)  # a failure says nothing
        if moved and self._doubted:
            self._begin_anew()
        elif moved:
            self._doubted = True
        else:
            self._doubts += self._doubted
            if trial.is_done and not self._doubted:
                self._witnesses, self._doubts = self._ordinary(), 0
            self._doubted, self._unchecked = False, 0

    def _has_moved(self, trial: Trial) -> bool:
        values = np.array([trial.values, trial.note["values"], *(t.values for t in self._recent)])
        now, before, *recent = finite.near(values)
        low, high = np.quantile(recent, (0.25, 0.75), axis=0)
        moved = np.abs(now - before)
        return bool(np.any(moved > finite.times(high - low, self.tolerance)))

    def _begin_anew(self) -> None:
        self.changes += 1
        self.algorithm = copy.deepcopy(self._blank)
        self._carried = _distinct(self._best, self.space)
        self._best, self._witnesses = [], ()
        self._unchecked, self._doubts, self._doubted = 0, 0, False
        self._recent.clear()


def _distinct(trials: Sequence[Trial], space: Space) -> list[Trial]:
    return list({space.key(t.genome): t for t in trials}.values())
