"""CMA-ES against Optuna's TPE as dimensions grow, and against Optuna's CMA-ES on mixed genes.

    python benchmarks/search/dimensions.py --quick      # 5 and 20 dimensions, 5 seeds
    python benchmarks/search/dimensions.py              # 5, 20, 50 and 100 dimensions, 10 seeds

Hirianskyi and Bulakh (2026), "Effectiveness of evolutionary algorithms in neural network
optimization tasks", find CMA-ES equal to TPE in quality and far cheaper in high dimensions. Two
kinds of problem: *continuous*, the functions of `functions.py` as they are; *tuning*, where of each
five genes two are on a log scale, one is a whole number, one a choice of four and one linear, their
distances from the optimum are of different weight, some act together, and the values near the
optimum are flat, as those of trained models. Each method has the same number of evaluations; the
optimum lies elsewhere with every seed, at the same place for all methods.

Quality is the best value found, relative to the median of the first 10 trials of random search.
Wilcoxon is the signed-rank test over all pairs of runs (function × seed). Milliseconds are CPU
time of this process a trial for asking and telling, the objective left out, on one thread.
"""

import argparse
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna
from functions import FUNCTIONS, Problem

import evotune as et
from evotune.analysis.statistics import signed_rank
from evotune.seeding import generator

CONTINUOUS = ("sphere", "Rosenbrock", "Ackley")
TUNING = ("separate", "coupled")

Objective = Callable[[Mapping[str, Any]], float]


@dataclass(frozen=True, slots=True)
class Task:
    """A space and a function to minimise on it.

    Attributes:
        name: Of the function.
        space: What may be searched.
        value: Value of params; 0 is the optimum.
    """

    name: str
    space: et.Space
    value: Objective


def continuous(name: str, dimensions: int, seed: int) -> Task:
    """Return a function of `functions.py`."""
    problem = Problem.make(name, dimensions, seed)
    half = FUNCTIONS[name][1]
    space = et.Space({f"x{k}": et.Float(-half, half) for k in range(dimensions)})
    return Task(name, space, lambda p: float(problem.value(np.array([p[n] for n in space]))))


def tuning(name: str, dimensions: int, seed: int) -> Task:
    """Return a function like a model's validation error, coupled or not."""
    kinds = (
        et.Float(1e-5, 1.0, log=True),
        et.Float(0.0, 1.0),
        et.Int(1, 64, log=True),
        et.Choice("a", "b", "c", "d"),
        et.Float(1e-6, 1e-1, log=True),
    )
    space = et.Space({f"x{k}": kinds[k % 5] for k in range(dimensions)})
    rng = np.random.default_rng((seed, dimensions))
    best = {
        n: d.from_unit(rng.uniform(0.1, 0.9)) if d.ordered else d.options[int(rng.integers(4))]
        for n, d in space.domains.items()
    }
    weights = 10.0 ** rng.uniform(-1.5, 0, dimensions)
    weights /= weights.sum()

    def value(params: Mapping[str, Any]) -> float:
        off = np.array([_distance(space[n], params[n], best[n]) for n in space])
        loss = float(weights @ off**2)
        if name == "coupled":  # neighbours must be off in opposite ways to make up for each other
            loss += float(np.minimum(weights[1:], weights[:-1]) @ (off[1:] + off[:-1]) ** 2)
        return loss / (0.05 + loss)

    return Task(name, space, value)


def _distance(domain: Any, value: Any, best: Any) -> float:
    if domain.ordered:
        return float(domain.to_unit(value) - domain.to_unit(best))
    return 0.0 if value == best else 0.4


@dataclass(frozen=True, slots=True)
class Run:
    """How one run went: the best value, CPU milliseconds a trial."""

    best: float
    milliseconds: float


def own(make: Callable[[et.Space], Any], task: Task, trials: int, seed: int) -> Run:
    """Run one of evotune's algorithms."""
    algorithm, best, spent = make(task.space), math.inf, 0.0
    for number in range(trials):
        began = time.process_time()
        proposal = algorithm.ask(generator(seed, number))
        params = task.space.params(proposal.genome)
        trial = et.Trial(
            number,
            proposal.genome,
            params,
            state="running",
            parents=proposal.parents,
            note=proposal.note,
        )
        algorithm.tell(trial)
        spent += time.process_time() - began
        value = task.value(params)
        best = min(best, value)
        began = time.process_time()
        algorithm.tell(replace(trial, state="done", values=(value,)))
        spent += time.process_time() - began
    return Run(best, 1e3 * spent / trials)


