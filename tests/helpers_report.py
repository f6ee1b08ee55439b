"""A study as a genetic algorithm would leave it, made without training anything."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evotune.objectives import parse_objectives
from evotune.protocols import StudyDefinition
from evotune.space import Choice, Float, Int, Ordinal, Space
from evotune.trial import Failure, Origin, Trial

SPACE = Space(
    lr=Float(1e-4, 1.0, log=True),
    width=Int(8, 128),
    dropout=Float(0.0, 0.6),
    batch_size=Ordinal(16, 32, 64, 128, 256),
    optimizer=Choice("sgd", "adam", "rmsprop"),
    momentum=Float(0.0, 0.99, when={"optimizer": "sgd"}),
)


def definition(
    space: Space = SPACE, objectives: Any = "max accuracy", **changed: Any
) -> StudyDefinition:
    settings: dict[str, Any] = {
        "name": "digits-cnn",
        "seed": 7,
        "space": space.to_json(),
        "objectives": parse_objectives(objectives).to_json(),
        "algorithm": "Genetic(population_size=20, elites=2, selection=tournament(3))",
        "created": 1_760_000_000.0,
    }
    return StudyDefinition(**(settings | changed))


@dataclass(frozen=True)
class Recorded:
    """What a report reads of a study."""

    definition: StudyDefinition
    trials: Sequence[Trial]


def accuracy(params: dict[str, Any], noise: float) -> float:
    score = 0.97 - 0.045 * (math.log10(params["lr"]) + 1.7) ** 2
    score -= 0.06 * (1 - params["width"] / 128) ** 2 + 0.15 * (params["dropout"] - 0.2) ** 2
    score -= {"sgd": 0.0, "adam": 0.03, "rmsprop": 0.07}[params["optimizer"]]
    if "momentum" in params:
        score -= 0.06 * (params["momentum"] - 0.9) ** 2
    return float(max(0.1, score + noise))


def simulate(trials: int = 200, population: int = 20, seed: int = 0) -> list[Trial]:
    """Return trials with parents, generations and about 5 % failures."""
    rng = np.random.default_rng(seed)
    done: list[Trial] = []
    records: list[Trial] = []
    for number in range(trials):
        generation = number // population
        genome, parents = _propose(done, generation, population, rng)
        trial = _run(number, genome, parents, generation, rng)
        records.append(trial)
        done += [trial] if trial.is_done else []
    return records


def _propose(
    done: list[Trial], generation: int, population: int, rng: np.random.Generator
) -> tuple[dict[str, Any], tuple[int, ...]]:
    pool = [t for t in done if t.origin.generation < generation]
    if not pool:
        return SPACE.sample(rng), ()
    elite = sorted(pool[-3 * population :], key=lambda t: t.values or ())[: population // 2]
    a, b = (elite[k] for k in rng.choice(len(elite), 2, replace=False))
    units = np.where(rng.random(len(SPACE)) < 0.5, SPACE.encode(a.genome), SPACE.encode(b.genome))
    moved = rng.random(len(SPACE)) < 0.3
    units = np.clip(np.where(moved, units + rng.normal(0, 0.12, len(SPACE)), units), 0, 1)
    return SPACE.decode(units), (a.number, b.number)


def _run(
    number: int,
    genome: dict[str, Any],
    parents: tuple[int, ...],
    generation: int,
    rng: np.random.Generator,
) -> Trial:
    params = SPACE.params(genome)
    common: dict[str, Any] = {
        "number": number,
        "genome": genome,
        "params": params,
        "parents": parents,
        "origin": Origin(generation=generation),
        "started": 1_760_000_000.0 + 5 * number,
        "ended": 1_760_000_004.0 + 5 * number,
    }
    if params["lr"] > 0.5 or rng.random() < 0.03:
        reason = "loss is nan after 2 epochs" if params["lr"] > 0.5 else "worker died"
        kind: Any = "not_finite" if params["lr"] > 0.5 else "died"
        trace = f'Traceback (most recent call last):\n  File "train.py", line 31\n{reason}'
        return Trial(**common, state="failed", failure=Failure(kind, reason, trace))
    score = accuracy(params, float(rng.normal(0, 0.006)))
    seconds = 1.0 + params["width"] / 40 + float(rng.random())
    metrics = {"accuracy": score, "train_seconds": seconds, "evaluation_seconds": 0.1}
    return Trial(**common, state="done", metrics=metrics, values=(-score,))


def scatter(space: Space, trials: int, objectives: int = 1, seed: int = 0) -> list[Trial]:
    """Return independent random trials that depend on the first gene, without generations."""
    rng = np.random.default_rng(seed)
    records = []
    for number in range(trials):
        genome = space.sample(rng)
        first = space.encode(genome)[0]
        values = tuple(float(first * (k + 1) + 0.1 * rng.random()) for k in range(objectives))
        params = space.params(genome)
        metrics = {"loss": values[0], "train_seconds": 0.5}
        records.append(Trial(number, genome, params, "done", metrics=metrics, values=values))
    return records
