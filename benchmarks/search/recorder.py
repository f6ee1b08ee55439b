"""Counts evaluations, keeps the best, and tells the methods' CPU time from the problem's."""

import math
import time
from collections.abc import Mapping
from typing import Any

from problem import Problem


class Recorder:
    """The function that a method minimises.

    Evaluations beyond the budget are answered but not kept: peers that work in batches may ask for
    some more.

    Args:
        problem: What is minimised.
        evaluations: How many full evaluations are paid for.

    Attributes:
        values: What was measured, in order.
        spent: What was spent, in full evaluations.
        cpu_seconds: CPU time spent inside the problem.
    """

    def __init__(self, problem: Problem, evaluations: int) -> None:
        self.problem = problem
        self.evaluations = evaluations
        self.values: list[float] = []
        self.spent = 0.0
        self.cpu_seconds = 0.0
        self._best = (math.inf, math.inf)
        self._steps: list[tuple[float, float]] = []

    @property
    def is_over(self) -> bool:
        """True once the budget is used up."""
        return self.spent > self.evaluations - 1e-9

    def __call__(self, params: Mapping[str, Any], **fidelity: float) -> float:
        """Return the value of active genes, at full fidelity unless one is given."""
        start = time.process_time()
        value = self.problem.value(params, **fidelity)
        if not self.is_over:
            self._keep(params, value, self._share(fidelity))
        self.cpu_seconds += time.process_time() - start
        return value

    def _share(self, fidelity: Mapping[str, float]) -> float:
        if not fidelity:
            return 1.0
        name, _, full = self.problem.fidelity  # type: ignore[attr-defined]
        return fidelity[name] / full

    def _keep(self, params: Mapping[str, Any], value: float, share: float) -> None:
        self.spent += share
        self.values.append(value)
        if (-share, value) < self._best:
            self._best = (-share, value)
            self._steps.append((self.spent, self._score(params)))

    def _score(self, params: Mapping[str, Any]) -> float:
        scores = getattr(self.problem, "scores", self.problem.values)
        return float(scores([params])[0])

    def curve(self) -> list[float]:
        """Return the score of the incumbent after each full evaluation, ``(evaluations,)``.

        The incumbent is the best of those at the highest fidelity so far; it is scored at full
        fidelity, and that costs nothing.
        """
        scores, steps, score = [], iter([*self._steps, (math.inf, math.inf)]), math.nan
        at, following = next(steps)
        for paid in range(1, self.evaluations + 1):
            while at <= paid + 1e-9:
                score = following
                at, following = next(steps)
            scores.append(score)
        return scores
