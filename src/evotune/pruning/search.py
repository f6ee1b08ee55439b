"""CMA-ES over the coefficients of the score and the offsets of its layers."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from evotune.algorithms.cma_es import CmaEs
from evotune.pruning.methods import Rounds
from evotune.pruning.rounds import Pruning
from evotune.pruning.scores import MIX, SYNFLOW, Score
from evotune.space import Float, Space
from evotune.study.study import Study
from evotune.trial import RunningTrial

COEFFICIENTS = ("into", "out", "inputs", "gradients")
POPULATION, GENERATIONS = 8, 8
#: Of an evaluation: rounds, and density before the first one.
ROUNDS, START = 5, 0.1
#: Loss of a network through which nothing flows any more.
CUT = 1000.0
PRESETS = (SYNFLOW, MIX)


class Searched:
    """A method: the best score that CMA-ES finds, by the loss after quick rounds.

    Args:
        quick: The network with fewer examples, for the evaluations.
        seed: Of the search.
        generations: How many.
    """

    def __init__(self, quick: Pruning, seed: int, generations: int = GENERATIONS) -> None:
        self._quick, self._seed, self._generations = quick, seed, generations

    def __call__(self, pruning: Pruning, keep: int) -> None:
        """Prune by the best of the finalists: the best two of the search, and the presets."""
        study = self._study(keep)
        best = sorted(study.trials, key=lambda trial: trial.values or (math.inf,))[:2]
        finalists = [*(score_of(trial.params) for trial in best), *PRESETS]
        losses = []
        for score in finalists:
            losses.append(self._full(pruning, score, keep))
        self._full(pruning, finalists[losses.index(min(losses))], keep)

    def _study(self, keep: int) -> Study:
        names = [layer.name for layer in self._quick.layers[:-1]]
        space = space_of(names)
        presets = [params_of(score, names) for score in PRESETS]
        algorithm = CmaEs(space, population_size=POPULATION, step_size=0.15, seeds=presets)
        study = Study(algorithm, "min loss", seed=self._seed)

        def evaluate(trial: RunningTrial) -> dict[str, float]:
            method = Rounds(score_of(trial.params), ROUNDS, START)
            return {"loss": tried(self._quick, method, keep)}

        study.run(evaluate, trials=POPULATION * self._generations)
        return study

    def _full(self, pruning: Pruning, score: Score, keep: int) -> float:
        return tried(pruning, Rounds(score), keep)


def tried(pruning: Pruning, method: Callable[[Pruning, int], None], keep: int) -> float:
    """Return the loss of a network that a method has pruned, from the dense one on."""
    pruning.reset()
    method(pruning, keep)
    found = pruning.measured()
    return found if math.isfinite(found) and not pruning.is_cut() else CUT


def space_of(names: list[str]) -> Space:
    """Return the space of scores: coefficients, and an offset of each of some layers."""
    genes: dict[str, Any] = {name: Float(0.0, 1.5) for name in COEFFICIENTS}
    return Space(genes | {f"offset of {name}": Float(-3.0, 3.0) for name in names})


def score_of(params: Mapping[str, Any]) -> Score:
    """Return the score of params."""
    offsets = {n.removeprefix("offset of "): float(v) for n, v in params.items() if " " in n}
    return Score(**{name: float(params[name]) for name in COEFFICIENTS}, offsets=offsets)


def params_of(score: Score, names: list[str]) -> dict[str, float]:
    """Return the params of a score."""
    offsets = {f"offset of {name}": score.offsets.get(name, 0.0) for name in names}
    return {name: getattr(score, name) for name in COEFFICIENTS} | offsets
