"""Two objectives on LCBench: highest validation accuracy, shortest training time.

    python benchmarks/search/two_objectives.py
    python benchmarks/search/two_objectives.py --tasks 3945 189906 --seeds 3 --methods Nsga2 random

Compared by the hypervolume of everything a run has evaluated, as a share of that of the best-known
front: of all runs here and of 50,000 random points together. The reference point lies a tenth of
the front's range beyond the worst ends of the front of those random points, the same for all;
``--reference worst`` and ``median`` take those of all random points instead, to show what depends
on it. Peers run with their defaults, and once more with the population of `Nsga2`. Finished runs
are kept in ``benchmarks/runs/search/two_objectives``; delete an algorithm's after changing it.
"""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import methods
import numpy as np
import numpy.typing as npt
from run import THREADS
from scale import RUNS
from yahpo import DEVELOPMENT, lcbench

import evotune as et
from evotune.evolution.hypervolume import hypervolume
from evotune.evolution.pareto import non_dominated

Array = npt.NDArray[np.float64]
#: Measures params; (error, seconds), both minimised.
Evaluate = Callable[[Mapping[str, Any]], tuple[float, float]]
#: Searches a space for a number of evaluations: ``(space, evaluate, evaluations, seed)``.
Search = Callable[[et.Space, Evaluate, int, int], None]

OURS = ("Nsga2", "Nsga3", "Hybrid")
RANDOM_POINTS = 50_000
FOLDER = RUNS / "two_objectives"


def optuna_nsga2(population: int) -> Search:
    """Return Optuna's NSGAIISampler; its default is a population of 50."""

    def search(space: et.Space, evaluate: Evaluate, evaluations: int, seed: int) -> None:
        import optuna
        from peer_optuna import suggest

        sampler = optuna.samplers.NSGAIISampler(population_size=population, seed=seed)
        study = optuna.create_study(sampler=sampler, directions=["minimize", "minimize"])
        for _ in range(evaluations):
            trial = study.ask()
            study.tell(trial, evaluate(suggest(trial, space)))

    return search


def pymoo_nsga2(population: int) -> Search:
    """Return pymoo's NSGA2 with its operators for mixed variables; its default is 100."""

    def search(space: et.Space, evaluate: Evaluate, evaluations: int, seed: int) -> None:
        from peer_pymoo import value_of, variable_of
        from peer_spaces import plain
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core import mixed
        from pymoo.core.problem import ElementwiseProblem
        from pymoo.optimize import minimize

        class Problem(ElementwiseProblem):
            def _evaluate(self, x: Mapping[str, Any], out: dict[str, Any], *_: Any) -> None:
                given = plain(x)
                genome = {name: value_of(d, given[name]) for name, d in space.domains.items()}
                out["F"] = evaluate(space.params(genome))

        distinct = mixed.MixedVariableDuplicateElimination()
        algorithm = NSGA2(
            pop_size=population,
            sampling=mixed.MixedVariableSampling(),
            mating=mixed.MixedVariableMating(eliminate_duplicates=distinct),
            eliminate_duplicates=distinct,
        )
        variables = {name: variable_of(domain) for name, domain in space.domains.items()}
        problem = Problem(vars=variables, n_obj=2)
        minimize(problem, algorithm, ("n_eval", evaluations), seed=seed)

    return search


def at_random(space: et.Space, evaluate: Evaluate, evaluations: int, seed: int) -> None:
    """Draw every gene uniformly on its own scale."""
    rng = np.random.default_rng(seed)
    for _ in range(evaluations):
        evaluate(space.params(space.sample(rng)))


def evolve(method: str) -> Search:
    """Return an algorithm of evotune, driven by ask and tell."""

    def search(space: et.Space, evaluate: Evaluate, evaluations: int, seed: int) -> None:
        algorithm = methods.build(method, space, evaluations)
        study = et.Study(algorithm, ["min error", "min time"], seed=seed)
        for _ in range(evaluations):
            trial = study.ask()
            study.tell(trial, dict(zip(("error", "time"), evaluate(trial.params), strict=True)))
        study.close()

    return search


PEERS: dict[str, Search] = {
    "optuna-nsga2": optuna_nsga2(50),
    "optuna-nsga2:20": optuna_nsga2(20),
    "pymoo-nsga2": pymoo_nsga2(100),
    "pymoo-nsga2:20": pymoo_nsga2(20),
    "random": at_random,
}


