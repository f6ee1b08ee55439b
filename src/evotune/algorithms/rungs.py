"""The rungs of successive halving: which trials have earned a larger budget."""

import math
from collections import deque
from collections.abc import Collection, Sequence

from evotune.errors import AlgorithmError
from evotune.evolution.survival import best_first
from evotune.trial import Trial

#: A trial is compared with so many of the latest results of its rung. All of them would make each
#: comparison dearer than the last, and would let every child of a search that gets better pass.
WINDOW = 300

#: How many times eta trials of a rung, beyond those that may be promoted, keep their weights.
SPARE = 2


class Rung:
    """The results at one budget.

    Args:
        eta: One in so many is promoted.

    Attributes:
        waiting: Trials that may still be promoted, best first. Who falls too far behind leaves for
            good, so that no more weights have to be kept than are likely to be used.
    """

    def __init__(self, eta: int) -> None:
        self.waiting: list[Trial] = []
        self._eta = eta
        self._results: deque[Trial] = deque(maxlen=WINDOW)
        self._best: set[int] = set()

    def __len__(self) -> int:
        return len(self._results)

    def add(self, trial: Trial, *, able: bool) -> None:
        """Take in a result; one that is not able to go on only counts in the comparison."""
        self._results.append(trial)
        ranked = best_first(self._results)
        quota = len(ranked) // self._eta
        self._best = {t.number for t in ranked[:quota]}
        waiting = {t.number for t in self.waiting} | ({trial.number} if able else set())
        near = ranked[: quota + SPARE * self._eta]
        self.waiting = [t for t in near if t.number in waiting]

    def remove(self, number: int) -> None:
        """Take note that a trial has been promoted."""
        self.waiting = [t for t in self.waiting if t.number != number]

    def promotable(self) -> Trial | None:
        """Return the best trial that waits, if it is among the best 1/eta; else None."""
        first = self.waiting[0] if self.waiting else None
        return first if first is not None and first.number in self._best else None


class Bracket:
    """Asynchronous successive halving on some rungs (Li et al., 2020, algorithm 2).

    Args:
        budgets: Budget of each rung, ascending, counted from fresh weights.
        eta: One in so many is promoted.
        resume: Promoted trials go on from their own weights.

    Attributes:
        budgets: As given.
        spent: Budgets of all its trials together.
    """

    def __init__(self, budgets: Sequence[float], eta: int, *, resume: bool) -> None:
        self.budgets = tuple(budgets)
        self.spent = 0.0
        self._eta = eta
        self._resume = resume
        self._rungs = [Rung(eta) for _ in budgets]
        self._running: set[int] = set()
        self._has_kept = False

    def promotion(self) -> tuple[int, Trial] | None:
        """Return whom to promote and to which rung, from the highest rung that has anyone.

        Raises:
            AlgorithmError: Trials are to go on from their weights, but none has kept any.
        """
        if self._resume and not self._has_kept and len(self._rungs[0]) >= self._eta:
            raise AlgorithmError(
                "SuccessiveHalving: trials are done, but none has kept its weights, so a promoted "
                "one cannot go on; call trial.resume(model=model, optimizer=optimizer) and "
                "trial.keep(model=model, optimizer=optimizer) in the evaluate function, or write "
                "resume=False, which trains promoted trials anew with the whole budget. Trials "
                "that are done without weights stay so: then begin another study"
            )
        for k in reversed(range(len(self.budgets) - 1)):
            trial = self._rungs[k].promotable()
            if trial is not None:
                return k + 1, trial
        return None

    def tell(self, k: int, trial: Trial, promoted: int | None) -> None:
        """Take note of a trial of rung ``k``, which was promoted from another one, or from none."""
        if not trial.has_ended:
            self._start(k, trial, promoted)
        else:
            self._running.discard(trial.number)
        if trial.state == "done" and trial.is_done:
            self._has_kept = self._has_kept or trial.checkpoint is not None
            able = not self._resume or trial.checkpoint is not None
            self._rungs[k].add(trial, able=able and k < len(self.budgets) - 1)

    def _start(self, k: int, trial: Trial, promoted: int | None) -> None:
        if trial.number in self._running:
            return
        self._running.add(trial.number)
        self.spent += trial.budget or 0.0
        if promoted is not None:
            self._rungs[k - 1].remove(promoted)

    def donors(self) -> Collection[int]:
        """Return the trials that run and those that may be promoted."""
        if not self._resume:
            return ()
        return self._running.union(t.number for rung in self._rungs for t in rung.waiting)


def trained(trial: Trial) -> float:
    """Return the budget behind a trial's weights; 0 when it has kept none."""
    return 0.0 if trial.checkpoint is None else trial.checkpoint.epochs


def budgets(minimum: float, maximum: float, eta: int) -> tuple[float, ...]:
    """Return the budgets of the rungs, ascending, from ``minimum`` to ``maximum``.

    As many as there would be with a factor of ``eta`` between two, and evenly spaced on a
    logarithmic scale: both ends are met, where powers of eta would miss one. Budgets above 1 are
    rounded to whole numbers.
    """
    steps = max(1, round(math.log(maximum / minimum, eta)))
    exact = [minimum * (maximum / minimum) ** (k / steps) for k in range(steps)]
    rounded = [float(round(b)) if maximum > 1 else b for b in exact]
    return (*dict.fromkeys(rounded), float(maximum))
