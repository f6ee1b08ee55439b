"""Search over chains against random search and Optuna's TPE, on the surrogate of `surrogate.py`.

    python benchmarks/structures/search.py                            # all methods, then the table
    python benchmarks/structures/search.py --methods slots random     # some of them
    python benchmarks/structures/search.py --table                    # the table only

Each trial is one network; one that is above the limit of multiply-adds is made smaller first, for
every method alike. TPE gets the same space define-by-run, in Optuna's defaults: a layer's settings
are asked for where the layer is. Finished runs are kept in data/search.csv and not made again.

Regret: (best - found) / (best - median), where best and median are those of 1,500 random networks:
1 is a random network, 0 the best of 1,500, below 0 is better still.
"""

import argparse
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from networks import fitted, make_space
from scipy.stats import wilcoxon
from surrogate import Surrogate, cross_validated

import evotune as et
from evotune.space.crossover import ByLayer, KPoint, Splice, Uniform
from evotune.space.mutation import Structural

Array = npt.NDArray[np.float64]
Objective = Callable[[Mapping[str, Any]], float]

FILE = Path(__file__).parent / "data" / "search.csv"
TRIALS, AT = 100, (25, 50, 100)
RANDOM = 1_500
SEEDS = 24


def fit(space: et.Space, genome: Mapping[str, Any]) -> dict[str, Any]:
    """Return a genome whose network is within the limit; layers that sleep stay as they are."""
    return dict(genome) | space.taken_apart(fitted(space.params(genome)))


def by_study(algorithm: Callable[[et.Space], Any]) -> Callable[[Objective, int], Array]:
    """Return the search by an algorithm of evotune, in a study as users run it."""

    def search(objective: Objective, seed: int) -> Array:
        study = et.Study(algorithm(make_space()), "max accuracy", seed=seed, fit=fit)
        study.run(lambda trial: objective(trial.params), trials=TRIALS)
        return np.array([trial.metrics["accuracy"] for trial in study.trials])

    return search


def tpe(objective: Objective, seed: int) -> Array:
    """Search by Optuna's TPE, the space define-by-run."""
    import optuna  # of evotune[bench]

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(lambda trial: objective(suggested(trial)), n_trials=TRIALS)
    return np.array([trial.value for trial in study.trials])


def suggested(trial: Any) -> dict[str, Any]:
    """Return params of the space as an Optuna trial suggests them."""

    def layer(name: str) -> dict[str, Any]:
        block = trial.suggest_categorical(f"{name}.block", ["conv", "skip", "pool"])
        if block == "pool":
            return {"block": block}
        return {
            "block": block,
            "filters": trial.suggest_int(f"{name}.filters", 8, 128, log=True),
            "kernel": trial.suggest_int(f"{name}.kernel", 1, 5, step=2),
            "activation": trial.suggest_categorical(f"{name}.activation", ["relu", "gelu"]),
            "norm": trial.suggest_categorical(f"{name}.norm", ["batch", "none"]),
        }

    def dense(name: str) -> dict[str, Any]:
        return {
            "block": "dense",
            "units": trial.suggest_int(f"{name}.units", 16, 256, log=True),
            "activation": trial.suggest_categorical(f"{name}.activation", ["relu", "gelu"]),
            "dropout": trial.suggest_float(f"{name}.dropout", 0, 0.6),
        }

    lr = trial.suggest_float("lr", 1e-4, 3e-2, log=True)
    depth, head = trial.suggest_int("depth", 1, 7), trial.suggest_int("head", 0, 2)
    return {
        "lr": lr,
        "features": [layer(f"features.{k}") for k in range(depth)],
        "head": [dense(f"head.{k}") for k in range(head)],
    }


