"""Searches of NAS-Bench-201 that begin with zero-cost proxies, and the same without.

    python benchmarks/structures/proxies_nas201.py              # all arms, 20 seeds, tables
    python benchmarks/structures/proxies_nas201.py --cost       # of scoring 1,000 networks

Regret: the accuracy of the best cell of all 15,625 minus that of the incumbent, in points of test
accuracy after 200 epochs. Scores of cells are kept in a file (`cells.CACHE`), runs are not.
"""

import argparse
import logging
import resource
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from cells import EDGES, NAMES, Scored, images, network, scores_of
from nasbench201 import NasBench201
from scipy.stats import spearmanr, wilcoxon

import evotune as et

Array = npt.NDArray[np.float64]
TRIALS, AT = 50, (10, 13, 25, 50)
#: Regret of what counts as the optimum: the second best cell, of one test image in 10,000 less.
NEAR = 0.0101
PROBLEM = NasBench201()
SPACE = PROBLEM.space
ageing = partial(et.recipes.regularised_evolution, population_size=10, sample_size=3)
ARMS: dict[str, Callable[[], Any]] = {
    "Hybrid": lambda: et.Hybrid(SPACE),
    "Hybrid, proxies": lambda: et.Hybrid(SPACE, proxies=Scored()),
    "Hybrid, proxies upside down": lambda: et.Hybrid(SPACE, proxies=Scored(sign=-1.0)),
    "Genetic": lambda: et.Genetic(SPACE),
    "Genetic, proxies": lambda: et.Genetic(SPACE, proxies=Scored()),
    "Genetic, proxies upside down": lambda: et.Genetic(SPACE, proxies=Scored(sign=-1.0)),
    "regularised evolution": lambda: ageing(SPACE),
    "regularised evolution, proxies": lambda: ageing(SPACE, proxies=Scored()),
    "regularised evolution, proxies upside down": lambda: ageing(SPACE, proxies=Scored(sign=-1.0)),
    "random search": lambda: et.RandomSearch(SPACE),
}
#: What each arm is compared with.
AGAINST = {name: name.split(",")[0] for name in ARMS if "," in name}


class Curves:
    """Regrets of the incumbent after each trial, and what proxies have chosen, for each seed."""

    def __init__(self) -> None:
        self.regrets: list[list[float]] = []
        self.chosen: list[int] = []

    def at(self, trials: int) -> Array:
        """Return the regrets of all seeds after some trials."""
        return np.array([regret[trials - 1] for regret in self.regrets])


@cache
def least_error() -> float:
    """Return the test error of the best cell of all."""
    return float(PROBLEM.scores([SPACE.params(point) for point in SPACE.points()]).min())


def search(algorithm: Any, seed: int, objective: Callable[[Any], Array]) -> tuple[list[float], int]:
    """Return the regret of the incumbent after each trial, and how many trials proxies chose."""
    study = et.Study(algorithm, "min error", seed=seed)
    best, regrets = np.inf, []
    for _ in range(TRIALS):
        trial = study.ask()
        error = float(objective([trial.params])[0])
        study.tell(trial, {"error": error})
        if error < best:
            best = error
            regret = float(PROBLEM.scores([trial.params])[0]) - least_error()
        regrets.append(regret)
    study.close()
    return regrets, sum("proxy_choice" in trial.note for trial in study.trials)


