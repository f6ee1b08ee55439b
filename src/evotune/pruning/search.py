"""What an evolution of masks may change: the score, the densities of layers, or single weights."""

import math
from collections.abc import Mapping
from typing import Any, Protocol

import torch

from evotune.algorithms.cma_es import CmaEs
from evotune.errors import TaskError
from evotune.pruning.layers import Layer
from evotune.pruning.methods import Method, Rounds, by_layer, divided, leaves_weights
from evotune.pruning.progress import Progress
from evotune.pruning.rounds import Pruning, best_of
from evotune.pruning.scores import MIX, SYNFLOW, Score
from evotune.running import RunningTrial
from evotune.space import Bool, Float, Space
from evotune.study.study import Study

COEFFICIENTS = ("into", "out", "inputs", "gradients")
POPULATION, GENERATIONS = 8, 8
#: Of an evaluation: rounds, and density before the first one.
ROUNDS, START = 5, 0.1
#: Loss of a network through which nothing flows any more.
CUT = 1000.0
PRESETS = (SYNFLOW, MIX)
#: The least density of a layer, and the most weights of which each is a gene.
SPARSEST, MOST = 1e-3, 20_000


class Genes(Protocol):
    """What is evolved.

    Attributes:
        space: The genes.
    """

    space: Space

    def method(self, params: Mapping[str, Any], *, quick: bool = True) -> Method:
        """Return the method of params, a quick one where many are tried."""
        ...


class ScoreGenes:
    """The coefficients of the score, and an offset of each layer but the last.

    Args:
        layers: Those that are pruned.
    """

    def __init__(self, layers: list[Layer]) -> None:
        self._offsets = [layer.name for layer in layers[:-1]]
        genes: dict[str, Any] = {name: Float(0.0, 1.5) for name in COEFFICIENTS}
        self.space = Space(genes | {f"offset of {n}": Float(-3.0, 3.0) for n in self._offsets})

    def method(self, params: Mapping[str, Any], *, quick: bool = True) -> Method:
        """Return rounds by the score of params."""
        return Rounds(score_of(params), ROUNDS, START) if quick else Rounds(score_of(params))

    def params_of(self, score: Score) -> dict[str, float]:
        """Return the params of a score."""
        offsets = {f"offset of {name}": score.offsets.get(name, 0.0) for name in self._offsets}
        return {name: getattr(score, name) for name in COEFFICIENTS} | offsets


def score_of(params: Mapping[str, Any]) -> Score:
    """Return the score of params."""
    offsets = {n.removeprefix("offset of "): float(v) for n, v in params.items() if " " in n}
    return Score(**{name: float(params[name]) for name in COEFFICIENTS}, offsets=offsets)


class DensityGenes:
    """The share of its weights that each layer keeps, the largest ones.

    Args:
        layers: Those that are pruned.
        is_exact: Whether a number of weights stays in all, so that densities are shares of it.
    """

    def __init__(self, layers: list[Layer], *, is_exact: bool) -> None:
        self._layers, self._is_exact = layers, is_exact
        self.space = Space(
            {f"density of {layer.name}": Float(SPARSEST, 1.0, log=True) for layer in layers}
        )

    def method(self, params: Mapping[str, Any], *, quick: bool = True) -> Method:
        """Return the largest weights of each layer."""
        shares = {n.removeprefix("density of "): float(v) for n, v in params.items()}

        def chosen(pruning: Pruning, keep: int) -> None:
            if self._is_exact:
                counts = divided(pruning.layers, shares, keep)
            else:
                sizes = {layer.name: layer.dense.numel() for layer in pruning.layers}
                counts = {name: max(1, round(shares[name] * n)) for name, n in sizes.items()}
            by_layer(pruning, counts)

        return chosen


class MaskGenes:
    """Each weight is a gene: whether it stays.

    Args:
        layers: Those that are pruned.
        is_exact: Whether of more weights than should stay only the largest do.

    Raises:
        TaskError: There are too many weights.
    """

    def __init__(self, layers: list[Layer], *, is_exact: bool) -> None:
        count = sum(layer.dense.numel() for layer in layers)
        if count > MOST:
            raise TaskError(
                f"over='masks' makes a gene of each of {count} weights, and {MOST} is the most; "
                "write over='densities' or over='score'"
            )
        self._layers, self._is_exact = layers, is_exact
        self.space = Space(
            {f"{la.name} {k}": Bool() for la in layers for k in range(la.dense.numel())}
        )

    def method(self, params: Mapping[str, Any], *, quick: bool = True) -> Method:
        """Return the weights whose genes are true."""

        def chosen(pruning: Pruning, keep: int) -> None:
            masks = {}
            for layer in pruning.layers:
                flags = [bool(params[f"{layer.name} {k}"]) for k in range(layer.dense.numel())]
                masks[layer.name] = torch.tensor(flags).reshape(layer.dense.shape)
            if self._is_exact:
                masks = best_of({la.name: la.dense.abs() for la in pruning.layers}, masks, keep)
            pruning.put(masks)

        return chosen


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
        genes = ScoreGenes(self._quick.layers)
        study = self._study(genes, keep, pruning.tell)
        best = sorted(study.trials, key=lambda trial: trial.values or (math.inf,))[:2]
        finalists = [*(score_of(trial.params) for trial in best), *PRESETS]
        losses = [tried(pruning, Rounds(score), keep) for score in finalists]
        tried(pruning, Rounds(finalists[losses.index(min(losses))]), keep)

    def _study(self, genes: ScoreGenes, keep: int, tell: Progress) -> Study:
        presets = [genes.params_of(score) for score in PRESETS]
        algorithm = CmaEs(genes.space, population_size=POPULATION, step_size=0.15, seeds=presets)
        study = Study(algorithm, "min loss", seed=self._seed)

        trials = POPULATION * self._generations

        losses: list[float] = []

        def evaluate(trial: RunningTrial) -> dict[str, float]:
            losses.append(tried(self._quick, genes.method(trial.params), keep))
            tell("search", len(losses), trials, best=lambda: min(losses))
            return {"loss": losses[-1]}

        study.run(evaluate, trials=trials, progress=False)
        return study


def tried(pruning: Pruning, method: Method, keep: int, how: str = "refit") -> float:
    """Return the loss of a network that a method has pruned, from the dense one on.

    Args:
        pruning: The network.
        method: The method.
        keep: How many weights stay.
        how: How they take over, where the method does not see to it.
    """
    pruning.reset()
    method(pruning, keep)
    if not leaves_weights(method):
        pruning.settle(how)
    found = pruning.measured()
    return found if math.isfinite(found) and not pruning.is_cut() else CUT
