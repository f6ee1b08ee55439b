"""Runs of methods with given results, made without running anything."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evotune.protocols import StudyDefinition
from evotune.space import Float, Space
from evotune.trial import Failure, Trial
from helpers_report import definition

SPACE = Space(x=Float(0, 1))
BAD = None


@dataclass(frozen=True)
class Run:
    definition: StudyDefinition
    trials: tuple[Trial, ...]


def run(seed: int, results: Any, objectives: Any = "max accuracy", **changed: Any) -> Run:
    """A run whose trials got these results, in the user's sign; None is a failure."""
    made = definition(SPACE, objectives, name=f"run {seed}", seed=seed)
    sign = -1.0 if objectives == "max accuracy" else 1.0
    trials = []
    for number, result in enumerate(results):
        trial = Trial(number, {"x": 0.5}, {"x": 0.5}, result_order=number, **changed)
        if result is BAD:
            trial = replace(trial, state="failed", failure=Failure("error", "boom"))
        else:
            values = tuple(np.atleast_1d(np.multiply(sign, result)).tolist())
            trial = replace(trial, state="done", values=values)
        trials.append(trial)
    return Run(made, tuple(trials))


def runs(level: float, seeds: Any = range(8), trials: int = 12) -> list[Run]:
    """Runs that reach about this accuracy."""
    made = []
    for seed in seeds:
        rng = np.random.default_rng([seed, round(1000 * level)])
        results = level * np.linspace(0.5, 1, trials) + 0.01 * rng.random(trials)
        made.append(run(seed, results.tolist()))
    return made
