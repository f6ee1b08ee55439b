"""Short trainings first: successive halving and Hyperband on LCBench, paid for in epochs.

    python benchmarks/search/fidelity.py                        # development tasks, 5 seeds
    python benchmarks/search/fidelity.py --tasks 3945 --seeds 2 --minimum 1

Cost is counted in epochs, 1 to 52 a training. "resumed" pays the difference where a configuration
was trained for fewer epochs before, "anew" pays every training in full. The DEHB package trains
anew; its resumed cost is that of the same runs if the configurations that it repeats went on. The
incumbent is the best configuration at the largest budget so far, and its regret that of its full
training: 1 is a random point, 0 the best of 50,000 (scale.py). Random search pays for full
trainings only. Runs are paired by task and seed.
"""

import argparse
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
import scale
from peer_spaces import configspace, plain
from yahpo import DEVELOPMENT, YahpoTask, lcbench

import evotune as et
from evotune.analysis.statistics import signed_rank

FULL = 52
#: Full trainings of random search, whose final regret is the mark.
RANDOM = 100
COSTS = (RANDOM * FULL // 16, RANDOM * FULL // 8, RANDOM * FULL // 4)
TASKS = DEVELOPMENT["lcbench"][:8]

Maker = Callable[[et.Space], Any]


@dataclass
class Curve:
    """What one run found for what it paid.

    Attributes:
        steps: (epochs paid, error of the incumbent's full training), in order.
    """

    task: YahpoTask
    steps: list[tuple[float, float]] = field(default_factory=list)
    paid: float = 0.0
    _best: tuple[float, float] = (0.0, math.inf)

    def add(self, params: Mapping[str, Any], epochs: float, value: float, cost: float) -> None:
        """Take in a training that has reached so many epochs."""
        self.paid += cost
        if (-epochs, value) < self._best:
            self._best = (-epochs, value)
            full = value if epochs == FULL else self.task.value(params)
            self.steps.append((self.paid, full))

    def at(self, cost: float) -> float:
        """Return the regret once so many epochs are paid; 1 as long as nothing was found."""
        found = [error for paid, error in self.steps if paid <= cost]
        return float(scale.regrets(found[-1:], self.task.name)[0]) if found else 1.0


def search(make: Maker, task: YahpoTask, seed: int, epochs: float) -> Curve:
    """Run one of our algorithms; trials without a budget are full trainings."""
    study = et.Study(make(task.space), "min error", seed=seed)
    curve, reached = Curve(task), dict[int | None, float]({None: 0.0})
    while curve.paid < epochs and (trial := study.ask()) is not None:
        cost = trial.budget or FULL
        reached[trial.number] = reached[trial.weights_from] + cost
        value = task.value(trial.params, epoch=reached[trial.number])
        curve.add(trial.params, reached[trial.number], value, cost)
        study.tell(trial, value)
    return curve


def peer(task: YahpoTask, seed: int, epochs: float, minimum: int) -> dict[str, Curve]:
    """Run the DEHB package once; return what it found for either cost."""
    from dehb import DEHB
    from loguru import logger

    logger.disable("dehb")
    curves = {"anew": Curve(task), "resumed": Curve(task)}
    trained: dict[tuple[Any, ...], float] = {}
    with tempfile.TemporaryDirectory() as folder:
        searching = DEHB(
            cs=configspace(task.space, seed),
            min_fidelity=minimum,
            max_fidelity=FULL,
            n_workers=1,
            seed=seed,
            output_path=folder,
            log_level="ERROR",
        )
        while min(curve.paid for curve in curves.values()) < epochs:
            job = searching.ask()
            params, reached = plain(job["config"]), job["fidelity"]
            value = task.value(params, epoch=reached)
            searching.tell(job, {"fitness": value, "cost": reached})
            key = tuple(params.values())
            curves["anew"].add(params, reached, value, reached)
            curves["resumed"].add(params, reached, value, max(reached - trained.get(key, 0.0), 0.0))
            trained[key] = max(reached, trained.get(key, 0.0))
        del searching  # it writes into the folder when it goes
    return curves


def methods(minimum: int) -> dict[tuple[str, str], Maker]:
    """Return our algorithms, by name and by what a promotion costs."""
    fidelity: dict[str, Any] = {"minimum": minimum, "maximum": FULL}
    found: dict[tuple[str, str], Maker] = {}
    for name in ("RandomSearch", "Genetic", "DifferentialEvolution", "Hybrid"):
        for wrapper in (et.SuccessiveHalving, et.Hyperband):
            found[f"{wrapper.__name__}({name})", "resumed"] = _around(wrapper, name, fidelity)
    found["dehb()", "resumed"] = lambda space: et.recipes.dehb(space, **fidelity)
    found["dehb()", "anew"] = lambda space: et.recipes.dehb(space, resume=False, **fidelity)
    return found


def _around(wrapper: Any, name: str, fidelity: Mapping[str, Any]) -> Maker:
    return lambda space: wrapper(getattr(et, name)(space), **fidelity)


def curves_of(
    chosen: Sequence[str], minimum: int, pairs: Sequence[tuple[YahpoTask, int]]
) -> Iterator[tuple[tuple[str, str], list[Curve]]]:
    """Yield the curves of each method, in the order of the pairs."""
    for key, make in methods(minimum).items():
        if not chosen or key[0] in chosen:
            yield key, [search(make, task, seed, COSTS[-1]) for task, seed in pairs]
    if find_spec("dehb") and (not chosen or "DEHB" in chosen):
        found = [peer(task, seed, COSTS[-1], minimum) for task, seed in pairs]
        for cost in ("resumed", "anew"):
            yield ("DEHB", cost), [curves[cost] for curves in found]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run everything and print the tables as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", default=TASKS, help="out of the development tasks")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minimum", type=int, default=3, help="epochs of the lowest rung")
    parser.add_argument("--methods", nargs="+", default=(), help="by default all")
    options = parser.parse_args(arguments)
    tasks = [lcbench(task) for task in options.tasks]
    for task in tasks:
        scale.measure(task)
    pairs = [(task, seed) for task in tasks for seed in range(options.seeds)]
    control = [search(et.RandomSearch, task, seed, RANDOM * FULL) for task, seed in pairs]
    mark = np.array([curve.at(RANDOM * FULL) for curve in control])
    print(f"Random search after {RANDOM} full trainings, {RANDOM * FULL} epochs: {mark.mean():.3f}")
    print(f"\n{len(tasks)} tasks × {options.seeds} seeds, from {options.minimum} epochs\n")
    print("| method | promotion |", *(f"regret at {cost} |" for cost in COSTS), end=" ")
    print(f"at {COSTS[1]} no worse than that mark |\n|---|---|{'---|' * (len(COSTS) + 1)}")
    print(_row(("RandomSearch", ""), _regrets(control), mark))
    found = {}
    for key, curves in curves_of(options.methods, options.minimum, pairs):
        found[key] = _regrets(curves)
        print(_row(key, found[key], mark), flush=True)
    _duels(found)


