"""Trials as steps of members: their donors, their epochs, and which members they replaced."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evotune import finite
from evotune.trial import Trial

Lane = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One trial as a step of a member.

    Attributes:
        trial: The trial.
        generation: Its generation, 0 where the algorithm has none.
        lane: The islands around the member, outermost first, and its index among the members;
            empty if the algorithm has no members.
        start: Epochs that the weights were trained for before this step.
        end: The same after this step, also while it is still running.
        replaces: The trial that this child replaced, if any.
        is_child: Whether a child replaced a member; False if a member continued or is new.
        mutated: Genes of a child that mutation changed.
    """

    trial: Trial
    generation: int
    lane: Lane
    start: float
    end: float
    replaces: int | None
    is_child: bool
    mutated: tuple[str, ...]

    @property
    def member(self) -> str:
        """Name of the member to show: ``3``, or ``1.3`` for member 3 of island 1."""
        return ".".join(map(str, self.lane))

    @property
    def epochs(self) -> str:
        """The range of epochs that it trains, to show: ``4-7``."""
        first, last = f"{self.start:g}", f"{self.end - 1:g}"
        return first if self.end <= self.start + 1 else f"{first}-{last}"


def inherits_weights(trials: Iterable[Trial]) -> bool:
    """Return whether any trial inherited weights other than by a promotion.

    A trial that successive halving promoted is just trained longer with the same genes.
    """
    return any(trial.donors and trial.origin.promotes is None for trial in trials)


def steps(trials: Sequence[Trial]) -> list[Step]:
    """Return each trial as a step.

    Args:
        trials: All trials of a study, in the order of their numbers.
    """
    ends: dict[int, float] = {}
    made = []
    for trial in trials:
        start = max((ends.get(donor, 0.0) for donor in trial.donors), default=0.0)
        ends[trial.number] = end = _end(trial, start)
        made.append(_step(trial, start, end))
    return made


def _end(trial: Trial, start: float) -> float:
    if trial.checkpoint is not None:
        return trial.checkpoint.epochs
    return start if trial.state == "failed" else start + (trial.budget or 0.0)


def _step(trial: Trial, start: float, end: float) -> Step:
    origin = trial.origin
    return Step(
        trial,
        origin.generation or 0,
        () if origin.member is None else (*origin.islands, origin.member),
        start,
        end,
        origin.replaces,
        origin.mutated is not None,
        origin.mutated or (),
    )


def latest(made: Sequence[Step]) -> list[Step]:
    """Return the latest step of each member, by member.

    A generation has more members than the first one if both children of a crossover are trained
    before the better half is kept.
    """
    lanes: dict[Lane, Step] = {}
    for step in made:
        if step.lane:
            lanes[step.lane] = step
    return [lanes[lane] for lane in sorted(lanes)]


def survivors(made: Sequence[Step]) -> list[Step]:
    """Return the last steps of the lines of weights in the final population.

    These are the latest done steps of all members, or, if the algorithm notes no members, the done
    ones whose weights no trial inherited.
    """
    done = [step for step in made if step.trial.is_done and step.end > 0]
    if any(step.lane for step in done):
        return latest(done)
    donors = {donor for step in made for donor in step.trial.donors}
    return [step for step in done if step.trial.number not in donors]


def gain(step: Step, donor: Step | None) -> float:
    """Return by how much a step is better than its donor, in the first objective's value.

    Positive is better; NaN if one of them has no finite value.
    """
    if donor is None or not step.trial.values or not donor.trial.values:
        return math.nan
    return finite.limited(donor.trial.values[0] - step.trial.values[0])