def optunas(make: Callable[[int], Any], task: Task, trials: int, seed: int) -> Run:
    """Run one of Optuna's samplers."""
    study = optuna.create_study(sampler=make(seed))
    domains = {name: _distribution(domain) for name, domain in task.space.domains.items()}
    best, spent = math.inf, 0.0
    for _ in range(trials):
        began = time.process_time()
        trial = study.ask(domains)
        spent += time.process_time() - began
        value = task.value(trial.params)
        best = min(best, value)
        began = time.process_time()
        study.tell(trial, value)
        spent += time.process_time() - began
    return Run(best, 1e3 * spent / trials)


def _distribution(domain: Any) -> Any:
    if isinstance(domain, et.Float):
        return optuna.distributions.FloatDistribution(domain.low, domain.high, log=domain.log)
    if isinstance(domain, et.Int):
        return optuna.distributions.IntDistribution(domain.low, domain.high, log=domain.log)
    return optuna.distributions.CategoricalDistribution(domain.options)


METHODS: dict[str, Callable[[Task, int, int], Run]] = {
    "CmaEs": lambda *run: own(et.CmaEs, *run),
    "TPE": lambda *run: optunas(lambda seed: optuna.samplers.TPESampler(seed=seed), *run),
    "Optuna CMA-ES": lambda *run: optunas(
        lambda seed: optuna.samplers.CmaEsSampler(seed=seed), *run
    ),
    "random": lambda *run: own(et.RandomSearch, *run),
}


def scale(task: Task) -> float:
    """Return the median of ten random trials."""
    rng = np.random.default_rng(0)
    return float(np.median([task.value(task.space.sample(rng)) for _ in range(10)]))


def compare(kind: str, dimensions: int, options: argparse.Namespace) -> None:
    """Print the table of one kind of problem and one number of dimensions."""
    make, names = (continuous, CONTINUOUS) if kind == "continuous" else (tuning, TUNING)
    trials = options.trials or 100 + 5 * dimensions
    runs: dict[str, list[Run]] = {method: [] for method in options.methods}
    for name in names:
        for seed in range(options.seeds):
            task = make(name, dimensions, seed)
            unit = scale(task)
            for method, found in runs.items():
                run = METHODS[method](task, trials, seed)
                found.append(replace(run, best=run.best / unit))
    print(f"\n{kind}, {dimensions} dimensions, {trials} trials, {options.seeds} seeds\n")
    by_function = "".join(f" {name} |" for name in names)
    print(f"| method |{by_function} CmaEs better in | Wilcoxon p | ms a trial |")
    print("|---|" + "---:|" * (len(names) + 3))
    for method, found in runs.items():
        print(f"| {method} |" + _row(found, runs["CmaEs"], len(names)), flush=True)


def _row(found: list[Run], ours: list[Run], functions: int) -> str:
    best, own_best = (np.array([run.best for run in runs]) for runs in (found, ours))
    medians = "".join(f" {m:.3g} |" for m in np.median(best.reshape(functions, -1), axis=1))
    milliseconds = np.median([run.milliseconds for run in found])
    if found is ours:
        return f"{medians} | | {milliseconds:.2f} |"
    p = signed_rank(own_best - best)
    return f"{medians} {np.sum(own_best < best)}/{len(best)} | {p:.2g} | {milliseconds:.2f} |"


def main() -> None:
    """Print one table for each kind of problem and number of dimensions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="5 and 20 dimensions, 5 seeds")
    parser.add_argument("--dimensions", type=int, nargs="+", help="by default 5 20 50 100")
    parser.add_argument("--kinds", nargs="+", default=["continuous", "tuning"])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, help="by default 10")
    parser.add_argument("--trials", type=int, help="by default 100 + 5 per dimension")
    options = parser.parse_args()
    options.seeds = options.seeds or (5 if options.quick else 10)
    if "CmaEs" not in options.methods:
        options.methods.insert(0, "CmaEs")  # all others are compared with it
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    for dimensions in options.dimensions or ((5, 20) if options.quick else (5, 20, 50, 100)):
        for kind in options.kinds:
            compare(kind, dimensions, options)


if __name__ == "__main__":
    main()
