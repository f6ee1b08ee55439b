"""What repeats are worth where results are noisy: the true value of what a study calls its best.

A quadratic bowl over six floats in steps of 0.1, an integer and a choice, 0 at its optimum, plus
normal noise. Noise is given in standard deviations of the bowl over the space; each arm has the
same number of evaluations and the same seeds. Wins and p are against plain Genetic.

    python benchmarks/search/noise.py            # three levels of noise, 40 seeds, two minutes
    python benchmarks/search/noise.py --seeds 5
"""

import argparse
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import evotune as et
from evotune.analysis.statistics import signed_rank

SPACE = et.Space(
    {f"x{k}": et.Float(0.0, 1.0, step=0.1) for k in range(6)},
    layers=et.Int(1, 9),
    kind=et.Choice("a", "b", "c"),
)
ARMS: dict[str, tuple[Callable[[], Any], Mapping[str, Any]]] = {
    "Genetic": (lambda: et.Genetic(SPACE), {}),
    'Genetic, duplicates="repeat"': (lambda: et.Genetic(SPACE), {"duplicates": "repeat"}),
    "Genetic, each five times": (lambda: et.Racing(et.Genetic(SPACE), caution=99.0), {}),
    "Racing(Genetic)": (lambda: et.Racing(et.Genetic(SPACE)), {}),
}


def bowl(params: Mapping[str, Any]) -> float:
    """Return the true value: 0 at the optimum, with a standard deviation of about 0.33."""
    floats = sum((params[f"x{k}"] - 0.1 * (k + 2)) ** 2 for k in range(6))
    return floats + ((params["layers"] - 4) / 8) ** 2 + 0.3 * (params["kind"] != "b")


def regret(arm: str, noise: float, seed: int, trials: int) -> float:
    """Return the true value of the best of one study."""

    def train(trial: et.RunningTrial) -> float:
        return bowl(trial.params) + noise * np.random.default_rng(trial.seed).normal()

    make, options = ARMS[arm]
    study = et.Study(make(), "min loss", seed=seed, **options).run(train, trials=trials)
    return bowl(study.best.params)


def main() -> None:
    """Print a table for each level of noise."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--trials", type=int, default=200)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    deviation = statistics.stdev(bowl(SPACE.sample(rng)) for _ in range(5000))
    console = Console(width=110)
    for level in (0.1, 0.3, 1.0):
        table = Table(
            title=f"noise {level:g}, {arguments.trials} evaluations, {arguments.seeds} seeds",
            title_justify="left",
        )
        for column in ("arm", "median", "mean", "wins", "p (Wilcoxon)"):
            table.add_column(column, justify="left" if column == "arm" else "right")
        found = {
            arm: [
                regret(arm, level * deviation, seed, arguments.trials)
                for seed in range(arguments.seeds)
            ]
            for arm in ARMS
        }
        plain = found["Genetic"]
        for arm, values in found.items():
            wins = sum(a < b for a, b in zip(values, plain, strict=True))
            p = "" if values == plain else f"{signed_rank(np.subtract(values, plain)):.2g}"
            median, mean = statistics.median(values), statistics.fmean(values)
            table.add_row(arm, f"{median:.3f}", f"{mean:.3f}", str(wins), p)
        console.print(table)


if __name__ == "__main__":
    main()
