"""Searches whose children inherit weights against one from scratch, at equal epochs in total.

    python benchmarks/structures/inherit_search.py --seeds 5      # about 20 minutes on one core
    python benchmarks/structures/inherit_search.py --table        # finished runs only

Real training on FashionMNIST at 14 x 14, 1,500 examples, networks of at most 300,000 multiply-adds.
The searches are the same genetic algorithm, with the same first generation of 3 epochs each. Then
the one trains each child for 3 epochs from scratch, the others for 1 epoch from the weights of its
first parent, so they try three times as many children; the third one crosses few of them, so that
children are nearer to their parents. At the end: test accuracy (10,000 images) of the network that
validation (3,000) says is best, as the search left it, and after training its structure anew for 10
epochs. Finished runs are kept in data/inherit_search.csv.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks import CLASSES, SHAPE, accuracy, examples, train, train_on
from scipy.stats import wilcoxon
from torch import nn

import evotune as et

FILE = Path(__file__).parent / "data" / "inherit_search.csv"
MODEL = et.image_classifier(SHAPE, CLASSES, multiply_adds=300_000)
#: Epochs of all trials together, of a trial from scratch, of a child that inherits, and at the end.
TOTAL, SCRATCH, CHILD, ANEW = 90, 3, 1, 10
POPULATION = 8
MEASURES = ("validation", "test", "anew")


def make_space() -> et.Space:
    """Return the space, of blocks that come with evotune."""
    conv = {
        "filters": et.Int(8, 128, log=True),
        "kernel": et.Ordinal(1, 3, 5),
        "activation": et.Choice("relu", "gelu"),
    }
    return et.Space(
        lr=et.Float(1e-4, 3e-2, log=True),
        features=et.Chain(1, 7, conv=conv, residual=conv, pool={}),
        head=et.Chain(0, 2, dense={"units": et.Int(16, 256, log=True)}),
    )


class Search:
    """One search; its trials keep their networks, for the test at the end.

    Args:
        inherits: Children go on from their first parent's weights.
        seed: Seed of the study.
        crossed: Share of the children that have two parents.
    """

    def __init__(self, inherits: bool, seed: int, crossed: float = 0.9) -> None:
        self.networks: dict[int, nn.Module] = {}
        algorithm = et.Genetic(
            make_space(), population_size=POPULATION, crossover_rate=crossed, inherit=inherits
        )
        self.study = et.Study(algorithm, "max accuracy", seed=seed, fit=MODEL.fit)
        children = (TOTAL - POPULATION * SCRATCH) // (CHILD if inherits else SCRATCH)
        self.study.run(self.evaluate, trials=POPULATION + children)

    def evaluate(self, trial: et.RunningTrial) -> float:
        """Train the network of a trial; return its accuracy in validation."""
        x, _, xv, yv, *_ = examples()
        torch.manual_seed(trial.seed)
        network = MODEL(trial.params)
        inherited = trial.resume(model=network, inputs=x)
        train_on(network, trial.params["lr"], trial.seed, CHILD if inherited else SCRATCH)
        trial.keep(model=network)
        self.networks[trial.number] = network
        return accuracy(network, xv, yv)

    def results(self, seed: int) -> dict[str, float]:
        """Return the accuracies of the best network."""
        best, test = self.study.best, examples()[4:]
        return {
            "validation": best.metrics["accuracy"],
            "test": accuracy(self.networks[best.number], *test),
            "anew": accuracy(train(best.params, seed, ANEW), *test),
            "trials": len(self.study.trials),
        }


ARMS: dict[str, Callable[[int], Search]] = {
    "scratch": lambda seed: Search(False, seed),
    "inherited": lambda seed: Search(True, seed),
    "inherited, near": lambda seed: Search(True, seed, crossed=0.2),
}


def run(seeds: int) -> None:
    """Make the runs that are missing, all of a seed before the next seed."""
    done = {(row["arm"], row["seed"]) for row in finished()}
    for seed in range(seeds):
        for arm, search in ARMS.items():
            if (arm, str(seed)) not in done:
                start = time.process_time()
                found = search(seed).results(seed)
                cells = [f"{value:.4f}" for value in found.values()]
                seconds = f"{time.process_time() - start:.0f}"
                with FILE.open("a") as file:
                    file.write(";".join([arm, str(seed), *cells, seconds]) + "\n")


def finished() -> list[dict[str, Any]]:
    """Return the runs so far."""
    names = ("arm", "seed", "validation", "test", "anew", "trials", "seconds")
    lines = FILE.read_text().splitlines() if FILE.exists() else []
    return [dict(zip(names, line.split(";"), strict=True)) for line in lines]


def print_table() -> None:
    """Print the means with standard errors, and the differences paired by seed."""
    runs = {(row["arm"], row["seed"]): row for row in finished()}
    print("| search | seeds | trials | validation | test as found | test anew | CPU s |")
    print("|---|---|---|---|---|---|---|")
    for arm in ARMS:
        seeds = sorted(seed for each, seed in runs if each == arm)

        def column(name: str, arm: str = arm, seeds: list[str] = seeds) -> np.ndarray:
            return np.array([float(runs[arm, seed][name]) for seed in seeds])

        if len(seeds) > 1:
            cells = [_mean(100 * column(name)) for name in MEASURES]
            ends = [f"{column(name).mean():.0f}" for name in ("trials", "seconds")]
            print(f"| {arm} | {len(seeds)} | {ends[0]} | {' | '.join(cells)} | {ends[1]} |")
    for arm in list(ARMS)[1:]:
        seeds = sorted(s for each, s in runs if each == arm and ("scratch", s) in runs)
        for name in MEASURES if len(seeds) > 1 else ():
            one, two = ([float(runs[a, s][name]) for s in seeds] for a in (arm, "scratch"))
            gain = 100 * (np.array(one) - np.array(two))
            print(
                f"{arm} - scratch, {name}: {_mean(gain)} points, better in {np.sum(gain > 0)} of "
                f"{len(gain)}, Wilcoxon p {wilcoxon(gain).pvalue:.3f}"
            )


def _mean(values: np.ndarray) -> str:
    return f"{values.mean():.2f} ± {values.std(ddof=1) / len(values) ** 0.5:.2f}"


def main() -> None:
    """Run and print, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--table", action="store_true", help="print finished runs only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.table:
        run(options.seeds)
    print_table()


if __name__ == "__main__":
    main()
