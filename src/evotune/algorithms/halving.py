"""Successive halving around any algorithm: many short trials, and longer ones for the best.

References: Jamieson and Talwalkar (2016); the asynchronous form: Li et al., "A system for massively
parallel hyperparameter tuning" (ASHA, 2020).
"""

import math
from collections import deque
from collections.abc import Collection, Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from evotune.algorithms.wrapping import check_algorithm, disowned, unwrap, wrap
from evotune.checks import check_in, check_whole
from evotune.errors import AlgorithmError
from evotune.evolution.survival import best_first
from evotune.protocols import Algorithm, Traits
from evotune.trial import Proposal, Trial

#: A trial is compared with this many of the latest results of its rung. With all of them each
#: comparison would cost more than the last, and a search that improves would promote every child.
WINDOW = 300

#: This many times eta trials of a rung, beyond those that may be promoted, keep their weights.
SPARE = 2


class Rung:
    """The results at one budget.

    Args:
        eta: One in this many trials is promoted.

    Attributes:
        waiting: Trials that may still be promoted, best first. A trial that falls too far behind is
            removed for good, so that only weights that are likely to be used are kept.
    """

    def __init__(self, eta: int) -> None:
        self.waiting: list[Trial] = []
        self._eta = eta
        self._results: deque[Trial] = deque(maxlen=WINDOW)
        self._best: set[int] = set()

    def __len__(self) -> int:
        return len(self._results)

    def add(self, trial: Trial, *, able: bool) -> None:
        """Add a result; one that is not ``able`` to go on only counts in the comparison."""
        self._results.append(trial)
        ranked = best_first(self._results)
        quota = len(ranked) // self._eta
        self._best = {t.number for t in ranked[:quota]}
        waiting = {t.number for t in self.waiting} | ({trial.number} if able else set())
        near = ranked[: quota + SPARE * self._eta]
        self.waiting = [t for t in near if t.number in waiting]

    def remove(self, number: int) -> None:
        """Record that a trial has been promoted."""
        self.waiting = [t for t in self.waiting if t.number != number]

    def promotable(self) -> Trial | None:
        """Return the best trial that waits, if it is among the best 1/eta; else None."""
        first = self.waiting[0] if self.waiting else None
        return first if first is not None and first.number in self._best else None


class Bracket:
    """Asynchronous successive halving on some rungs (Li et al., 2020, algorithm 2).

    Args:
        budgets: Budget of each rung, ascending, counted from fresh weights.
        eta: One in this many trials is promoted.
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
        """Return the next rung and the trial to promote, from the highest rung that has one.

        Raises:
            AlgorithmError: Trials are to go on from their weights, but none has kept any.
        """
        if self._resume and not self._has_kept and len(self._rungs[0]) >= self._eta:
            raise AlgorithmError(
                "SuccessiveHalving: trials are done, but none has kept its weights, so a promoted "
                "one cannot go on; call trial.resume(model=model, optimizer=optimizer) and "
                "trial.keep(model=model, optimizer=optimizer) in the evaluate function, or write "
                "resume=False, which retrains promoted trials with the whole budget. Trials done "
                "without weights cannot get them later: then begin another study"
            )
        for k in reversed(range(len(self.budgets) - 1)):
            trial = self._rungs[k].promotable()
            if trial is not None:
                return k + 1, trial
        return None

    def tell(self, k: int, trial: Trial, promoted: int | None) -> None:
        """Record a trial of rung ``k``, which was promoted from another one, or from none."""
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

    There are as many as with a factor of ``eta`` between neighbours, evenly spaced on a logarithmic
    scale so that both ends are met; powers of ``eta`` would miss one. Budgets above 1 are rounded
    to whole numbers.
    """
    ratio = maximum / minimum
    if math.isinf(ratio):
        steps = round((math.log(maximum) - math.log(minimum)) / math.log(eta))
        exact = [minimum ** (1 - k / steps) * maximum ** (k / steps) for k in range(steps)]
    else:
        steps = max(1, round(math.log(ratio, eta)))
        exact = [minimum * ratio ** (k / steps) for k in range(steps)]
    rounded = [float(round(b)) if maximum > 1 else b for b in exact]
    return (*dict.fromkeys(rounded), float(maximum))