def tpe(seed: int, objective: Callable[[Any], Array]) -> list[float]:
    """Return the same of Optuna's TPE in its defaults."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    tried: list[Mapping[str, Any]] = []

    def evaluate(trial: Any) -> float:
        operations = list(SPACE[EDGES[0]].values())
        tried.append({edge: trial.suggest_categorical(edge, operations) for edge in EDGES})
        return float(objective([tried[-1]])[0])

    study.optimize(evaluate, n_trials=TRIALS)
    errors, scores = objective(tried), PROBLEM.scores(tried)
    incumbents = [int(np.argmin(errors[: k + 1])) for k in range(TRIALS)]
    return [float(scores[k]) - least_error() for k in incumbents]


def compare(arms: Mapping[str, Any], seeds: range, objective: Callable[[Any], Array]) -> None:
    """Run all arms and print their table."""
    found: dict[str, Curves] = {}
    for name, make in arms.items():
        curves = found[name] = Curves()
        began = time.process_time()
        for seed in seeds:
            regrets, chosen = search(make(), seed, objective)
            curves.regrets.append(regrets)
            curves.chosen.append(chosen)
        print(f"# {name}: {time.process_time() - began:.0f} s CPU", flush=True)
    found["Optuna TPE"] = Curves()
    found["Optuna TPE"].regrets = [tpe(seed, objective) for seed in seeds]
    _print(found)


def _print(found: Mapping[str, Curves]) -> None:
    print(f"| search | {' | '.join(f'at {k}' for k in AT)} | within .0101 at 13 | chosen |")
    print("|---" * (len(AT) + 3) + "|")
    for name, curves in found.items():
        cells = [_mean(curves.at(k)) for k in AT]
        near = f"{np.count_nonzero(curves.at(13) < NEAR)} of {len(curves.regrets)}"
        counts = Counter(curves.chosen)
        chosen = ", ".join(f"{k} in {counts[k]}" for k in sorted(counts) if "proxies" in name)
        print(f"| {name} | {' | '.join(cells)} | {near} | {chosen} |")
    for name, other in AGAINST.items():
        if name in found and other in found:
            p = {k: _p(found[name].at(k), found[other].at(k)) for k in AT}
            print(f"{name} against {other}, Wilcoxon p: {p}")


def _mean(regrets: Array) -> str:
    error = regrets.std(ddof=1) / np.sqrt(len(regrets))
    return f"{regrets.mean():.3f} ± {error:.3f}"


def _p(a: Array, b: Array) -> float:
    return float(f"{wilcoxon(a, b).pvalue:.2g}") if (a != b).any() else 1.0


def correlations(count: int = 1_000) -> None:
    """Print rank correlations of scores with the final accuracy, over random cells."""
    rng = np.random.default_rng(0)
    cells = [SPACE.params(SPACE.sample(rng)) for _ in range(count)]
    scores, accuracies = [scores_of(cell) for cell in cells], -PROBLEM.scores(cells)
    for names in (*((name,) for name in NAMES), et.proxies.FIVE):
        ranks = et.proxies.rank([{name: each[name] for name in names} for each in scores])
        print(f"{' + '.join(names)}: {spearmanr(ranks, accuracies)[0]:.3f}")


def cost(count: int = 1_000) -> None:
    """Print what building and scoring networks takes, with the five scores."""
    proxies = et.proxies.Proxies(network, *images())
    rng = np.random.default_rng(1)
    proxies(SPACE.params(SPACE.sample(rng)))
    began = time.process_time()
    for k in range(count):
        if k % (count // 4) == 0:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{k} networks: {time.process_time() - began:.1f} s CPU, {memory:.0f} MB peak")
        proxies(SPACE.params(SPACE.sample(rng)))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count} networks: {time.process_time() - began:.1f} s CPU, {memory:.0f} MB peak")


def main() -> None:
    """Measure, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--arms", nargs="+", default=list(ARMS))
    parser.add_argument("--cost", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("evotune").setLevel(logging.ERROR)
    if options.cost:
        cost()
        return
    correlations()
    arms = {name: ARMS[name] for name in options.arms}
    seeds = range(options.first, options.first + options.seeds)
    print("\nobjective: the test error after 200 epochs itself")
    compare(arms, seeds, PROBLEM.scores)
    print("\nobjective: the validation error after 12 epochs")
    compare(arms, seeds, PROBLEM.values)


if __name__ == "__main__":
    main()
