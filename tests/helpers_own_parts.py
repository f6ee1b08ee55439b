"""Parts of one's own, as a user writes them: `test_own_parts` type-checks, runs and tests them."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import evotune as et
from evotune.objectives import AnyObjective, Objectives


@dataclass(frozen=True, slots=True)
class Jump:
    rate: float | None = 0.5
    scale: float = 0.1

    def __call__(
        self, space: et.Space, genome: Mapping[str, Any], rng: np.random.Generator
    ) -> Mapping[str, Any]:
        child, asleep = dict(genome), space.dormant(genome)
        for name in space.variable:
            if name not in asleep and space[name].ordered and rng.random() < (self.rate or 1.0):
                child[name] = space[name].shift(child[name], self.scale * float(rng.normal()))
        return child


@dataclass(frozen=True)
class Plain:
    def __call__(
        self, space: et.Space, genome: Mapping[str, Any], rng: np.random.Generator
    ) -> dict[str, Any]:
        return dict(genome)


@dataclass(frozen=True, slots=True)
class Swap:
    rate: float = 0.5

    def __call__(
        self, space: et.Space, a: Mapping[str, Any], b: Mapping[str, Any], rng: np.random.Generator
    ) -> Mapping[str, Any]:
        return b if rng.random() < self.rate else a


@dataclass(frozen=True, slots=True)
class Binary:
    def __call__(self, rank: int, members: int, rng: np.random.Generator) -> bool:
        return bool(rank > rng.integers(members))


@dataclass(frozen=True, slots=True)
class FirstOnly:
    def __call__(
        self, values: npt.NDArray[np.float64], count: int, rng: np.random.Generator, generation: int
    ) -> npt.NDArray[np.intp]:
        return np.zeros(count, dtype=np.intp)


@dataclass(frozen=True, slots=True)
class Halving:
    initial: float = 0.5

    def next(self, rate: float, progress: et.rates.Progress) -> float:
        return rate / 2


@dataclass(slots=True)
class AtMost:
    objective: AnyObjective
    limit: float

    def stops(self, report: Mapping[str, float]) -> bool:
        return self.objective.value(report) > self.limit


class Worst:
    def __init__(self, objective: AnyObjective) -> None:
        self.objective = objective
        self.values: list[float] = []

    def tell(self, trial: et.Trial) -> None:
        known = [r for r in trial.reports if r.keys() >= set(self.objective.needed)]
        if trial.state == "done":
            self.values += [v for v in map(self.objective.value, known) if not math.isnan(v)]

    def bar(self) -> AtMost:
        return AtMost(self.objective, max(self.values, default=math.inf))


@dataclass(frozen=True, slots=True)
class WorseThanAll:
    def fresh(self, objectives: Objectives) -> Worst:
        return Worst(objectives.objectives[0])


class Mine:
    def __init__(self, space: et.Space) -> None:
        self.space = space
        self.traits = et.protocols.Traits()

    def ask(self, rng: np.random.Generator) -> et.Proposal | None:
        return et.Proposal(self.space.sample(rng))

    def tell(self, trial: et.Trial) -> None:
        pass

    def donors(self) -> Collection[int]:
        return ()


def evaluate(trial: et.RunningTrial) -> float:
    loss = float(trial.params["x"])
    trial.report(loss=loss)
    return loss


SPACE = et.Space(x=et.Float(0.0, 1.0))
ALGORITHMS = (
    Mine(SPACE),
    et.Genetic(SPACE, mutation=Plain(), crossover=Swap(), selection=FirstOnly()),
    et.Genetic(SPACE, mutation=Jump(), mutation_rate=Halving(), self_adaptive=True),
    et.Genetic(SPACE, mutation=Jump(), mutation_rate=0.1, survival=et.survival.best_first),
)
POPULATION = et.PopulationBasedTraining(
    SPACE, mutation=Jump(), crossover=Swap(), selection=FirstOnly(), exploit=Binary()
)


def run(algorithm: et.protocols.Algorithm) -> et.Study:
    study = et.Study(algorithm, "min loss")
    study.run(evaluate, trials=30, stopping=WorseThanAll())
    return study
