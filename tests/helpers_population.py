"""Population-based training without training: results follow from epochs and genes alone."""

import math
from dataclasses import replace

from evotune.space import Float, Space
from evotune.trial import Origin, Trial
from helpers_islands import Driver

SCHEDULED = Space(lr=Float(1e-4, 1.0, log=True), momentum=Float(0.0, 0.99))


def train_population(algorithm, trials=64, seed=0, failing=()):
    """Run whole generations; trials whose numbers are in ``failing`` fail."""
    driver = Driver(algorithm, seed)

    def value(trial: Trial) -> float:
        donor = trial.weights_from
        before = 0.0 if donor is None else driver.trials[donor].checkpoint.epochs
        epochs = before + (trial.budget or 0.0)
        off = (math.log10(trial.params["lr"]) + 1.5) ** 2 + (trial.params["momentum"] - 0.8) ** 2
        return -(0.97 * (1 - math.exp(-epochs / 3)) - 0.02 * off)

    while len(driver.trials) < trials:
        for trial in driver.start_all():
            if trial.number in failing:
                driver.end(trial)
            else:
                driver.finish(trial, value)
    return [_measured(trial) for trial in driver.trials]


def _measured(trial: Trial) -> Trial:
    metrics = {"accuracy": -trial.values[0]} if trial.values else {}
    return replace(trial, metrics=metrics, started=0.0, ended=1.0)


def step(
    number,
    value=None,
    *,
    weights=None,
    parents=(),
    generation=0,
    member=0,
    budget=1.0,
    state=None,
    **note,
):
    """One trial of a population; ``note`` may hold ``replaces``, ``mutated``, ``lr``."""
    params = {"lr": note.pop("lr", 0.1), "momentum": note.pop("momentum", 0.5)}
    mutated = tuple(note.pop("mutated", ())) if "replaces" in note else None
    origin = Origin(generation=generation, member=member, mutated=mutated, **note)
    state = state or ("failed" if value is None else "done")
    values = None if value is None else (-value,)
    return Trial(
        number,
        params,
        params,
        state,
        budget=budget,
        weights_from=weights,
        parents=tuple(parents),
        origin=origin,
        values=values,
        metrics={} if value is None else {"accuracy": value},
    )
