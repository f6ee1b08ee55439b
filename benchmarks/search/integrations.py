"""Inside other libraries: `Sampler` beside Optuna's own, `EvolutionSearchCV` beside random search.

    OMP_NUM_THREADS=1 python benchmarks/search/integrations.py           # some twenty minutes
    OMP_NUM_THREADS=1 python benchmarks/search/integrations.py optuna    # or scikit-learn, cost

Optuna: two test functions of six genes, two continuous, two ordinal, two choices (`functions.py`),
with the minimum 0 at another place for every seed, 60 trials, 10 seeds. TPE is the default of
Optuna 5, multivariate. scikit-learn: a support vector machine on one half of Digits, tested on the
other, 30 candidates, 5 folds, 5 seeds that also split the data; the CPU time is that of a whole
search, its last fit included. Cost: CPU time of a trial of `Genetic` inside Optuna, after so many
others, beside TPE.
"""

import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import optuna
from functions import Problem, mixed_space
from parts import main
from scipy.stats import loguniform, wilcoxon
from sklearn.datasets import load_digits
from sklearn.model_selection import RandomizedSearchCV, train_test_split
from sklearn.svm import SVC

import evotune as et

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore")

Sampler = et.integrations.optuna.Sampler

TRIALS, SEEDS = 60, 10
CANDIDATES, SPLITS = 30, 5
SAMPLERS: dict[str, Callable[[et.Space, int], Any]] = {
    "Optuna TPESampler": lambda space, seed: optuna.samplers.TPESampler(seed=seed),
    "Optuna RandomSampler": lambda space, seed: optuna.samplers.RandomSampler(seed=seed),
    "Sampler, Hybrid": lambda space, seed: Sampler("Hybrid", space, seed=seed),
    "Sampler, Genetic": lambda space, seed: Sampler("Genetic", space, seed=seed),
    "Sampler, DifferentialEvolution": lambda space, seed: Sampler(
        "DifferentialEvolution", space, seed=seed
    ),
}
SVM = {
    "C": loguniform(1e-3, 1e3),
    "gamma": loguniform(1e-6, 10),
    "kernel": ["rbf", "poly", "sigmoid"],
    "coef0": [0.0, 0.5, 1.0],
}


def inside_optuna() -> Iterator[tuple[str, ...]]:
    """Yield the loss that each sampler finds: median and range over the seeds."""
    for function in ("Ackley", "Lévy"):
        tpe: list[float] = []
        for name, make in SAMPLERS.items():
            began = time.process_time()
            losses = [_loss(function, make, seed) for seed in range(SEEDS)]
            cost = (time.process_time() - began) / SEEDS
            tpe = tpe or losses
            yield function, name, *_spread(losses, 3), *_against(tpe, losses), f"{cost:.1f}"


def _loss(function: str, make: Callable[[et.Space, int], Any], seed: int) -> float:
    problem = Problem.make(function, 6, seed)
    space = mixed_space(problem)
    distributions = et.integrations.optuna.distributions(space)
    study = optuna.create_study(sampler=make(space, seed))
    for _ in range(TRIALS):
        trial = study.ask(distributions)
        x = np.array([trial.params[name] for name in space])
        study.tell(trial, float(problem.value(x)))
    return float(study.best_value)


def _spread(values: list[float], digits: int) -> tuple[str, str]:
    middle = statistics.median(values)
    return f"{middle:.{digits}f}", f"{min(values):.{digits}f}–{max(values):.{digits}f}"


def _against(first: list[float], losses: list[float]) -> tuple[str, str]:
    """Return in how many seeds the losses are lower than the first ones, and Wilcoxon's p."""
    if first is losses:
        return "", ""
    wins = sum(b < a for a, b in zip(first, losses, strict=True))
    return f"{wins} of {len(losses)}", f"{wilcoxon(first, losses).pvalue:.3f}"


def inside_sklearn() -> Iterator[tuple[str, ...]]:
    """Yield the score of the best candidate, that on other data, and the time."""
    evolved = et.EvolutionSearchCV
    searches: dict[str, Callable[[int], Any]] = {
        "RandomizedSearchCV": lambda seed: RandomizedSearchCV(
            SVC(), SVM, n_iter=CANDIDATES, cv=5, random_state=seed
        ),
        "EvolutionSearchCV": lambda seed: evolved(
            SVC(), SVM, n_iter=CANDIDATES, cv=5, random_state=seed
        ),
        "EvolutionSearchCV, early_stopping": lambda seed: evolved(
            SVC(), SVM, n_iter=CANDIDATES, cv=5, random_state=seed, early_stopping=True
        ),
        "EvolutionSearchCV, Genetic": lambda seed: evolved(
            SVC(), SVM, n_iter=CANDIDATES, cv=5, random_state=seed, algorithm="Genetic"
        ),
        "EvolutionSearchCV, Genetic, early_stopping": lambda seed: evolved(
            SVC(),
            SVM,
            n_iter=CANDIDATES,
            cv=5,
            random_state=seed,
            algorithm="Genetic",
            early_stopping=True,
        ),
    }
    for name, make in searches.items():
        best, test, cost, full = [], [], [], []
        for seed in range(SPLITS):
            x, x_test, y, y_test = train_test_split(
                *load_digits(return_X_y=True), train_size=0.5, random_state=seed
            )
            began = time.process_time()
            search = make(seed).fit(x, y)
            cost.append(time.process_time() - began)
            best.append(100 * search.best_score_)
            test.append(100 * search.score(x_test, y_test))
            full.append(CANDIDATES - int(sum(search.cv_results_.get("stopped", []))))
        seconds = f"{statistics.median(cost):.1f}"
        yield name, *_spread(best, 2), *_spread(test, 2), f"{statistics.mean(full):.1f}", seconds


def proposal_cost() -> Iterator[tuple[str, ...]]:
    """Yield CPU milliseconds of a trial, asked for and told, after 100 and after 1,000 trials."""
    for name in ("Optuna TPESampler", "Sampler, Genetic"):
        problem = Problem.make("Ackley", 6, 0)
        space = mixed_space(problem)
        distributions = et.integrations.optuna.distributions(space)
        study = optuna.create_study(sampler=SAMPLERS[name](space, 0))
        costs = []
        for _ in range(1100):
            began = time.process_time()
            trial = study.ask(distributions)
            x = np.array([trial.params[gene] for gene in space])
            study.tell(trial, float(problem.value(x)))
            costs.append(1e3 * (time.process_time() - began))
        early, late = statistics.mean(costs[100:200]), statistics.mean(costs[1000:])
        yield name, f"{early:.2f}", f"{late:.2f}"


TABLES = {
    "optuna": (
        inside_optuna,
        ("function", "sampler", "median loss", "range", "better than TPE", "p", "CPU s"),
    ),
    "scikit-learn": (
        inside_sklearn,
        ("search", "best %", "range", "test %", "range", "on all folds", "CPU s"),
    ),
    "cost": (proposal_cost, ("sampler", "ms after 100", "ms after 1,000")),
}


if __name__ == "__main__":
    main(__doc__, TABLES)
