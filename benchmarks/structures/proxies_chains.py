"""Searches over chains that begin with zero-cost proxies, and the same without.

    python benchmarks/structures/proxies_chains.py

The truth is the surrogate of `surrogate.py`, of networks trained for three epochs; regret as in
`search.py`: (best - found) / (best - median) of 1,500 random networks.
"""

import argparse
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from networks import CLASSES, SHAPE, examples, fitted, make_space
from scipy.stats import spearmanr, wilcoxon
from search import fit, scale
from surrogate import Surrogate
from train_random import read

import evotune as et

TRIALS, AT = 50, (10, 13, 25, 50)
ALL = ("naswot", "zico", "synflow", "jacob_cov", "params", "snip", "grad_norm")


def network(params: Mapping[str, Any]) -> torch.nn.Module:
    """Return the network of params within the limit; it reads no learning rate."""
    structure = fitted({name: params[name] for name in ("features", "head")})
    return et.image_classifier(SHAPE, CLASSES)(structure)


def correlations(count: int = 200) -> None:
    """Print rank correlations of scores with the accuracy of networks that were trained."""
    networks = read()[:count]
    x, y = examples()[:2]
    proxies = et.proxies.Proxies(network, x, y, names=ALL)
    scores = [proxies(params) for params, _ in networks]
    accuracies = [found for _, found in networks]
    for names in (*((name,) for name in ALL), et.proxies.FIVE, ("snip", "grad_norm"), ALL):
        ranks = et.proxies.rank([{name: each[name] for name in names} for each in scores])
        print(f"{' + '.join(names)}: {spearmanr(ranks, accuracies)[0]:.3f}", flush=True)


def main() -> None:
    """Measure, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=10, help="the first seed")
    parser.add_argument("--names", nargs="+", default=list(et.proxies.FIVE))
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("evotune").setLevel(logging.ERROR)
    correlations()
    proxies = et.proxies.Proxies(network, *examples()[:2], names=options.names)
    arms: dict[str, Callable[[et.Space], Any]] = {
        "Hybrid": et.Hybrid,
        "Hybrid, proxies": lambda space: et.Hybrid(space, proxies=proxies),
        "Genetic": et.Genetic,
        "Genetic, proxies": lambda space: et.Genetic(space, proxies=proxies),
    }
    surrogate, (best, median) = Surrogate(), scale()
    regrets: dict[str, list[Any]] = {name: [] for name in arms}
    chosen: dict[str, list[int]] = {name: [] for name in arms}
    began = time.process_time()
    for seed in range(options.first, options.first + options.seeds):
        for name, make in arms.items():
            study = et.Study(make(make_space()), "max accuracy", seed=seed, fit=fit)
            study.run(lambda trial: surrogate(fitted(trial.params)), trials=TRIALS)
            found = np.maximum.accumulate([trial.metrics["accuracy"] for trial in study.trials])
            regrets[name].append([(best - found[k - 1]) / (best - median) for k in AT])
            chosen[name].append(sum("proxy_choice" in trial.note for trial in study.trials))
        print(f"# seed {seed}: {time.process_time() - began:.0f} s CPU", flush=True)
        for name in arms:
            rows = np.array(regrets[name])
            error = rows.std(0, ddof=1) / len(rows) ** 0.5 if len(rows) > 1 else rows[0] * 0
            cells = [f"{m:.3f} ± {e:.3f}" for m, e in zip(rows.mean(0), error, strict=True)]
            print(f"| {name} | {' | '.join(cells)} | {chosen[name]} |", flush=True)
    for name in ("Hybrid", "Genetic"):
        gaps = np.array(regrets[f"{name}, proxies"]) - np.array(regrets[name])
        tests = [wilcoxon(gap).pvalue if gap.any() else 1.0 for gap in gaps.T]
        print(f"{name} with against without, Wilcoxon p: {dict(zip(AT, tests, strict=True))}")


if __name__ == "__main__":
    main()
