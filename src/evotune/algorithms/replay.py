"""Replay: train along given schedules, several times each, without any search."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evotune.checks import check_whole
from evotune.errors import AlgorithmError
from evotune.protocols import Traits
from evotune.seeding import run_seed
from evotune.space import Space
from evotune.trial import Origin, Proposal, Trial

#: ``(epochs, params)``, one after the other.
Plan = Sequence[tuple[int, Mapping[str, Any]]]


#: ``(arm, digest of its plan, run)``
_Run = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class _Step:
    start: int
    run: _Run
    index: int
    epochs: int
    params: Mapping[str, Any]


class Replay:
    """Trains fixed plans: each arm is a list of (epochs, params), each trained ``runs`` times.

    Along one run every trial starts from the weights of the one before. A run ends at a failed
    trial. The seeds of a run follow from the name of its arm and the number of the run alone, so
    that more arms or runs may be added to a study later: what it has of a plan is not trained
    again. The weights at the end of a run are not kept for its sake: nothing starts from them.

    Args:
        space: The space that all params lie in.
        arms: Plans by name.
        runs: How often each is trained, from fresh weights with seeds of its own.
        seed: All seeds follow from it.

    Raises:
        AlgorithmError: No plan, or an empty one.
        GenomeError: Params outside the space.
    """

    def __init__(
        self, space: Space, arms: Mapping[str, Plan], *, runs: int = 5, seed: int = 0
    ) -> None:
        check_whole("Replay", "runs", runs, 1)
        if not arms or not all(arms.values()):
            raise AlgorithmError("Replay needs one or more plans, each a list of (epochs, params)")
        self.space = space
        self.runs = runs
        self.seed = seed
        self._plans = {arm: _digest(space, plan) for arm, plan in arms.items()}
        self._lengths = {arm: len(plan) for arm, plan in arms.items()}
        steps = [step for arm in arms for step in self._steps(arm, arms[arm])]
        self._ahead = sorted(steps, key=lambda s: (s.start, s.run[2]))
        self._told: set[int] = set()
        self._last: dict[_Run, Trial] = {}  # of each run: its latest trial
        self._members: dict[_Run, int] = {}

    def __repr__(self) -> str:
        return "Replay()"

    def _steps(self, arm: str, plan: Plan) -> list[_Step]:
        steps = []
        for run in range(self.runs):
            start = 0
            for index, (epochs, params) in enumerate(plan):
                genome = self.space.complete(params)
                steps.append(_Step(start, (arm, self._plans[arm], run), index, epochs, genome))
                start += epochs
        return steps

    @property
    def size(self) -> int:
        """Trials of the study in the end, with those that it had before, of other plans too."""
        return len(self._told) + len(self._ahead)

    @property
    def traits(self) -> Traits:
        """What a study relies on; the size grows with the trials of other plans."""
        return Traits(generational=True, inherits=True, size=self.size)

    def members(self, arm: str) -> list[int]:
        """Return the members (`Origin.member`) that are the runs of an arm, in their order."""
        runs = [(arm, self._plans[arm], run) for run in range(self.runs)]
        return [self._members[run] for run in runs if run in self._members]

    def ask(self, rng: np.random.Generator) -> Proposal | None:
        """Propose the next step; None while the trial that it goes on from is running."""
        for step in self._ahead:
            arm, plan, run = step.run
            last = self._last.get(step.run)
            if last is not None:
                if not last.has_ended:
                    return None
                if last.checkpoint is None or not last.is_done:
                    continue  # this run has failed
            return Proposal(
                dict(step.params),
                float(step.epochs),
                weights_from=None if last is None else last.number,
                origin=Origin(member=self._members.get(step.run, len(self._members)), arm=arm),
                note={
                    "arm": arm,
                    "plan": plan,
                    "run": run,
                    "index": step.index,
                    "left": self._lengths[arm] - step.index - 1,
                },
                seed=run_seed(self.seed, arm, run, step.index),
            )
        return None

    def tell(self, trial: Trial) -> None:
        """Note how far a run has come."""
        self._told.add(trial.number)
        if "plan" not in trial.note:
            return
        run = trial.note["arm"], trial.note["plan"], trial.note["run"]
        self._members.setdefault(run, len(self._members))
        if run not in self._last or self._last[run].number <= trial.number:
            self._last[run] = trial
            index = trial.note["index"]
            self._ahead = [s for s in self._ahead if s.run != run or s.index > index]

    def donors(self) -> Collection[int]:
        """Return the latest trial of each run that goes on, of other plans too."""
        return [trial.number for trial in self._last.values() if trial.note["left"]]


def _digest(space: Space, plan: Plan) -> str:
    steps = [(epochs, space.key(space.complete(params))) for epochs, params in plan]
    return hashlib.sha256(repr(steps).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class TrainedPlan:
    """What was trained by one plan of an arm.

    Attributes:
        ends: The last trial of each run that came to its end, in the order of the runs.
        segments: Trials of each run.
    """

    ends: tuple[Trial, ...]
    segments: int


def trained_plans(trials: Iterable[Trial]) -> dict[str, list[TrainedPlan]]:
    """Return the plans of each arm of which a run came to its end, that of the last trial first."""
    last: dict[tuple[str, str], int] = {}
    ends: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        if "plan" not in trial.note:
            continue
        plan = trial.note["arm"], trial.note["plan"]
        last[plan] = trial.number
        if trial.is_done and not trial.note["left"]:
            ends.setdefault(plan, []).append(trial)
    found: dict[str, list[TrainedPlan]] = {}
    for plan in sorted(ends, key=lambda plan: -last[plan]):
        runs = sorted(ends[plan], key=lambda end: end.note["run"])
        made = TrainedPlan(tuple(runs), runs[0].note["index"] + 1)
        found.setdefault(plan[0], []).append(made)
    return found