METHODS = {
    "slots": by_study(et.Genetic),
    "slots, uniform": by_study(lambda s: et.Genetic(s, crossover=Uniform())),
    "slots, Hybrid": by_study(et.Hybrid),  # what auto takes here
    "structural mutation": by_study(lambda s: et.Genetic(s, mutation=Structural())),
    "one-point by layer": by_study(lambda s: et.Genetic(s, crossover=ByLayer())),
    "two-point by layer": by_study(lambda s: et.Genetic(s, crossover=ByLayer(KPoint(2)))),
    "uniform by layer": by_study(lambda s: et.Genetic(s, crossover=ByLayer(Uniform()))),
    "splice": by_study(lambda s: et.Genetic(s, crossover=Splice())),
    "splice, structural": by_study(
        lambda s: et.Genetic(s, crossover=Splice(), mutation=Structural())
    ),
    "random": by_study(et.RandomSearch),
    "Optuna TPE": tpe,
}


def run(methods: Collection[str]) -> None:
    """Make the runs that are missing, seed by seed; each is a line of best values at `AT`."""
    surrogate, done = Surrogate(), {(method, seed) for method, seed, _ in finished()}
    for seed in range(SEEDS):
        for method in methods:
            if (method, seed) in done:
                continue
            best = np.maximum.accumulate(METHODS[method](lambda p: surrogate(fitted(p)), seed))
            with FILE.open("a") as file:
                found = ";".join(f"{best[count - 1]:.6f}" for count in AT)
                file.write(f"{method};{seed};{found}\n")


def finished() -> list[tuple[str, int, list[float]]]:
    """Return the runs so far: method, seed and best values."""
    lines = FILE.read_text().splitlines() if FILE.exists() else []
    rows = [line.split(";") for line in lines]
    return [(row[0], int(row[1]), [float(value) for value in row[2:]]) for row in rows]


def scale() -> tuple[float, float]:
    """Return the best and the median of random networks."""
    surrogate, space, rng = Surrogate(), make_space(), np.random.default_rng(2026)
    found = [surrogate(fitted(space.params(space.sample(rng)))) for _ in range(RANDOM)]
    return max(found), float(np.median(found))


def print_table(baseline: str = "slots") -> None:
    """Print regrets with their standard errors, and paired tests against the first method."""
    best, median = scale()
    regrets: dict[str, dict[int, Array]] = {}
    for method, seed, values in finished():
        regrets.setdefault(method, {})[seed] = (best - np.array(values)) / (best - median)
    print(f"rank correlation of the surrogate in cross-validation: {cross_validated():.3f}")
    print(f"best of {RANDOM} random networks {best:.4f}, median {median:.4f}\n")
    print("| method | seeds | " + " | ".join(f"at {count}" for count in AT) + " |")
    print("|---|---|" + "---|" * len(AT))
    for method in METHODS:
        if method in regrets:
            rows = np.array(list(regrets[method].values()))
            error = rows.std(0, ddof=1) / len(rows) ** 0.5
            cells = [f"{m:.3f} ± {e:.3f}" for m, e in zip(rows.mean(0), error, strict=True)]
            print(f"| {method} | {len(rows)} | " + " | ".join(cells) + " |")
    for first in (baseline, "slots, Hybrid"):
        print(f"\n{first} against, wins/losses and Wilcoxon p over the seeds that both have:")
        for other in METHODS:
            if other != first and other in regrets and first in regrets:
                print(f"  {other}: {_duel(regrets[first], regrets[other])}")


def _duel(one: Mapping[int, Array], two: Mapping[int, Array]) -> str:
    seeds = sorted(set(one) & set(two))
    gaps = np.array([two[seed] - one[seed] for seed in seeds])
    parts = []
    for count, gap in zip(AT, gaps.T, strict=True):
        p = wilcoxon(gap).pvalue if np.any(gap) else 1.0
        parts.append(f"at {count} {np.sum(gap > 0)}/{np.sum(gap < 0)} p {p:.4f}")
    return ", ".join(parts)


def main() -> None:
    """Run and print, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--table", action="store_true", help="print finished runs only")
    options = parser.parse_args()
    if not options.table:
        run(options.methods)
    print_table()


if __name__ == "__main__":
    main()
