"""A study of chains of layers, as an evolution would leave it, made without training anything."""

import math
from dataclasses import replace
from typing import Any

import evotune as et
from evotune.trial import Failure, Trial
from helpers_report import Recorded, definition

CONV = {"filters": et.Int(8, 128, log=True), "kernel": et.Ordinal(1, 3, 5)}
SPACE = et.Space(
    lr=et.Float(1e-4, 1.0, log=True),
    features=et.Chain(1, 6, conv=CONV, squeeze={"ratio": et.Float(0, 1)}, pool={}),
    head=et.Chain(0, 2, dense={"units": et.Int(16, 256, log=True)}),
)


def result(params: dict[str, Any]) -> dict[str, float]:
    """Return made-up metrics of a network."""
    layers = params["features"]
    width = sum(layer.get("filters", 0) for layer in layers)
    wrong = abs(math.log(width + 1) - 4) + abs(math.log10(params["lr"]) + 2) + len(params["head"])
    return {"accuracy": 1 - wrong / 20, "parameters": 10.0 * width + 100}


def recorded(trials: int = 80, space: et.Space = SPACE) -> Recorded:
    """Return a study of a genetic search; every eleventh trial has failed."""

    def train(trial: Any) -> dict[str, float]:
        if trial.number % 11 == 3:
            raise RuntimeError("out of memory")
        return result(trial.params)

    study = et.Study(et.Genetic(space, population_size=10), "max accuracy", seed=1)
    study.run(train, trials=trials)
    return Recorded(definition(space), study.trials)


def all_failed() -> Recorded:
    """Return a study in which every trial has failed."""
    failure = Failure("exception", "out of memory")
    trials = [
        replace(t, state="failed", values=None, metrics={}, failure=failure)
        for t in recorded(12).trials
    ]
    return Recorded(definition(SPACE), trials)


def trial_of(space: et.Space, number: int = 0, **params: Any) -> Trial:
    """Return a done trial with these params; values follow its number."""
    genome = space.complete(params)
    found = {"state": "done", "values": (float(-number),), "metrics": {"accuracy": float(number)}}
    return Trial(number, genome, space.params(genome), **found)
