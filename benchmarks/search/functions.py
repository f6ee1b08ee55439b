"""Test functions: evolution beside gradient descent, by evaluations to a target.

    python benchmarks/search/functions.py --quick    # some ten minutes
    python benchmarks/search/functions.py            # 2, 10, 40 and 100 dimensions, hours

Every function has its minimum 0 at a random place away from the middle of the box (Schwefel's
keeps its own, near a corner), another place with every seed. The mixed versions make of each
three genes one continuous, one ordinal of 21 steps and one choice of 5 values, the minimum among
them. Gradient methods start from random points of the box with a random first step, and again once
100 steps have not improved; they get exact gradients, and value and gradient together count
as one evaluation. A cell says in how many runs the target was reached, and the evaluations that
this takes on average: all evaluations of all runs over the number of successes.
"""

import argparse
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.optimize
import torch

import evotune as et
from evotune.seeding import generator

TARGET = 1e-3


def sphere(z: Any, xp: Any) -> Any:
    """Return Σ z²."""
    return (z**2).sum()


def ellipsoid(z: Any, xp: Any) -> Any:
    """Return Σ 10^(6·i/(n−1))·z²: a condition of a million."""
    return (xp.logspace(0, 6, len(z)) * z**2).sum()


def rosenbrock(z: Any, xp: Any) -> Any:
    """Return the banana: a narrow bent valley."""
    x = z + 1
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def rastrigin(z: Any, xp: Any) -> Any:
    """Return a bowl with a local minimum in every unit cell."""
    return (z**2 - 10 * xp.cos(2 * math.pi * z) + 10).sum()


def ackley(z: Any, xp: Any) -> Any:
    """Return a nearly flat plain of ripples with a hole."""
    far = -20 * xp.exp(-0.2 * xp.sqrt((z**2).mean() + 1e-30))
    return far - xp.exp(xp.cos(2 * math.pi * z).mean()) + 20 + math.e


def griewank(z: Any, xp: Any) -> Any:
    """Return a wide bowl with ripples."""
    root = xp.sqrt(xp.arange(1, len(z) + 1))
    return (z**2).sum() / 4000 - xp.cos(z / root).prod() + 1


def schwefel(z: Any, xp: Any) -> Any:
    """Return many minima, the best in a corner, the second best far away; z lies on its box."""
    x = z + 420.968746
    return 418.98288727 * len(z) - (x * xp.sin(xp.sqrt(xp.abs(x)))).sum()


def levy(z: Any, xp: Any) -> Any:
    """Return Lévy's function: ripples in a bowl."""
    w = 1 + z / 4
    middle = ((w[:-1] - 1) ** 2 * (1 + 10 * xp.sin(math.pi * w[:-1] + 1) ** 2)).sum()
    last = (w[-1] - 1) ** 2 * (1 + xp.sin(2 * math.pi * w[-1]) ** 2)
    return xp.sin(math.pi * w[0]) ** 2 + middle + last


#: Function and the half width of its box.
FUNCTIONS = {
    "sphere": (sphere, 5.12),
    "ellipsoid": (ellipsoid, 5.0),
    "Rosenbrock": (rosenbrock, 5.0),
    "Rastrigin": (rastrigin, 5.12),
    "Ackley": (ackley, 32.768),
    "Griewank": (griewank, 600.0),
    "Schwefel": (schwefel, 500.0),
    "Lévy": (levy, 10.0),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A function with its minimum at one place.

    Attributes:
        name: Of the function.
        half: Half width of the box, around 0.
        place: Where the minimum is, shape ``(dimensions,)``.
    """

    name: str
    half: float
    place: np.ndarray

    @classmethod
    def make(cls, name: str, dimensions: int, seed: int) -> "Problem":
        """Place the minimum at 15 to 40 % or 60 to 85 % of each range."""
        half = FUNCTIONS[name][1]
        if name == "Schwefel":
            return cls(name, half, np.full(dimensions, 420.968746))
        rng = np.random.default_rng((seed, dimensions))
        side = rng.choice([-1.0, 1.0], dimensions)
        return cls(name, half, side * rng.uniform(0.2, 0.7, dimensions) * half)

    def value(self, x: Any, xp: Any = np) -> Any:
        """Return the value at a point, given as an array of numpy or torch."""
        place = self.place if xp is np else torch.as_tensor(self.place)
        return FUNCTIONS[self.name][0](x - place, xp)

    def gradient(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return value and gradient at a point."""
        point = torch.tensor(x, requires_grad=True)
        value = self.value(point, torch)
        (slope,) = torch.autograd.grad(value, point)
        return float(value.detach()), slope.numpy()


def continuous_space(problem: Problem) -> et.Space:
    """Return the box."""
    half = problem.half
    return et.Space({f"x{k}": et.Float(-half, half) for k in range(len(problem.place))})


def mixed_space(problem: Problem) -> et.Space:
    """Return one third continuous, one third ordinal, one third unordered genes."""
    rng = np.random.default_rng(len(problem.place))
    genes: dict[str, Any] = {}
    for k, place in enumerate(problem.place.tolist()):
        steps = problem.half * np.linspace(-1, 1, 21)
        steps[np.abs(steps - place).argmin()] = place
        others = rng.uniform(-problem.half, problem.half, 4).tolist()
        kinds = (
            et.Float(-problem.half, problem.half),
            et.Ordinal(*steps.tolist()),
            et.Choice(*rng.permutation([place, *others]).tolist()),
        )
        genes[f"x{k}"] = kinds[k % 3]
    return et.Space(genes)


class Count:
    """Evaluates, counts, and ends a run at its target or budget by raising `Done`."""

    def __init__(self, problem: Problem, budget: int) -> None:
        self.problem = problem
        self.budget = budget
        self.best = math.inf
        self.used = 0

    def note(self, value: float) -> float:
        """Take note of a value."""
        self.used += 1
        self.best = min(self.best, value) if math.isfinite(value) else self.best
        if self.best <= TARGET or self.used >= self.budget:
            raise Done
        return value


class Done(Exception):  # noqa: N818  (no error)
    """The run is over."""


def evolve(name: str, problem: Problem, count: Count, seed: int, mixed: bool) -> None:
    """Run one of evotune's algorithms with its default settings."""
    space = mixed_space(problem) if mixed else continuous_space(problem)
    algorithm = getattr(et, name)(space)
    for number in itertools.count():
        proposal = algorithm.ask(generator(seed, number))
        genome = dict(proposal.genome)
        trial = et.Trial(
            number, genome, genome, "running", parents=proposal.parents, note=proposal.note
        )
        algorithm.tell(trial)
        value = count.note(float(problem.value(np.array(list(genome.values())))))
        algorithm.tell(replace(trial, state="done", values=(value,)))


def starts(problem: Problem, seed: int) -> Iterator[tuple[np.ndarray, float]]:
    """Yield random points of the box, and first step lengths of 0.001 to 0.1 of its width."""
    rng = np.random.default_rng(seed)
    while True:
        point = rng.uniform(-problem.half, problem.half, len(problem.place))
        yield point, 2 * problem.half * 10 ** rng.uniform(-3, -1)


def descend(kind: Any, problem: Problem, count: Count, seed: int) -> None:
    """Run an optimizer of torch from random starts."""
    for start, step in starts(problem, seed):
        point = torch.nn.Parameter(torch.tensor(start))
        # Adam's steps are as long as its rate; those of SGD grow with the slope.
        steepness = np.abs(problem.gradient(start)[1]).max() if kind is not torch.optim.Adam else 1
        optimizer = kind([point], lr=step / max(steepness, 1e-12))
        best, since = math.inf, 0
        while since < 100:
            value, slope = problem.gradient(point.detach().numpy().copy())
            count.note(value)
            if not (math.isfinite(value) and np.isfinite(slope).all()):
                break
            best, since = (value, 0) if value < best * (1 - 1e-3) else (best, since + 1)
            point.grad = torch.tensor(slope)
            optimizer.step()
            with torch.no_grad():
                point.clamp_(-problem.half, problem.half)


def quasi_newton(problem: Problem, count: Count, seed: int) -> None:
    """Run scipy's L-BFGS-B from random starts."""

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = problem.gradient(x)
        count.note(value)
        return value, slope

    box = [(-problem.half, problem.half)] * len(problem.place)
    for start, _ in starts(problem, seed):
        scipy.optimize.minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", bounds=box)


def momentum(parameters: Any, lr: float) -> torch.optim.Optimizer:
    """Return SGD with momentum."""
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9)


