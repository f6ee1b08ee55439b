"""A member to train without torch: it remembers every trial that its weights went through."""

from typing import Any

import numpy as np

import evotune as et


class Member:
    """Weights ``(2,)`` that move towards the origin, and the numbers of the trials they went by."""

    def __init__(self, seed: int, size: int = 2) -> None:
        self.weights = np.random.default_rng(seed).normal(size=size)
        self.history: list[int] = []

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights, "history": self.history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weights = np.array(state["weights"])
        self.history = list(state["history"])


def population_space() -> et.Space:
    return et.Space(lr=et.Float(1e-3, 0.5, log=True), drift=et.Float(-1.0, 1.0), steps=et.Int(0, 3))


def train_member(trial: et.RunningTrial) -> dict[str, float]:
    """Deterministic from (seed, params, inherited weights)."""
    member = Member(trial.seed)
    trial.resume(member=member)
    noise = np.random.default_rng(trial.seed)
    member.history.append(trial.number)
    for _ in trial.epochs():
        step = trial.params["lr"] * (1 + trial.params["steps"])
        member.weights = member.weights * (1 - step) + 0.01 * noise.normal(size=2)
    trial.keep(member=member)
    # The line that the weights really went by, so that tests can compare it with the records.
    line = float(sum((n + 1) * 31**k for k, n in enumerate(reversed(member.history[-8:]))))
    return {"loss": float(np.abs(member.weights).sum()), "line": line, "last": member.history[-1]}


def line_of(study: et.Study, number: int) -> float:
    """What ``line`` must be by the records."""
    numbers = [number]
    trials = study.trials
    while trials[numbers[-1]].weights_from is not None:
        numbers.append(trials[numbers[-1]].weights_from)
    return float(sum((n + 1) * 31**k for k, n in enumerate(numbers[:8])))


def population(**options: Any) -> et.PopulationBasedTraining:
    return et.PopulationBasedTraining(population_space(), **{"population_size": 6} | options)
