"""CMA-ES beside Optuna's samplers and our other algorithms as dimensions grow, and on mixed genes.

    python benchmarks/search/dimensions.py          # mixed in 10, continuous in 40 and 100: 10 min
    python benchmarks/search/dimensions.py --full   # 5 to 100 dimensions, all functions: hours
    python benchmarks/search/dimensions.py --per-dimension 50 --dimensions 20 40 100 --seeds 10 \
        --kinds continuous --methods CmaEs "Optuna CMA-ES, bare"

Hirianskyi and Bulakh (2026), "Effectiveness of evolutionary algorithms in neural network
optimization tasks", find CMA-ES equal to TPE in quality and far cheaper in high dimensions. Three
kinds of problem: *continuous*, the functions of `functions.py` as they are; *mixed*, the same with
one third of the genes ordinal and one third unordered; *tuning*, where of each five genes two are
on a log scale, one is a whole number, one a choice of four and one linear, their distances from the
optimum are of different weight, some act together, and the values near the optimum are flat, as
those of trained models. Each method has the same number of evaluations; the optimum lies elsewhere
with every seed, at the same place for all methods.

Quality is the best value found, relative to the median of the first 10 trials of random search.
Wilcoxon is the signed-rank test over all pairs of runs (function × seed). Milliseconds are CPU
time of this process a trial for asking and telling, the objective left out, on one thread.

"Optuna CMA-ES, bare" is the optimizer of Optuna's CmaEsSampler with all its settings, driven
without Optuna's storage: thousands of trials in 100 dimensions take Optuna minutes.
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

import cmaes
import numpy as np
import optuna
from functions import FUNCTIONS, Problem, continuous_space, mixed_space

import evotune as et
from evotune.analysis.statistics import signed_rank
from evotune.seeding import generator

FEW = ("sphere", "ellipsoid", "Rosenbrock", "Ackley")
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
    return _task(problem, continuous_space(problem))


def mixed(name: str, dimensions: int, seed: int) -> Task:
    """Return a function of `functions.py` with numbers, ordinals and choices."""
    problem = Problem.make(name, dimensions, seed)
    return _task(problem, mixed_space(problem))


def _task(problem: Problem, space: et.Space) -> Task:
    return Task(
        problem.name, space, lambda p: float(problem.value(np.array([p[n] for n in space])))
    )


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
    return optuna.distributions.CategoricalDistribution(list(domain.values()))


def bare(task: Task, trials: int, seed: int) -> Run:
    """Run CMA-ES as Optuna sets it up, continuous genes only; the first trial is random."""
    domains = list(task.space.domains.values())
    box, rng = np.array([[0.0, 1.0]] * len(domains)), np.random.default_rng(seed)
    optimizer = cmaes.CMA(
        np.full(len(box), 0.5), 1 / 6, bounds=box, n_max_resampling=10 * len(box), seed=seed
    )
    best, spent, told = math.inf, 0.0, []
    for number in range(trials):
        began = time.process_time()
        point = optimizer.ask() if number else rng.random(len(box))
        spent += time.process_time() - began
        genome = zip(
            task.space, (d.from_unit(u) for d, u in zip(domains, point, strict=True)), strict=True
        )
        value = task.value(dict(genome))
        best = min(best, value)
        began = time.process_time()
        if number:
            told.append((point, value))
        if len(told) == optimizer.population_size:
            optimizer.tell(told)
            told = []
        spent += time.process_time() - began
    return Run(best, 1e3 * spent / trials)


METHODS: dict[str, Callable[[Task, int, int], Run]] = {
    "CmaEs": lambda *run: own(et.CmaEs, *run),
    "TPE": lambda *run: optunas(lambda seed: optuna.samplers.TPESampler(seed=seed), *run),
    "Optuna CMA-ES": lambda *run: optunas(
        lambda seed: optuna.samplers.CmaEsSampler(seed=seed), *run
    ),
    "Optuna CMA-ES, bare": bare,
    "DE": lambda *run: own(et.DifferentialEvolution, *run),
    "ES": lambda *run: own(et.EvolutionStrategy, *run),
    "GA": lambda *run: own(et.Genetic, *run),
    "PSO": lambda *run: own(et.ParticleSwarm, *run),
    "random": lambda *run: own(et.RandomSearch, *run),
}
#: What is run by default, and in full.
SMALL = (("mixed", (10,)), ("continuous", (40, 100)))
FULL = tuple((kind, (5, 10, 20, 40, 100)) for kind in ("continuous", "mixed", "tuning"))
BARE = "Optuna CMA-ES, bare"
KINDS: dict[str, Callable[[str, int, int], Task]] = {
    "continuous": continuous,
    "mixed": mixed,
    "tuning": tuning,
}


def scale(task: Task) -> float:
    """Return the median of ten random trials."""
    rng = np.random.default_rng(0)
    return float(np.median([task.value(task.space.sample(rng)) for _ in range(10)]))


def compare(kind: str, dimensions: int, options: argparse.Namespace) -> None:
    """Print the table of one kind of problem and one number of dimensions."""
    make, names = KINDS[kind], TUNING if kind == "tuning" else options.functions
    trials = options.trials or 100 + options.per_dimension * dimensions
    methods = [m for m in options.methods if kind == "continuous" or m != BARE]
    runs: dict[str, list[Run]] = {method: [] for method in methods}
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
    add = parser.add_argument
    add(
        "--full", action="store_true", help="all functions and kinds, 5 to 100 dimensions, 10 seeds"
    )
    add("--dimensions", type=int, nargs="+", help="by default those of the kind")
    add("--kinds", nargs="+", choices=list(KINDS), help="by default mixed and continuous")
    add("--functions", nargs="+", choices=list(FUNCTIONS), help="by default four of them")
    usual = [method for method in METHODS if method != BARE]
    add("--methods", nargs="+", default=usual, choices=list(METHODS))
    add("--seeds", type=int, help="by default 3, in full 10")
    add("--per-dimension", type=int, default=5, help="trials a dimension, beside 100")
    add("--trials", type=int, help="trials in all, in place of that")
    options = parser.parse_args()
    options.seeds = options.seeds or (10 if options.full else 3)
    options.functions = options.functions or (list(FUNCTIONS) if options.full else FEW)
    if "CmaEs" not in options.methods:
        options.methods.insert(0, "CmaEs")  # all others are compared with it
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    usual_dimensions = dict(FULL if options.full or options.kinds else SMALL)
    for kind in options.kinds or usual_dimensions:
        for dimensions in options.dimensions or usual_dimensions[kind]:
            compare(kind, dimensions, options)


if __name__ == "__main__":
    main()
