"""The weights of a network on Digits: evolution beside Adam.

    python experiments/weights_digits.py --markdown experiments/RESULTS.md

Hirianskyi and Bulakh (2026), "Effectiveness of evolutionary algorithms in neural network
optimization tasks", abstract: for training differentiable weights Adam prevails, with F1 of about
0.97 on Digits. The 2,410 weights of a 64-32-10 perceptron are the genes here, the cross-entropy of
all training examples is the objective. What a run costs is counted in forward passes of the whole
training set: a trial of evolution is one, an epoch of Adam three, as a backward pass costs two
forward ones. Evolution gets Adam's budget, and then a long one. The test part plays no part in any
choice.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from data import digits
from searches import Script
from tables import cells, spread, table
from torch import nn

import evotune as et
from evotune.analysis.statistics import paired
from evotune.seeding import generator

HIDDEN = 32
#: Weights lie within this over √inputs of their layer; those that Adam finds do.
REACH = 6.0

#: Names that the tables use; all at their defaults but for CMA-ES, whose full covariance of so
#: many weights would take seconds a generation to decompose.
SEARCHES: dict[str, Callable[[et.Space], Any]] = {
    "CMA-ES, separable": lambda space: et.CmaEs(space, separable=True),
    "evolution strategy": lambda space: et.EvolutionStrategy(space),
    "differential evolution": lambda space: et.DifferentialEvolution(space),
    "particle swarm": lambda space: et.ParticleSwarm(space),
    "genetic": lambda space: et.Genetic(space),
    "random": lambda space: et.RandomSearch(space),
}


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is run; `epochs` of Adam cost 3·`epochs` trials."""

    seeds: int
    epochs: int
    trials: int
    examples: int | None = None


SCALES = {"small": Scale(5, 60, 1_500), "full": Scale(10, 60, 100_000)}


def network() -> nn.Sequential:
    """Return the perceptron."""
    return nn.Sequential(nn.Linear(64, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))


def reaches(model: nn.Module) -> np.ndarray:
    """Return the bound of every weight, in the order of the flat vector."""
    bounds = []
    for layer in model.children():
        if isinstance(layer, nn.Linear):
            count = layer.weight.numel() + layer.bias.numel()
            bounds.append(np.full(count, REACH / math.sqrt(layer.in_features)))
    return np.concatenate(bounds)


class Judge:
    """Puts a flat vector of weights into the network and measures it."""

    def __init__(self, seed: int, scale: Scale) -> None:
        parts = [(torch.tensor(x), torch.tensor(y)) for x, y in digits(seed, scale.examples)]
        self.train, _, self.test = parts
        self.model = network()

    def loss(self, weights: np.ndarray) -> float:
        """Return the training cross-entropy."""
        self._put(weights)
        x, y = self.train
        with torch.no_grad():
            return float(nn.functional.cross_entropy(self.model(x), y))

    def f1(self, weights: np.ndarray) -> float:
        """Return the macro F1 of the test part."""
        self._put(weights)
        return test_f1(self.model, *self.test)

    def _put(self, weights: np.ndarray) -> None:
        flat = torch.tensor(weights, dtype=torch.float32)
        nn.utils.vector_to_parameters(flat, self.model.parameters())


def test_f1(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Return the macro F1 of a network."""
    from torchmetrics.functional.classification import multiclass_f1_score  # loads slowly

    with torch.no_grad():
        return float(multiclass_f1_score(model(x), y, num_classes=10, average="macro"))


@dataclass(frozen=True, slots=True)
class Row:
    """What one run has found: after Adam's budget and after the long one.

    Attributes:
        passes: Forward passes of the training set.
        loss: Training cross-entropy of the best.
        f1: Its test F1.
        seconds: CPU seconds so far.
    """

    name: str
    seed: int
    passes: int
    loss: float
    f1: float
    seconds: float


def adam(judge: Judge, seed: int, scale: Scale) -> Row:
    """Train with Adam, learning rate 0.01 falling to 0 by a cosine, batches of 64."""
    begin = time.process_time()
    torch.manual_seed(seed)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, scale.epochs)
    x, y = judge.train
    for _ in range(scale.epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        scheduler.step()
    with torch.no_grad():
        loss = float(nn.functional.cross_entropy(model(x), y))
    seconds = time.process_time() - begin
    return Row("Adam", seed, 3 * scale.epochs, loss, test_f1(model, *judge.test), seconds)


def evolve(name: str, judge: Judge, seed: int, scale: Scale) -> list[Row]:
    """Search the weights; return what is best after Adam's budget, and at the end."""
    reach = reaches(judge.model)
    space = et.Space({f"w{k}": et.Float(-r, r) for k, r in enumerate(reach.tolist())})
    algorithm = SEARCHES[name](space)
    rows, best, found = [], math.inf, np.zeros(len(reach))
    begin = time.process_time()
    for number in range(scale.trials):
        proposal = algorithm.ask(generator(seed, number))
        weights = np.fromiter(proposal.genome.values(), float)
        trial = et.Trial(
            number,
            proposal.genome,
            proposal.genome,
            "running",
            parents=proposal.parents,
            note=proposal.note,
        )
        algorithm.tell(trial)
        loss = judge.loss(weights)
        if loss < best:
            best, found = loss, weights
        algorithm.tell(replace(trial, state="done", values=(loss,)))
        if number + 1 in (3 * scale.epochs, scale.trials):
            seconds = time.process_time() - begin
            rows.append(Row(name, seed, number + 1, best, judge.f1(found), seconds))
    return rows


def section(rows: Sequence[Row], head: str) -> str:
    """Return what was found, as Markdown."""
    lines, gaps = [], []
    trained = [row.f1 for row in rows if row.name == "Adam"]
    for name, passes in dict.fromkeys((row.name, row.passes) for row in rows):
        own = [row for row in rows if (row.name, row.passes) == (name, passes)]
        f1 = [row.f1 for row in own]
        lines.append(
            [
                name,
                f"{passes:,}",
                spread([row.loss for row in own], 3),
                spread(f1, 3),
                f"{min(f1):.3f} to {max(f1):.3f}",
                f"{np.median([row.seconds for row in own]):.1f}",
            ]
        )
        if name != "Adam" and len(own) > 1:
            gaps.append([name, f"{passes:,}", *cells(paired(f1, trained), 3)])
    about = (
        f"Digits, a 64-{HIDDEN}-10 perceptron, 2,410 weights. Evolution: within "
        f"±{REACH:g}/√inputs, cross-entropy of all training examples. Passes are forward passes of "
        "the training set, three for an epoch of Adam."
    )
    columns = ["by", "passes", "training loss", "test F1", "range", "CPU s, median"]
    against = ["test F1 against Adam", "passes", "mean (95 % interval)", "p", "better in"]
    return "\n\n".join([head, about, table(columns, lines), table(against, gaps)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the experiment as the command line says, and print its tables."""
    script = Script("weights_digits.py", SCALES)
    options, scale = script.begin(arguments)
    seeds = options.seeds or scale.seeds
    rows: list[Row] = []
    for seed in range(1, seeds + 1):
        judge = Judge(seed, scale)
        rows.append(adam(judge, seed, scale))
        print(rows[-1], flush=True)
        for name in SEARCHES:
            rows += evolve(name, judge, seed, scale)
            print(rows[-1], flush=True)
    script.end(
        options, "Weights by evolution, Digits", section(rows, script.head(arguments, seeds))
    )


if __name__ == "__main__":
    main()