#: How often a genome that was proposed before is drawn again.
REDRAWS = 20


class SuccessiveHalving:
    """Gives every genome a small budget, and the best 1/eta of each rung the next larger one.

    Rungs have budgets from ``minimum`` to ``maximum``, each about ``eta`` times the one before. A
    trial that is among the best 1/eta of its rung's results is promoted: it goes on as a new trial,
    from its own weights, for the difference between the two rungs. When no trial can be promoted,
    the algorithm inside proposes a new genome for the lowest rung, so that no worker waits for a
    rung to be full. Failed and stopped trials are not promoted. Each promotion counts as a trial of
    ``study.run(trials=...)``.

    The algorithm inside is told each genome's first result as that of its own proposal, and each
    promotion's as a repeat with a newer value: for every genome its last result counts, that of the
    largest budget (Salinas et al., 2023, arXiv 2305.03623).

    Args:
        algorithm: A new algorithm that gives trials no budgets of its own.
        minimum: Budget of the lowest rung: epochs, whole from 1 up; or, with ``maximum`` at most 1,
            a share of the training data, see `SupervisedTask` with ``fidelity="data"``.
        maximum: Budget of the highest rung.
        eta: One in this many trials is promoted.
        resume: Promoted trials go on from their own weights, which the evaluate function takes with
            ``trial.resume(...)`` and hands over with ``trial.keep(...)``. False retrains them with
            the whole budget of their rung: for shares of the data, tables, and functions that keep
            no weights.

    Raises:
        AlgorithmError: A number out of bounds, or an algorithm that cannot be inside.

    Attributes:
        space: The space of the algorithm inside.
        algorithm: The algorithm inside.
        budgets: Budget of each rung, ascending.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        *,
        minimum: float = 1,
        maximum: float = 27,
        eta: int = 3,
        resume: bool = True,
    ) -> None:
        name = type(self).__name__
        check_algorithm(f"{name}: algorithm", algorithm)
        if algorithm.traits.inherits:
            raise AlgorithmError(
                f"{name}: algorithm must not hand on weights itself, as the promoted trials "
                f"inherit them; write {name}(Genetic(space)), got {algorithm!r}"
            )
        check_whole(name, "eta", eta, 2)
        _check_budgets(name, minimum, maximum)
        self.algorithm = algorithm
        self.space = algorithm.space
        self.eta = eta
        self.resume = resume
        self.budgets = budgets(minimum, maximum, eta)
        self._brackets = [Bracket(rungs, eta, resume=resume) for rungs in self._ladders()]
        self._seen: set[Hashable] = set()

    def _ladders(self) -> Sequence[Sequence[float]]:
        """Return the budgets of each bracket."""
        return [self.budgets]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.algorithm!r}, budgets="
            f"{[round(budget, 4) for budget in self.budgets]}, eta={self.eta}, "
            f"resume={self.resume})"
        )

    @property
    def traits(self) -> Traits:
        """Inherits even without weights: a promoted trial is not a duplicate."""
        return replace(
            self.algorithm.traits,
            generational=False,
            inherits=True,
            size=None,
            budgets=self.budgets,
        )

    def donors(self) -> Collection[int]:
        """Return the trials that run and those that may be promoted."""
        return set[int]().union(*(bracket.donors() for bracket in self._brackets))

    # -- ask: reads only ----------------------------------------------------------------------

    def ask(self, rng: np.random.Generator) -> Proposal | None:
        """Propose a promotion, or else a new genome; None while the algorithm inside waits.

        Raises:
            AlgorithmError: Trials are to go on from their weights, but none has kept any.
        """
        # Each bracket in turn has B = (s_max + 1)·R, as in algorithm 1 of Li et al. (2018).
        turn = len(self.budgets) * self.budgets[-1]
        turns = [bracket.spent // turn for bracket in self._brackets]
        for b in sorted(range(len(turns)), key=turns.__getitem__):
            proposal = self._promotion(b) or self._newcomer(b, rng)
            if proposal is not None:
                return proposal
        return None

    def _promotion(self, b: int) -> Proposal | None:
        found = self._brackets[b].promotion()
        if found is None:
            return None
        k, trial = found
        budget, source = self._brackets[b].budgets[k], trial.number
        note = {"bracket": b, "rung": budget, "promotes": source}
        note["first"] = trial.note.get("first", source)
        origin = replace(trial.origin, rung=budget, promotes=source)
        proposal = Proposal(dict(trial.genome), budget, parents=(source,), origin=origin, note=note)
        if not self.resume:
            return proposal
        left = max(budget - trained(trial), 0.0)
        return replace(proposal, budget=left, weights_from=source)

    def _newcomer(self, b: int, rng: np.random.Generator) -> Proposal | None:
        proposal = self._unseen(rng)
        if proposal is None:
            return None
        budget = self._brackets[b].budgets[0]
        origin = replace(proposal.origin, rung=budget)
        wrapped = wrap("bracket", b, replace(proposal, budget=budget, origin=origin))
        return replace(wrapped, note={**wrapped.note, "rung": budget})

    def _unseen(self, rng: np.random.Generator) -> Proposal | None:
        """Ask the algorithm inside, again and again where it repeats itself.

        A study does so for other algorithms, but cannot tell a repeat from a promotion.
        """
        proposal = self.algorithm.ask(rng)
        drawn = proposal
        for _ in range(REDRAWS):
            if drawn is None:
                break
            if self.space.key(drawn.genome) not in self._seen:
                return drawn
            drawn = self.algorithm.ask(rng)
        return proposal

    # -- tell: the only change ----------------------------------------------------------------

    def tell(self, trial: Trial) -> None:
        """Record a trial; a result may make the best of its rung promotable."""
        self._seen.add(self.space.key(trial.genome))
        place = self._place(trial)
        if place is None:
            self.algorithm.tell(disowned(trial))
            return
        bracket, k = place
        promoted = trial.note.get("promotes")
        bracket.tell(k, trial, promoted)
        if promoted is None:
            self.algorithm.tell(unwrap(trial))
        elif trial.has_ended:
            self.algorithm.tell(replace(disowned(trial), repeat_of=trial.note["first"]))

    def _place(self, trial: Trial) -> tuple[Bracket, int] | None:
        """Return the bracket and rung of one of its own trials, None for any other."""
        b, rung = trial.note.get("bracket"), trial.note.get("rung")
        if not isinstance(b, int) or not 0 <= b < len(self._brackets):
            return None
        bracket = self._brackets[b]
        return (bracket, bracket.budgets.index(rung)) if rung in bracket.budgets else None


def _check_budgets(name: str, minimum: Any, maximum: Any) -> None:
    for what, budget in (("minimum", minimum), ("maximum", maximum)):
        check_in(name, what, budget, "(0, inf)")
    if not minimum < maximum:
        raise AlgorithmError(
            f"{name}: minimum must be below maximum, or there is nothing to promote to; got "
            f"minimum={minimum!r} and maximum={maximum!r}"
        )
    if maximum > 1 and (minimum != int(minimum) or maximum != int(maximum)):
        raise AlgorithmError(
            f"{name}: minimum and maximum are epochs, whole numbers from 1 up, or shares of the "
            f"data, both at most 1; got minimum={minimum!r} and maximum={maximum!r}"
        )


class Hyperband(SuccessiveHalving):
    """Runs a bracket of successive halving from each rung upwards.

    Short trainings may say little about long ones. So one bracket begins at the smallest budget,
    one at each larger one, and the last trains every genome for ``maximum`` at once. They take
    turns, the one with the smallest budget first, and each turn spends the same total: ``maximum``
    times the number of rungs. Within a turn no worker waits for a rung to be full, and where a
    bracket has nothing to propose, the next one does. The algorithm inside proposes the genomes of
    all brackets and learns from all.

    Takes the arguments of `SuccessiveHalving` and raises the same errors. With `Hybrid`, evolution
    and Bayesian optimisation, inside, it resembles BOHB (Falkner et al., 2018).
    """

    def _ladders(self) -> Sequence[Sequence[float]]:
        return [self.budgets[k:] for k in range(len(self.budgets))]
