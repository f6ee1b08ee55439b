"""Replay: train along given schedules, several times each, without any search."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evotune.checks import check_whole
from evotune.errors import AlgorithmError
from evotune.protocols import Traits
from evotune.space import Space
from evotune.trial import Origin, Proposal, Trial

#: ``(epochs, params)``, one after the other.
Plan = Sequence[tuple[int, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class _Step:
    start: int
    arm: str
    run: int
    member: int
    index: int
    epochs: int
    params: Mapping[str, Any]


class Replay:
    """Trains fixed plans: each arm is a list of (epochs, params), each trained ``runs`` times.

    Along one run every trial starts from the weights of the one before. A run ends at a failed
    trial.

    Args:
        space: The space that all params lie in.
        arms: Plans by name.
        runs: How often each is trained, from fresh weights with seeds of its own.

    Raises:
        AlgorithmError: No plan, or an empty one.
        GenomeError: Params outside the space.
    """

    def __init__(self, space: Space, arms: Mapping[str, Plan], *, runs: int = 5) -> None:
        check_whole("Replay", "runs", runs, 1)
        if not arms or not all(arms.values()):
            raise AlgorithmError("Replay needs one or more plans, each a list of (epochs, params)")
        self.space = space
        self.runs = runs
        self._steps = sorted(_steps(space, arms, runs), key=lambda s: (s.start, s.run))
        self.traits = Traits(generational=True, inherits=True, size=len(self._steps))
        self._started = 0
        self._last: dict[tuple[str, int], Trial] = {}  # of each run: its latest trial

    def __repr__(self) -> str:
        return f"Replay(runs={self.runs})"

    def ask(self, rng: np.random.Generator) -> Proposal | None:
        """Propose the next step; None while the trial that it goes on from is running."""
        for place in range(self._started, len(self._steps)):
            step = self._steps[place]
            last = self._last.get((step.arm, step.run))
            if step.index > 0 and last is not None:
                if not last.has_ended:
                    return None
                if last.checkpoint is None or not last.is_done:
                    continue  # this run has failed
            return Proposal(
                dict(step.params),
                float(step.epochs),
                weights_from=None if last is None else last.number,
                origin=Origin(member=step.member, arm=step.arm),
                note={"arm": step.arm, "run": step.run, "place": place},
            )
        return None

    def tell(self, trial: Trial) -> None:
        """Note how far a run has come."""
        if "arm" in trial.note:
            self._last[trial.note["arm"], trial.note["run"]] = trial
            self._started = max(self._started, trial.note["place"] + 1)

    def donors(self) -> Collection[int]:
        """Return the latest trial of each run."""
        return [trial.number for trial in self._last.values()]


def _steps(space: Space, arms: Mapping[str, Plan], runs: int) -> list[_Step]:
    steps = []
    for place, (arm, plan) in enumerate(arms.items()):
        for run in range(runs):
            start = 0
            for index, (epochs, params) in enumerate(plan):
                genome = space.complete(params)
                steps.append(_Step(start, arm, run, place * runs + run, index, epochs, genome))
                start += epochs
    return steps
