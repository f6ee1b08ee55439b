"""Densities of layers searched by NSGA-II on Digits, beside a sweep over sparsities.

    python benchmarks/pruning/front.py                      # three seeds, a table

The network is that of `digits.py`: 64-256-128-10. NSGA-II lessens loss and weights left on 384
calibration examples (`et.PruningTask(over="densities", sparsity=None)`); a sweep prunes to each of
eight sparsities by one method. All have one refit of their weights, "auto" one after each round.
At each sparsity: macro F1 of the test images, of the searched front that of the network with the
least loss which is no denser. Hypervolume, of these eight networks: of 1 - F1 and the logarithm of
the weights left, from all to those of the last sparsity; it is 1 where F1 is 1 there. What is
sparser counts as if it were as dense as that.
"""

import argparse
import time
from typing import Any

import numpy as np
import torch
from digits import data, score, trained

import evotune as et
from evotune.evolution.hypervolume import hypervolume

SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995)
METHODS = ("auto", "magnitude", "uniform", "erk", "lamp")

#: Sparsity and F1 of a network.
Point = tuple[float, float]


def swept(network: Any, parts: Any, method: str, seed: int) -> list[Point]:
    """Return what a sweep leaves."""
    x, y, test_x, test_y = parts
    sweep = et.prune(network, list(SPARSITIES), data=(x, y), method=method, seed=seed)
    return [(each.sparsity, score(each.model, test_x, test_y)) for each in sweep]


def searched(network: Any, parts: Any, trials: int, seed: int) -> list[Point]:
    """Return those of the front at each sparsity."""
    x, y, test_x, test_y = parts
    task = et.PruningTask(network, data=(x, y), over="densities", sparsity=None, seed=seed)
    study = et.tune(task, task.space, ["min loss", "min kept"], trials=trials, seed=seed)
    at = []
    for sparsity in SPARSITIES:
        enough = [t for t in study.front if t.metrics["sparsity"] >= sparsity]
        best = min(enough, key=lambda t: t.metrics["loss"], default=None)
        found = None if best is None else task.pruned(best.params)
        at.append(
            (found.sparsity, score(found.model, test_x, test_y)) if found else (np.nan, np.nan)
        )
    return at


def volume(points: list[Point]) -> float:
    """Return the hypervolume of 1 - F1 and logarithms of the weights left."""
    least = 1 - SPARSITIES[-1]
    values = [
        (1 - f1, 1 - np.log(max(1 - sparsity, least)) / np.log(least))
        for sparsity, f1 in points
        if not np.isnan(f1)  # a sparsity that is not reached
    ]
    return hypervolume(np.array(values), (1.0, 1.0))


def main() -> None:
    """Measure, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=10, help="the first seed")
    parser.add_argument("--trials", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(1)
    f1: dict[str, list[list[float]]] = {}
    volumes: dict[str, list[float]] = {}
    taken: dict[str, list[float]] = {}
    for seed in range(options.first, options.first + options.seeds):
        parts = data(seed)
        network = trained(seed, *parts[:2])
        for name in ("NSGA-II", *METHODS):
            began = time.process_time()
            if name == "NSGA-II":
                at = searched(network, parts, options.trials, seed)
            else:
                at = swept(network, parts, name, seed)
            taken.setdefault(name, []).append(time.process_time() - began)
            f1.setdefault(name, []).append([each for _, each in at])
            volumes.setdefault(name, []).append(volume(at))
            print(f"# seed {seed}, {name}: {at}", flush=True)
    print(f"| method | {' | '.join(f'{s:.1%}' for s in SPARSITIES)} | hypervolume | CPU s |")
    print("|---" * (len(SPARSITIES) + 3) + "|")
    for name, found in f1.items():
        cells = [f"{each:.3f}" for each in np.mean(found, 0)]
        spread = f"{np.mean(volumes[name]):.3f} ± {np.std(volumes[name], ddof=1):.3f}"
        print(f"| {name} | {' | '.join(cells)} | {spread} | {np.mean(taken[name]):.0f} |")


if __name__ == "__main__":
    main()