def measured(method: str, task: str, seed: int, evaluations: int) -> Array:
    """Return what a run measured, in order: error in per cent and seconds, ``(evaluations, 2)``."""
    path = FOLDER / f"{method}-{task}-{seed}-{evaluations}.npy"
    if not path.exists():
        problem, found = lcbench(task), []

        def evaluate(params: Mapping[str, Any]) -> tuple[float, float]:
            metrics = problem.measure(params)
            found.append((100.0 - metrics["val_accuracy"], metrics["time"]))
            return found[-1]

        search = PEERS[method] if method in PEERS else evolve(method)
        search(problem.space, evaluate, evaluations, seed)
        _save(path, np.array(found[:evaluations]))
    return np.asarray(np.load(path))


def references(task: str) -> dict[str, Array]:
    """Return the front of random points and the reference points that follow from them."""
    points = measured("random", task, 10**6, RANDOM_POINTS)
    front = points[non_dominated(points)]
    worst = front.max(axis=0)
    return {
        "front": front,
        "nadir": worst + 0.1 * (worst - front.min(axis=0)),
        "worst": points.max(axis=0),
        "median": np.median(points, axis=0),
    }


def _save(path: Path, points: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{os.getpid()}-part.npy")
    np.save(part, points)
    part.replace(path)


def volumes(options: argparse.Namespace, chosen: Sequence[str]) -> Array:
    """Return the normalised hypervolumes, shape ``(methods, tasks, seeds, counts)``."""
    seeds = range(options.seeds)
    tables = []
    for task in options.tasks:
        runs = [[measured(m, task, s, options.evaluations) for s in seeds] for m in chosen]
        known = references(task)
        point = known[options.reference]
        everything = np.concatenate([known["front"], *(r for row in runs for r in row)])
        best = hypervolume(everything, point)
        tables.append(
            [[[hypervolume(r[:n], point) / best for n in options.at] for r in row] for row in runs]
        )
    return np.array(tables).swapaxes(0, 1)


def table(found: Array, chosen: Sequence[str], at: Sequence[int]) -> str:
    """Return the comparison in Markdown: means, mean ranks, and the first method against each."""
    from evotune.analysis.statistics import mean_ranks, signed_rank

    last = found[..., -1].reshape(len(chosen), -1)
    ranks = mean_ranks(-last.T)
    heads = [f"at {n}" for n in at]
    first = f"{chosen[0]} better"
    lines = [
        f"| method | {' | '.join(heads)} | mean rank | {first} | p |",
        "|---|" + "---|" * (len(at) + 3),
    ]
    for k, method in enumerate(chosen):
        means = " | ".join(f"{mean:.4f}" for mean in found[k].mean(axis=(0, 1)))
        against = "| | |"
        if k:
            wins = int(np.sum(last[0] > last[k]))
            p = signed_rank(last[0] - last[k])
            against = f"| {wins} of {last.shape[1]} | {p:.1e} |"
        lines.append(f"| {method} | {means} | {ranks[k]:.2f} {against}")
    return "\n".join(lines)


def main() -> None:
    """Make the runs that are missing and print the table."""
    options = _options()
    chosen = [m for m in options.methods if m in PEERS or m.partition(":")[0] in _known()]
    os.environ.update(dict.fromkeys(THREADS, "1"))
    jobs = [("random", task, 10**6, RANDOM_POINTS) for task in options.tasks]
    seeds = range(options.seeds)
    jobs += [(m, t, s, options.evaluations) for s, t, m in product(seeds, options.tasks, chosen)]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        for made in [pool.submit(measured, *job) for job in jobs]:
            made.result()
    print(
        f"Hypervolume as a share of the best-known front's, {len(options.tasks)} tasks of LCBench, "
        f"{options.seeds} seeds; rank, wins and Wilcoxon's p (paired) at {options.at[-1]}\n"
    )
    print(table(volumes(options, chosen), chosen, options.at))


def _known() -> Sequence[str]:
    from evotune.names import SEARCHES

    return list(SEARCHES)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", default=[*OURS, *PEERS])
    parser.add_argument("--tasks", nargs="+", default=DEVELOPMENT["lcbench"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--evaluations", type=int, default=500)
    parser.add_argument("--at", type=int, nargs="+", default=[100, 250, 500])
    parser.add_argument("--reference", choices=("nadir", "worst", "median"), default="nadir")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    return parser.parse_args()


if __name__ == "__main__":
    main()