def _regrets(curves: Sequence[Curve]) -> np.ndarray:
    """Return the regret at each cost, ``(runs, costs)``."""
    return np.array([[curve.at(cost) for cost in COSTS] for curve in curves])


def _row(key: tuple[str, str], regrets: np.ndarray, mark: np.ndarray) -> str:
    means = " | ".join(f"{mean:.3f}" for mean in regrets.mean(axis=0))
    reached = (regrets[:, 1] <= mark).sum()
    return f"| {key[0]} | {key[1]} | {means} | {reached} of {len(mark)} |"


def _duels(found: Mapping[tuple[str, str], np.ndarray]) -> None:
    """Print how dehb() fares against the package it is named after, paired, two-sided Wilcoxon."""
    for cost in ("resumed", "anew"):
        if not {("dehb()", cost), ("DEHB", cost)} <= found.keys():
            continue
        gaps = found["dehb()", cost] - found["DEHB", cost]
        print(f"\ndehb() against DEHB, {cost}:", end=" ")
        for at, gap in zip(COSTS, gaps.T, strict=True):
            p = signed_rank(gap)
            won, lost = (gap < 0).sum(), (gap > 0).sum()
            print(f"won {won} and lost {lost} at {at} epochs (p = {p:.3f})", end="; ")
        print()


if __name__ == "__main__":
    main()
