"""When a run ends."""

import math
from dataclasses import dataclass

from evotune.errors import StudyError
from evotune.objectives import Objectives
from evotune.protocols import Algorithm
from evotune.trial import Trial


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run ends.

    Args:
        trials: Trials of the whole study.
        epochs: Epochs that any weights are trained for, over all trials of their line.
        timeout: Seconds after which no trial is started any more.
        target: Value of the first objective that is good enough, in the user's own sign.
        stagnation: Generations without a better best.
        max_failures: Share of this call's trials that may fail.

    Raises:
        StudyError: No rule at all, or one out of bounds.
    """

    trials: float | None
    timeout: float | None
    target: float | None
    stagnation: int | None
    max_failures: float
    epochs: float | None = None

    def __post_init__(self) -> None:
        rules = (self.trials, self.timeout, self.target, self.stagnation, self.epochs)
        if all(rule is None for rule in rules):
            raise StudyError(
                "run() needs to know when to stop: write trials=100, timeout=3600 (seconds), "
                "target=, stagnation=, or epochs=20 where weights are inherited"
            )
        for name in ("trials", "timeout", "stagnation", "epochs"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise StudyError(f"{name} must be positive, got {value!r}")
        if self.epochs is not None and self.epochs != int(self.epochs):
            raise StudyError(f"epochs must be a whole number, got {self.epochs!r}")
        if not 0 <= self.max_failures <= 1:
            raise StudyError(f"max_failures is a share in [0, 1], got {self.max_failures!r}")


class Stagnation:
    """Counts the generations since the best value got better."""

    def __init__(self, generations: int | None, objectives: Objectives) -> None:
        self.generations = generations
        if generations is not None and len(objectives.objectives) > 1:
            raise StudyError("stagnation= needs a single objective; use trials= or timeout=")
        self._best: tuple[float, tuple[float, ...]] = (math.inf, ())
        self._since = 0

    def __call__(self, trial: Trial) -> bool:
        if self.generations is None or not trial.has_ended:
            return False
        generation = trial.note.get("generation")
        if generation is None:
            raise StudyError(
                "stagnation= counts generations, which this algorithm has not; "
                "use trials=, timeout= or target="
            )
        if trial.state == "done" and trial.values and (trial.violation, trial.values) < self._best:
            self._best, self._since = (trial.violation, trial.values), generation
        # The generation after the last idle one has begun, or is as good as begun.
        return bool(generation - self._since > self.generations)


def check_epochs(algorithm: Algorithm, epochs: float | None) -> None:
    """Refuse a run that would end trials before the algorithm has compared them all.

    Raises:
        StudyError: ``epochs`` lies below the largest budget that the algorithm gives.
    """
    longest = max(getattr(algorithm, "budgets", ()), default=0)
    if epochs is not None and epochs < longest:
        raise StudyError(
            f"epochs={epochs:g} ends trials before their longest budget, {longest:g}: write "
            f"{type(algorithm).__name__}(..., maximum={epochs:g}), or leave epochs= out"
        )
