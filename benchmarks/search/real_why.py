"""Where searches of recorded trainings go: branches, noise and bounds, task by task.

    python benchmarks/search/real_why.py --tasks families-digits --methods Hybrid optuna-tpe

Regret is as in `scale`. "Branches" are the values of the genes that other genes depend on, or of
all categories where none do: the least regret of 20,000 random points in each, then the share of
each method's evaluations in it, in the first and in the second half. "Found" is the regret of what
a method recommends, "tried" that of the best it has evaluated: the difference is lost to noise.
"Ends" is the share of values in the outer 2 % of an ordered gene's range, where random has 4 %.
"""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import methods
import numpy as np
import numpy.typing as npt
import real
import scale
from rich.console import Console
from rich.table import Table

import evotune as et

Array = npt.NDArray[np.float64]
POINTS = 20_000


class Watched:
    """A task that keeps the params it is asked for."""

    def __init__(self, task: real.RealTask) -> None:
        self.name, self.space, self._task = task.name, task.space, task
        self.seen: list[Mapping[str, Any]] = []

    def value(self, params: Mapping[str, Any]) -> float:
        """Return the value with noise."""
        self.seen.append(params)
        return self._task.value(params)

    def values(self, many: Sequence[Mapping[str, Any]]) -> Array:
        """Return the values of several params with noise."""
        return self._task.values(many)

    def scores(self, many: Sequence[Mapping[str, Any]]) -> Array:
        """Return the values without noise."""
        return self._task.scores(many)


def branching(space: et.Space) -> list[str]:
    """Return the genes that others depend on, or all categories where there are none."""
    parents = dict.fromkeys(other for name in space.conditional for other, _ in space[name].when)
    return [*parents] or [name for name in space.names if not space[name].ordered]


def show(task: real.RealTask, chosen: Sequence[str], seeds: int, evaluations: int) -> None:
    """Print a table for a task."""
    scale.measure(task)
    table = Table(
        *("", "found", "tried", "ends", *(f"branches of {n}" for n in branching(task.space))),
        title=f"{task.name}: noise {100 * real.descriptions()[task.task]['noise']:.0f} %",
        show_lines=True,
    )
    rng = np.random.default_rng(1)
    points = [task.space.params(task.space.sample(rng)) for _ in range(POINTS)]
    truth = scale.regrets(task.scores(points).tolist(), task.name)
    best = points[int(np.argmin(truth))]
    cells = [_least(points, truth, name) for name in branching(task.space)]
    table.add_row(
        "random points", "", f"{truth.min():.3f}", f"{_ends(task.space, points):.0%}", *cells
    )
    for method in chosen:
        table.add_row(method, *_summary(task, method, seeds, evaluations))
    console = Console(width=150)
    console.print(table)
    console.print(f"best random point: {_written(best)}\n")


def _least(points: Sequence[Mapping[str, Any]], truth: Array, gene: str) -> str:
    least: dict[Any, float] = {}
    for params, regret in zip(points, truth, strict=True):
        if gene in params:
            least[params[gene]] = min(least.get(params[gene], np.inf), float(regret))
    return "\n".join(f"{v} {r:.2f}" for v, r in sorted(least.items(), key=lambda item: item[1]))


def _summary(task: real.RealTask, method: str, seeds: int, evaluations: int) -> list[str]:
    found, tried, seen = [], [], []
    for seed in range(seeds):
        watched = Watched(task.for_run(seed))
        run = methods.minimise(method, watched, evaluations, seed)
        found.append(scale.regrets(run.curve[-1:], task.name)[0])
        tried.append(scale.regrets(task.scores(watched.seen).tolist(), task.name).min())
        seen.append(watched.seen)
    numbers = [" ".join(f"{value:.2f}" for value in values) for values in (found, tried)]
    everything = [params for one in seen for params in one]
    cells = [_shares(seen, name) for name in branching(task.space)]
    return [*numbers, f"{_ends(task.space, everything):.0%}", *cells]


def _shares(seen: Sequence[Sequence[Mapping[str, Any]]], gene: str) -> str:
    """Return how often each value was evaluated by halves, over all seeds, in per cent."""
    halves = []
    for first in (True, False):
        parts = [one[: len(one) // 2] if first else one[len(one) // 2 :] for one in seen]
        values = [params[gene] for part in parts for params in part if gene in params]
        halves.append((Counter(values), sum(map(len, parts))))
    order = [value for value, _ in (halves[0][0] + halves[1][0]).most_common()]
    return "\n".join(
        f"{value} " + " ".join(f"{100 * counts[value] / total:.0f}" for counts, total in halves)
        for value in order
    )


def _ends(space: et.Space, many: Sequence[Mapping[str, Any]]) -> float:
    units = [
        space[name].to_unit(value)
        for params in many
        for name, value in params.items()
        if space[name].ordered and space[name].size > 50
    ]
    return float(np.mean([unit < 0.02 or unit > 0.98 for unit in units])) if units else np.nan


def _written(params: Mapping[str, Any]) -> str:
    shown = [f"{n}={v:.3g}" if isinstance(v, float) else f"{n}={v}" for n, v in params.items()]
    return " ".join(shown)


def main() -> None:
    """Print, from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=real.DEVELOPMENT, default=real.DEVELOPMENT)
    parser.add_argument("--methods", nargs="+", default=["Hybrid", "optuna-tpe", "random"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--trees", action="store_true", help="the trees as the truth")
    options = parser.parse_args()
    for name in options.tasks:
        task = real.RealTask(name, truth="trees" if options.trees else None)
        show(task, options.methods, options.seeds, options.evaluations)


if __name__ == "__main__":
    main()