EVOLUTION = ("CmaEs", "DifferentialEvolution", "EvolutionStrategy", "Genetic", "ParticleSwarm")
GRADIENTS: dict[str, Callable[[Problem, Count, int], None]] = {
    "Adam": lambda *run: descend(torch.optim.Adam, *run),
    "SGD": lambda *run: descend(momentum, *run),
    "L-BFGS": quasi_newton,
}


def run(method: str, problem: Problem, budget: int, seed: int, mixed: bool) -> tuple[bool, int]:
    """Run one method once; return whether it reached the target, and the evaluations taken."""
    count = Count(problem, budget)
    try:
        if method in GRADIENTS:
            GRADIENTS[method](problem, count, seed)
        else:
            evolve(method, problem, count, seed, mixed)
    except Done:
        pass
    return count.best <= TARGET, count.used


def cell(runs: list[tuple[bool, int]]) -> str:
    """Return successes and the mean evaluations that one takes."""
    wins = sum(won for won, _ in runs)
    cost = f" · {sum(used for _, used in runs) / wins:,.0f}" if wins else ""
    return f"{wins}/{len(runs)}{cost}"


def table(dimensions: int, options: argparse.Namespace, mixed: bool) -> None:
    """Print the table of one number of dimensions."""
    methods = [m for m in options.methods if not (mixed and m in GRADIENTS)]
    if not methods:
        return
    budget = options.budget * dimensions
    kind = "mixed genes" if mixed else "continuous"
    print(f"\n{dimensions} dimensions, {kind}, {budget:,} evaluations at most\n")
    print("| function |" + "|".join(methods) + "|\n|---|" + "---:|" * len(methods), flush=True)
    for name in FUNCTIONS:
        cells = []
        for method in methods:
            problems = [Problem.make(name, dimensions, seed) for seed in range(options.seeds)]
            runs = [run(method, p, budget, seed, mixed) for seed, p in enumerate(problems)]
            cells.append(cell(runs))
        print(f"| {name} |" + "|".join(cells) + "|", flush=True)


def main() -> None:
    """Print one table for each number of dimensions, continuous and mixed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 and 10 dimensions, 3 seeds")
    parser.add_argument("--dimensions", type=int, nargs="+", help="by default 2 10 40 100")
    every = [method for method in EVOLUTION if hasattr(et, method)] + list(GRADIENTS)
    parser.add_argument("--methods", nargs="+", choices=every, default=every)
    parser.add_argument("--seeds", type=int, help="runs of each; by default 10")
    parser.add_argument("--budget", type=int, help="evaluations per dimension; by default 2000")
    options = parser.parse_args()
    options.seeds = options.seeds or (3 if options.quick else 10)
    options.budget = options.budget or (400 if options.quick else 2000)
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    for dimensions in options.dimensions or ((2, 10) if options.quick else (2, 10, 40, 100)):
        for mixed in (False, True):
            table(dimensions, options, mixed)


if __name__ == "__main__":
    main()
